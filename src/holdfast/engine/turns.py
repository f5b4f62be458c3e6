"""Turns: calls that got into each other's way go one after another.

An action reads outside the lock and runs again if what it read has changed. A burst of calls about one thing (a form that saves while its
last save is under way, in two tabs) would so cost each other their runs: of twenty that read the same record one wins, nineteen run
again. So whoever must run again waits for a turn, and while somebody has one, new calls of the same kind queue behind. Calls that meet
nobody never wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

__all__ = ["Turns"]


class Turns:
    """The turns of one event loop. A queue exists only while somebody has or awaits a turn in it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: Hashable, *, needed: bool) -> AsyncIterator[None]:
        """Wait for a turn among the calls of `key`; without `needed` only if others of them have one already."""
        lock = self._locks.get(key)
        if lock is None:
            if not needed:
                yield
                return
            lock = asyncio.Lock()
            self._locks[key] = lock
        async with lock:
            yield
