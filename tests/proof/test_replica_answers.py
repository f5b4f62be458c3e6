"""The disk fails just when the server's answer is to be written down: the answer is true all the same, is written later or asked for again,
and nothing is lost or there twice. On a simulated disk, under virtual time. Defends P2 and P5."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.client import Replica, open_replica
from holdfast.core.messages import Problem, PushReply, Result
from holdfast.testing.asgi import AsgiTransport
from holdfast.testing.disk import SimulatedDisk, Survival
from holdfast.testing.virtual import VirtualRuntime, run_virtually
from tests.client.test_disk import OnDisk, disk_in, mend, spoil
from tests.client.world import QUICK, Folder, Note, World, world


@asynccontextmanager
async def replica_on(disk: SimulatedDisk, folder: Path, here: World, seed: int = 2) -> AsyncIterator[Replica]:
    async with open_replica(folder / "a.replica", "http://holdfast.example.org", transport=AsgiTransport(here.app, runtime=here.runtime),
                            token=await here.token(), records=[Note, Folder], settings=QUICK, runtime=OnDisk(seed, disk)) as replica:
        yield replica


async def until(what: object, why: str) -> None:
    assert callable(what)
    for _ in range(1_000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(why)


async def answered_on_a_spoilt_disk(replica: Replica, disk: SimulatedDisk, trouble: str) -> Note:
    """A change that is on the disk, and of which the disk cannot take down that the server has it."""
    note = replica.create(Note(title="before"))
    assert await replica.synced()
    replica.go_offline()
    await asyncio.sleep(0.1)
    replica.change(note, title="on the disk", body="once")
    assert replica.receipt(note) == "local"
    spoil(disk, trouble)
    replica.go_online()
    await until(lambda: replica.receipt(note) == "committed", "the server's answer is not taken in")
    status = replica.status
    assert status.waiting == 0 and ("full" in status.cause or "cannot be written" in status.cause) and status.hint, status
    return note


async def entries_of(here: World, note_id: str) -> int:
    """How often the log has the record's changes."""
    async with here.store.storage.reader() as reader:
        entries = await reader.entries("acme", after=0, limit=1_000)
    return sum(entry.record_id == note_id for entry in entries)


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_an_answer_that_could_not_be_written_is_written_when_the_disk_takes_writes_again(tmp_path: Path, trouble: str) -> None:
    async def main() -> None:
        disk = disk_in(tmp_path / "device")
        async with world(tmp_path, runtime=VirtualRuntime(1)) as here:
            async with replica_on(disk, tmp_path / "device", here) as replica:
                note = await answered_on_a_spoilt_disk(replica, disk, trouble)
                mend(disk)
                assert await replica.synced() and replica.receipt(note) == "committed"
                assert not replica.status.cause and replica.get(Note, note.id).body == "once"
            async with replica_on(disk, tmp_path / "device", here, seed=3) as replica:
                assert await replica.synced() and not replica.pending() and replica.get(Note, note.id).body == "once"
            assert await entries_of(here, note.id) == 2

    run_virtually(main())


def test_a_crash_before_the_answer_is_on_the_disk_sends_again_and_counts_once(tmp_path: Path) -> None:
    async def main() -> None:
        disk = disk_in(tmp_path / "device")
        async with world(tmp_path, runtime=VirtualRuntime(1)) as here, replica_on(disk, tmp_path / "device", here) as replica:
            note = await answered_on_a_spoilt_disk(replica, disk, "full")
            left = disk.after_power_cut(Survival(writes=0.0, torn=0.0, names=0.0), random.Random(1))
            (tmp_path / "again").mkdir()
            again = SimulatedDisk(tmp_path / "again", random.Random(1),
                                  files={name.replace("/device/", "/again/"): content for name, content in left.items()})
            async with replica_on(again, tmp_path / "again", here, seed=3) as reopened:
                assert [one["record_id"] for one in reopened.pending()] == [note.id], "the disk knows nothing of the answer"
                assert reopened.get(Note, note.id).body == "once"
                assert await reopened.synced() and reopened.get(Note, note.id).body == "once"
                changed = reopened.change(reopened.get(Note, note.id), title="and on")
                assert await reopened.synced() and reopened.receipt(changed) == "committed" and not reopened.refused()
            assert await entries_of(here, note.id) == 3

    run_virtually(main())


async def refusing(caller: Any, device_id: str, mutations: Sequence[bytes], **more: Any) -> PushReply:
    problem = Problem(code="malformed", detail="It was told to be refused.")
    return PushReply(results=[Result(mutation_id=msgspec.json.decode(one)["mutation_id"], outcome="refused", receipt="refused",
                                    error=problem)
                              for one in mutations], head=1)


def test_a_refusal_that_could_not_be_written_is_heard_again_and_shown_then(tmp_path: Path) -> None:
    async def main() -> None:
        disk = disk_in(tmp_path / "device")
        async with world(tmp_path, runtime=VirtualRuntime(1)) as here, replica_on(disk, tmp_path / "device", here) as replica:
            note = replica.create(Note(title="before"))
            assert await replica.synced()
            replica.go_offline()
            await asyncio.sleep(0.1)
            replica.change(note, title="not wanted")
            push = here.store.push
            here.store.push = refusing  # type: ignore[method-assign]
            spoil(disk, "full")
            replica.go_online()
            await asyncio.sleep(5)
            assert not replica.refused() and len(replica.pending()) == 1 and "full" in replica.status.cause
            mend(disk)
            await until(replica.refused, "the refusal is not shown")
            assert replica.status.name == "refused" and not replica.pending() and not replica.status.cause
            here.store.push = push  # type: ignore[method-assign]
            replica.send_again(replica.refused()[0]["mutation_id"])
            assert await replica.synced() and not replica.refused()
            assert await entries_of(here, note.id) == 2

    run_virtually(main())
