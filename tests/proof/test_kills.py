"""A process that saves is killed with SIGKILL, again and again, at least half of the times inside COMMIT: everything acknowledged is there,
nothing twice, the tables are what the log says, and it starts again by itself. Defends P1 and P2.

A few kills in every run; `make soak` does as many as HOLDFAST_KILLS says (300). HOLDFAST_TEST_SEED replays one run's choices."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from tests.proof.hosts import EmbeddedHost, Host, ServedHost, started
from tests.proof.typists import Typists, judge
from tests.proof.witness import MOMENTS

STEPS_MAX = 40
KILLS = int(os.environ.get("HOLDFAST_KILLS", "300"))


def seed_of_run() -> int:
    seed = int(os.environ.get("HOLDFAST_TEST_SEED", random.randrange(1 << 32)))
    print(f"replay: HOLDFAST_TEST_SEED={seed}")
    return seed


async def strike(host: Host, chance: random.Random, *, inside: bool) -> bool:
    """Wait for the moment, and kill: at a chosen step of a COMMIT, or whenever it happens to be."""
    if not inside:
        await asyncio.sleep(chance.uniform(0.0, 0.25))
        return await host.kill(whole=chance.random() < 0.7)
    await caught_inside(host, chance)
    return await host.kill()


async def caught_inside(host: Host, chance: random.Random) -> None:
    """Wait until the writer stands still in the middle of a COMMIT."""
    mark = host.mark
    mark.moment = chance.randrange(len(MOMENTS))
    mark.stop_at = mark.steps + chance.randrange(1, STEPS_MAX)
    give_up = time.monotonic() + 10
    while not mark.stopped:
        assert time.monotonic() < give_up, "no COMMIT came to the step at which it should have been stopped"
        await asyncio.sleep(0.002)


async def kill_again_and_again(host: Host, folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    typists = Typists.of(host, seed)
    async with started(host):
        await typists.begin()
        working = asyncio.get_running_loop().create_task(typists.work())
        inside = 0
        for number in range(kills):
            typists.awake.set()
            await asyncio.sleep(chance.uniform(0.02, 0.15))
            inside += await strike(host, chance, inside=number % 3 != 0)
            if number % 40 == 39:
                await judge(folder, typists.devices)
            await host.start()
        typists.done = True
        typists.awake.set()
        await working
        await host.stop()
        entries = await judge(folder, typists.devices)
        print(f"{kills} kills, {inside} of them inside COMMIT; {typists.acknowledged} acknowledged, {entries} entries")
        assert inside * 2 >= kills and typists.acknowledged > kills


def host_of(kind: str, folder: Path) -> Host:
    return EmbeddedHost(folder) if kind == "embedded" else ServedHost(folder)


@pytest.mark.parametrize(("kind", "kills"), [("embedded", 9), ("served", 5)])
async def test_what_was_acknowledged_survives_kills_inside_commit_and_is_there_once(tmp_path: Path, kind: str, kills: int) -> None:
    folder = tmp_path / "data"
    await kill_again_and_again(host_of(kind, folder), folder, kills, seed_of_run())


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["embedded", "served"])
async def test_the_same_for_long(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    await kill_again_and_again(host_of(kind, folder), folder, KILLS, seed_of_run())


# -- the writer alone ------------------------------------------------------------------------------------------------------


async def kill_the_writer(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    host = ServedHost(folder)
    typists = Typists.of(host, seed)
    async with started(host):
        await typists.begin()
        typists.awake.set()
        working = asyncio.get_running_loop().create_task(typists.work())
        inside = 0
        for number in range(kills):
            await asyncio.sleep(chance.uniform(0.05, 0.2))
            if number % 2:
                await caught_inside(host, chance)
            inside += host.kill_writer()
            await typists.saving_goes_on()
        assert host.client is not None and (await host.client.get("/readyz")).json() == {"status": "ready"}
        typists.done = True
        await working
        await host.stop()
        await judge(folder, typists.devices)
        print(f"{kills} kills of the writer, {inside} inside COMMIT; {typists.acknowledged} acknowledged; turned away: {typists.turned}")
        assert inside * 2 >= kills - 1 and typists.turned["writer_stopped"] > 0 and set(typists.turned) <= {"writer_stopped", "unavailable"}


async def test_when_the_writer_dies_waiting_saves_fail_loudly_and_the_server_recovers_by_itself(tmp_path: Path) -> None:
    await kill_the_writer(tmp_path / "data", 4, seed_of_run())


@pytest.mark.soak
async def test_the_writer_dies_again_and_again(tmp_path: Path) -> None:
    await kill_the_writer(tmp_path / "data", KILLS, seed_of_run())
