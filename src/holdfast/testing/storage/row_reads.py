"""Rows come back as they were written, and pages show what rule, filters and order say (P4 Apart)."""

from __future__ import annotations

from typing import Any

from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role
from holdfast.core.errors import InvalidValue
from holdfast.storage.protocol import Filter, Storage
from holdfast.testing.storage.samples import TENANT, Log, a_page, an_id, project, query, raising, task
from holdfast.testing.storage.subject import Subject

__all__ = ["RowCases"]

RANKS = {"a": 3, "b": None, "c": 1, "d": 3, "e": None, "f": -2}


class RowCases(Subject):
    async def _ranked(self, storage: Storage) -> None:
        await Log().save_rows(storage, *(task(name, rank=rank) for name, rank in RANKS.items()))

    async def test_a_row_of_every_kind_comes_back_as_it_was_written(self) -> None:
        async with self.opened() as storage:
            full = task("a", project=an_id("p"), code="é\U0001f388", rank=-7, weight=2.5, done=True, due="2026-11-20",
                        seen_at="2026-11-20T13:58:00.000Z", status="closed", assignee=an_id("me"), cost="-0.05", rate="12",
                        details={"b": [1, 2.5, None, {"a": "x"}], "a": True}, notes="line\nline", views=9, tags=["x", "é"],
                        phone={"$sealed": "v1:abc"})
            full.copied["via_project__owner_id"] = an_id("owner")
            full.contract, full.rev, full.last, full.last_prefix = 4, 17, 19, "0badcafe"
            full.last_device, full.last_mutation, full.last_foreign, full.stamp = "!me", "any-text", 18, 5 << 16 | 1
            full.deleted = True
            bare = task("b", details=None, weight=3)
            await Log().save_rows(storage, full, bare, project("p"))
            async with storage.reader() as reader:
                found = await reader.rows(TENANT, [("tasks", an_id("a")), ("tasks", an_id("b")), ("tasks", an_id("c"))])
                assert await reader.rows("nobody", [("tasks", an_id("a"))]) == {}
            assert found == {("tasks", an_id("a")): full, ("tasks", an_id("b")): bare}

    async def test_numbers_come_back_in_their_canonical_form(self) -> None:
        async with self.opened() as storage:
            await Log().save_rows(storage, task("a", weight=1.0), task("b", weight=1e300), task("c", weight=-0.5))
            async with storage.reader() as reader:
                rows = await reader.rows(TENANT, [("tasks", an_id(name)) for name in "abc"])
            weights = [row.fields["weight"] for row in rows.values()]
            assert weights == [1, 1e300, -0.5]
            assert [type(weight) for weight in weights] == [int, float, float]

    async def test_what_a_row_does_not_give_takes_its_default(self) -> None:
        async with self.opened() as storage:
            row = task("a")
            row.fields = {"code": "x"}
            row.copied = {}
            await Log().save_rows(storage, row)
            async with storage.reader() as reader:
                found = (await reader.rows(TENANT, [("tasks", an_id("a"))])).popitem()[1]
            assert found == task("a", code="x")

    async def test_a_row_is_written_again_whether_or_not_the_batch_had_read_it(self) -> None:
        async with self.opened() as storage:
            log = Log()
            for read_first, code in ((False, "x"), (True, "x"), (True, "y"), (False, "z")):
                row = task("a", code=code, rank=len(code), notes=f"{read_first} {code}", project=None)
                async with storage.batch([TENANT]) as batch:
                    if read_first:
                        await batch.rows(TENANT, [("tasks", row.id)])
                    await batch.write(log.writes(rows=[row]))
                async with storage.reader() as reader:
                    assert (await reader.rows(TENANT, [("tasks", row.id)])).popitem()[1] == row

    async def test_a_stored_row_does_not_change_with_the_one_that_was_given(self) -> None:
        async with self.opened() as storage:
            row = task("a", details={"list": [1]})
            await Log().save_rows(storage, row)
            row.fields["details"]["list"].append(2)
            async with storage.reader() as reader:
                found = (await reader.rows(TENANT, [("tasks", an_id("a"))])).popitem()[1]
                found.fields["details"]["list"].append(3)
                again = (await reader.rows(TENANT, [("tasks", an_id("a"))])).popitem()[1]
            assert again.fields["details"] == {"list": [1]}

    async def test_pages_go_by_id_where_no_order_is_asked_for(self) -> None:
        async with self.opened() as storage:
            await self._ranked(storage)
            ids = sorted(an_id(name) for name in RANKS)
            assert await a_page(storage, query()) == ids
            assert await a_page(storage, query(limit=2, after=(ids[1],))) == ids[2:4]
            assert await a_page(storage, query(), tenant="nobody") == []

    async def test_null_stands_below_every_value_and_the_id_decides_ties(self) -> None:
        async with self.opened() as storage:
            await self._ranked(storage)
            rising = sorted(RANKS, key=lambda name: (RANKS[name] is not None, RANKS[name] or 0, an_id(name)))
            assert await a_page(storage, query(sort=(("rank", False),))) == [an_id(name) for name in rising]
            assert await a_page(storage, query(sort=(("rank", True),))) == [an_id(name) for name in reversed(rising)]

    async def test_pages_join_without_gap_or_repetition_in_any_order(self) -> None:
        async with self.opened() as storage:
            await Log().save_rows(storage, *(task(number, rank=number % 3 or None, cost=f"{number % 4}.00" if number % 5 else None,
                                                  status=("open", "closed")[number % 2]) for number in range(30)))
            for sort in ((), (("rank", False),), (("rank", True),), (("cost", True), ("rank", False)), (("status", False), ("cost", True)),
                         (("rev", True),), (("id", True),)):
                whole = await a_page(storage, query(sort=sort))
                joined: list[str] = []
                after: tuple[Any, ...] | None = None
                while True:
                    async with storage.reader() as reader:
                        rows = await reader.page(TENANT, query(sort=sort, after=after, limit=4))
                    if not rows:
                        break
                    joined += [row.id for row in rows]
                    last = rows[-1]
                    after = (*(getattr(last, name) if name in ("rev", "id") else last.fields[name] for name, _ in sort), last.id)
                assert joined == whole and len(set(whole)) == 30, sort

    async def test_a_page_without_bookkeeping_shows_the_same_records(self) -> None:
        async with self.opened() as storage:
            await Log().save_rows(storage, *(task(number, rank=number, status="open") for number in range(5)))
            async with storage.reader() as reader:
                whole, shown = [await reader.page(TENANT, query(bookkeeping=bookkeeping)) for bookkeeping in (True, False)]
            told = [[(row.id, row.fields, row.copied, row.contract, row.deleted, row.rev, row.last, row.last_prefix) for row in rows]
                    for rows in (whole, shown)]
            assert told[0] == told[1] and len(shown) == 5

    async def test_filters(self) -> None:
        async with self.opened() as storage:
            await Log().save_rows(
                storage, task("a", code="Apfel", rank=1, cost="10.00", done=True, weight=1.5, due="2026-01-01"),
                task("b", code="apple", rank=2, cost="9.50", weight=2), task("c", code="app", rank=None, cost=None),
                task("d", code="ap\U0010ffff", rank=-5, cost="-1.00", due="2026-02-01"), task("e", code="ap", rank=10))
            expected: list[tuple[str, str, Any, str]] = [
                ("rank", "eq", 1, "a"), ("rank", "eq", None, "c"), ("rank", "ne", 1, "bcde"), ("rank", "ne", None, "abde"),
                ("rank", "lt", 2, "ad"), ("rank", "lte", 2, "abd"), ("rank", "gt", 1, "be"), ("rank", "gte", 1, "abe"),
                ("rank", "in", [1, 10, 77], "ae"), ("rank", "in", [1, None], "ac"), ("rank", "in", [], ""),
                ("rank", "null", True, "c"), ("rank", "null", False, "abde"), ("cost", "gt", "9.50", "a"), ("cost", "lt", "9.50", "d"),
                ("cost", "eq", "10.00", "a"), ("cost", "in", ["9.50", "-1.00"], "bd"), ("done", "eq", True, "a"),
                ("done", "ne", True, "bcde"), ("code", "prefix", "app", "bc"), ("code", "prefix", "ap", "bcde"),
                ("code", "prefix", "", "abcde"), ("code", "prefix", "ap\U0010ffff", "d"), ("code", "gt", "app", "bd"),
                ("weight", "gte", 1.5, "ab"), ("weight", "eq", 2, "b"), ("due", "lt", "2026-02-01", "a"),
                ("id", "eq", an_id("b"), "b"), ("id", "in", [an_id("b"), an_id("zz")], "b"), ("rev", "gt", 0, ""),
                ("status", "eq", "open", "abcde"),
            ]
            for field, op, value, names in expected:
                found = await a_page(storage, query(filters=(Filter(field, op, value),)))  # type: ignore[arg-type]
                assert found == sorted(an_id(name) for name in names), (field, op, value)
            both = query(filters=(Filter("rank", "gt", 0), Filter("code", "prefix", "ap")))
            assert await a_page(storage, both) == sorted(an_id(name) for name in "be")

    async def test_what_cannot_be_asked_is_an_error_in_the_same_words_for_hidden_and_unknown(self) -> None:
        async with self.opened() as storage:
            await self._ranked(storage)
            for field, op, value in (("details", "eq", {}), ("tags", "eq", []), ("phone", "eq", "1"), ("unheard", "eq", 1),
                                     ("via_project__owner_id", "eq", an_id("x")), ("stamp", "eq", 1), ("rank", "eq", "1"),
                                     ("rank", "eq", True), ("rank", "lt", None), ("rank", "prefix", 1), ("rank", "eq", 1 << 60),
                                     ("code", "eq", 5), ("done", "eq", 1), ("cost", "eq", "1.5"), ("cost", "eq", 1), ("rank", "in", 1),
                                     ("rank", "in", [1] * 1_001),
                                     ("rank", "null", None), ("code", "like", "a"), ("weight", "lt", float("inf"))):
                with raising(InvalidValue):
                    await a_page(storage, query(filters=(Filter(field, op, value),)))  # type: ignore[arg-type]
            for options in ({"sort": (("details", False),)}, {"sort": (("phone", False),)}, {"after": ("x", "y")},
                            {"sort": (("rank", False),), "after": ("text", an_id("a"))}):
                with raising(InvalidValue):
                    await a_page(storage, query(**options))

    async def test_deleted_records_show_only_when_asked_for(self) -> None:
        async with self.opened() as storage:
            gone = task("b")
            gone.deleted = True
            await Log().save_rows(storage, task("a"), gone)
            assert await a_page(storage, query()) == [an_id("a")]
            assert await a_page(storage, query(include_deleted=True)) == sorted([an_id("a"), an_id("b")])
            assert await a_page(storage, query(only_deleted=True)) == [an_id("b")]

    async def test_a_rule_decides_which_rows_an_actor_sees(self) -> None:
        me, boss = Actor(an_id("me")), Actor(an_id("boss"), frozenset({"boss"}))
        async with self.opened() as storage:
            mine, under_mine = task("mine", assignee=me.id), task("under mine", project=an_id("p"))
            under_mine.copied["via_project__owner_id"] = me.id
            await Log().save_rows(storage, mine, under_mine, task("other", assignee=an_id("you")), task("nobody's"), project("p"))
            rule = Or((Own("assignee"), Own("via_project__owner_id"), Role(frozenset({"boss"}))))

            async def seen(actor: Actor, rule: Any = rule) -> set[str]:
                return set(await a_page(storage, query(rule=rule, actor=actor)))

            everything = {an_id(name) for name in ("mine", "under mine", "other", "nobody's")}
            assert await seen(me) == {mine.id, under_mine.id}
            assert await seen(boss) == everything
            assert await seen(Actor(an_id("stranger"))) == await seen(me, Nobody()) == await seen(me, Or(())) == set()
            assert await seen(me, And(())) == await seen(me, Everyone()) == everything
            assert await seen(me, And((Own("assignee"), Own("via_project__owner_id")))) == set()
            assert await seen(Actor(mine.id), Own("id")) == {mine.id}
            assert await seen(Actor("0"), Own("rank")) == await seen(Actor("x"), Own("unheard")) == set()

    async def test_counts_by_a_column(self) -> None:
        async with self.opened() as storage:
            rows = [task(number, project=an_id(number % 2) if number % 3 else None, status="open" if number < 7 else "closed")
                    for number in range(10)]
            rows[9].deleted = True
            await Log().save_rows(storage, *rows, project(0), project(1))
            async with storage.reader() as reader:
                assert await reader.counts(TENANT, query(limit=1), "project") == {an_id(0): 3, an_id(1): 3}
                assert await reader.counts(TENANT, query(filters=(Filter("rank", "null", True),)), "status") == {"open": 7, "closed": 2}
                assert await reader.counts(TENANT, query(rule=Nobody()), "status") == {}
                with raising(InvalidValue):
                    await reader.counts(TENANT, query(), "rank")

    async def test_children_of_parents_with_deleted_ones_by_id(self) -> None:
        async with self.opened() as storage:
            gone = task("b", project=an_id("p"))
            gone.deleted = True
            log = Log()
            await log.save_rows(storage, task("a", project=an_id("p")), gone, task("c", project=an_id("q")), task("d"),
                                project("p"), project("q"))
            await Log("zenith").save_rows(storage, task("z", project=an_id("p")), project("p"))
            async with storage.reader() as reader:
                async def of(*names: str) -> list[str]:
                    return [row.id for row in await reader.children(TENANT, "tasks", "project", [an_id(name) for name in names])]

                assert await of("p") == sorted([an_id("a"), an_id("b")])
                assert await of("p", "q", "unheard") == sorted([an_id("a"), an_id("b"), an_id("c")])
                assert await of() == []
