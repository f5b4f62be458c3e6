"""A record is erased, whole or in part, while devices are at work on it. Defends P3 (never dropped: what they type next lands where it was
typed) and P4 (apart: nobody keeps, and nothing derived from the log repeats, what was erased)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.core.entry import Waiting
from holdfast.core.facts import Context
from holdfast.core.ops import SetOp, SpliceOp
from holdfast.core.text import PLACEHOLDER
from holdfast.core.waiting import blanked
from holdfast.engine.api import Resolution
from holdfast.engine.ground import DeviceKey
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Device, Sitting, Task, Workshop

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def findings(store: Store) -> list[str]:
    return [finding.what for finding in (await verify_tenant(store, "acme")).findings]


async def contexts(store: Store, *lines: DeviceKey) -> dict[DeviceKey, Context]:
    async with store.storage.reader() as reader:
        return await reader.contexts("acme", lines)


class AtWork:
    """Two devices type in one text; the phone has not seen what the laptop typed, and has gone on typing itself."""

    def __init__(self, store: Store, laptop: Device, phone: Device, note: str) -> None:
        self.store, self.laptop, self.phone, self.note = store, laptop, phone, note
        self.titled = self.typed = 0
        self.line = (phone.id, "notes", note)

    async def begin(self) -> None:
        await self.laptop.create("notes", self.note, {"title": "a", "body": "abcdef"})
        self.titled = (await self.laptop.set("notes", self.note, "/title", "somebody's name")).seq or 0
        await self.phone.catch_up()
        self.typed = (await self.laptop.type("notes", self.note, "/body", 3, 0, "XX")).seq or 0
        await self.phone.type("notes", self.note, "/body", 0, 0, "12345")

    async def erase(self, *seqs: int) -> None:
        await self.store.erase(self.laptop.caller, "notes", self.note, reason="asked for", seqs=list(seqs))

    async def body(self) -> str:
        return str((await self.store.get(self.laptop.caller, "notes", self.note))["fields"]["body"])


@pytest.fixture
async def at_work(store: Store, ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> AtWork:
    made = AtWork(store, device(ann), device(ben), new_id())
    await made.begin()
    return made


@pytest.mark.parametrize("of_the_title", [True, False])
async def test_typing_goes_on_where_it_was_after_other_entries_were_erased(at_work: AtWork, of_the_title: bool) -> None:
    assert await at_work.body() == "12345abcXXdef"
    await at_work.erase(*[at_work.titled] if of_the_title else [])
    assert await findings(at_work.store) == []
    assert (await at_work.phone.type("notes", at_work.note, "/body", 5, 0, "6")).outcome in ("applied", "merged")
    assert await at_work.body() == "123456abcXXdef"
    assert await findings(at_work.store) == []


async def test_verify_finds_a_context_that_an_erasure_took_with_it(at_work: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.engine.erasing.blanked", lambda context, seqs: None)
    await at_work.erase(at_work.titled)
    assert await findings(at_work.store) == ["What waits for a device in its texts is not what the log says."]


async def test_what_waits_for_a_device_says_nothing_of_what_was_erased(at_work: AtWork) -> None:
    assert "XX" in str(await contexts(at_work.store, at_work.line))
    await at_work.erase(at_work.typed)
    left = (await contexts(at_work.store, at_work.line))[at_work.line]
    assert left.texts["body"] == [Waiting(at_work.typed, at_work.laptop.id, [8, PLACEHOLDER * 2])]
    held = await at_work.phone.type("notes", at_work.note, "/body", 5, 0, "6")
    assert held.outcome == "held" and held.inbox_id is not None and await findings(at_work.store) == []
    item = await at_work.store.inbox_item(at_work.phone.caller, held.inbox_id)
    assert item["texts"]["body"]["mine"] == "123456abcXXdef", "erased is the entry; the text as it stands goes on"


async def test_what_waits_for_a_decision_and_was_typed_past_what_is_erased_is_applied_where_it_was_typed(at_work: AtWork) -> None:
    await at_work.erase(at_work.typed)
    held = await at_work.phone.type("notes", at_work.note, "/body", 11, 0, "!")
    assert held.inbox_id is not None
    await at_work.store.resolve(at_work.phone.caller, held.inbox_id, Resolution(how="apply"))
    assert await at_work.body() == "12345abcXXdef!"


async def test_of_a_record_erased_whole_nothing_waits(at_work: AtWork) -> None:
    await at_work.store.erase(at_work.laptop.caller, "notes", at_work.note, reason="asked for")
    assert await contexts(at_work.store, at_work.line) == {}
    assert await findings(at_work.store) == []


async def test_what_waits_for_a_decision_goes_on_waiting_when_another_entry_is_erased(at_work: AtWork) -> None:
    held = await at_work.phone.set("notes", at_work.note, "/status", "nonsense")
    await at_work.phone.send("notes", at_work.note, SpliceOp("/body", [(99, 0, "held")]))
    assert held.inbox_id is not None
    await at_work.erase(at_work.titled)
    assert await findings(at_work.store) == []
    item = await at_work.store.inbox_item(at_work.phone.caller, held.inbox_id)
    assert {part["path"] for part in item["parts"]} == {"/status", "/body"}
    await at_work.store.resolve(at_work.phone.caller, held.inbox_id, Resolution(how="value", values={"/status": "sent", "/body": "new"}))
    assert await at_work.body() == "new" and await findings(at_work.store) == []
    assert (await at_work.store.inbox(at_work.phone.caller))["items"] == []


async def test_what_a_held_text_is_parallel_to_is_blanked_in_its_item(at_work: AtWork) -> None:
    held = await at_work.phone.send("notes", at_work.note, SpliceOp("/body", [(99, 0, "held")]))
    assert held.inbox_id is not None
    await at_work.erase(at_work.typed)
    async with at_work.store.storage.reader() as reader:
        kept = await reader.items("acme", [at_work.line])
    assert "held" in str(kept) and "XX" not in str(kept)
    assert await findings(at_work.store) == []


async def test_a_value_that_a_later_entry_names_as_what_stood_against_it_goes_with_its_own(at_work: AtWork) -> None:
    priced = await at_work.laptop.set("notes", at_work.note, "/price", "1357.42")
    asked = await at_work.phone.set("notes", at_work.note, "/price", "2.00")
    assert asked.outcome == "held" and priced.seq is not None
    await at_work.erase(priced.seq)
    async with at_work.store.storage.reader() as reader:
        assert "1357.42" not in str(await reader.entries("acme", after=0, limit=100))
        assert "1357.42" not in str(await reader.items("acme", [at_work.line]))
    assert await findings(at_work.store) == []


def test_a_blanked_change_is_as_long_and_where_it_was_and_others_stay() -> None:
    context = Context({"body": [Waiting(4, "a", [2, "né", -3]), Waiting(5, "b", ["stays"])], "more": [Waiting(4, "a", ["x"])]}, 9)
    assert blanked(context, {4}) == Context(
        {"body": [Waiting(4, "a", [2, PLACEHOLDER * 2, -3]), Waiting(5, "b", ["stays"])], "more": [Waiting(4, "a", [PLACEHOLDER])]}, 9)
    assert blanked(context, {1, 9}) == context


# -- who is told -----------------------------------------------------------------------------------------------------------


async def told_of(device: Device) -> list[dict[str, Any]]:
    reply = await device.pull()
    assert not reply.changes, "a change without what it changed would leave the device with what was erased"
    return reply.records


async def test_a_device_that_had_seen_everything_is_given_the_emptied_record(at_work: AtWork) -> None:
    await at_work.phone.catch_up()
    base = at_work.phone.base["notes", at_work.note]
    await at_work.store.erase(at_work.laptop.caller, "notes", at_work.note, reason="asked for")
    (record,) = await told_of(at_work.phone)
    assert record["id"] == at_work.note and record["deleted"] and "abc" not in str(record)
    async with at_work.store.storage.reader() as reader:
        assert (await reader.head("acme")).seq > int(base.partition(".")[0])


async def test_whose_a_record_is_hears_that_it_was_erased(store: Store, ann: MemberSession, ben: MemberSession, device: Devices) -> None:
    task = await ann.create(Task(title="call the doctor", owner_id=ben.actor_id))
    phone = device(ben)
    await phone.catch_up()
    await store.erase(ann.caller, "tasks", task.id, reason="asked for")
    (record,) = await told_of(phone)
    assert record["deleted"] and "doctor" not in str(record)


async def test_who_reads_a_record_through_another_hears_that_it_was_erased(store: Store, ann: MemberSession, device: Devices) -> None:
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    workshop = await guide.create(Workshop(title="w", leader_id=guide.actor_id))
    pia = await store.member("acme", "pia@example.org", roles=set())
    sitting = await guide.create(Sitting(workshop=workshop.id))
    laptop = device(guide)
    await laptop.catch_up()
    await store.erase(ann.caller, "sittings", sitting.id, reason="asked for")
    assert [record["deleted"] for record in await told_of(laptop)] == [True]
    assert await findings(store) == []
    assert not (await device(pia).pull()).records


async def test_a_held_change_erased_before_the_record_was_made_made_nothing(store: Store, ann: MemberSession, device: Devices,
                                                                           new_id: NewId) -> None:
    note, laptop = new_id(), device(ann)
    early = await laptop.send("notes", note, SetOp("/title", "too early"), SpliceOp("/body", [(0, 0, "x")]))
    assert early.outcome == "held" and early.seq is not None
    phone = device(ann)
    await device(ann).set("notes", note, "/title", "too early as well")
    await phone.create("notes", note, {"title": "a"})
    await store.erase(ann.caller, "notes", note, reason="asked for", seqs=[early.seq])
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings
    assert report.erased == [early.seq]
