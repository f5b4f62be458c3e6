"""The replica for code that blocks: the same replica, on an event loop in a thread behind (`engine.bridge`). No second copy.

    with open_replica_blocking("notes.replica", url, token=token, records=[Note]) as replica:
        note = replica.create(Note(title="Groceries"))
        replica.synced()

Any number of threads may call. What is awaited on `Replica` is a plain call here. Listeners are called in the thread behind: a desktop
program passes on from there to its own thread. At the end the loop is closed and its thread is gone.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from holdfast.client.autosave import AutoSaved
from holdfast.client.buffer import TextBuffer
from holdfast.client.opening import open_replica
from holdfast.client.remote import Remote
from holdfast.client.replica import Replica
from holdfast.engine.bridge import Blocking, LoopThread

__all__ = ["BlockingReplica", "open_replica_blocking"]

CROSSED = (Replica, Remote, TextBuffer, AutoSaved)


class BlockingReplica(Blocking):
    """Stands for a replica (or a buffer of it) of the other thread. Whatever looks at the file does so over there."""

    def __init__(self, target: Any, thread: LoopThread) -> None:
        super().__init__(target, thread, CROSSED)

    def __getattr__(self, name: str) -> Any:
        if isinstance(inspect.getattr_static(type(self._target), name, None), property):
            async def read() -> Any:
                return getattr(self._target, name)

            return self._crossed(self._thread.call(read))
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(self._target)

    def __str__(self) -> str:
        return str(self._target)

    def _crossed(self, value: Any) -> Any:
        if isinstance(value, CROSSED):
            return BlockingReplica(value, self._thread)
        if isinstance(value, Iterator) and not isinstance(value, AsyncIterator):
            async def gather() -> list[Any]:
                return list(value)

            return iter(self._thread.call(gather))
        return super()._crossed(value)


@contextmanager
def open_replica_blocking(path: str | os.PathLike[str], url: str | None = None, **options: Any) -> Iterator[Any]:
    """As `open_replica`, with the same options and errors; every method is called without `await`."""
    thread = LoopThread()
    thread.start()
    try:
        opened = open_replica(path, url, **options)
        replica = thread.call(opened.__aenter__)
        try:
            yield BlockingReplica(replica, thread)
        finally:
            thread.call(lambda: opened.__aexit__(None, None, None))
    finally:
        thread.stop()
