"""Coming back: a session's 50 records in one request, and a snapshot of all 10,000."""

from __future__ import annotations

import uvloop

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Sample
from benchmarks.load.connection import LoadFailed
from benchmarks.load.reading import Resumer, take_snapshot
from benchmarks.machine import Stopwatch
from benchmarks.seed import DRAFTS, DRAFTS_PER_SESSION, SESSIONS
from benchmarks.servers import Running

__all__ = ["resume", "snapshot"]

CONNECTIONS = 32
TARGET = "/v1/records/drafts?session={session}&limit=50"


def resume(bench: Bench) -> list[Figure]:
    with bench.seed.served("resume") as server:
        samples = uvloop.run(_resume(bench, server))
    return [Figure(f"resume of {DRAFTS_PER_SESSION} records, {CONNECTIONS} connections", "requests/s", 3_000.0, samples)]


async def _resume(bench: Bench, server: Running) -> list[Sample]:
    tokens = bench.seed.tokens
    samples = []
    for _ in bench.rounds():
        resumers = [Resumer(number, TARGET, SESSIONS, DRAFTS_PER_SESSION, tokens[number % len(tokens)], b'"rev":')
                    for number in range(CONNECTIONS)]
        measured, sample = await bench.load(server, list(resumers))
        sample.facts["kB an answer"] = sum(one.bytes for one in resumers) / max(measured.units_in_all, 1) / 1000
        samples.append(sample)
    return samples


def snapshot(bench: Bench) -> list[Figure]:
    samples = []
    with bench.seed.served("snapshot") as server:
        for _ in bench.rounds():
            ground = bench.ground()
            watch = Stopwatch(server.processes())
            plain = take_snapshot(server.port, bench.seed.tokens[0], compressed=False)
            cpu = watch.stop()
            packed = take_snapshot(server.port, bench.seed.tokens[0], compressed=True)
            if plain.rows != DRAFTS or packed.rows != DRAFTS or plain.bytes != packed.bytes:
                raise LoadFailed(f"A snapshot of {DRAFTS} records had {plain.rows} ({plain.bytes} bytes), compressed {packed.rows}.")
            facts = {"MB": plain.bytes / 1e6, "rows/s compressed": packed.rows_per_s, "MB compressed": packed.wire_bytes / 1e6}
            samples.append(Sample(plain.rows_per_s, ground, cpu, plain.rows, facts))
    return [Figure(f"snapshot of {DRAFTS:,} records", "rows/s", 40_000.0, samples)]
