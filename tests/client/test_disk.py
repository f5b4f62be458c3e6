"""Disks that fail, under a simulated disk: full, read-only, without power, damaged. Defends P1 (an edit that was taken survives, or says
at once that it may not) and P5 (the status never claims more than is so)."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from holdfast.client import Replica, open_replica
from holdfast.client.opening import open_device, schema_of
from holdfast.client.replica_file import FORMAT, ReplicaFile
from holdfast.client.salvage import export_file
from holdfast.core.apply import apply_ops
from holdfast.core.errors import StorageCorrupt, StorageNewer
from holdfast.core.ops import CreateOp, SpliceOp
from holdfast.testing.asgi import AsgiTransport
from holdfast.testing.disk import SimulatedDisk, Survival
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import QUICK, Folder, Note, World, world


class OnDisk(VirtualRuntime):
    """A runtime whose disk is simulated."""

    def __init__(self, seed: int, disk: SimulatedDisk) -> None:
        super().__init__(seed)
        self.disk = disk

    def sqlite_vfs(self) -> str | None:
        return self.disk.name


def disk_in(folder: Path, files: dict[str, bytes] | None = None, seed: int = 1) -> SimulatedDisk:
    folder.mkdir(exist_ok=True)
    return SimulatedDisk(folder, random.Random(seed), files=files)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_said_and_the_work_goes_on_and_is_sent_at_once(tmp_path: Path, trouble: str) -> None:
    async def main() -> None:
        disk = disk_in(tmp_path / "device")
        async with world(tmp_path, runtime=VirtualRuntime(1)) as here:
            transport = AsgiTransport(here.app, runtime=here.runtime)
            async with open_replica(tmp_path / "device" / "a.replica", transport=transport, token=await here.token(),
                                    records=[Note, Folder], settings=QUICK, runtime=OnDisk(2, disk)) as replica:
                note = replica.create(Note(title="before"))
                assert await replica.synced()
                spoil(disk, trouble)
                replica.go_offline()
                await asyncio.sleep(0.1)
                replica.change(note, title="while the disk takes nothing")
                assert replica.status.name == "error"
                assert replica.status.phrase == "Not saved on this device either – keep this program open"
                assert replica.receipt(note) == "memory" and replica.status.hint
                assert replica.get(Note, note.id).title == "while the disk takes nothing"
                replica.go_online()
                await sent(here, note.id, "while the disk takes nothing")
                mend(disk)
                other = replica.change(replica.get(Note, note.id), title="after")
                assert replica.receipt(other) == "local"
                assert await replica.synced()
                assert replica.status.name == "saved" and replica.get(Note, note.id).title == "after"

    run_virtually(main())


def spoil(disk: SimulatedDisk, trouble: str) -> None:
    if trouble == "full":
        disk.capacity_bytes = disk.used_bytes()
    else:
        disk.read_only = True


def mend(disk: SimulatedDisk) -> None:
    disk.capacity_bytes, disk.read_only = None, False


async def sent(here: World, note_id: str, title: str) -> None:
    member = await here.store.member("acme", "ada@example.org")
    async with asyncio.timeout(30):
        while (await member.get(Note, note_id)).title != title:     # noqa: ASYNC110 - the store tells nobody here
            await asyncio.sleep(0.01)


def test_what_waited_in_memory_is_on_the_disk_as_soon_as_it_takes_writes_again(tmp_path: Path) -> None:
    async def main() -> None:
        disk = disk_in(tmp_path / "device")
        path = tmp_path / "device" / "a.replica"
        runtime = OnDisk(2, disk)
        async with open_replica(path, records=[Note, Folder], settings=QUICK, runtime=runtime) as replica:
            note = replica.create(Note(title="kept"))
            body = replica.text(note, "body")
            disk.capacity_bytes = disk.used_bytes()
            for letter in "lost?":
                body.append(letter)
            assert replica.receipt(note) == "memory"
            mend(disk)
            body.append("!")
            assert replica.receipt(note) == "local" and replica.status.name == "offline"
        async with open_replica(path, records=[Note, Folder], settings=QUICK, runtime=runtime) as replica:
            assert replica.get(Note, note.id).body == "lost?!"

    run_virtually(main())


@pytest.mark.parametrize("seed", range(12))
def test_power_that_goes_at_any_step_loses_no_edit_that_returned(tmp_path: Path, seed: int) -> None:
    """Every edit that returned as `local` is there after the cut, the one in flight whole or not at all."""

    async def main() -> None:
        rng = random.Random(seed)
        disk = disk_in(tmp_path / "device", seed=seed)
        path = tmp_path / "device" / "a.replica"
        taken, tried = "", ""
        replica: Replica | None = None
        try:
            async with open_replica(path, records=[Note, Folder], settings=QUICK, runtime=OnDisk(seed, disk)) as replica:
                note = replica.create(Note(title="typed"))
                body = replica.text(note, "body")
                disk.cut_power_at(disk.steps + rng.randint(1, 60))
                for number in range(40):
                    tried = taken + chr(0x4E00 + number)
                    body.append(chr(0x4E00 + number))
                    if replica.receipt(note) != "local":
                        break
                    taken = tried
                    if rng.random() < 0.3:
                        await asyncio.sleep(rng.random() * 3)
        except Exception:
            assert not disk.power, "only the power cut may end it like this"
        survival = Survival(writes=rng.random(), torn=rng.random(), names=rng.random())
        again = disk_in(tmp_path / "again", seed=seed)
        found = disk.after_power_cut(survival, random.Random(seed))
        again.files.clear()
        again = SimulatedDisk(tmp_path / "again", random.Random(seed),
                              files={name.replace("/device/", "/again/"): content for name, content in found.items()})
        device = open_device(tmp_path / "again" / "a.replica", schema_of([Note, Folder]), OnDisk(seed, again))
        try:
            text = device.view(("notes", note.id)).row
            assert text is not None and text.fields["body"] in (taken, tried)
        finally:
            device.file.close()

    run_virtually(main())


def filled(path: Path) -> list[str]:
    """A replica's file with two pages full of unsent work; what was typed."""

    async def main() -> list[str]:
        typed = []
        async with open_replica(path, records=[Note, Folder], settings=QUICK, runtime=VirtualRuntime(3)) as replica:
            for number in range(60):
                typed.append(f"note {number} " + "x" * 200)
                replica.create(Note(title=typed[-1]))
        return typed

    return run_virtually(main())


def test_a_file_of_a_newer_holdfast_is_left_alone_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    filled(path)
    file = ReplicaFile(path)
    file.open()
    file.connection.pragma("user_version", FORMAT + 1)
    file.close()
    with pytest.raises(StorageNewer, match="newer Holdfast"):
        ReplicaFile(path).open()


@pytest.mark.parametrize("content", [b"this is no database at all, but a letter", b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_file_that_is_no_replica_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.replica"
    path.write_bytes(content)
    with pytest.raises(StorageCorrupt) as refused:
        ReplicaFile(path).open()
    assert refused.value.hint and path.read_bytes()[:20] == content[:20], "nothing was touched"


def test_of_a_damaged_file_everything_that_can_be_read_can_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    typed = filled(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"note 30 ")
    page = at // 4096 * 4096
    content[page:page + 4096] = b"\xa5" * 4096
    path.write_bytes(bytes(content))
    with pytest.raises(StorageCorrupt) as refused:
        ReplicaFile(path).open()
    assert "replica export" in refused.value.hint
    exported = export_file(path, VirtualRuntime(1))
    titles = {one["ops"][0]["value"]["title"] for one in exported["mutations"] if one["ops"]}
    assert exported["damaged"] and len(titles) > len(typed) // 2 and titles < set(typed)
    assert typed[0] in titles and typed[-1] in titles, "both ends of what is damaged"


def test_a_file_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    filled(path)
    assert path.stat().st_mode & 0o077 == 0


def test_rows_of_the_outbox_make_the_text_again(tmp_path: Path) -> None:
    """What is in the file is enough to know what was typed, without any of our code but `apply`."""
    path = tmp_path / "a.replica"

    async def main() -> None:
        async with open_replica(path, records=[Note, Folder], settings=QUICK, runtime=VirtualRuntime(3)) as replica:
            body = replica.text(replica.create(Note(title="t")), "body")
            for letter in "typed":
                body.append(letter)
                await asyncio.sleep(3)
            collection = replica._device.schema.collections["notes"]
            fields = {"body": ""}
            for row in replica._device.store.outbox():
                for op in row.made.ops:
                    if isinstance(op, SpliceOp):
                        fields, _ = apply_ops(fields, [op], collection)
                    else:
                        assert isinstance(op, CreateOp)
            assert fields["body"] == "typed" and len(replica._device.store.outbox()) == 6

    run_virtually(main())
