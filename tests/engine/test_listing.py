"""Pages of records: P4 (within the rule), and cursors that are input like any other."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidValue, LimitExceeded, Malformed, NotFound
from holdfast.engine import listing
from holdfast.engine.api import Filter, ListQuery
from holdfast.engine.paging import Cursor
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.world import Note, Secret, Task


async def titles(member: MemberSession, **where: Any) -> list[str]:
    return [note.title for note in await member.list(Note, limit=1_000, **where)]


async def test_records_are_filtered_by_their_fields(ann: MemberSession) -> None:
    for title, status, views in (("a", "draft", 1), ("b", "sent", 2), ("c", "sent", 3)):
        await ann.create(Note(title=title, status=status, views=views))  # type: ignore[arg-type]
    assert await titles(ann, status="sent") == ["b", "c"]
    assert await titles(ann, views__gte=2, views__lt=3) == ["b"]
    assert await titles(ann, title__in=["a", "c", "z"]) == ["a", "c"]
    assert await titles(ann, code=None) == ["a", "b", "c"]
    assert await titles(ann, title__prefix="b") == ["b"]


async def test_pages_go_on_where_the_one_before_ended(ann: MemberSession, store: Store) -> None:
    for number in range(25):
        await ann.create(Note(title=f"{number:02d}", status="sent" if number % 3 else "draft"))
    query = ListQuery(sort=(("status", True), ("title", False)), limit=7)
    seen: list[str] = []
    while True:
        page = await store.list(ann.caller, "notes", query)
        seen += [record["fields"]["title"] for record in page.records]
        if page.cursor is None:
            break
        query = ListQuery(sort=query.sort, limit=7, cursor=page.cursor)
    assert seen == [f"{n:02d}" for n in range(25) if n % 3] + [f"{n:02d}" for n in range(25) if n % 3 == 0]


async def test_only_what_one_may_see_is_listed(ann: MemberSession, ben: MemberSession) -> None:
    for owner in (ann, ben, ann):
        await ann.create(Task(title="t", owner_id=owner.actor_id))
    assert (len(await ann.list(Task)), len(await ben.list(Task))) == (3, 1)


async def test_a_page_has_a_limit_of_its_own(ann: MemberSession, store: Store) -> None:
    most = store.schema.limits.page_records_max
    for number in range(most + 1):
        await ann.create(Note(title=str(number)))
    page = await store.list(ann.caller, "notes", ListQuery(limit=10**9))
    assert len(page.records) == most and page.cursor is not None


UNASKABLE = [
    Filter("nothing", "eq", 1), Filter("plan", "eq", {}), Filter("tags", "eq", []), Filter("views", "eq", "1"), Filter("title", "eq", 1),
    Filter("title", "in", "abc"), Filter("title", "in", [1]), Filter("views", "prefix", "1"), Filter("price", "eq", "a"),
    Filter("title", "null", "x"), Filter("views", "eq", True), Filter("title", "in", ["x"] * 501),
]


@pytest.mark.parametrize("query", [
    *(ListQuery(filters=(one,)) for one in UNASKABLE), ListQuery(sort=(("plan", False),)), ListQuery(sort=(("nothing", False),)),
    ListQuery(filters=tuple(Filter("title", "eq", "x") for _ in range(51))),
])
async def test_what_cannot_be_asked_for_is_told(ann: MemberSession, store: Store, query: ListQuery) -> None:
    with pytest.raises(InvalidValue):
        await store.list(ann.caller, "notes", query)


@pytest.mark.parametrize("name", ["phone", "file"])
async def test_a_sensitive_field_can_be_neither_filtered_nor_sorted_by(ann: MemberSession, store: Store, name: str) -> None:
    await ann.create(Secret(label="x", phone="555"))
    for query in (ListQuery(filters=(Filter(name, "eq", "555"),)), ListQuery(filters=(Filter(name, "null", True),)),
                  ListQuery(sort=((name, False),))):
        with pytest.raises(InvalidValue):
            await store.list(ann.caller, "secrets", query)


async def test_an_unknown_collection_is_not_found(ann: MemberSession, store: Store) -> None:
    with pytest.raises(NotFound):
        await store.list(ann.caller, "nothing", ListQuery())


# -- hostile cursors -------------------------------------------------------------------------------------------------------


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize("cursor", ["", "x", "====", "a" * 5_000, "é", forged(), forged("x"), forged("x", ["y"]), forged(["x"], "y"),
                                    forged("x", [{}]),
                                    base64.urlsafe_b64encode(b"[" * 2_000).decode()])
async def test_a_cursor_that_was_not_given_is_malformed(ann: MemberSession, store: Store, cursor: str) -> None:
    with pytest.raises(Malformed):
        await store.list(ann.caller, "notes", ListQuery(cursor=cursor, sort=(("views", False),)))


async def test_a_cursor_of_another_query_is_malformed(ann: MemberSession, store: Store) -> None:
    for number in range(3):
        await ann.create(Note(title=str(number)))
    page = await store.list(ann.caller, "notes", ListQuery(limit=2))
    for query in (ListQuery(cursor=page.cursor, sort=(("views", False),)), ListQuery(cursor=page.cursor, include_deleted=True),
                  ListQuery(cursor=page.cursor, filters=(Filter("title", "eq", "1"),))):
        with pytest.raises(Malformed):
            await store.list(ann.caller, "notes", query)


@pytest.mark.parametrize("values", [["x", "id"], [True, "id"], [None, 7], [1.5, "id"], [{}, "id"], ["id"], [1, 2, "id"]])
async def test_values_of_another_kind_in_a_cursor_are_malformed(ann: MemberSession, store: Store, values: list[Any]) -> None:
    query = ListQuery(sort=(("views", False),))
    made_for = listing.fingerprint("notes", query.filters, query.sort, False)
    with pytest.raises(Malformed):
        await store.list(ann.caller, "notes", ListQuery(sort=query.sort, cursor=forged(made_for, values)))


@given(st.text(max_size=300))
def test_no_text_makes_reading_a_cursor_fail_otherwise(text: str) -> None:
    try:
        Cursor.read("q", text, 1)
    except Malformed:
        return
    raise AssertionError("nothing that hypothesis writes is a cursor of this query")


# -- children --------------------------------------------------------------------------------------------------------------


async def test_children_come_along_within_their_own_rule(ann: MemberSession, ben: MemberSession, store: Store,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    note = await ann.create(Note(title="a"))
    tasks = [await ann.create(Task(title="t", owner_id=owner.actor_id, note=note.id)) for owner in (ann, ben)]
    seen = await store.get(ann.caller, "notes", note.id, include=["tasks", "tasks:count"])
    assert [child["id"] for child in seen["children"]["tasks"]] == sorted(task.id for task in tasks)
    assert seen["counts"] == {"tasks": 2}
    own = await store.get(ben.caller, "notes", note.id, include=["tasks", "tasks:count"])
    assert ([child["id"] for child in own["children"]["tasks"]], own["counts"]) == ([tasks[1].id], {"tasks": 1})
    page = await store.list(ben.caller, "notes", ListQuery(include=("tasks:count",)))
    assert [record["counts"]["tasks"] for record in page.records] == [1]
    monkeypatch.setattr(listing, "CHILDREN_MAX", 1)
    with pytest.raises(LimitExceeded):
        await store.get(ann.caller, "notes", note.id, include=["tasks"])


async def test_what_is_no_child_cannot_come_along(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    for name in ("sittings", "nothing", "", "tasks:sum"):
        with pytest.raises(InvalidValue):
            await store.get(ann.caller, "notes", note.id, include=[name])
    assert (await store.get(ann.caller, "notes", note.id, include=["tasks"]))["children"] == {"tasks": []}
