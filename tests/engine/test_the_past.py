"""The past of a record: P3 (who, when, from which device, what it was before), and every way back leaves a trace."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from holdfast.core.errors import Conflict, Forbidden, InvalidValue, Malformed, NotFound
from holdfast.core.ops import SetOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.world import Device, Note, Task

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def test_history_says_who_changed_what_from_where_newest_first(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId,
                                                                     store: Store) -> None:
    note = new_id()
    await device(ann, "laptop").create("notes", note, {"title": "a"})
    phone = device(ben, "phone")
    await phone.catch_up()
    await phone.set("notes", note, "/title", "b")
    entries = (await store.history(ann.caller, "notes", note))["entries"]
    assert [(entry["actor_id"], entry["device_id"], entry["ops"][0]["op"]) for entry in entries] == [
        (ben.actor_id, "phone", "set"), (ann.actor_id, "laptop", "create")]
    assert entries[0]["undo"] == [{"op": "set", "path": "/title", "value": "a"}]


async def test_history_is_paged(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="0"))
    for number in range(1, 6):
        note = await ann.change(note, title=str(number))
    seen: list[int] = []
    cursor = None
    while True:
        page = await store.history(ann.caller, "notes", note.id, cursor=cursor, limit=4)
        seen += [entry["seq"] for entry in page["entries"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len(seen) == 6 and seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "9" * 30])
async def test_a_cursor_of_something_else_is_malformed(ann: MemberSession, store: Store, cursor: str) -> None:
    note = await ann.create(Note(title="0"))
    with pytest.raises(Malformed):
        await store.history(ann.caller, "notes", note.id, cursor=cursor)
    with pytest.raises(Malformed):
        await store.activity(ann.caller, cursor=cursor)
    with pytest.raises(Malformed):
        await store.inbox(ann.caller, cursor=cursor)


async def test_every_revision_can_be_seen_as_it_was(ann: MemberSession) -> None:
    note = await ann.create(Note(title="0", body="zero"))
    stood = [(note.rev, "0", "zero")]
    for number in range(1, 5):
        note = await ann.change(note, title=str(number), body=f"it is {number} now")
        stood.append((note.rev, str(number), f"it is {number} now"))
    for rev, title, body in stood:
        then = await ann.at(note, rev)
        assert (then.title, then.body, then.rev) == (title, body, rev)


async def test_a_revision_that_never_was_is_not_found(ann: MemberSession) -> None:
    note = await ann.create(Note(title="0"))
    for rev in (0, -1, note.rev - 1, note.rev + 1, 10**15):
        with pytest.raises(NotFound):
            await ann.at(note, rev)


async def test_a_difference_names_the_fields(ann: MemberSession) -> None:
    note = await ann.create(Note(title="a", body="one two"))
    newer = await ann.change(note, title="b")
    newest = await ann.change(newer, body="one three two")
    found = await ann.diff(newest, since=note.rev)
    assert sorted(field["field"] for field in found["fields"] if field["field"] != "changed_at") == ["body", "title"]
    assert [field["field"] for field in (await ann.diff(newest, since=note.rev, to=newer.rev))["fields"]
            if field["field"] != "changed_at"] == ["title"]


async def test_why_names_the_entry_that_put_the_value(ann: MemberSession, ben: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    changed = await ben.change(await ben.get(Note, note.id), title="b")
    await ann.change(await ann.get(Note, note.id), status="sent")
    found = (await ann.why(note, "title"))["why"]
    assert (found["seq"], found["actor_id"], found["replaced"]) == (changed.rev, ben.actor_id, "a")
    entry = next(one for one in await ann.history(note) if one["seq"] == changed.rev)
    assert (found["rule"], found["committed_at"]) == ("latest", entry["committed_at"])
    assert re.fullmatch(r"[0-9]+:[0-9]+", found["stamp"])


async def test_why_of_a_place_that_is_none_is_told(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(NotFound):
        await ann.why(note, "nothing")
    with pytest.raises(Malformed):
        await store.why(ann.caller, "notes", note.id, "title")


async def test_versions_have_names(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    await ann.name_version(note, "first draft")
    entries = (await store.history(ann.caller, "notes", note.id))["entries"]
    assert entries[-1]["names"] == ["first draft"]


async def test_a_version_is_named_by_those_who_may_write(ann: MemberSession, store: Store) -> None:
    member = await store.get(ann.caller, "members", ann.actor_id)
    ben = await store.member("acme", "ben@example.org", roles=set())
    own = await store.get(ben.caller, "members", ben.actor_id)
    with pytest.raises(Forbidden):
        await store.name_version(ben.caller, "members", own["id"], own["rev"], "mine")
    with pytest.raises(NotFound):
        await store.name_version(ann.caller, "members", member["id"], 10**9, "later")
    with pytest.raises(InvalidValue):
        await store.name_version(ann.caller, "members", member["id"], member["rev"], " ")


# -- undo and redo ---------------------------------------------------------------------------------------------------------


async def test_undo_takes_back_the_newest_change_of_that_device(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId,
                                                                store: Store) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a", "body": "one"})
    await laptop.catch_up()
    await laptop.type("notes", note, "/body", 3, 0, " two")
    await ben.change(await ben.get(Note, note), title="theirs")
    await store.undo(ann.caller, "notes", note, device_id=laptop.id)
    after = await ann.get(Note, note)
    assert (after.body, after.title) == ("one", "theirs")


async def test_undo_undo_redo_redo_walks_back_and_forth(ann: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    for title in ("b", "c"):
        note = await ann.change(note, title=title)
    titles = [(await ann.undo(note)).title, (await ann.undo(note)).title, (await ann.redo(note)).title, (await ann.redo(note)).title]
    assert titles == ["b", "a", "b", "c"]


async def test_a_deletion_that_was_redone_after_somebody_else_made_it_too_gives_its_words_back_once(
        ann: MemberSession, device: Devices, new_id: NewId, store: Store) -> None:
    laptop, phone, note = device(ann), device(ann), new_id()
    await laptop.create("notes", note, {"title": "a", "body": "word"})
    await laptop.catch_up()
    await laptop.type("notes", note, "/body", 0, 4, "")
    await store.undo(ann.caller, "notes", note, device_id=laptop.id)
    await phone.catch_up()
    await phone.type("notes", note, "/body", 0, 4, "")
    await store.redo(ann.caller, "notes", note, device_id=laptop.id)
    await store.undo(ann.caller, "notes", note, device_id=phone.id)
    await store.undo(ann.caller, "notes", note, device_id=laptop.id)
    assert (await ann.get(Note, note)).body == "word"


async def test_redo_is_void_after_a_newer_edit(ann: MemberSession) -> None:
    note = await ann.change(await ann.create(Note(title="a")), title="b")
    undone = await ann.undo(note)
    await ann.change(undone, title="c")
    with pytest.raises(Conflict):
        await ann.redo(note)


async def test_nothing_to_undo_is_told(ann: MemberSession, ben: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(Conflict):
        await ben.undo(note)


async def test_a_place_that_somebody_changed_since_is_left_out_and_named(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    note = await ann.change(await ann.create(Note(title="a", status="draft")), title="b", status="sent")
    await ben.change(await ben.get(Note, note.id), title="theirs")
    result = await store.undo(ann.caller, "notes", note.id)
    assert result.record is not None and result.unapplied is not None
    assert (result.record["fields"]["title"], result.record["fields"]["status"]) == ("theirs", "draft")
    assert [(part["reason"], part["path"]) for part in result.unapplied] == [("left_out", "/title")]


async def test_one_entry_can_be_undone_by_its_number(ann: MemberSession, store: Store) -> None:
    note = await ann.create(Note(title="a"))
    first = await ann.change(note, status="sent")
    await ann.change(first, title="b")
    result = await store.undo(ann.caller, "notes", note.id, seq=first.rev)
    assert result.record is not None
    assert (result.record["fields"]["status"], result.record["fields"]["title"]) == ("draft", "b")
    with pytest.raises(NotFound):
        await store.undo(ann.caller, "notes", note.id, seq=1)


async def test_what_was_taken_back_already_is_not_taken_back_again(ann: MemberSession, store: Store) -> None:
    """A counter would count it twice."""
    note = await ann.create(Note(title="a"))
    raised = await ann.change(note, views=3)
    await store.undo(ann.caller, "notes", note.id, seq=raised.rev)
    with pytest.raises(Conflict, match="taken back by entry"):
        await store.undo(ann.caller, "notes", note.id, seq=raised.rev)
    assert (await ann.get(Note, note.id)).views == 0
    await ann.redo(note)
    assert (await store.undo(ann.caller, "notes", note.id, seq=raised.rev)).outcome == "applied"
    assert (await ann.get(Note, note.id)).views == 0


async def test_undo_after_a_restore_takes_the_restore_back(ann: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    for title in ("b", "c"):
        await ann.change(await ann.get(Note, note.id), title=title)
    restored = await ann.restore(note, note.rev)
    titles = [restored.title, (await ann.undo(note)).title, (await ann.undo(note)).title, (await ann.redo(note)).title]
    assert titles == ["a", "c", "b", "c"]


async def test_undo_of_a_create_deletes_unless_somebody_changed_it(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    lone, shared = await ann.create(Note(title="a")), await ann.create(Note(title="b"))
    await ben.change(await ben.get(Note, shared.id), status="sent")
    assert (await store.undo(ann.caller, "notes", lone.id)).record["deleted"] is True  # type: ignore[index]
    assert (await store.undo(ann.caller, "notes", shared.id)).record["deleted"] is False  # type: ignore[index]


async def test_the_same_undo_twice_takes_effect_once(ann: MemberSession, store: Store) -> None:
    note = await ann.change(await ann.change(await ann.create(Note(title="a")), title="b"), title="c")
    results = [await store.undo(ann.caller, "notes", note.id, mutation_id="u1") for _ in range(2)]
    assert [result.outcome for result in results] == ["applied", "duplicate"]
    assert (await ann.get(Note, note.id)).title == "b"


async def test_undo_needs_the_right_to_write(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    task = await ben.create(Task(title="t", owner_id=ben.actor_id))
    await ann.change(await ann.get(Task, task.id), owner_id=ann.actor_id)
    with pytest.raises(NotFound):
        await store.undo(ben.caller, "tasks", task.id)


# -- restore ---------------------------------------------------------------------------------------------------------------


async def test_restore_writes_the_difference_onto_what_stands(ann: MemberSession) -> None:
    first = await ann.create(Note(title="a", body="one two", tags={"x"}))
    second = await ann.change(first, title="b", body="three", tags={"y"})
    restored = await ann.restore(second, first.rev)
    assert (restored.title, restored.body, restored.tags) == ("a", "one two", {"x"})
    assert restored.rev > second.rev


async def test_restore_of_chosen_fields_leaves_the_rest(ann: MemberSession) -> None:
    first = await ann.create(Note(title="a", status="draft"))
    second = await ann.change(first, title="b", status="sent")
    restored = await ann.restore(second, first.rev, fields=["title"])
    assert (restored.title, restored.status) == ("a", "sent")


async def test_a_restore_can_itself_be_restored_from(ann: MemberSession) -> None:
    first = await ann.create(Note(title="a"))
    second = await ann.change(first, title="b")
    restored = await ann.restore(second, first.rev)
    assert (await ann.restore(restored, second.rev)).title == "b"


async def test_a_deleted_record_is_undeleted_first(ann: MemberSession) -> None:
    first = await ann.create(Note(title="a"))
    second = await ann.change(first, title="b")
    await ann.delete(second)
    with pytest.raises(NotFound):
        await ann.restore(second, first.rev)


# -- activity --------------------------------------------------------------------------------------------------------------


async def test_activity_tells_what_happened_without_values(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    note = await ben.create(Note(title="a phrase nobody repeats"))
    page = await store.activity(ann.caller, limit=1)
    assert page["entries"][0]["record_id"] == note.id
    assert page["entries"][0]["changes"] == [{"op": "create", "path": ""}]
    assert "a phrase nobody repeats" not in str(page)


async def test_activity_shows_only_what_one_may_see(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    await ann.create(Task(title="t", owner_id=ann.actor_id))
    assert [entry["collection"] for entry in (await store.activity(ben.caller))["entries"]] == ["members"]


async def test_activity_is_filtered_and_paged(ann: MemberSession, ben: MemberSession, store: Store) -> None:
    for number in range(5):
        await ben.create(Note(title=str(number)))
    await ann.create(Note(title="x"))
    found, cursor = [], None
    while True:
        page = await store.activity(ann.caller, cursor=cursor, limit=2, actor_id=ben.actor_id, collection="notes")
        found += page["entries"]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert len(found) == 5 and {entry["actor_id"] for entry in found} == {ben.actor_id}


async def test_activity_has_no_other_filters(ann: MemberSession, store: Store) -> None:
    with pytest.raises(InvalidValue):
        await store.activity(ann.caller, secret="x")
    with pytest.raises(InvalidValue):
        await store.activity(ann.caller, since="yesterday")


async def test_a_held_value_of_somebody_else_is_named_in_history_not_shown(ann: MemberSession, ben: MemberSession, eve: MemberSession,
                                                                           device: Devices, new_id: NewId, store: Store) -> None:
    note, phone = new_id(), device(ben)
    await device(ann).create("notes", note, {"title": "a"})
    await phone.catch_up()
    await phone.send("notes", note, SetOp("/status", "a held phrase"))
    assert "a held phrase" not in str(await store.history(eve.caller, "notes", note))
    assert "a held phrase" in str(await store.history(ben.caller, "notes", note))


async def test_what_is_erased_is_gone_for_everybody_and_its_entries_say_so(ann: MemberSession, ben: MemberSession) -> None:
    note = await ann.create(Note(title="a", body="somebody's"))
    with pytest.raises(Forbidden):
        await ben.erase(note, reason="not mine to")
    await ann.erase(note, reason="asked for")
    with pytest.raises(NotFound):
        await ann.get(Note, note.id)
    kept = [(entry["kind"], entry.get("erased", False), entry["ops"]) for entry in await ann.history(note)]
    assert kept == [("erase", False, []), ("change", True, [])]
