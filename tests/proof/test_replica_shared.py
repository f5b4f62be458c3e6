"""Three processes type into one replica file at once, while the one that sends is killed or paused, others are killed, and the server goes
away: no edit that was called kept is lost, none is there twice, each process's stay in their order, and in the end all show what the server
holds. Defends P1, P2 and P5.

A few blows in every run; `make soak` deals as many as HOLDFAST_KILLS says (1,000)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.proof.hosts import freeze
from tests.proof.replica_crowd import Crowd, Place, Typist, crowd, judge_server, leader_of
from tests.proof.test_kills import seed_of_run
from tests.proof.test_replica_kills import KILLS, WALL_KILLS
from tests.proof.world import named_id

NAMES = ("ada", "bea", "cem")
PAUSE_SECONDS = 1.5
"""Longer than the sender's lease lasts."""


async def beat_again_and_again(folder: Path, blows: int, seed: int) -> None:
    async with crowd(folder, seed) as here:
        place = Place(folder / "a.replica")
        typists = [await here.start(here.seat(name), place) for name in NAMES]
        for typist in typists:
            await typist.works(3)
        led = 0
        for number in range(blows):
            at = await struck(here, place, typists)
            led += typists[at].facts["opened"] == leader_of(place.file)
            await strike(here, place, typists, at, number)
            for typist in typists:
                await typist.works(2)
            if number % WALL_KILLS == WALL_KILLS - 1:
                await new_wall(here, typists)
        await here.level(typists)
        for typist in typists:
            await typist.close()
        await here.host.stop()
        entries = await judge_server(here.host.folder, here.wall, here.seats)
        kept = sum(len(seat.kept) for seat in here.seats)
        print(f"{blows} blows, {led} of them at the process that sends; {kept} edits kept, {entries} entries")
        assert led * 2 >= blows


async def struck(here: Crowd, place: Place, typists: list[Typist]) -> int:
    """Mostly the one that sends."""
    if here.chance.random() < 0.2:
        return here.chance.randrange(len(typists))
    for _ in range(500):
        leader = leader_of(place.file)
        for at, typist in enumerate(typists):
            if typist.facts["opened"] == leader:
                return at
        await asyncio.sleep(0.02)
    raise AssertionError("nobody takes over the lease")


async def strike(here: Crowd, place: Place, typists: list[Typist], at: int, number: int) -> None:
    victim, others = typists[at], [typist for typist in typists if typist is not typists[at]]
    if number % 4 == 2:
        freeze(victim.process)
        await asyncio.sleep(PAUSE_SECONDS)
        for typist in others:
            await typist.works(2)
        os.kill(victim.process, signal.SIGCONT)
        return
    if number % 8 == 3:
        await here.host.kill()
    await victim.kill()
    for typist in others:
        await typist.works(3)
    if number % 8 == 3:
        await here.host.start()
    typists[at] = await here.start(victim.seat, place)
    here.raise_unless_shown(typists[at])


async def new_wall(here: Crowd, typists: list[Typist]) -> None:
    await here.level(typists)
    here.wall = named_id(f"wall {len(here.walls)}")
    here.walls.append(here.wall)
    await here.put_up(here.wall)
    for typist in typists:
        typist.say(do="type", wall=here.wall)


async def test_three_processes_on_one_file_agree_whoever_of_them_is_killed_or_paused(tmp_path: Path) -> None:
    await beat_again_and_again(tmp_path, 4, seed_of_run())


@pytest.mark.soak
async def test_the_same_a_thousand_times(tmp_path: Path) -> None:
    await beat_again_and_again(tmp_path, KILLS, seed_of_run())
