"""A real disk that takes nothing any more, under a replica that is typed into: it says so, the typing goes on and is sent at once, and as
soon as the disk takes writes again everything is on it; also when the process is killed meanwhile. Defends P1, P2 and P5."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.replica_crowd import Crowd, Place, Typist, crowd, judge_server
from tests.proof.replica_troubles import TROUBLES, FileLimit, Trouble
from tests.proof.replica_typist import NOBODY
from tests.proof.replica_witness import tokens_of
from tests.proof.test_kills import seed_of_run

LOST = "Not saved on this device either – keep this program open"


@pytest.fixture(params=TROUBLES)
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trouble]:
    made: Trouble = TROUBLES[request.param](tmp_path)
    yield made
    made.close()


async def into_memory(here: Crowd, trouble: Trouble, typist: Typist) -> None:
    """The disk takes nothing, and the server is away: the typing goes on and is called what it is. When the server is back, it is sent."""
    seat = typist.seat
    await typist.works(5)
    await here.host.kill()
    trouble.begin(typist)
    for _ in range(500):
        status = await typist.ask("status", "phrase")
        if status["phrase"] == LOST:
            break
    assert (status["status"], status["phrase"]) == ("error", LOST), status
    assert status["cause"].startswith(trouble.words) and status["hint"], status
    aim = max(seat.memory)
    await typist.until(lambda: any(number > aim and number in seat.walls for number in seat.risked), "it does not go on")
    await typist.rest()
    await here.host.start()
    await arrived(here, typist, {number for number in seat.risked if number in seat.walls})


async def arrived(here: Crowd, typist: Typist, typed: set[int]) -> None:
    """What the disk did not take is at the server all the same."""
    assert typed
    for _ in range(500):
        body, _views = await here.wall_now()
        if typed <= {number for name, number in tokens_of(body) if name == typist.seat.name}:
            return
        await asyncio.sleep(0.02)
    status = await typist.ask("status", "phrase")
    raise AssertionError(f"what is in memory alone is not sent: {typed}, {status}, {body}")


async def test_typing_goes_on_is_sent_at_once_and_is_kept_as_soon_as_the_disk_takes_writes_again(tmp_path: Path, trouble: Trouble) -> None:
    """And a kill while it takes none loses nothing that was called kept."""
    async with crowd(tmp_path, seed_of_run()) as here:
        seat = here.seat("ada")
        typist = await here.start(seat, trouble.place)
        await into_memory(here, trouble, typist)
        trouble.end(typist)
        await typist.until(lambda: not seat.memory, "what was in memory is not on the disk")
        for _ in range(500):
            status = await typist.ask("status", "phrase")
            if status["phrase"] != LOST and not status["cause"]:
                break
        assert status["phrase"] != LOST and not status["cause"], status
        typist.say(do="type")
        await typist.works(5)
        await killed_meanwhile(here, trouble, typist)
        typist = await here.start(seat, trouble.place)
        here.raise_unless_shown(typist)
        await typist.works(5)
        await here.level([typist])
        await typist.close()
        await here.host.stop()
        await judge_server(here.host.folder, here.wall, here.seats)


async def killed_meanwhile(here: Crowd, trouble: Trouble, typist: Typist) -> None:
    trouble.begin(typist)
    risked = len(typist.seat.risked)
    await typist.until(lambda: len(typist.seat.risked) > risked + 3, "nothing is said to be in memory alone")
    await typist.kill()
    again = await here.start(typist.seat, trouble.place)
    if "failed" in again.facts:
        assert again.facts["detail"].startswith(trouble.words) and again.facts["hint"], again.facts
    else:
        here.raise_unless_shown(again)
        await again.kill()
    trouble.end(None)


async def test_a_process_that_alone_cannot_write_goes_on_in_memory_beside_one_that_can(tmp_path: Path) -> None:
    """Two on one file, and the one that does not send is not let write any more: its edits wait in its memory, on top of what the other
    does, and are kept as soon as it may."""
    trouble = FileLimit(tmp_path)
    async with crowd(tmp_path, seed_of_run()) as here:
        first = await here.start(here.seat("ada"), trouble.place)
        await first.works(2)
        second = await here.start(here.seat("bea"), trouble.place)
        await second.works(2)
        trouble.begin(second)
        seat = second.seat
        await second.until(lambda: len([number for number in seat.memory if number in seat.walls]) > 5, "nothing is in memory alone")
        status = await second.ask("status", "phrase")
        assert (status["status"], status["phrase"]) == ("error", LOST), status
        await first.works(5)
        trouble.end(second)
        await second.until(lambda: not seat.memory, "what was in memory is not on the disk")
        await here.level([first, second])
        for typist in (first, second):
            await typist.close()
        await here.host.stop()
        await judge_server(here.host.folder, here.wall, here.seats)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
async def test_a_file_whose_permission_is_revoked_is_told_clearly_and_holds_everything_when_it_is_back(tmp_path: Path) -> None:
    """A process without root's rights: the system keeps what is open writable, and refuses the next opening."""
    home = Path(tempfile.mkdtemp(prefix="replica-"))
    try:
        os.chown(home, NOBODY, NOBODY)
        async with crowd(home, seed_of_run()) as here:
            seat, place = here.seat("ada"), Place(home / "a.replica", nobody=True)
            typist = await here.start(seat, place)
            assert place.file.stat().st_uid == NOBODY and place.file.stat().st_mode & 0o777 == 0o600
            await typist.works(5)
            revoke(home, place.file)
            await typist.works(5)
            assert not seat.memory
            await typist.kill()
            refused = await here.start(seat, place)
            assert refused.facts.get("failed") == "storage_read_only", refused.facts
            assert "cannot be written" in refused.facts["detail"] and "writable" in refused.facts["hint"]
            revoke(home, place.file, back=True)
            typist = await here.start(seat, place)
            here.raise_unless_shown(typist)
            await typist.works(5)
            await here.level([typist])
            await typist.close()
    finally:
        shutil.rmtree(home)


def revoke(home: Path, file: Path, *, back: bool = False) -> None:
    for path in home.glob(file.name + "*"):
        path.chmod(0o600 if back else 0o400)
    home.chmod(0o700 if back else 0o500)
