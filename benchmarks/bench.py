"""What a figure is measured with: the seed, how long, how often, and the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.disk import fdatasyncs_per_s
from benchmarks.figure import Ground, Sample
from benchmarks.load.connection import Conversation, Measured, converse
from benchmarks.machine import Stopwatch, loop_ms, wait_until_quiet
from benchmarks.seed import Seed
from benchmarks.servers import Running

__all__ = ["Bench", "mean"]


@dataclass(frozen=True)
class Bench:
    """`seconds` a repetition, `repeat` repetitions, before each of which it waits up to `patience` seconds for a quiet machine; everything
    that is written lies in `folder`."""

    folder: Path
    seed: Seed
    seconds: float
    repeat: int
    patience: float
    say: Callable[[str], None]

    def rounds(self) -> Iterator[int]:
        for number in range(self.repeat):
            wait_until_quiet(self.patience)
            yield number

    def ground(self) -> Ground:
        """What disk and cores are worth now."""
        return Ground(fdatasyncs_per_s(self.folder), loop_ms())

    async def load(self, server: Running, conversations: list[Conversation]) -> tuple[Measured, Sample]:
        """One repetition of a closed loop. The ground is probed before and after; the mean counts."""
        before = self.ground()
        watch = Stopwatch(server.processes())
        measured = await converse(server.port, conversations, seconds=self.seconds)
        cpu = watch.stop()
        ground = mean(before, self.ground())
        facts = {"p50 ms": measured.milliseconds(0.5), "p99 ms": measured.milliseconds(0.99)}
        return measured, Sample(measured.per_second, ground, cpu, measured.units_in_all, facts)


def mean(before: Ground, after: Ground) -> Ground:
    return Ground((before.fdatasyncs + after.fdatasyncs) / 2, (before.loop_ms + after.loop_ms) / 2)
