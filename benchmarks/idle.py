"""Memory of a server at rest that holds 10,000 records: all its processes together, shared pages counted once (PSS)."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Sample
from benchmarks.load.reading import take_snapshot
from benchmarks.machine import Stopwatch, memory_bytes

__all__ = ["idle_memory"]

SETTLE_SECONDS = 2.0


def idle_memory(bench: Bench) -> list[Figure]:
    """Right after its start, and after it has served a snapshot of everything."""
    samples = []
    for round_number in bench.rounds():
        with bench.seed.served(f"idle-{round_number}") as server:
            watch = Stopwatch(server.processes())
            time.sleep(SETTLE_SECONDS)
            at_rest = memory_bytes(list(server.processes()))
            cpu = watch.stop()
            take_snapshot(server.port, bench.seed.tokens[0], compressed=False)
            time.sleep(SETTLE_SECONDS)
            facts = {"MB after a snapshot": memory_bytes(list(server.processes())) / 1e6, "processes": float(len(server.processes()))}
            samples.append(Sample(at_rest / 1e6, bench.ground(), cpu, 1, facts))
    return [Figure("idle server with 10,000 records", "MB", 120.0, samples, at_most=True)]
