"""What cannot be applied waits: P3 (never dropped, with its reason and both values), P5 (held is what the receipt says)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import Limits, open_store, record_id
from holdfast.core.errors import Conflict, InvalidValue, NotFound
from holdfast.core.ops import CreateOp, SetOp
from holdfast.engine.api import Resolution
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Answer, Device, Note, Sitting, StillRuntime, Workshop

NewId = Callable[[], str]
Devices = Callable[..., Device]


@pytest.fixture
async def asked(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> tuple[str, Device, Device]:
    """Two devices priced one note differently: (note, first, second)."""
    note = new_id()
    first, second = device(ann), device(ben)
    await first.create("notes", note, {"title": "roof"})
    await first.catch_up()
    await second.catch_up()
    await first.set("notes", note, "/price", "10.00")
    held = await second.set("notes", note, "/price", "20.00")
    assert held.outcome == "held" and held.inbox_id is not None
    return note, first, second


async def test_two_answers_to_one_question_wait_for_a_person_with_both_values(asked: tuple[str, Device, Device],
                                                                              ben: MemberSession) -> None:
    items = await ben.inbox()
    part = items[0]["parts"][0]
    assert (part["reason"], part["mine"], part["theirs"]) == ("conflict", "20.00", "10.00")


async def test_applying_it_puts_the_second_value(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    await ben.apply((await ben.inbox())[0]["id"])
    assert str((await ben.get(Note, asked[0])).price) == "20.00"
    assert await ben.inbox() == []


async def test_discarding_it_leaves_the_first(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    await ben.discard((await ben.inbox())[0]["id"], "the roofer said ten")
    assert str((await ben.get(Note, asked[0])).price) == "10.00"
    assert await ben.inbox() == []


async def test_typing_outside_of_the_text_is_held_and_shows_what_was_typed(store: Store, ben: MemberSession, device: Devices,
                                                                           new_id: NewId) -> None:
    note, laptop = new_id(), device(ben)
    await laptop.create("notes", note, {"title": "a", "body": "short"})
    await laptop.catch_up()
    held = await laptop.type("notes", note, "/body", 99, 0, "far out")
    assert held.inbox_id is not None
    item = await store.inbox_item(ben.caller, held.inbox_id)
    assert item["texts"] == {"body": {"mine": "far out", "theirs": "short"}}


async def test_a_third_value_settles_both(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    await ben.settle((await ben.inbox())[0]["id"], {"/price": "15.00"})
    assert str((await ben.get(Note, asked[0])).price) == "15.00"
    assert await ben.inbox() == []


async def test_settling_twice_under_one_id_takes_effect_once(asked: tuple[str, Device, Device], ben: MemberSession, store: Store) -> None:
    item = (await ben.inbox())[0]["id"]
    first = await store.resolve(ben.caller, item, Resolution(how="apply"), mutation_id="r1")
    again = await store.resolve(ben.caller, item, Resolution(how="apply"), mutation_id="r1")
    assert (first.outcome, again.outcome, again.seq) == ("applied", "duplicate", first.seq)


async def test_a_settled_item_is_gone_for_another_call(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    item = (await ben.inbox())[0]["id"]
    await ben.apply(item)
    with pytest.raises(NotFound):
        await ben.apply(item)


async def test_an_owner_sees_what_waits_of_others_and_a_stranger_does_not(
        asked: tuple[str, Device, Device], ann: MemberSession, eve: MemberSession, store: Store) -> None:
    item = (await ann.inbox())[0]["id"]
    assert await eve.inbox() == []
    with pytest.raises(NotFound):
        await store.inbox_item(eve.caller, item)


async def test_an_item_can_be_given_to_somebody_else(
        asked: tuple[str, Device, Device], ben: MemberSession, eve: MemberSession, store: Store) -> None:
    item = (await ben.inbox())[0]["id"]
    await store.resolve(ben.caller, item, Resolution(how="assign", assign_to=eve.actor_id))
    assert [one["id"] for one in await eve.inbox()] == [item]
    await eve.apply(item)


async def test_it_cannot_be_given_to_nobody(asked: tuple[str, Device, Device], ben: MemberSession, store: Store) -> None:
    with pytest.raises(InvalidValue):
        await store.resolve(ben.caller, (await ben.inbox())[0]["id"], Resolution(how="assign", assign_to="nobody"))


async def test_a_later_change_of_the_place_joins_the_item(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    note, _, second = asked
    await second.set("notes", note, "/price", "25.00")
    items = await ben.inbox()
    assert len(items) == 1 and items[0]["parts"][0]["mine"] == "25.00"


async def test_a_change_that_knows_the_question_answers_it(asked: tuple[str, Device, Device], ben: MemberSession) -> None:
    note, _, second = asked
    await second.catch_up()
    assert (await second.set("notes", note, "/price", "30.00")).outcome == "applied"
    assert await ben.inbox() == []


async def test_the_item_shows_its_held_text_as_it_would_read(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId,
                                                             store: Store) -> None:
    note, laptop, phone = new_id(), device(ann), device(ben)
    await laptop.create("notes", note, {"title": "a", "body": "hello world"})
    await phone.catch_up()
    await laptop.catch_up()
    await laptop.delete("notes", note)
    held = await phone.type("notes", note, "/body", 5, 0, " big")
    assert held.outcome == "held" and held.inbox_id is not None
    item = await store.inbox_item(ben.caller, held.inbox_id)
    assert item["texts"]["body"] == {"mine": "hello big world", "theirs": "hello world"}
    await ben.apply(held.inbox_id)
    back = await ben.get(Note, note)
    assert (back.body, back.deleted) == ("hello big world", False)


async def test_an_invalid_value_is_held_and_the_rest_applies(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    result = await laptop.send("notes", note, SetOp("/status", "nonsense"), SetOp("/title", "b"))
    assert result.outcome == "held"
    assert (await ann.get(Note, note)).title == "b"


async def test_unless_it_says_atomic(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a"})
    await laptop.send("notes", note, SetOp("/status", "nonsense"), SetOp("/title", "b"), atomic=True)
    assert (await ann.get(Note, note)).title == "a"


# -- a reference to what is not there yet ----------------------------------------------------------------------------------


async def test_a_reference_to_something_missing_is_decided_again_when_it_arrives(
        store: Store, device: Devices, new_id: NewId) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    laptop = device(guide)
    workshop, sitting = new_id(), new_id()
    held = await laptop.create("sittings", sitting, {"workshop": workshop})
    assert held.outcome == "held"
    await laptop.create("workshops", workshop, {"title": "w", "leader_id": guide.actor_id})
    assert (await guide.get(Sitting, sitting)).workshop == workshop
    assert await guide.inbox() == []


async def test_so_are_those_that_waited_for_it_in_turn_within_one_push(store: Store, device: Devices, new_id: NewId) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    laptop = device(guide)
    workshop, sitting = new_id(), new_id()
    answer = Answer(sitting=sitting, step=1)
    from_answer = laptop.mutation("answers", natural(answer), CreateOp({"sitting": sitting, "step": 1, "text": "yes"}))
    reply = await laptop.push(from_answer, laptop.mutation("sittings", sitting, CreateOp({"workshop": workshop})),
                              laptop.mutation("workshops", workshop, CreateOp({"title": "w", "leader_id": guide.actor_id})))
    assert [result.outcome for result in reply.results] == ["held", "held", "applied"]
    assert (await guide.get(Answer, natural(answer))).text == "yes"
    assert await guide.inbox() == []
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings


def natural(answer: Answer) -> str:
    return record_id(Answer, answer.sitting, answer.step)


async def test_what_still_does_not_fit_waits_on(store: Store, device: Devices, new_id: NewId) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    other = await store.member("acme", "other@example.org", roles={"facilitator"})
    workshop, sitting = new_id(), new_id()
    held = await device(other).create("sittings", sitting, {"workshop": workshop})
    await device(guide).create("workshops", workshop, {"title": "not theirs to see", "leader_id": guide.actor_id})
    assert [item["id"] for item in await other.inbox()] == [held.inbox_id]


# -- bounds ------------------------------------------------------------------------------------------------------------------


async def test_a_hundred_a_minute_are_held_then_the_device_is_told_to_wait(
        ann: MemberSession, device: Devices, new_id: NewId, runtime: StillRuntime, store: Store) -> None:
    laptop, most = device(ann), store.schema.limits.held_or_refused_per_minute_max
    reply = await laptop.push(*(laptop.mutation("notes", new_id(), SetOp("/title", "x")) for _ in range(most)))
    assert {result.outcome for result in reply.results} == {"held"}
    turned_away = (await laptop.push(last := laptop.mutation("notes", new_id(), SetOp("/title", "x")))).results[0]
    assert turned_away.outcome == "refused" and turned_away.error is not None and turned_away.error.code == "rate"
    assert turned_away.error.retry_after == 61
    runtime.pass_ms(61_000)
    assert (await laptop.push(last)).results[0].outcome == "held"


async def test_what_can_be_applied_is_not_slowed_by_what_cannot(ann: MemberSession, device: Devices, new_id: NewId, store: Store) -> None:
    laptop, most = device(ann), store.schema.limits.held_or_refused_per_minute_max
    await laptop.push(*(laptop.mutation("notes", new_id(), SetOp("/title", "x")) for _ in range(most)))
    assert (await laptop.create("notes", new_id(), {"title": "a"})).outcome == "applied"


@pytest.mark.parametrize("limits", [Limits(inbox_items_max=3), Limits(inbox_bytes_max=500)])
async def test_a_full_inbox_refuses_and_takes_again_when_something_was_decided(tmp_path: Path, limits: Limits, new_id: NewId) -> None:
    async with open_store(tmp_path / "data", records=[Note], limits=limits, runtime=StillRuntime()) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        results = []
        for _ in range(6):
            results.append(await laptop.send("notes", new_id(), SetOp("/title", "x" * 50)))
        assert results[0].outcome == "held" and results[-1].outcome == "refused"
        assert results[-1].error is not None and results[-1].error.code == "limit"
        assert results[0].inbox_id is not None
        await ann.discard(results[0].inbox_id)
        assert (await laptop.send("notes", new_id(), SetOp("/title", "y" * 50))).outcome == "held"


# -- the rest of the inbox agrees with the log -----------------------------------------------------------------------------


async def test_verify_rebuilds_the_inbox_from_the_log(asked: tuple[str, Device, Device], ben: MemberSession, eve: MemberSession,
                                                      device: Devices, store: Store, new_id: NewId) -> None:
    third = device(eve)
    await third.send("notes", new_id(), SetOp("/title", "nothing there"))
    await third.set("notes", asked[0], "/status", "nonsense")
    await ben.apply((await ben.inbox())[0]["id"])
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings
    assert report.items == 2


async def test_a_unique_value_that_is_taken_is_held(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop = device(ann)
    await laptop.create("notes", new_id(), {"title": "a", "code": "X1"})
    result = await laptop.create("notes", new_id(), {"title": "b", "code": "X1"})
    assert result.outcome == "held" and result.unapplied is not None and result.unapplied[0]["reason"] == "taken"
    with pytest.raises(Conflict):
        await ann.create(Note(title="c", code="X1"))


async def test_a_value_given_up_earlier_in_the_push_is_free(ann: MemberSession, device: Devices, new_id: NewId) -> None:
    laptop, one, two = device(ann), new_id(), new_id()
    await laptop.create("notes", one, {"title": "a", "code": "X1"})
    reply = await laptop.push(laptop.mutation("notes", one, SetOp("/code", "X2")),
                              laptop.mutation("notes", two, CreateOp({"title": "b", "code": "X1"})))
    assert [result.outcome for result in reply.results] == ["applied", "applied"]


async def test_an_author_without_sight_of_the_record_sees_only_the_own_value(
        ann: MemberSession, store: Store, device: Devices, new_id: NewId) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    workshop = await guide.create(Workshop(title="hidden", leader_id=guide.actor_id))
    stranger = await store.member("acme", "stranger@example.org", roles=set())
    held = await device(stranger).set("workshops", workshop.id, "/title", "mine")
    assert held.inbox_id is not None
    item = await store.inbox_item(stranger.caller, held.inbox_id)
    assert "record" not in item and "hidden" not in str(item) and "mine" in str(item)


async def test_an_atomic_create_that_is_held_in_part_makes_nothing(ann: MemberSession, device: Devices, new_id: NewId,
                                                                   store: Store) -> None:
    laptop, note = device(ann), new_id()
    held = await laptop.create("notes", note, {"title": "a", "status": "nonsense"}, atomic=True)
    assert held.outcome == "held"
    with pytest.raises(NotFound):
        await ann.get(Note, note)
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings


async def test_an_atomic_create_that_is_held_in_part_brings_nothing_back(ann: MemberSession, device: Devices, new_id: NewId,
                                                                         store: Store) -> None:
    laptop, note = device(ann), new_id()
    await laptop.create("notes", note, {"title": "a", "body": "x"})
    await laptop.delete("notes", note)
    await laptop.type("notes", note, "/body", 0, 0, "y")
    held = await laptop.create("notes", note, {"title": "b", "body": "z"}, atomic=True)
    assert held.outcome == "held"
    assert (await store.get(ann.caller, "notes", note, include_deleted=True))["deleted"] is True
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings
