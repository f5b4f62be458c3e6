"""The store for code that blocks: the same store, on an event loop in a thread behind. One generic bridge, no second copy.

    with open_store_blocking("data", records=[Note]) as store:
        me = store.member("acme", "ada@example.org")
        note = me.create(Note(title="Groceries"))

Any number of threads may call. At the end the loop is closed and its thread is gone. To type checkers what is given is the face that
`tools/blocking_faces.py` makes of the asynchronous class.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, cast

from holdfast.core.errors import StateError
from holdfast.core.limits import Limits
from holdfast.engine.accounts import Accounts
from holdfast.engine.app import App
from holdfast.engine.blocking_face import BlockingStore
from holdfast.engine.feed import FeedSubscription
from holdfast.engine.opening import Mode, open_store
from holdfast.engine.session import MemberSession
from holdfast.model.record import Record
from holdfast.runtime import Runtime

__all__ = ["Blocking", "LoopThread", "open_store_blocking"]

CROSSED = (MemberSession, Accounts, FeedSubscription)
"""What comes back as something to call on: wrapped in turn. Everything else comes back as it is."""


class LoopThread:
    """An event loop that runs in a thread until `stop`, or until the program ends: what was entered is left in order also where nobody
    closes it (a notebook, a page that is served for ever)."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._is_ending = False
        self._entered: list[AbstractAsyncContextManager[Any]] = []
        self._thread = threading.Thread(target=self._run, name="holdfast", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        atexit.register(self.stop)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stopped.wait()

    @property
    def is_here(self) -> bool:
        """Whether the caller is this thread: a listener."""
        return threading.current_thread() is self._thread

    def call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of a coroutine, made and run over there. Raises StateError after the end, and in a listener, which would wait for
        itself."""
        if self._loop is None or self._is_ending:
            raise StateError("It is closed.", hint="Open it again.")
        if self.is_here:
            raise StateError("A listener may not wait for what its own thread has to do.",
                             hint="Pass the news on to the program's thread, and call from there.")

        async def run() -> Any:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def enter(self, manager: AbstractAsyncContextManager[Any]) -> Any:
        """Enter it over there; `stop` leaves it."""
        found = self.call(manager.__aenter__)
        self._entered.append(manager)
        return found

    def stop(self) -> None:
        """Leave what was entered, and end the thread. Raises what leaving raises. In a listener, and where a collector of garbage calls it
        over there, it only begins."""
        atexit.unregister(self.stop)
        if self._is_ending or self._loop is None:
            return
        self._is_ending = True
        ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        if not self.is_here:
            try:
                ending.result()
            finally:
                self._thread.join()

    async def _end(self) -> None:
        assert self._stopped is not None
        try:
            while self._entered:
                await self._entered.pop().__aexit__(None, None, None)
        finally:
            self._stopped.set()


class Blocking:
    """Stands for an object of the other thread: its methods block until they are done, its asynchronous iterators are plain ones."""

    def __init__(self, target: Any, thread: LoopThread, crossed: tuple[type, ...] = CROSSED) -> None:
        self._target = target
        self._thread = thread
        self._classes = crossed

    def __repr__(self) -> str:
        return f"Blocking({self._target!r})"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return self._crossed(value)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._thread.is_here and not inspect.iscoroutinefunction(value):
                return self._crossed(value(*args, **kwargs))

            async def run() -> Any:
                result = value(*args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            return self._crossed(self._thread.call(run))

        return call

    def __iter__(self) -> Iterator[Any]:
        return self._plain(self._target)

    def _crossed(self, value: Any) -> Any:
        if isinstance(value, self._classes):
            return Blocking(value, self._thread, self._classes)
        if isinstance(value, AsyncIterator):
            return self._plain(value)
        return value

    def _plain(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        end = object()

        async def next_one() -> Any:
            return await anext(items, end)

        while (item := self._thread.call(next_one)) is not end:
            yield item


@contextmanager
def open_store_blocking(
    path: str | os.PathLike[str] | None = None, *, records: Iterable[type[Record]] = (), apps: Iterable[App | str] = (),
    limits: Limits | None = None, runtime: Runtime | None = None, mode: Mode = "embedded", master_keys: str | None = None,
    listen: bool = False,
) -> Iterator[BlockingStore]:
    """As `open_store`, with the same options and errors; every method of the store and of what it gives is called without `await`."""
    thread = LoopThread()
    thread.start()
    try:
        store = thread.enter(open_store(path, records=records, apps=apps, limits=limits, runtime=runtime, mode=mode,
                                        master_keys=master_keys, listen=listen))
        yield cast(BlockingStore, Blocking(store, thread))
    finally:
        thread.stop()
