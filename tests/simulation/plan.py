"""What one run is like, drawn from its seed: who takes part, by which rules, and which troubles there are.

Not every run has every trouble: with all at once, each hides the others. So each is there or not by a throw of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from holdfast.client.settings import ReplicaSettings
from holdfast.core.limits import Limits
from holdfast.testing.network import CALM, Weather

__all__ = ["TROUBLES", "Plan"]

TROUBLES: Final = ("network", "socket", "crash", "power", "server", "disk", "full", "clock", "rights", "restore", "offline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    seed: int
    people: tuple[int, ...]                 # per device, whose it is
    tabs: tuple[int, ...]                   # per device, how many programs may have its file open at once
    has_other_tenant: bool
    asks: bool                              # the merge rule of titles and prices
    steps: int
    settings: ReplicaSettings
    limits: Limits
    heartbeat_seconds: float
    troubles: frozenset[str]

    @classmethod
    def of(cls, seed: int) -> Plan:
        rng = random.Random(f"plan {seed}")
        devices = rng.choice((1, 2, 2, 2, 3, 3, 4))
        people = [0]
        for _ in range(1, devices):
            people.append(people[-1] if rng.random() < 0.15 else max(people) + 1)
        tabs = tuple(2 if rng.random() < 0.25 else 1 for _ in range(devices))
        return cls(seed=seed, people=tuple(people), tabs=tabs, has_other_tenant=rng.random() < 0.2, asks=rng.random() < 0.35,
                   steps=rng.randint(15, 70), settings=_settings(rng), limits=_limits(rng),
                   heartbeat_seconds=rng.choice((0.5, 2.0, 15.0)),
                   troubles=frozenset(one for one in TROUBLES if rng.random() < 0.4))

    def weather(self, rng: random.Random) -> Weather:
        """The weather of the next while."""
        if "network" not in self.troubles or rng.random() < 0.35:
            return CALM
        chances = [rng.choice((0.0, 0.0, 0.1, 0.3)) for _ in range(4)]
        return Weather(lost=chances[0], delayed=chances[1], repeated=chances[2], halved=chances[3],
                       delay_seconds_max=rng.choice((0.01, 0.2, 5.0)))


def _settings(rng: random.Random) -> ReplicaSettings:
    hold = rng.choice((1, 5, 100, 500))
    return ReplicaSettings(
        hold_ms=hold, hold_ms_max=hold * 4, backoff_seconds=rng.choice((0.01, 0.2, 1.0)), backoff_seconds_max=rng.choice((0.05, 5.0, 60.0)),
        right_seconds=rng.choice((0.2, 5.0)), connect_seconds_max=2.0, answer_seconds_max=rng.choice((0.5, 5.0)),
        silence_seconds_max=40.0, poll_seconds=rng.choice((0.05, 1.0)), socket_again_seconds=rng.choice((2.0, 20.0)),
        push_mutations_max=rng.choice((1, 2, 7, 500)), push_bytes_max=rng.choice((600, 20_000, 900 << 10)),
        shared=True, lease_seconds=rng.choice((0.3, 3.0)), watch_seconds=rng.choice((0.05, 0.25)),
        disk_retry_seconds=rng.choice((0.05, 1.0)))


def _limits(rng: random.Random) -> Limits:
    if rng.random() < 0.6:
        return Limits()
    return Limits(push_mutations_max=rng.choice((3, 500)), batch_mutations_max=rng.choice((1, 4, 512)),
                  pull_entries_max=rng.choice((2, 5, 1_000)), page_records_max=rng.choice((1, 3, 200)),
                  held_or_refused_per_minute_max=rng.choice((2, 100)), queue_mutations_max=rng.choice((4, 20_000)),
                  inbox_items_max=rng.choice((50, 1_000)))
