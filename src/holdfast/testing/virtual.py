"""Virtual time: an event loop whose clock jumps to the next thing that is due, and a machine's runtime that goes with it. A week takes
milliseconds, one thread does everything, and the same seed gives the same run.

Every machine of a simulation has a `VirtualRuntime` of its own: its wall clock may be wrong and may jump, its randomness comes from its
own stream (so that what one machine draws does not change what another does), and its disk may be a `SimulatedDisk`.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from holdfast.runtime import uuid7_from

__all__ = ["START_MS", "VirtualRuntime", "run_virtually"]

T = TypeVar("T")

START_MS: Final = 1_795_000_000_000
"""Where the clocks of a virtual world begin (November 2026)."""


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: it moves the clock."""

    def __init__(self, turns_max: int | None) -> None:
        super().__init__()
        self.now = 0.0
        self._turns_left = turns_max

    def select(self, timeout: float | None = None) -> list[Any]:
        if self._turns_left is not None:
            self._turns_left -= 1
            if self._turns_left < 0:
                self._turns_left = 1_000        # for what ends in an orderly way
                raise RuntimeError(f"it goes on and on: at {self.now:.3f} s of virtual time there is no end in sight")
        if timeout is None:
            raise RuntimeError("everything waits, and nothing is due: a deadlock")
        if timeout > 0:
            self.now += timeout
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _Jumping) -> None:
        super().__init__(selector)
        self._jumping = selector

    def time(self) -> float:
        return self._jumping.now


class VirtualRuntime:
    """`Runtime` of one machine under virtual time. `skew_ms` puts its wall clock off; `vfs` names its simulated disk."""

    def __init__(self, seed: int | str, *, start_ms: int = START_MS) -> None:
        self.rng = random.Random(seed)
        self.skew_ms = 0
        self.vfs: str | None = None
        self._start_ms = start_ms
        self._count = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def now_ms(self) -> int:
        return self._start_ms + self.skew_ms + int(asyncio.get_running_loop().time() * 1_000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def random_bytes(self, count: int) -> bytes:
        return self.rng.randbytes(count)

    def uuid7(self) -> str:
        self._count += 1
        return uuid7_from(self.now_ms() + (self._count >> 12), self.random_bytes(8), self._count & 0xFFF)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def blocking(self, work: Callable[[], T]) -> T:
        return work()

    def sqlite_vfs(self) -> str | None:
        return self.vfs


def run_virtually(main: Coroutine[Any, Any, T], *, turns_max: int | None = None) -> T:
    """Run `main` to its end under virtual time. Raises RuntimeError where everything waits for ever, or where it takes more than
    `turns_max` turns of the loop: a livelock."""
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(_Jumping(turns_max))) as runner:
        return runner.run(main)
