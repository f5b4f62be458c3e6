"""A device follows the log: P4 (only what the rules show, as of now), P5 (own outcomes), and every change of visibility arrives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast.core.errors import Malformed, NotFound
from holdfast.core.ops import AddOp, CreateOp, SetOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.world import Answer, Device, Note, Sitting, Task, Workshop

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def test_a_device_gets_others_changes_after_its_cursor(ann: MemberSession, ben: MemberSession, device: Devices,
                                                             new_id: NewId) -> None:
    note, phone = new_id(), device(ben)
    await phone.catch_up()
    await device(ann).create("notes", note, {"title": "a"})
    reply = await phone.pull()
    assert [(change.record_id, change.kind, change.outcome) for change in reply.changes] == [(note, "change", None)]
    assert (reply.more, reply.reset) == (False, None)
    assert (await phone.pull()).changes == []


async def test_own_changes_come_with_their_outcome_and_inbox_item(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.catch_up()
    await laptop.create("notes", note, {"title": "a"})
    held = await laptop.set("notes", note, "/status", "nonsense")
    changes = (await laptop.pull()).changes
    assert [(change.outcome, change.inbox_id) for change in changes] == [("applied", None), ("held", held.inbox_id)]


async def test_a_page_reads_so_many_entries_and_says_that_there_is_more(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    await laptop.catch_up()
    for _ in range(5):
        await laptop.send("notes", note, AddOp("/views", 1))
    sizes = []
    while True:
        reply = await laptop.pull(limit=2)
        sizes.append(len(reply.changes))
        if not reply.more:
            break
    assert sizes == [2, 2, 1]


async def test_a_page_of_hidden_entries_is_empty_and_moves_the_cursor(store: Store, ann: MemberSession, ben: MemberSession,
                                                                      device: Devices, new_id: NewId) -> None:
    phone = device(ben)
    await phone.catch_up()
    laptop = device(ann)
    for _ in range(3):
        await laptop.create("secrets", new_id(), {"label": "x"})
    reply = await phone.pull(limit=2)
    assert (reply.changes, reply.records, reply.forget, reply.more) == ([], [], [], True)
    assert (await phone.pull(limit=2)).more is False


async def test_only_the_collections_asked_for_come(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop = device(ann)
    await laptop.catch_up()
    await laptop.create("notes", new_id(), {"title": "a"})
    await laptop.create("secrets", new_id(), {"label": "x"})
    assert [change.collection for change in (await laptop.pull(collections=["secrets"])).changes] == ["secrets"]


async def test_a_cursor_of_another_history_is_reset(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop = device(ann)
    await laptop.create("notes", new_id(), {"title": "a"})
    await laptop.catch_up()
    assert laptop.cursor is not None
    seq = laptop.cursor.partition(".")[0]
    for cursor in (f"{seq}.00000000", "999999.0a0b0c0d"):
        laptop.cursor = cursor
        assert (await laptop.pull()).reset == "history"


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.xyz", "-1.00000000", "1.0000000g", "9" * 40 + ".00000000", "1.000000000"])
async def test_a_cursor_that_is_none_is_malformed(ann: MemberSession, store: Store, cursor: str) -> None:
    with pytest.raises(Malformed):
        await store.pull(ann.caller, cursor=cursor)


async def test_an_unknown_collection_is_not_found(ann: MemberSession, store: Store) -> None:
    with pytest.raises(NotFound):
        await store.pull(ann.caller, cursor=None, collections=["nothing"])


async def test_a_change_of_the_own_roles_resets_access(store: Store, ann: MemberSession, ben: MemberSession, device: Devices) -> None:
    phone = device(ben)
    await phone.catch_up()
    await store.member("acme", "ben@example.org", roles={"assistant"})
    reply = await phone.pull()
    assert reply.reset == "access" and reply.changes == []


async def test_a_change_of_somebody_elses_roles_does_not(store: Store, ann: MemberSession, ben: MemberSession, eve: MemberSession,
                                                         device: Devices) -> None:
    phone = device(ben)
    await phone.catch_up()
    await store.member("acme", "eve@example.org", roles={"assistant"})
    assert (await phone.pull()).reset is None


async def test_it_does_so_also_for_a_device_that_follows_other_collections(store: Store, ann: MemberSession, ben: MemberSession,
                                                                           device: Devices) -> None:
    phone = device(ben)
    await phone.catch_up()
    await store.member("acme", "ben@example.org", roles={"assistant"})
    assert (await phone.pull(collections=["notes"])).reset == "access"


async def test_a_record_that_comes_into_view_comes_whole(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> None:
    task, phone, laptop = new_id(), device(ben), device(ann)
    await laptop.create("tasks", task, {"title": "paint", "owner_id": ann.actor_id})
    await phone.catch_up()
    await laptop.set("tasks", task, "/title", "paint it")
    await laptop.set("tasks", task, "/owner_id", ben.actor_id)
    reply = await phone.pull()
    assert [record["fields"]["title"] for record in reply.records] == ["paint it"]
    assert (reply.changes, reply.forget) == ([], [])


async def test_a_record_that_leaves_view_is_forgotten(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> None:
    task, phone, laptop = new_id(), device(ben), device(ann)
    await laptop.create("tasks", task, {"title": "paint", "owner_id": ben.actor_id})
    await phone.catch_up()
    await laptop.set("tasks", task, "/owner_id", ann.actor_id)
    reply = await phone.pull()
    assert (reply.changes, reply.records, reply.forget) == ([], [], [{"collection": "tasks", "id": task}])


async def test_one_who_never_saw_it_is_not_told_to_forget(ann: MemberSession, ben: MemberSession, eve: MemberSession, device: Devices,
                                                          new_id: NewId) -> None:
    task, tablet, laptop = new_id(), device(eve), device(ann)
    await laptop.create("tasks", task, {"title": "paint", "owner_id": ben.actor_id})
    await tablet.catch_up()
    await laptop.set("tasks", task, "/owner_id", ann.actor_id)
    reply = await tablet.pull()
    assert (reply.changes, reply.records, reply.forget) == ([], [], [])


async def test_into_view_and_out_again_between_two_pulls_leaves_no_trace(ann: MemberSession, ben: MemberSession, device: Devices,
                                                                         new_id: NewId) -> None:
    task, phone, laptop = new_id(), device(ben), device(ann)
    await laptop.create("tasks", task, {"title": "paint", "owner_id": ann.actor_id})
    await phone.catch_up()
    await laptop.set("tasks", task, "/owner_id", ben.actor_id)
    await laptop.set("tasks", task, "/owner_id", ann.actor_id)
    reply = await phone.pull()
    assert (reply.changes, reply.records, reply.forget) == ([], [], [])


# -- through parents -------------------------------------------------------------------------------------------------------


async def family(store: Store) -> tuple[MemberSession, MemberSession, Workshop, Sitting, Answer]:
    """A guide's workshop, a guest's sitting in it, the guest's answer."""
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    guest = await store.member("acme", "guest@example.org", roles={"assistant"})
    workshop = await guide.create(Workshop(title="w", leader_id=guide.actor_id))
    sitting = await guest.create(Sitting(workshop=workshop.id))
    answer = await guest.create(Answer(sitting=sitting.id, step=1, text="mine"))
    return guide, guest, workshop, sitting, answer


async def test_a_parent_grants_sight_of_its_childrens_children(store: Store, ann: MemberSession) -> None:
    guide, _, _, _, answer = await family(store)
    assert (await guide.get(Answer, answer.id)).text == "mine"


async def test_others_do_not_see_them(store: Store, ann: MemberSession, eve: MemberSession) -> None:
    _, _, _, sitting, answer = await family(store)
    for kind, record_id in ((Sitting, sitting.id), (Answer, answer.id)):
        with pytest.raises(NotFound):
            await eve.get(kind, record_id)


async def test_when_the_grandparent_changes_hands_every_descendant_moves_in_the_same_breath(
        store: Store, ann: MemberSession, device: Devices) -> None:
    guide, _, workshop, sitting, answer = await family(store)
    tablet = device(guide)
    await tablet.catch_up()
    heir = await store.member("acme", "heir@example.org", roles={"facilitator"})
    phone = device(heir)
    await phone.catch_up()
    await ann.change(await ann.get(Workshop, workshop.id), leader_id=heir.actor_id)
    gone = await tablet.pull()
    assert sorted(one["collection"] for one in gone.forget) == ["answers", "sittings", "workshops"]
    came = await phone.pull()
    assert sorted(record["collection"] for record in came.records) == ["answers", "sittings", "workshops"]
    assert (await heir.get(Answer, answer.id)).text == "mine"
    for kind, record_id in ((Workshop, workshop.id), (Sitting, sitting.id), (Answer, answer.id)):
        with pytest.raises(NotFound):
            await guide.get(kind, record_id)


# -- snapshot --------------------------------------------------------------------------------------------------------------


async def test_a_snapshot_is_a_cursor_and_every_visible_record(ann: MemberSession, ben: MemberSession, store: Store, new_id: NewId,
                                                               device: Devices) -> None:
    laptop = device(ann)
    note = new_id()
    await laptop.create("notes", note, {"title": "a"})
    await laptop.create("secrets", new_id(), {"label": "hidden"})
    lines = [line async for line in store.snapshot(ben.caller)]
    assert lines[0]["cursor"].startswith(str((await laptop.pull()).head))
    assert [(line["collection"], line["id"]) for line in lines[1:]] == [("members", ben.actor_id), ("notes", note)]


async def test_a_snapshot_resumes_after_the_last_record_received(ann: MemberSession, store: Store, new_id: NewId, device: Devices) -> None:
    laptop = device(ann)
    reply_ids = [new_id() for _ in range(450)]
    await laptop.push(*(laptop.mutation("notes", one, CreateOp({"title": one[-3:]})) for one in reply_ids))
    whole = [line["id"] async for line in store.snapshot(ann.caller, collections=["notes"]) if "id" in line]
    rest = [line["id"] async for line in store.snapshot(ann.caller, collections=["notes"], after=f"notes/{reply_ids[209]}") if "id" in line]
    assert whole == reply_ids and rest == reply_ids[210:]


async def test_a_record_with_pending_work_comes_as_the_changes_since_its_base(ann: MemberSession, ben: MemberSession, store: Store,
                                                                              new_id: NewId, device: Devices) -> None:
    laptop, phone, note = device(ann), device(ben), new_id()
    await laptop.create("notes", note, {"title": "a", "body": "x"})
    await phone.catch_up()
    base = phone.base["notes", note]
    await phone.type("notes", note, "/body", 0, 0, "abc")
    await laptop.type("notes", note, "/body", 1, 0, "!")
    lines = [line async for line in store.snapshot(ben.caller, collections=["notes"], pending={f"notes/{note}": base})]
    assert [change.device_id for change in lines[1]["changes"]] == [phone.id, laptop.id]
    assert lines[1]["base"] == base


async def test_what_may_not_be_seen_any_longer_is_forgotten_in_records_since(ann: MemberSession, ben: MemberSession, store: Store,
                                                                            new_id: NewId, device: Devices) -> None:
    laptop, task = device(ann), new_id()
    await laptop.create("tasks", task, {"title": "t", "owner_id": ann.actor_id})
    hidden = await store.records_since(ben.caller, [("tasks", task, None)])
    absent = await store.records_since(ben.caller, [("tasks", new_id(), None)])
    assert hidden[0] | {"id": ""} == absent[0] | {"id": ""} == {"collection": "tasks", "id": "", "forget": True}


@pytest.mark.parametrize("after", ["", "notes", "notes/", "notes/x", "/", "notes/00000000-0000-7000-8000-00000000000Z"])
async def test_a_place_to_resume_that_is_none_is_malformed(ann: MemberSession, store: Store, after: str) -> None:
    with pytest.raises(Malformed):
        [line async for line in store.snapshot(ann.caller, after=after)]


async def test_a_device_of_an_older_contract_is_told_to_upgrade(ann: MemberSession, store: Store, device: Devices, new_id: NewId) -> None:
    laptop = device(ann)
    await laptop.catch_up()
    await laptop.create("notes", new_id(), {"title": "a"})
    reply = await laptop.pull(contracts={"notes": 0})
    assert reply.upgrade_required == ["notes"] and reply.changes == []


async def test_a_subscriber_hears_that_the_log_has_grown(ann: MemberSession, store: Store, device: Devices, new_id: NewId) -> None:
    subscription = store.subscribe("acme")
    result = await device(ann).create("notes", new_id(), {"title": "a"})
    assert await anext(subscription) == result.seq
    await subscription.close()
    with pytest.raises(StopAsyncIteration):
        await anext(subscription)


async def test_hints_that_nobody_took_become_one(ann: MemberSession, store: Store, device: Devices, new_id: NewId) -> None:
    subscription, laptop = store.subscribe("acme"), device(ann)
    results = [await laptop.create("notes", new_id(), {"title": "a"}) for _ in range(5)]
    assert await anext(subscription) == results[-1].seq
    await subscription.close()


async def test_another_organisations_growth_is_not_heard(ann: MemberSession, store: Store) -> None:
    await store.member("other", "ann@example.org")
    subscription = store.subscribe("acme")
    other = await store.member("other", "ann@example.org")
    await other.create(Note(title="theirs"))
    mine = await ann.create(Note(title="mine"))
    assert await anext(subscription) == mine.rev
    await subscription.close()


async def test_an_undo_arrives_as_a_change_that_says_what_it_reverts(ann: MemberSession, ben: MemberSession, store: Store, device: Devices,
                                                                     new_id: NewId) -> None:
    laptop, phone, note = device(ann), device(ben), new_id()
    await laptop.create("notes", note, {"title": "a"})
    typed = await laptop.send("notes", note, SetOp("/title", "b"))
    await phone.catch_up()
    await store.undo(ann.caller, "notes", note, device_id=laptop.id)
    change = (await phone.pull()).changes[0]
    assert (change.kind, change.reverts) == ("undo", typed.seq)


async def test_a_record_is_visible_as_soon_as_it_is_assigned(ann: MemberSession, ben: MemberSession) -> None:
    task = await ann.create(Task(title="t", owner_id=ann.actor_id))
    with pytest.raises(NotFound):
        await ben.get(Task, task.id)
    await ann.change(task, owner_id=ben.actor_id)
    assert (await ben.get(Task, task.id)).title == "t"


async def test_a_page_never_reads_more_than_its_limit(ann: MemberSession, device: Devices, new_id: NewId, store: Store) -> None:
    laptop, note, most = device(ann), new_id(), store.schema.limits.pull_entries_max
    await laptop.create("notes", note, {"title": "a"})
    await laptop.catch_up()
    for _ in range(2):
        await laptop.push(*(laptop.mutation("notes", note, AddOp("/views", 1)) for _ in range(most // 2)))
    await laptop.send("notes", note, AddOp("/views", 1))
    reply = await laptop.pull(limit=10**9)
    assert len(reply.changes) == most and reply.more
    assert len((await laptop.pull(limit=10**9)).changes) == 1
