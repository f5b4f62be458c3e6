"""A figure: what was measured, what it should be, how far the disk bounds it, and what else ran."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.disk import scaled
from benchmarks.machine import CpuUse

__all__ = ["Figure", "Ground", "Sample"]

DISTURBED_SHARE = 0.10


@dataclass(frozen=True)
class Ground:
    """`loop_ms`: CPU time of a fixed loop (`machine.loop_ms`)."""

    fdatasyncs: float
    loop_ms: float


@dataclass
class Sample:
    """One repetition. `count` is what the CPU time is shared out over; `ground` what disk and cores were worth then."""

    value: float
    ground: Ground
    cpu: CpuUse
    count: int
    facts: dict[str, float] = field(default_factory=dict)


@dataclass
class Figure:
    """A median of samples against its target. `durable`: the target was given for a disk of 5,000 fdatasync/s, and scales with it."""

    name: str
    unit: str
    target: float
    samples: Sequence[Sample]
    durable: bool = False
    at_most: bool = False

    @property
    def value(self) -> float:
        return statistics.median(sample.value for sample in self.samples)

    @property
    def fdatasyncs(self) -> float:
        return statistics.median(sample.ground.fdatasyncs for sample in self.samples)

    @property
    def loop_ms(self) -> float:
        return statistics.median(sample.ground.loop_ms for sample in self.samples)

    @property
    def goal(self) -> float:
        """The target on this disk."""
        return scaled(self.target, self.fdatasyncs, at_most=self.at_most) if self.durable else self.target

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `disturbed`: missed while others used so much of the machine that it proves nothing."""
        return "met" if self.met else "disturbed" if self.others > DISTURBED_SHARE else "missed"

    @property
    def per_fdatasync(self) -> float:
        return self.value / self.fdatasyncs

    def fact(self, name: str) -> float:
        return statistics.median(sample.facts[name] for sample in self.samples)

    def microseconds(self) -> dict[str, float]:
        """CPU time per counted thing, by process."""
        names = self.samples[0].cpu.cores
        return {name: round(statistics.median(sample.cpu.microseconds(sample.count).get(name, 0.0) for sample in self.samples), 1)
                for name in names}

    def cores(self) -> dict[str, float]:
        return {name: round(statistics.median(sample.cpu.cores.get(name, 0.0) for sample in self.samples), 2)
                for name in self.samples[0].cpu.cores}

    @property
    def others(self) -> float:
        """The most that other processes took of the machine in any repetition, the hypervisor's share with it."""
        return max(sample.cpu.others + sample.cpu.stolen for sample in self.samples)

    def line(self) -> str:
        bound = "at most" if self.at_most else "at least"
        aim = f"{bound} {number(self.goal)}" + (f" ({number(self.target)} at 5,000 fdatasync/s)" if self.goal != self.target else "")
        facts = ", ".join(f"{name} {number(self.fact(name))}" for name in self.samples[0].facts)
        costs = ", ".join(f"{name} {cores:.2f} cores" for name, cores in self.cores().items())
        ratio = f"; {self.per_fdatasync:.2f} × fdatasync/s" if self.durable and not self.at_most else ""
        return (f"{self.verdict:9} {self.name}: {number(self.value)} {self.unit}, {aim}{ratio}"
                f"\n          {facts}{'; ' if facts else ''}fdatasync {number(self.fdatasyncs)}/s; {costs}; others {self.others:.0%}")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": round(self.value, 3), "unit": self.unit, "target": self.target,
                "goal_on_this_disk": round(self.goal, 3),
                "verdict": self.verdict, "at_most": self.at_most, "durable": self.durable, "fdatasyncs_per_s": round(self.fdatasyncs),
                "per_fdatasync": round(self.per_fdatasync, 3), "loop_ms": round(self.loop_ms, 2), "others": round(self.others, 3),
                "cores": self.cores(), "cpu_us_each": self.microseconds(), "samples": [asdict(sample) for sample in self.samples]}


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
