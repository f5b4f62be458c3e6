"""Calls with an answer for a person who waits: P2 (an idempotency key), P3 (a stale change is told), P4 (hidden is absent)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from holdfast.core.errors import Forbidden, Held, InvalidValue, Malformed, NotFound, Reused, Stale
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.world import Device, Note, Secret, Task

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def test_a_created_record_answers_with_itself(ann: MemberSession, store: Store) -> None:
    result = await store.create(ann.caller, "notes", {"title": "a"})
    assert result.record is not None and result.record["fields"]["title"] == "a"
    assert result.record == await store.get(ann.caller, "notes", result.record["id"])


async def test_the_same_key_again_answers_the_first_call(ann: MemberSession, store: Store) -> None:
    first = await store.create(ann.caller, "notes", {"title": "a"}, mutation_id="k1")
    again = await store.create(ann.caller, "notes", {"title": "a"}, mutation_id="k1")
    assert (again.outcome, again.first_outcome, again.seq) == ("duplicate", "applied", first.seq)
    assert again.record == first.record


async def test_the_same_key_with_another_body_is_reused(ann: MemberSession, store: Store) -> None:
    await store.create(ann.caller, "notes", {"title": "a"}, mutation_id="k1")
    with pytest.raises(Reused):
        await store.create(ann.caller, "notes", {"title": "b"}, mutation_id="k1")


async def test_the_answer_of_a_repeated_call_judges_rights_anew(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    created = await store.create(ben.caller, "tasks", {"title": "t", "owner_id": ben.actor_id}, mutation_id="k1")
    assert created.record is not None
    await store.change(ann.caller, "tasks", created.record["id"], fields={"owner_id": ann.actor_id})
    with pytest.raises(NotFound):
        await store.create(ben.caller, "tasks", {"title": "t", "owner_id": ben.actor_id}, mutation_id="k1")


async def test_one_persons_key_is_not_anothers(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    await store.create(ann.caller, "notes", {"title": "a"}, mutation_id="k1")
    assert (await store.create(ben.caller, "notes", {"title": "b"}, mutation_id="k1")).outcome == "applied"


async def test_if_match_on_the_present_rev_changes_it(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    result = await store.change(ann.caller, "notes", note.id, fields={"title": "b"}, if_match=note.rev)
    assert result.rev == result.seq


async def test_if_match_on_an_older_rev_is_stale_and_shows_what_stands(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    newer = await ann.change(note, title="b")
    with pytest.raises(Stale) as stale:
        await store.change(ann.caller, "notes", note.id, fields={"title": "c"}, if_match=note.rev)
    assert stale.value.extra["rev"] == newer.rev
    assert stale.value.extra["record"]["fields"]["title"] == "b"
    with pytest.raises(Stale):
        await store.delete(ann.caller, "notes", note.id, if_match=note.rev)


async def test_an_invalid_value_is_an_error_and_nothing_is_kept(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    for fields in ({"status": "nonsense"}, {"nothing": 1}, {"title": 7}, {"title": None}, {"price": "1.234"},
                   {"changed_at": "x", "status": "y"}):
        with pytest.raises(InvalidValue):
            await store.change(ann.caller, "notes", note.id, fields=fields)
    assert await ann.inbox() == []
    assert (await ann.get(Note, note.id)).rev == note.rev


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", "\0", 2**60, {"a": {1: 2}}, object()])
async def test_a_value_without_a_json_form_is_invalid(ann: MemberSession, store: Store, value: object) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(InvalidValue):
        await store.change(ann.caller, "notes", note.id, fields={"plan": value})
    with pytest.raises(InvalidValue):
        await store.create(ann.caller, "notes", {"title": "a", "plan": value})


async def test_hidden_and_absent_are_one_answer(ann: MemberSession, ben: MemberSession, store: Store, new_id: NewId) -> None:
    hidden = await ann.create(Secret(label="x"))
    answers = set()
    for record_id in (hidden.id, new_id(), "no-id-at-all"):
        for call in (store.get(ben.caller, "secrets", record_id), store.change(ben.caller, "secrets", record_id, fields={"label": "y"}),
                     store.delete(ben.caller, "secrets", record_id), store.history(ben.caller, "secrets", record_id),
                     store.at(ben.caller, "secrets", record_id, 3), store.why(ben.caller, "secrets", record_id, "/label"),
                     store.diff(ben.caller, "secrets", record_id, frm=1, to=None), store.undo(ben.caller, "secrets", record_id),
                     store.restore(ben.caller, "secrets", record_id, 1), store.name_version(ben.caller, "secrets", record_id, 1, "v")):
            with pytest.raises(NotFound) as error:
                await call
            answers.add((error.value.detail, error.value.hint))
    assert len(answers) == 1


async def test_without_the_right_to_create_it_is_forbidden(ben: MemberSession) -> None:
    with pytest.raises(Forbidden):
        await ben.create(Secret(label="mine"))


async def test_what_may_be_read_but_not_written_is_forbidden(ann: MemberSession, store: Store, ben: MemberSession) -> None:
    member = await store.get(ben.caller, "members", ben.actor_id)
    with pytest.raises(Forbidden):
        await store.change(ben.caller, "members", member["id"], fields={"roles": ["owner"]})


async def test_a_change_on_an_older_base_is_merged(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a", body="one three"))
    await ben.change(await ben.get(Note, note.id), body="one two three")
    result = await store.change(ann.caller, "notes", note.id, fields={"body": "one three four"}, base=note.position)
    assert result.outcome == "merged" and result.record is not None
    assert result.record["fields"]["body"] == "one two three four"


async def test_a_question_is_kept_and_told(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    old = await ben.get(Note, note.id)
    await ann.change(note, price=10)
    result = await store.change(ben.caller, "notes", note.id, fields={"price": "20.00"}, base=old.position)
    assert (result.outcome, result.receipt) == ("held", "held") and result.inbox_id is not None
    with pytest.raises(Held):
        await ben.change(old, price=30)


async def test_null_empties_an_optional_field(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a", code="X"))
    result = await store.change(ann.caller, "notes", note.id, fields={"code": None})
    assert result.record is not None and result.record["fields"]["code"] is None


async def test_ops_change_places_inside(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    result = await store.change(ann.caller, "notes", note.id, ops=[{"op": "set", "path": "/plan/roof/tiles", "value": 7},
                                                                   {"op": "include", "path": "/tags", "items": ["red"]}])
    assert result.record is not None
    assert (result.record["fields"]["plan"], result.record["fields"]["tags"]) == ({"roof": {"tiles": 7}}, ["red"])


@pytest.mark.parametrize("ops", [[{"op": "explode"}], [{"path": "/title"}], ["x"], [{"op": "set", "path": "/title"}]])
async def test_ops_that_are_none_are_malformed(ann: MemberSession, store: Store, ops: list[dict[str, object]]) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(Malformed):
        await store.change(ann.caller, "notes", note.id, ops=ops)


async def test_a_change_has_fields_or_ops(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    for more in ({}, {"fields": {}}, {"ops": []}, {"fields": {"title": "b"}, "ops": []}):
        with pytest.raises(InvalidValue):
            await store.change(ann.caller, "notes", note.id, **more)  # type: ignore[arg-type]


async def test_deleted_is_gone_until_it_is_undeleted(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    await ann.delete(note)
    with pytest.raises(NotFound):
        await ann.get(Note, note.id)
    assert (await store.get(ann.caller, "notes", note.id, include_deleted=True))["deleted"] is True
    with pytest.raises(NotFound):
        await ann.change(note, title="b")
    assert (await ann.undelete(note)).title == "a"


async def test_a_set_on_a_counter_adds_the_difference(ann: MemberSession, ben: MemberSession) -> None:
    note = await ann.create(Note(title="a", views=10))
    mine = await ben.get(Note, note.id)
    await ann.change(note, views=15)
    assert (await ben.change(mine, views=11)).views == 16


async def test_somebody_without_a_task_neither_sees_nor_moves_it(ann: MemberSession, ben: MemberSession) -> None:
    task = await ann.create(Task(title="t", owner_id=ann.actor_id))
    with pytest.raises(NotFound):
        await ben.change(task, owner_id=ben.actor_id)
