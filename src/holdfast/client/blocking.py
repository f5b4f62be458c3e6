"""The replica for code that blocks: the same replica, on an event loop in a thread behind (`engine.bridge`). No second copy.

    with open_replica_blocking("notes.replica", url, token=token, records=[Note]) as replica:
        note = replica.create(Note(title="Groceries"))
        replica.synced()

Any number of threads may call. What is awaited on `Replica` is a plain call here. Listeners are called in the thread behind, where they may
make plain calls but wait for nothing: a desktop program passes on from there to its own thread. At the end the loop is closed and its
thread is gone.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from holdfast.client.autosave import AutoSaved
from holdfast.client.autosaver import DEBOUNCE_SECONDS, AutoSaver, Listener, Started, Validate
from holdfast.client.backends import Backend
from holdfast.client.blocking_face import BlockingReplica, BlockingSaver
from holdfast.client.buffer import TextBuffer
from holdfast.client.opening import open_replica
from holdfast.client.remote import Remote
from holdfast.client.replica import Replica
from holdfast.client.settings import ReplicaSettings
from holdfast.client.transport import Transport
from holdfast.client.wire import TokenSource
from holdfast.engine.bridge import Blocking, LoopThread
from holdfast.model.record import Record
from holdfast.runtime import Runtime

__all__ = ["open_replica_blocking", "open_saver_blocking"]

CROSSED = (Replica, Remote, TextBuffer, AutoSaved)


class Bridged(Blocking):
    """Stands for a replica (or what it gave) of the other thread. Whatever looks at the file does so over there."""

    def __init__(self, target: Any, thread: LoopThread) -> None:
        super().__init__(target, thread, CROSSED)

    def __getattr__(self, name: str) -> Any:
        if isinstance(inspect.getattr_static(type(self._target), name, None), property) and not self._thread.is_here:
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
            return Bridged(value, self._thread)
        if isinstance(value, Iterator) and not isinstance(value, AsyncIterator):
            return iter(self._gathered(value))
        return super()._crossed(value)

    def _gathered(self, items: Iterator[Any]) -> list[Any]:
        if self._thread.is_here:
            return list(items)

        async def gather() -> list[Any]:
            return list(items)

        found: list[Any] = self._thread.call(gather)
        return found


@contextmanager
def open_replica_blocking(
    path: str | os.PathLike[str], url: str | None = None, *, records: Iterable[type[Record]], token: TokenSource = None,
    tenant: str | None = None, transport: Transport | None = None, runtime: Runtime | None = None, settings: ReplicaSettings | None = None,
) -> Iterator[BlockingReplica]:
    """As `open_replica`, with the same options and errors; every method is called without `await`."""
    with _looping() as thread:
        replica = thread.enter(open_replica(path, url, records=records, token=token, tenant=tenant, transport=transport, runtime=runtime,
                                            settings=settings))
        yield cast(BlockingReplica, Bridged(replica, thread))


@contextmanager
def open_saver_blocking(
    backend: Backend, *, validate: Validate | None = None, debounce_seconds: float = DEBOUNCE_SECONDS, on_start: Started | None = None,
    on_success: Listener | None = None, on_failure: Listener | None = None, on_retry: Listener | None = None,
    runtime: Runtime | None = None,
) -> Iterator[BlockingSaver]:
    """The small door (`AutoSaver`) for code that blocks. What is scheduled is saved behind, and at the end of the block."""
    with _looping() as thread:
        saver = thread.enter(AutoSaver(backend, validate=validate, debounce_seconds=debounce_seconds, on_start=on_start,
                                       on_success=on_success, on_failure=on_failure, on_retry=on_retry, runtime=runtime))
        yield cast(BlockingSaver, Bridged(saver, thread))


@contextmanager
def _looping() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()
