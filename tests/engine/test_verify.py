"""Verify finds what is not as the log says, and names the first bad entry: the check behind P1 and P3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast import open_store
from holdfast.core.errors import Forbidden, InvalidValue, NotFound
from holdfast.core.ops import SetOp
from holdfast.engine.api import Caller, Resolution
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import Report, verify_tenant
from tests.engine.world import ALL, Answer, Device, Note, Secret, Sitting, Task, Workshop

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def busy(store: Store) -> None:
    """A bit of everything that writes."""
    ann = await store.member("acme", "ann@example.org", roles={"owner"})
    guide = await store.member("acme", "guide@example.org", roles={"facilitator"})
    laptop, phone = Device(store, ann, "laptop"), Device(store, guide, "phone")
    note = await ann.create(Note(title="a", body="hello", tags={"x"}, plan={"a": {"b": 1}}))
    for device in (laptop, phone):
        await device.catch_up()
    await laptop.type("notes", note.id, "/body", 5, 0, " world")
    await phone.type("notes", note.id, "/body", 0, 0, "> ")
    await laptop.set("notes", note.id, "/price", "1.00")
    held = await phone.set("notes", note.id, "/price", "2.00")
    assert held.inbox_id is not None
    await phone.set("notes", note.id, "/status", "nonsense")
    workshop = await guide.create(Workshop(title="w", leader_id=guide.actor_id))
    sitting = await guide.create(Sitting(workshop=workshop.id))
    await guide.create(Answer(sitting=sitting.id, step=1, text="mine"))
    await ann.change(await ann.get(Workshop, workshop.id), leader_id=ann.actor_id)
    await ann.name_version(note, "v1")
    await ann.undo(await ann.change(await ann.get(Note, note.id), title="b"))
    await ann.restore(note, note.rev)
    await ann.delete(await ann.create(Note(title="gone")))
    await store.resolve(guide.caller, held.inbox_id, Resolution(how="value", values={"/price": "3.00"}))
    await Device(store, guide, "tablet").set("notes", "00000000-0000-7000-8000-0000000000ff", "/title", "nothing there")
    secret = await ann.create(Secret(label="x", phone="555", file={"a": [1, 2]}))
    await ann.change(secret, phone="556")


async def test_a_store_in_which_all_that_writes_has_written_is_sound(store: Store) -> None:
    await busy(store)
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings
    assert (report.items, report.not_comparable, report.erased) == (2, 0, [])
    assert report.entries > 20 and report.records >= 8


TAMPERING: dict[str, tuple[str, str]] = {
    "a value in a table": ("UPDATE notes SET title = 'forged' WHERE title = 'a'", "Field title is not what the log says"),
    "a flag in a table": ("UPDATE notes SET deleted = 0 WHERE deleted = 1", "deleted"),
    "a rev": ("UPDATE notes SET rev = rev - 1 WHERE rev > 5", "rev"),
    "a record that is gone": ("DELETE FROM tasks", "no row"),
    "a hidden column": ("UPDATE sittings SET via_workshop__leader_id = 'forged'", "hidden column"),
    "the head": ("UPDATE hf_heads SET digest = zeroblob(32)", "head"),
    "an entry's time": ("UPDATE hf_log SET committed_at = committed_at + 1 WHERE seq = 5", "Entry 5 is not what was written"),
    "an entry's payload": ("UPDATE hf_log SET body = (SELECT body FROM hf_log WHERE seq = 4) WHERE seq = 5", "Entry 5"),
    "an entry that is gone": ("DELETE FROM hf_log WHERE seq = 7", "Entry 7 is missing"),
    "an inbox item that is gone": ("DELETE FROM hf_items", "should be open"),
    "an erasure that nobody ordered": ("UPDATE hf_log SET salt = NULL, body = NULL WHERE seq = 5", "Entry 5"),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_it_finds(what: str, tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[*ALL, Secret]) as store:
        await busy(store)
        ann = await store.member("acme", "ann@example.org")
        await ann.create(Task(title="t", owner_id=ann.actor_id))
    statement, told = TAMPERING[what]
    database = apsw.Connection(str(tmp_path / "data" / "holdfast.db"))
    database.pragma("foreign_keys", False)
    database.execute(statement)
    assert database.changes() > 0, "the test has tampered with nothing"
    database.close()
    async with open_store(tmp_path / "data", records=[*ALL, Secret]) as store:
        report = await verify_tenant(store, "acme")
    assert not report.ok
    assert any(told in finding.what for finding in report.findings), report.findings


async def test_the_first_bad_entry_is_named(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[*ALL, Secret]) as store:
        await busy(store)
    database = apsw.Connection(str(tmp_path / "data" / "holdfast.db"))
    database.execute("UPDATE hf_log SET committed_at = committed_at + 1 WHERE seq IN (6, 9, 12)")
    database.close()
    async with open_store(tmp_path / "data", records=[*ALL, Secret]) as store:
        assert (await verify_tenant(store, "acme")).first_bad_seq == 6


# -- erasing ---------------------------------------------------------------------------------------------------------------


async def erased(store: Store, ann: MemberSession, record_id: str, **more: Any) -> Report:
    await store.erase(ann.caller, "notes", record_id, reason="asked for", **more)
    return await verify_tenant(store, "acme")


async def test_an_erased_past_still_checks_and_is_reported(store: Store, ann: MemberSession) -> None:
    note = await ann.create(Note(title="a", body="my address"))
    newer = await ann.change(note, body="nothing")
    report = await erased(store, ann, note.id, seqs=[note.rev])
    assert report.ok, report.findings
    assert (report.erased, report.not_comparable) == ([note.rev, newer.rev], 1)
    assert "my address" not in str(await store.history(ann.caller, "notes", note.id))
    assert (await ann.get(Note, note.id)).body == newer.body


async def test_a_record_erased_whole_is_empty_and_deleted(store: Store, ann: MemberSession) -> None:
    note = await ann.create(Note(title="a", body="my address", code="X1", plan={"a": "my street"}, tags={"mine"}))
    report = await erased(store, ann, note.id)
    assert report.ok, report.findings
    left = await store.get(ann.caller, "notes", note.id, include_deleted=True)
    assert left["deleted"] is True and not any(phrase in str(left) for phrase in ("my address", "my street", "X1", "mine"))


async def test_what_was_made_of_it_goes_too(store: Store, ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> None:
    note, laptop, phone = new_id(), device(ann), device(ben)
    await laptop.create("notes", note, {"title": "a", "body": "x"})
    await laptop.catch_up()
    await phone.catch_up()
    await laptop.type("notes", note, "/body", 1, 0, " my address")
    await phone.type("notes", note, "/body", 0, 0, "y")
    await phone.send("notes", note, SetOp("/status", "my status"))
    report = await erased(store, ann, note)
    assert report.ok, report.findings
    assert report.items == 0


async def test_a_device_that_pulls_over_an_erasure_gets_the_record_whole(store: Store, ann: MemberSession, ben: MemberSession,
                                                                         device: Devices,
                                                                         new_id: NewId) -> None:
    note, laptop, phone = new_id(), device(ann), device(ben)
    await laptop.create("notes", note, {"title": "a"})
    await phone.catch_up()
    changed = await laptop.set("notes", note, "/title", "b")
    await erased(store, ann, note, seqs=[changed.seq])
    reply = await phone.pull()
    assert [record["fields"]["title"] for record in reply.records] == ["b"] and reply.changes == []


async def test_an_erased_mutation_sent_again_is_a_duplicate_uncompared(store: Store, ann: MemberSession, device: Devices,
                                                                       new_id: NewId) -> None:
    note, laptop = new_id(), device(ann)
    await laptop.create("notes", note, {"title": "a"})
    change = laptop.mutation("notes", note, SetOp("/title", "b"))
    result = (await laptop.push(change)).results[0]
    await erased(store, ann, note, seqs=[result.seq])
    assert (await laptop.push(change)).results[0].outcome == "duplicate"


async def test_what_was_made_before_an_erasure_waits_if_it_touches_what_is_gone(store: Store, ann: MemberSession, ben: MemberSession,
                                                                               device: Devices, new_id: NewId) -> None:
    note, laptop, phone = new_id(), device(ann), device(ben)
    await laptop.create("notes", note, {"title": "a", "body": "x"})
    await phone.catch_up()
    changed = await laptop.type("notes", note, "/body", 0, 0, "gone ")
    await erased(store, ann, note, seqs=[changed.seq])
    held = await phone.type("notes", note, "/body", 1, 0, "!")
    assert held.outcome == "held" and held.unapplied is not None and held.unapplied[0]["reason"] == "base_too_old"


async def test_only_owners_and_operators_erase(store: Store, ann: MemberSession, ben: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(Forbidden):
        await store.erase(ben.caller, "notes", note.id, reason="asked for")
    for reason in ("", " ", "x" * 1_001):
        with pytest.raises(InvalidValue):
            await store.erase(ann.caller, "notes", note.id, reason=reason)
    operator = await store.accounts.create_account("operator@example.org", operator=True)
    caller = Caller(tenant_id="acme", actor_id=operator.id)
    assert (await store.erase(caller, "notes", note.id, reason="asked for", mutation_id="e1")).outcome == "applied"
    assert (await store.erase(caller, "notes", note.id, reason="asked for", mutation_id="e1")).outcome == "duplicate"
    with pytest.raises(NotFound):
        await store.erase(ann.caller, "notes", "00000000-0000-7000-8000-0000000000ff", reason="asked for")
    assert (await verify_tenant(store, "acme")).ok
