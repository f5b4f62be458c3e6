"""Pushes of 50 mutations, each of another draft, as devices send that come back from offline; and the same rows through the bare driver.

A device's drafts lie anywhere in the table: those of one person do not stand beside one another there.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import uvloop

from benchmarks.bench import Bench, mean
from benchmarks.figure import Figure, Sample
from benchmarks.load.writing import Draft
from benchmarks.machine import Stopwatch
from benchmarks.peers.bare_driver import BareRows, write_bare
from benchmarks.saves import raise_unless_kept
from benchmarks.seed import DRAFTS
from benchmarks.servers import Running

__all__ = ["pushes"]

CONNECTIONS = 8
AT_ONCE = 50


def pushes(bench: Bench) -> list[Figure]:
    """Ours and the bare driver's in turn, so that both meet the same disk."""
    ours: list[Sample] = []
    bare: list[Sample] = []
    for round_number in bench.rounds():
        with bench.seed.served("pushes", keep=bench.folder / "pushed") as server:
            ours.append(uvloop.run(_pushes(bench, server, round_number)))
        bare.append(_bare(bench, ours[-1].value))
        shutil.rmtree(bench.folder / "pushed")
    share = [Sample(mine.value / driver.facts["bare mutations/s"], driver.ground, driver.cpu, driver.count, driver.facts)
             for mine, driver in zip(ours, bare, strict=True)]
    return [Figure(f"pushes of {AT_ONCE}, {CONNECTIONS} connections", "mutations/s", 15_000.0, ours, durable=True),
            Figure(f"pushes of {AT_ONCE}, share of the bare driver", "of its rate", 0.4, share)]


async def _pushes(bench: Bench, server: Running, round_number: int) -> Sample:
    anyhow = random.Random(round_number).sample(range(DRAFTS), DRAFTS)
    devices = [bench.seed.device(number, [Draft.begun(draft) for draft in anyhow[number::CONNECTIONS]],
                                 run=f"pushes-{round_number}", at_once=AT_ONCE) for number in range(CONNECTIONS)]
    _, sample = await bench.load(server, list(devices))
    if round_number == 0:
        await raise_unless_kept(bench, server, devices, every=97)
    return sample


def _bare(bench: Bench, ours: float) -> Sample:
    database = bench.folder / "bare.sqlite"
    rows = BareRows.read(_database(bench.folder / "pushed"), bench.seed.seq)
    rates: dict[bool, float] = {}
    before = bench.ground()
    for blind in (True, False):
        shutil.copy(_database(bench.seed.folder), database)
        watch = Stopwatch({})
        written, seconds = write_bare(database, rows, at_once=AT_ONCE, seconds=bench.seconds, blind=blind)
        cpu, rates[blind] = watch.stop(), written / seconds
        for left in bench.folder.glob("bare.sqlite*"):
            left.unlink()
    return Sample(rates[False], mean(before, bench.ground()), cpu, written,
                  {"bare mutations/s": rates[False], "bare, blind": rates[True], "ours": ours})


def _database(folder: Path) -> Path:
    """The one SQLite file of a data folder whose server has ended (so that nothing is left in its WAL)."""
    found = [path for path in folder.iterdir() if path.suffix in {".sqlite", ".sqlite3", ".db"}]
    assert len(found) == 1, f"one database expected in {folder}: {found}"
    return found[0]
