"""A process that types into its replica is killed with SIGKILL, again and again, half of the times inside COMMIT, while its server is up,
down or being killed: every edit that the replica called kept is there, once, in its order, and in the end it agrees with the server.
Defends P1, P2 and P5.

A few kills in every run; `make soak` does as many as HOLDFAST_KILLS says (1,000). HOLDFAST_TEST_SEED replays one run's choices."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.proof.replica_crowd import Crowd, Place, Typist, crowd, judge_server
from tests.proof.replica_witness import Seat
from tests.proof.test_kills import seed_of_run
from tests.proof.world import named_id

KILLS = int(os.environ.get("HOLDFAST_KILLS", "1000"))
WALL_KILLS = 50


class Weather:
    """What happens to the server: in each ten kills of the typist it is up, then down, then killed at the same moment."""

    def __init__(self, here: Crowd) -> None:
        self._here = here
        self.kills = 0

    async def before(self, number: int) -> None:
        host = self._here.host
        if number % 10 == 4:
            await host.kill()
            self.kills += 1
        elif number % 10 == 7:
            await host.start()

    async def strike(self, number: int, typist: Typist) -> bool:
        if number % 10 == 9:
            inside, _ = await asyncio.gather(typist.kill(), self._here.host.kill())
            self.kills += 1
            await self._here.host.start()
            return inside
        return await typist.kill()

    async def clear(self) -> None:
        if not self._here.host.writers():
            await self._here.host.start()


async def kill_again_and_again(folder: Path, kills: int, seed: int) -> None:
    async with crowd(folder, seed) as here:
        weather, inside, place = Weather(here), 0, Place(folder / "a.replica")
        seat, other = here.seat("ada"), here.seat("bea")
        companion = await here.start(other, Place(folder / "b.replica"))
        for number in range(kills):
            await weather.before(number)
            typist = await here.start(seat, place, witnessed=True)
            here.raise_unless_shown(typist)
            inside += await strike(here, weather, number, typist)
            if number % WALL_KILLS == WALL_KILLS - 1:
                await weather.clear()
                await new_wall(here, [companion], seat, place)
        await weather.clear()
        typist = await here.start(seat, place)
        await here.level([typist, companion])
        await typist.close()
        await companion.close()
        await here.host.stop()
        entries = await judge_server(here.host.folder, here.wall, here.seats)
        print(f"{kills} kills, {inside} inside COMMIT; the server was killed {weather.kills} times; "
              f"{len(seat.kept)} edits kept, {entries} entries")
        assert inside * 3 >= kills and len(seat.kept) > kills


async def strike(here: Crowd, weather: Weather, number: int, typist: Typist) -> bool:
    """Wait for the moment, and kill."""
    if number % 2:
        await typist.caught_inside(here.chance)
    elif number % 4:
        await typist.works(here.chance.randrange(1, 40))
    else:
        await asyncio.sleep(here.chance.uniform(0, 0.3))
    return await weather.strike(number, typist)


async def new_wall(here: Crowd, others: list[Typist], seat: Seat, place: Place) -> None:
    """Everything as it must be so far; then go on with a wall that is not full yet."""
    typist = await here.start(seat, place)
    await here.level([typist, *others])
    await typist.close()
    here.wall = named_id(f"wall {len(here.walls)}")
    here.walls.append(here.wall)
    await here.put_up(here.wall)
    for other in others:
        other.say(do="type", wall=here.wall)


async def test_what_the_replica_called_kept_survives_kills_of_its_process_and_of_its_server(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path, 10, seed_of_run())


@pytest.mark.soak
async def test_the_same_a_thousand_times(tmp_path: Path) -> None:
    await kill_again_and_again(tmp_path, KILLS, seed_of_run())


def test_the_witness_sees_what_is_lost_twice_or_out_of_order() -> None:
    """The judge itself: it must be able to find fault."""
    seat = Seat("ada")
    for number in (1, 2):
        seat.heard({"tried": number, "kind": "token", "id": "wall"})
        seat.heard({"kept": number, "receipt": "local"})
    seat.heard({"tried": 3, "kind": "note", "id": "n"})
    seat.heard({"kept": 3, "receipt": "local"})
    seat.raise_unless_shown("wall", "<ada.1><ada.2>", {"n": "3"})
    found = Counter[str]()
    for body, notes in {"<ada.1>": {"n": "3"}, "<ada.1><ada.2><ada.1>": {"n": "3"}, "<ada.2><ada.1>": {"n": "3"},
                        "<ada.1><ada.2><ada.9>": {"n": "3"}, "<ada.1><ada.2>": {}}.items():
        with pytest.raises(AssertionError) as fault:
            seat.raise_unless_shown("wall", body, notes)
        found[str(fault.value).split(":")[1]] += 1
    assert len(found) >= 4
