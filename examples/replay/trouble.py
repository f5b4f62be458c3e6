"""What goes wrong on purpose: kills at random moments, replies that never arrive, mutations that are sent twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from replay.server import Kill

__all__ = ["Trouble"]

KILL_DELAY_SECONDS_MAX = 0.03
AGAIN_SHARE = 0.25
WHOLE_SHARE = 0.67
AGAIN_SECONDS_MAX = 1.0


class Trouble:
    """Decides, from one seed, what happens to each request. Shared by the devices' threads.

    `kills` are spread over the first `pushes_expected` pushes; each comes up to 30 ms after its push has begun, so that many of
    them meet a commit under way. A quarter of them strikes the restarted server once more, most often while it comes up."""

    def __init__(self, *, seed: int, kills: int, pushes_expected: int, drop_share: float, repeat_share: float,
                 kill: Callable[[Kill], None]) -> None:
        self._choice = random.Random(seed)
        self._kill_at = Counter(self._choice.randrange(max(1, pushes_expected)) for _ in range(kills))
        self._drop_share = drop_share
        self._repeat_share = repeat_share
        self._kill = kill
        self._lock = threading.Lock()
        self._pushes = 0
        self._killers: list[threading.Thread] = []
        self._failure: Exception | None = None
        self.drops = 0
        self.repeats = 0

    def before_push(self) -> None:
        with self._lock:
            due = self._kill_at.pop(self._pushes, 0)
            self._pushes += 1
            plans = [(self._choice.uniform(0, KILL_DELAY_SECONDS_MAX), self._next_kill()) for _ in range(due)]
        for delay, kill in plans:
            killer = threading.Timer(delay, self._kill_now, [kill])
            self._killers.append(killer)
            killer.start()

    def _next_kill(self) -> Kill:
        again = self._choice.uniform(0, AGAIN_SECONDS_MAX) if self._choice.random() < AGAIN_SHARE else None
        return Kill(whole=self._choice.random() < WHOLE_SHARE, again_after_seconds=again)

    def _kill_now(self, kill: Kill) -> None:
        try:
            self._kill(kill)
        except Exception as error:
            self._failure = error

    def drops_reply(self) -> bool:
        with self._lock:
            dropped = self._choice.random() < self._drop_share
            self.drops += dropped
            return dropped

    def repeats_push(self) -> bool:
        with self._lock:
            repeated = self._choice.random() < self._repeat_share
            self.repeats += repeated
            return repeated

    def jitter(self) -> float:
        with self._lock:
            return self._choice.random()

    def raise_if_failed(self) -> None:
        """Raises what a restart raised."""
        if self._failure is not None:
            raise self._failure

    def kill_what_is_left(self) -> None:
        """The kills whose push never came (fewer pushes than expected), and those still under way."""
        for killer in self._killers:
            killer.join()
        with self._lock:
            left, self._kill_at = sum(self._kill_at.values()), Counter()
        for _ in range(left):
            self._kill_now(Kill())
        self.raise_if_failed()
