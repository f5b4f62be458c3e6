"""The Python replica: an edit on the disk, a file opened, a week offline sent, a long absence caught up with.

The replica runs in the measuring process; its server is a real one, in processes of its own, over loopback. Before a figure counts, what
the replica shows is compared with what was done.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bench import Bench, mean
from benchmarks.drafts import Draft
from benchmarks.figure import Figure, Sample
from benchmarks.load.connection import LoadFailed, ask, percentile
from benchmarks.load.device import Device
from benchmarks.load.writing import Draft as Written
from benchmarks.load.writing import draft_id
from benchmarks.machine import Stopwatch
from benchmarks.replica_memory import ADDRESS, PROBES
from benchmarks.saves import head_seq
from benchmarks.seed import DRAFTS
from benchmarks.servers import PROJECT, Running
from holdfast.client import Replica, open_replica
from holdfast.client.web import WebTransport
from holdfast.runtime import RealRuntime

__all__ = ["catching_up", "editing", "memory", "opening", "week_offline"]

EDITS = 2_000
WEEK_MUTATIONS = 5_000
WEEK_DRAFTS = 500
WEEK_MS = 7 * 86_400_000
CHANGES = 100_000
WRITERS = 8
PUSHED_AT_ONCE = 50
OPENED_READ = 50
WAIT_SECONDS_MAX = 120.0
EDITS_FOR_MEMORY = 100_000


class ShiftedRuntime(RealRuntime):
    """The world, at another date."""

    shift_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.shift_ms


@asynccontextmanager
async def opened(path: Path, server: Running | None = None, token: str | None = None, runtime: RealRuntime | None = None,
                 ) -> AsyncIterator[Replica]:
    transport = None if server is None else WebTransport(f"http://127.0.0.1:{server.port}")
    async with open_replica(path, None if server is None else ADDRESS, records=[Draft], token=token, transport=transport, runtime=runtime,
                            ) as replica:
        yield replica


async def until(reached: object, seconds_max: float = WAIT_SECONDS_MAX) -> None:
    """Look often; raises LoadFailed if it takes too long."""
    assert callable(reached)
    give_up = time.perf_counter() + seconds_max
    while not reached():
        if time.perf_counter() > give_up:
            raise LoadFailed(f"It took longer than {seconds_max:.0f} s.")
        await asyncio.sleep(0.002)


# -- a file with all drafts --------------------------------------------------------------------------------------------------


async def pull_everything(path: Path, server: Running, token: str) -> None:
    """A replica of all drafts, level with the server."""
    async with opened(path, server, token) as replica:
        if not await replica.synced(WAIT_SECONDS_MAX):
            raise LoadFailed(f"The replica did not get level: {replica.status}")
        if sum(1 for _ in replica._device.store.records("drafts")) != DRAFTS:
            raise LoadFailed("The replica does not hold all drafts.")


def copies(bench: Bench, original: Path, name: str) -> Iterator[Path]:
    """A fresh copy for each round."""
    for number in bench.rounds():
        copy = original.with_name(f"{name}-{number}.replica")
        shutil.copy(original, copy)
        yield copy
        for left in copy.parent.glob(copy.name + "*"):
            left.unlink()


# -- an edit -----------------------------------------------------------------------------------------------------------------


def editing(bench: Bench) -> list[Figure]:
    """Letters typed into a text, and fields of a record saved: each on the disk when the call returns. Half of the drafts were pulled."""
    path = bench.folder / "editing.replica"
    with bench.seed.served("replica-editing") as server:
        asyncio.run(pull_everything(path, server, bench.seed.tokens[0]))
    typed: list[Sample] = []
    saved: list[Sample] = []
    for copy in copies(bench, path, "editing"):
        typed.append(asyncio.run(_edits(bench, copy, _typed)))
        saved.append(asyncio.run(_edits(bench, copy, _saved)))
    return [Figure("replica: a letter typed, durable, p50", "ms", 1.0, typed, durable=True, at_most=True),
            Figure("replica: a record saved, durable, p50", "ms", 1.0, saved, durable=True, at_most=True)]


async def _edits(bench: Bench, path: Path, edit: object) -> Sample:
    assert callable(edit)
    before = bench.ground()
    async with opened(path) as replica:
        watch = Stopwatch({})
        times = sorted(edit(replica))
        cpu = watch.stop()
    ground = mean(before, bench.ground())
    facts = {"p99 ms": percentile(times, 0.99) * 1e3, "fdatasync ms": 1e3 / ground.fdatasyncs}
    return Sample(percentile(times, 0.5) * 1e3, ground, cpu, len(times), facts)


def _typed(replica: Replica) -> list[float]:
    times = []
    for number in range(0, EDITS, 50):
        body = replica.text(replica.get(Draft, draft_id(number)), "body")
        stood = str(body)
        for letter in "fifty letters of a sentence that a person is typing"[:50]:
            began = time.perf_counter()
            body.append(letter)
            times.append(time.perf_counter() - began)
        if replica.get(Draft, draft_id(number)).body != stood + "fifty letters of a sentence that a person is typing"[:50]:
            raise LoadFailed("What was typed is not what stands there.")
        body.close()
    return times


def _saved(replica: Replica) -> list[float]:
    times = []
    for number in range(EDITS):
        draft = replica.get(Draft, draft_id(number))
        draft.title, draft.step = f"Draft {number}, edited", number
        began = time.perf_counter()
        replica.save(draft)
        times.append(time.perf_counter() - began)
    if len(replica.pending()) < EDITS:
        raise LoadFailed("Not every edit is in the outbox.")
    return times


# -- opening -----------------------------------------------------------------------------------------------------------------


def opening(bench: Bench) -> list[Figure]:
    """From the call to a session's fifty records on the screen. Reading all ten thousand is given beside it."""
    path = bench.folder / "opening.replica"
    with bench.seed.served("replica-opening") as server:
        asyncio.run(pull_everything(path, server, bench.seed.tokens[0]))
    samples = [asyncio.run(_open(bench, copy)) for copy in copies(bench, path, "opening")]
    return [Figure("replica: 10,000 records opened, 50 of them read", "ms", 150.0, samples, at_most=True)]


async def _open(bench: Bench, path: Path) -> Sample:
    ground, watch = bench.ground(), Stopwatch({})
    began = time.perf_counter()
    async with opened(path) as replica:
        shown = [replica.get(Draft, draft_id(number)) for number in range(OPENED_READ)]
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        everything = replica.list(Draft)
        seconds_all = time.perf_counter() - began
        if len(everything) != DRAFTS or any(one.title != f"Draft {number}" for number, one in enumerate(shown)):
            raise LoadFailed("The file does not hold what was pulled.")
    return Sample(seconds * 1e3, ground, watch.stop(), 1, {"all as typed records, ms": seconds_all * 1e3})


# -- a week offline ----------------------------------------------------------------------------------------------------------


def week_offline(bench: Bench) -> list[Figure]:
    """5,000 mutations of 500 drafts, made over a week; from the opening of the file until the server has acknowledged the last."""
    path = bench.folder / "week.replica"
    with bench.seed.served("replica-week-pulled") as server:
        asyncio.run(pull_everything(path, server, bench.seed.tokens[0]))
    asyncio.run(_work_for_a_week(path))
    samples = []
    for copy in copies(bench, path, "week"):
        with bench.seed.served(f"replica-{copy.stem}") as server:
            samples.append(asyncio.run(_drain(bench, copy, server)))
    return [Figure("replica: 5,000 pending mutations sent", "s", 2.0, samples, at_most=True)]


async def _work_for_a_week(path: Path) -> None:
    runtime = ShiftedRuntime()
    async with opened(path, runtime=runtime) as replica:
        for number in range(WEEK_MUTATIONS):
            runtime.shift_ms = -WEEK_MS + number * WEEK_MS // WEEK_MUTATIONS
            draft = replica.get(Draft, draft_id(number % WEEK_DRAFTS * 20))
            if number // WEEK_DRAFTS % 2:
                body = replica.text(draft, "body")
                body.append(f" Written on occasion {number}.")
                body.close()
            else:
                replica.change(draft, title=f"Occasion {number}", step=number)
        if len(replica.pending()) != WEEK_MUTATIONS:
            raise LoadFailed(f"{len(replica.pending())} mutations are pending.")


async def _drain(bench: Bench, path: Path, server: Running) -> Sample:
    before, watch = bench.ground(), Stopwatch(server.processes())
    token, stood = bench.seed.tokens[0], await head_seq(server.port, bench.seed.tokens[0])
    began = time.perf_counter()
    async with opened(path, server, token) as replica:
        opened_seconds = time.perf_counter() - began
        await until(lambda: not replica._device.unanswered())
        seconds = time.perf_counter() - began
        await until(lambda: not replica._device.by_id)
        seconds_back = time.perf_counter() - began
        cpu = watch.stop()
        if await head_seq(server.port, token) != stood + WEEK_MUTATIONS or replica.refused() or replica.held():
            raise LoadFailed("The server did not take just what was pending.")
    return Sample(seconds, mean(before, bench.ground()), cpu, WEEK_MUTATIONS,
                  {"opened s": opened_seconds, "all come back s": seconds_back})


# -- catching up -------------------------------------------------------------------------------------------------------------


def catching_up(bench: Bench) -> list[Figure]:
    """100,000 changes of 10,000 drafts by eight other devices, since this one was last here."""
    path = bench.folder / "behind.replica"
    samples = []
    with bench.seed.served("replica-behind") as server:
        asyncio.run(pull_everything(path, server, bench.seed.tokens[0]))
        written = asyncio.run(_change_much(bench, server))
        for copy in copies(bench, path, "behind"):
            samples.append(asyncio.run(_catch_up(bench, copy, server, written)))
    return [Figure("replica: catching up with 100,000 changes", "changes/s", 20_000.0, samples)]


async def _change_much(bench: Bench, server: Running) -> dict[str, Written]:
    devices = [bench.seed.device(number, [Written.begun(draft) for draft in range(number, DRAFTS, WRITERS)], run="behind",
                                 at_once=PUSHED_AT_ONCE) for number in range(WRITERS)]

    async def push(device: Device) -> None:
        for _ in range(CHANGES // WRITERS // PUSHED_AT_ONCE):
            device.answered(*await ask(server.port, device.request()))

    await asyncio.gather(*(push(device) for device in devices))
    return {draft.id: draft for device in devices for draft in device.drafts}


async def _catch_up(bench: Bench, path: Path, server: Running, written: dict[str, Written]) -> Sample:
    before, watch = bench.ground(), Stopwatch(server.processes())
    head = bench.seed.seq + CHANGES
    began = time.perf_counter()
    async with opened(path, server, bench.seed.tokens[0]) as replica:
        await until(lambda: replica._device.cursor_seq >= head)
        seconds = time.perf_counter() - began
        cpu = watch.stop()
        for record_id, draft in written.items():
            shown = replica.get(Draft, record_id)
            if (shown.body, shown.title, shown.step) != (draft.body, draft.title, draft.step):
                raise LoadFailed(f"Draft {draft.number} is not as it was written.")
    return Sample(CHANGES / seconds, mean(before, bench.ground()), cpu, CHANGES, {"s": seconds})


# -- memory ------------------------------------------------------------------------------------------------------------------


def memory(bench: Bench) -> list[Figure]:
    """100,000 edits of a thousand drafts in touch with the server, by a program of its own. Once, whatever the number of rounds: it takes a
    minute or two."""
    path = bench.folder / "memory.replica"
    ground = bench.ground()
    with bench.seed.served("replica-memory") as server:
        asyncio.run(pull_everything(path, server, bench.seed.tokens[0]))
        watch = Stopwatch(server.processes())
        command = [sys.executable, "-m", "benchmarks.replica_memory", str(path), str(server.port), bench.seed.tokens[0],
                   str(EDITS_FOR_MEMORY)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        cpu = watch.stop()
        if done.returncode:
            raise LoadFailed(f"The program that edits ended with {done.returncode}: {done.stderr[-2_000:]}")
        grown = asyncio.run(head_seq(server.port, bench.seed.tokens[0])) - bench.seed.seq
        if grown != EDITS_FOR_MEMORY:
            raise LoadFailed(f"{EDITS_FOR_MEMORY} edits were made, the log grew by {grown}.")
    probes = json.loads(done.stdout)
    shown = (0, 1, PROBES // 2 - 1, PROBES - 1)
    facts = {f"MB after {(number + 1) * EDITS_FOR_MEMORY // PROBES:,}": probes[number] / 1e6 for number in shown}
    sample = Sample((probes[-1] - probes[1]) / 1e6, ground, cpu, EDITS_FOR_MEMORY, facts | {"s": cpu.seconds})
    return [Figure("replica: memory grown from the 20,000th to the 100,000th edit", "MB", 10.0, [sample], at_most=True)]
