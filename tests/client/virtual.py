"""Virtual time for tests: an event loop whose clock jumps to the next thing that is due, and a runtime that goes with it. A story of hours
takes milliseconds, and the same seed gives the same story."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.runtime import uuid7_from

__all__ = ["VirtualRuntime", "run_virtually"]

T = TypeVar("T")

START_MS = 1_795_000_000_000


class _Jumping(selectors.SelectSelector):
    """A selector that never waits: it moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
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
    """`Runtime` under virtual time, everything drawn from one seed. `skew_ms` puts the wall clock off."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.skew_ms = 0
        self._count = 0

    def now_ms(self) -> int:
        return START_MS + self.skew_ms + int(asyncio.get_running_loop().time() * 1_000)

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
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task

    async def blocking(self, work: Callable[[], T]) -> T:
        return work()

    def sqlite_vfs(self) -> str | None:
        return None


_tasks: set[asyncio.Task[Any]] = set()


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end under virtual time. Raises RuntimeError where everything waits for ever."""
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(_Jumping())) as runner:
        return runner.run(main)
