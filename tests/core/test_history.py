"""The past is the present walked back. Defends P3: who, when, from which device, what it was before; every version comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import clock, history, text
from holdfast.core.apply import apply_ops, defaults
from holdfast.core.entry import Entry, Row, Unapplied
from holdfast.core.errors import Malformed, NotFound
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind, Stamped
from holdfast.core.values import canonical
from tests.core.pages import PAGES, ops_on, states

NOW = 1_800_000_000_000


class Log:
    """A record and its entries, written as the server writes them."""

    def __init__(self, collection: Collection = PAGES) -> None:
        self.collection = collection
        self.entries: list[Entry] = []
        self.row: Row | None = None
        self.states: list[tuple[dict[str, Any] | None, bool]] = [(None, False)]    # after entry 0, 1, 2, …

    def take(self, *ops: Op, device: str = "d1", fields: dict[str, Any] | None = None, **more: Any) -> Entry:
        undo: list[Op] = []
        if isinstance(ops[0], CreateOp) if ops else False:
            self.row = Row(collection="pages", id="r1", fields={**defaults(self.collection), **ops[0].value})  # type: ignore[union-attr]
            undo = [DeleteOp()]
        elif ops and isinstance(ops[0], DeleteOp | UndeleteOp):
            self.row = msgspec.structs.replace(self.row, deleted=isinstance(ops[0], DeleteOp))
            undo = [UndeleteOp() if self.row.deleted else DeleteOp()]
        elif self.row is not None:
            fields, undo = apply_ops(self.row.fields, ops, self.collection)
            self.row = msgspec.structs.replace(self.row, fields=fields)
        seq = len(self.entries) + 1
        entry = Entry(tenant_id="t", seq=seq, committed_at=NOW + seq, stamp=clock.pack(NOW, seq), actor_id=f"actor of {device}",
                      device_id=device, mutation_id=f"m{seq}", collection="pages", record_id="r1", ops=list(ops), undo=undo,
                      digest=f"{seq:064x}", **more)
        self.entries.append(entry)
        if self.row is not None:
            self.row.last = seq
        self.states.append((None if self.row is None else self.row.fields, self.row is not None and self.row.deleted))
        return entry

    def newest_first(self) -> list[Entry]:
        return self.entries[::-1]

    def at(self, seq: int) -> Row | None:
        assert self.row is not None
        return history.rewind(self.row, self.newest_first(), seq, self.collection)


def form(value: Any) -> bytes:
    return canonical(value)


# -- as it stood -----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_every_version_of_a_record_comes_back(data: st.DataObject) -> None:
    log = Log()
    log.take()                                                          # held before the record existed
    log.take(CreateOp(data.draw(states())))
    for _ in range(data.draw(st.integers(0, 6))):
        assert log.row is not None
        kind = data.draw(st.sampled_from(["ops", "ops", "delete", "undelete", "held"]))
        if kind == "ops":
            log.take(*data.draw(ops_on(log.row.fields["notes"], most=3)))
        elif kind == "held":
            log.take(unapplied=[Unapplied(reason="conflict", op=SetOp("/status", "won"), waits=True)], outcome="held")
        elif (kind == "delete") is not log.row.deleted:
            log.take(DeleteOp() if kind == "delete" else UndeleteOp())
    for seq, (fields, deleted) in enumerate(log.states):
        then = log.at(seq)
        assert (then is None) is (fields is None)
        if then is not None:
            assert form(then.fields) == form(fields)
            assert then.deleted is deleted


def three_changes() -> Log:
    log = Log()
    log.take(CreateOp({"status": "draft", "notes": "hello"}))
    log.take(SetOp("/status", "won"), device="d2")
    log.take(unapplied=[Unapplied(reason="conflict", op=SetOp("/price", 1), waits=True)], outcome="held", device="d3")
    log.take(SpliceOp("/notes", [(5, 0, " world")]))
    return log


def test_the_bookkeeping_is_that_of_then() -> None:
    log = three_changes()
    then = log.at(3)
    assert then is not None
    assert (then.rev, then.last, then.last_prefix, then.last_device, then.last_mutation) == (2, 3, "00000000", "d3", "m3")
    assert then.stamp == clock.pack(NOW, 3)


def test_entries_that_reach_no_further_back_are_enough_for_the_fields() -> None:
    log = three_changes()
    assert log.row is not None
    then = history.rewind(log.row, [entry for entry in log.newest_first() if entry.seq > 2], 2, PAGES)
    assert then is not None
    assert (then.fields["notes"], then.fields["status"], then.rev, then.last) == ("hello", "won", 2, 2)


def test_before_it_was_created_there_was_no_record() -> None:
    assert three_changes().at(0) is None


def test_an_entry_newer_than_the_row_is_passed_over() -> None:
    log = three_changes()
    before = log.row
    log.take(SetOp("/status", "lost"))
    assert before is not None
    before = msgspec.structs.replace(before, last=4)
    then = history.rewind(before, log.newest_first(), 4, PAGES)
    assert then is not None and then.fields == before.fields


def test_no_more_entries_are_read_than_needed() -> None:
    log = three_changes()
    read: list[int] = []

    def lazily() -> Iterator[Entry]:
        for entry in log.newest_first():
            read.append(entry.seq)
            yield entry

    assert log.row is not None
    history.rewind(log.row, lazily(), 3, PAGES)
    assert read == [4, 3, 2]


def test_nothing_is_shown_from_before_an_erased_change() -> None:
    log = three_changes()
    assert log.row is not None
    log.entries[1] = msgspec.structs.replace(log.entries[1], ops=[], undo=[], erased=True)
    assert log.at(2) is not None
    with pytest.raises(NotFound, match="erased"):
        log.at(1)


def test_a_change_of_hidden_columns_is_no_change_of_fields() -> None:
    log = three_changes()
    log.take(kind="access", extra={"columns": {"via_project__owner": "x"}})
    then = log.at(4)
    assert then is not None and log.row is not None and then.fields == log.row.fields


def test_the_row_given_is_left_alone() -> None:
    log = three_changes()
    assert log.row is not None
    before = form(log.row.fields)
    log.at(1)
    assert form(log.row.fields) == before


def test_fields_that_the_server_stamps_are_those_of_then() -> None:
    stamped = Collection(name="pages", fields={
        "title": Field(name="title", kind=Kind.STRING, optional=True),
        "by": Field(name="by", kind=Kind.STRING, optional=True, stamped=Stamped.UPDATED_BY),
        "when": Field(name="when", kind=Kind.DATETIME, optional=True, stamped=Stamped.UPDATED_AT),
    })
    log = Log(stamped)
    log.take(CreateOp({"title": "one"}))
    log.take(SetOp("/title", "two"), device="d2")
    log.take(SetOp("/title", "three"), device="d3")
    then = log.at(2)
    assert then is not None
    assert then.fields == {"title": "two", "by": "actor of d2", "when": "2027-01-15T08:00:00.002Z"}


# -- why -------------------------------------------------------------------------------------------------------------------


def why(log: Log, path: str) -> history.Provenance:
    found = history.why(log.newest_first(), path, PAGES)
    assert found is not None
    return found


def story() -> Log:
    log = Log()
    log.take(CreateOp({"status": "draft", "j": {"a": {"b": 1, "c": 2}}}))
    log.take(SetOp("/status", "won"), device="d2")
    log.take(SetOp("/j/a/b", 5), device="d3")
    log.take(SpliceOp("/notes", [(0, 0, "abc")]))
    log.take(SpliceOp("/notes", [(1, 1, "X")]), device="d2", outcome="merged")
    log.take(AddOp("/views", 3))
    log.take(IncludeOp("/tags", ["t"]), outcome="merged",
             unapplied=[Unapplied(reason="superseded", op=SetOp("/status", "lost"), mine="lost", theirs="won")])
    return log


@pytest.mark.parametrize(("path", "seq", "device", "rule", "replaced"), [
    ("/status", 2, "d2", "latest", "draft"),
    ("/j/a/b", 3, "d3", "latest", 1),
    ("/j/a", 3, "d3", "latest", 1),
    ("/j/a/c", 1, "d1", "create", None),
    ("/notes", 5, "d2", "text", None),
    ("/views", 6, "d1", "sum", None),
    ("/tags", 7, "d1", "union", None),
    ("/price", 1, "d1", "default", None),
    ("", 7, "d1", "union", None),
])
def test_a_value_comes_from_the_last_entry_that_touched_its_place(path: str, seq: int, device: str, rule: str, replaced: Any) -> None:
    found = why(story(), path)
    assert (found.seq, found.device_id, found.rule, found.replaced) == (seq, device, rule, replaced)
    assert found.actor_id == f"actor of {device}" and found.committed_at == NOW + seq


def test_the_inverse_says_what_a_text_was_before() -> None:
    assert why(story(), "/notes").inverse == [SpliceOp("/notes", [(1, 1, "b")])]


def test_a_change_around_the_place_tells_what_was_at_the_place() -> None:
    log = story()
    log.take(SetOp("/j", {"new": 1}))
    found = why(log, "/j/a/c")
    assert (found.place, found.replaced, found.op) == ("/j", 2, SetOp("/j", {"new": 1}))


def test_of_several_ops_at_one_place_the_value_before_all_of_them_was_replaced() -> None:
    log = story()
    log.take(SetOp("/status", "lost"), SetOp("/status", "draft"))
    found = why(log, "/status")
    assert (found.op, found.replaced) == (SetOp("/status", "draft"), "won")


def test_what_lost_at_the_place_is_told_with_it() -> None:
    log = story()
    lost = [Unapplied(reason="kept_inside", path="/j/a"), Unapplied(reason="superseded", path="/status")]
    log.take(SetOp("/status", "draft"), unapplied=lost)
    assert [part.path for part in why(log, "/status").unapplied] == ["/status"]


def test_an_undo_is_a_change_like_any_other_and_says_what_it_reverts() -> None:
    log = story()
    log.take(SetOp("/status", "draft"), kind="undo", reverts=2)
    found = why(log, "/status")
    assert (found.kind, found.reverts, found.replaced) == ("undo", 2, "won")


def test_deleting_touches_the_record_not_its_values() -> None:
    log = story()
    log.take(DeleteOp(), device="d9")
    assert why(log, "").rule == "delete"
    assert why(log, "/status").seq == 2


def test_entries_whose_payload_is_erased_are_named_because_they_may_have_touched_the_place() -> None:
    log = story()
    log.entries[4] = msgspec.structs.replace(log.entries[4], ops=[], undo=[], erased=True)
    found = why(log, "/notes")
    assert (found.seq, found.erased_since) == (4, [5])


def test_of_a_place_that_nobody_touched_there_is_nothing_to_tell() -> None:
    assert history.why([], "/status") is None
    with pytest.raises(Malformed):
        history.why([], "status")


def test_without_the_collection_a_set_is_called_a_set() -> None:
    found = history.why(story().newest_first(), "/status")
    assert found is not None and found.rule == "set"


# -- what differs ----------------------------------------------------------------------------------------------------------


def row(**fields: Any) -> Row:
    return Row(collection="pages", id="r1", fields={**defaults(PAGES), **fields})


def differences(then: Row | None, now: Row | None) -> dict[str, history.FieldDiff]:
    return {one.field: one for one in history.diff(then, now, PAGES)}


@given(states(), states())
def test_a_field_is_named_if_and_only_if_its_value_differs(left: dict[str, Any], right: dict[str, Any]) -> None:
    found = [one.field for one in history.diff(row(**left), row(**right), PAGES)]
    assert found == [name for name in PAGES.fields if form({"": left[name]}) != form({"": right[name]})]


@given(states(), states())
def test_what_differs_leads_from_then_to_now(left: dict[str, Any], right: dict[str, Any]) -> None:
    ops: list[Op] = []
    for one in history.diff(row(**left), row(**right), PAGES):
        if one.kind == "text":
            ops.append(SpliceOp("/notes", one.edits))
        elif one.kind == "json":
            ops.extend(UnsetOp(place.path) if place.change == "removed" else SetOp(place.path, place.after) for place in one.places)
        elif one.kind == "set":
            ops.extend([IncludeOp("/tags", one.included), SetOp("/status", right["status"])])
        elif one.kind == "counter":
            assert left["views"] + one.by == right["views"]
        else:
            ops.append(SetOp("/" + one.field, one.after))
    after, _ = apply_ops(left, ops, PAGES)
    for name in ("status", "due", "price", "j", "k", "notes"):
        assert form({"": after[name]}) == form({"": right[name]})


def test_a_text_differs_by_edits_and_by_whole_words() -> None:
    found = differences(row(notes="the cat sat"), row(notes="the dog sat down"))["notes"]
    assert found.hunks == [history.Hunk(4, 4, "cat", "dog"), history.Hunk(11, 11, "", " down")]
    assert text.apply("the cat sat", text.from_edits(found.edits)) == "the dog sat down"
    assert found.before is None and found.after is None


def test_json_differs_key_by_key_and_an_array_is_one_value() -> None:
    then, now = {"a": {"b": 1, "c": 2}, "l": [1, 2], "x": 1}, {"a": {"b": 1, "c": 3}, "l": [1], "y": None}
    places: Sequence[history.PlaceDiff] = differences(row(j=then), row(j=now))["j"].places
    assert sorted(places, key=lambda place: place.path) == [
        history.PlaceDiff("/j/a/c", "changed", 2, 3), history.PlaceDiff("/j/l", "changed", [1, 2], [1]),
        history.PlaceDiff("/j/x", "removed", before=1), history.PlaceDiff("/j/y", "added", after=None),
    ]


def test_counters_and_sets_differ_by_what_came_and_went() -> None:
    found = differences(row(views=3, tags=["a", "b"]), row(views=1, tags=["b", "c"]))
    assert (found["views"].by, found["tags"].included, found["tags"].excluded) == (-2, ["c"], ["a"])


def test_a_record_that_was_not_there_differs_in_all_that_it_holds() -> None:
    found = differences(None, row(status="won", notes="x"))
    assert set(found) == {"status", "notes", "j", "views", "tags"}
    assert found["notes"].edits == [(0, 0, "x")]


def test_a_deletion_is_a_difference_of_the_record_itself() -> None:
    gone = msgspec.structs.replace(row(), deleted=True)
    assert history.diff(row(), gone, PAGES) == [history.FieldDiff(field="", kind="deleted", before=False, after=True)]


def test_one_is_not_true() -> None:
    assert "j" in differences(row(j={"a": 1}), row(j={"a": True}))
