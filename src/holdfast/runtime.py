"""Time, randomness, ids, sleeping, tasks and disk: everything outside the pure core reaches the world through one small
`Runtime`, given at the edge. `RealRuntime` is the world; the simulation gives one of its own, in one thread under virtual time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

__all__ = ["RealRuntime", "Runtime", "collecting_later", "settle_memory", "uuid7_from"]

T = TypeVar("T")


class Runtime(Protocol):
    """What code outside `core/` may ask of the world."""

    def now_ms(self) -> int:
        """Wall clock, whole milliseconds since 1970. May jump."""

    def monotonic(self) -> float:
        """Seconds that never go back; for durations only."""

    def random_bytes(self, count: int) -> bytes:
        """Unpredictable bytes (the simulation: from its seed)."""

    def uuid7(self) -> str:
        """A fresh UUIDv7 (RFC 9562), canonical lower case, rising within one process."""

    async def sleep(self, seconds: float) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task and keep a reference until it is done: an unreferenced task can be collected while it waits."""

    async def blocking(self, work: Callable[[], T]) -> T:
        """Run `work` where it may block (a thread; the simulation: in place)."""

    def sqlite_vfs(self) -> str | None:
        """Name of the SQLite VFS to open files with; None for the system's own. The simulation registers its disk here."""


def uuid7_from(ms: int, random: bytes, counter: int) -> str:
    """UUIDv7 of a time, 12 bits of counter (rand_a) and 8 random bytes (RFC 9562 section 6.2, method 1)."""
    value = (ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (counter & 0xFFF) << 64 | 0b10 << 62
    value |= int.from_bytes(random[:8], "big") & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def settle_memory() -> None:
    """Once a long-lived process has started: what is there now stays, so the garbage collector need not walk over it again, and it looks
    less often at what comes and goes (nearly all of which ends by its reference count). At 256 connections it was a sixth of the server's
    time, in pauses of tens of milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


_COLLECTED_AFTER = (20_000, 20, 50)


@contextmanager
def collecting_later() -> Iterator[None]:
    """No garbage collection within: for work of some tens of milliseconds that makes many objects, nearly all of which end by their
    reference count. In a program with a large heap a third of the time that a replica took to take in changes went into walking it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class RealRuntime:
    """The world as it is."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._uuid_ms = 0
        self._uuid_counter = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def uuid7(self) -> str:
        ms = self.now_ms()
        if ms > self._uuid_ms:
            self._uuid_ms, self._uuid_counter = ms, 0
        else:
            self._uuid_counter += 1
            if self._uuid_counter > 0xFFF:
                self._uuid_ms, self._uuid_counter = self._uuid_ms + 1, 0
        return uuid7_from(self._uuid_ms, os.urandom(8), self._uuid_counter)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def blocking(self, work: Callable[[], T]) -> T:
        try:
            running = asyncio.get_running_loop().run_in_executor(None, work)
        except RuntimeError:        # the program is ending, and no thread starts any more
            return work()
        return await running

    def sqlite_vfs(self) -> str | None:
        return None
