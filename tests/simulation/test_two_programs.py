"""Two programs on one replica file, and what went wrong there for others: entries of a shared outbox reordered, skipped or sent twice.
Defends P1 (kept) and P2 (once)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from holdfast.client import Replica
from holdfast.testing.disk import SimulatedDisk
from holdfast.testing.virtual import VirtualRuntime
from tests.client.test_named_failures import told
from tests.client.world import QUICK, Note, World

SHARED = {"shared": True, "lease_seconds": 0.3, "watch_seconds": 0.05}


def shared(**changes: Any) -> Any:
    return type(QUICK)(**{**{name: getattr(QUICK, name) for name in QUICK.__slots__}, **SHARED, **changes})


def test_an_outbox_that_two_programs_share_is_sent_in_order_and_once(tmp_path: Path) -> None:
    """Both type at once, into one record, on a file that each of them sends from in turn."""

    async def story(here: World) -> None:
        rng = random.Random(1)
        async with here.replica("a", settings=shared()) as one:
            note = one.create(Note(title="shared", body="", views=0))
            assert await one.synced()
            async with here.replica("a", settings=shared()) as two:
                assert await two.synced()
                expected = ""
                for number in range(60):
                    replica: Replica = rng.choice((one, two))
                    letter = chr(0x4E00 + number)
                    body = replica.text(replica.get(Note, note.id), "body")
                    assert body.text == expected, "each sees what the other typed"
                    body.append(letter)
                    expected += letter
                    body.close()
                    replica.change(replica.get(Note, note.id), views=replica.get(Note, note.id).views + 1)
                    if number % 7 == 0:
                        await here.runtime.sleep(rng.random())
                assert await one.synced() and await two.synced()
                for replica in (one, two):
                    assert replica.get(Note, note.id).body == expected, "in order, none skipped"
                    assert replica.get(Note, note.id).views == 60, "each once"
                assert not one.refused() and not two.refused()
                entries = await one.history(note)
                sent = [op for entry in entries for op in entry["ops"] if op["op"] == "add"]
                assert sum(op["by"] for op in sent) == 60, "once, in the log too"

    told(tmp_path, story)


def test_the_program_that_sends_may_end_at_any_moment(tmp_path: Path) -> None:
    """The other one takes over when the lease has run out; nothing is lost, nothing is sent twice."""

    async def story(here: World) -> None:
        async with here.replica("a", settings=shared()) as two:
            note = two.create(Note(title="shared", views=0))
            assert await two.synced()
            for number in range(1, 6):
                async with here.replica("a", settings=shared()) as one:
                    one.change(one.get(Note, note.id), views=number)
                    sync: Any = one._sync
                    sync._lease.held = False        # it is killed: the lease stays as it is
                    await sync.stop()
                    one._sync = None
                assert two.get(Note, note.id).views == number
                assert await two.synced(), "the other one sends it"
            assert two.get(Note, note.id).views == 5

    told(tmp_path, story)


def test_what_two_programs_type_while_the_disk_takes_nothing_meets_when_it_does(tmp_path: Path) -> None:
    """Each has its own work in memory alone; the second to write makes it again on what the first wrote, and deletes what it deleted."""

    async def story(here: World) -> None:
        (tmp_path / "device").mkdir()
        disk = SimulatedDisk(tmp_path / "device", random.Random(1))
        runtime = VirtualRuntime(2)
        runtime.vfs = disk.name
        async with (here.replica("device/a", settings=shared(), runtime=runtime) as one,
                    here.replica("device/a", settings=shared(), runtime=runtime) as two):
            note = one.create(Note(title="shared", body="0123456789"))
            assert await one.synced() and await two.synced()
            one.go_offline()
            two.go_offline()
            await here.runtime.sleep(1)
            disk.capacity_bytes = disk.used_bytes()
            first, second = one.text(note, "body"), two.text(note, "body")
            first.splice(0, 2, "ab")
            second.splice(8, 2, "yz")
            assert (first.text, second.text) == ("ab23456789", "01234567yz")
            disk.capacity_bytes = None
            one.change(one.get(Note, note.id), views=1)
            two.change(two.get(Note, note.id), views=2)
            assert one.get(Note, note.id).body == two.get(Note, note.id).body == "ab234567yz"
            one.go_online()
            two.go_online()
            assert await one.synced() and await two.synced()
            assert one.get(Note, note.id).body == two.get(Note, note.id).body == "ab234567yz"
            assert not one.refused() and not two.refused()
        disk.unregister()

    told(tmp_path, story)
