"""A device whose base belongs to another history of this server (it was put back to a backup): P1 and P3: what the device has comes back,
and what cannot be placed waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast import open_store
from holdfast.core.ops import AddOp, CreateOp, SetOp, SpliceOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Device, Note, StillRuntime

NewId = Callable[[], str]
Devices = Callable[..., Device]


async def with_a_base_elsewhere(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> tuple[str, Device]:
    """A note that another device has changed, and a device whose base names the same seq with another digest."""
    note, laptop, phone = new_id(), device(ann), device(ben)
    await laptop.create("notes", note, {"title": "a", "body": "0123456789"})
    await laptop.catch_up()
    await laptop.set("notes", note, "/title", "b")
    phone.base["notes", note] = laptop.base["notes", note].partition(".")[0] + ".ffffffff"
    return note, phone


async def test_a_splice_made_elsewhere_waits(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> None:
    note, phone = await with_a_base_elsewhere(ann, ben, device, new_id)
    held = await phone.send("notes", note, SpliceOp("/body", [(5, 0, "!")]))
    assert held.outcome == "held" and held.unapplied is not None and held.unapplied[0]["reason"] == "other_history"
    assert (await ann.get(Note, note)).body == "0123456789"


async def test_a_set_made_elsewhere_competes_with_all_there_is(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId,
                                                               runtime: StillRuntime) -> None:
    note, phone = await with_a_base_elsewhere(ann, ben, device, new_id)
    result = await phone.send("notes", note, SetOp("/title", "older"), edited_at=f"{runtime.now - 60_000}:0")
    assert result.outcome == "merged" and (await ann.get(Note, note)).title == "b"


async def test_a_sum_made_elsewhere_is_added(ann: MemberSession, ben: MemberSession, device: Devices, new_id: NewId) -> None:
    note, phone = await with_a_base_elsewhere(ann, ben, device, new_id)
    await phone.send("notes", note, AddOp("/views", 2))
    assert (await ann.get(Note, note)).views == 2


async def test_a_base_beyond_the_log_is_of_another_history_too(ann: MemberSession, ben: MemberSession, device: Devices,
                                                               new_id: NewId) -> None:
    note, phone = await with_a_base_elsewhere(ann, ben, device, new_id)
    held = await phone.send("notes", note, SpliceOp("/body", [(5, 0, "!")]), base="999999.abcdef01")
    assert held.outcome == "held" and held.unapplied is not None and held.unapplied[0]["reason"] == "other_history"


async def test_what_devices_still_have_brings_back_what_a_restored_server_lacks(tmp_path: Path, new_id: NewId) -> None:
    """The folder is put back to a copy; the device sends again what it has kept, each once."""
    note = new_id()
    runtime = StillRuntime()
    async with open_store(tmp_path / "data", records=[Note], runtime=runtime) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        first = laptop.mutation("notes", note, *create("yesterday"))
        await laptop.push(first)
    copy = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    async with open_store(tmp_path / "data", records=[Note], runtime=runtime) as store:
        laptop.store = store
        later = [laptop.mutation("notes", note, AddOp("/views", 1)) for _ in range(5)]
        await laptop.push(*later)
        await laptop.catch_up()
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    for name, content in copy.items():
        (tmp_path / "data" / name).write_bytes(content)
    async with open_store(tmp_path / "data", records=[Note], runtime=runtime) as store:
        laptop.store = store
        assert (await laptop.pull()).reset == "history"
        results = (await laptop.push(first, *later)).results
        assert [result.outcome for result in results] == ["duplicate", *["applied"] * 5]
        assert (await (await store.member("acme", "ann@example.org")).get(Note, note)).views == 5
        assert await sound(store)


def create(title: str) -> list[CreateOp]:
    return [CreateOp({"title": title})]


async def sound(store: Store) -> bool:
    report = await verify_tenant(store, "acme")
    assert report.ok, report.findings
    return True
