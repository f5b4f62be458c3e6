"""`holdfast serve`: opens the store with its writer, listens, prints the address, and stops cleanly.

Order of starting: settings, socket (a port that is taken is told before anything is opened), store and writer, application, ready.
Order of stopping: no new connections, sockets closed, calls under way answered, the store's queue written, the writer ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Literal

import uvloop

from holdfast.core.errors import UnsafeSettings
from holdfast.engine.opening import open_store
from holdfast.engine.store import Store
from holdfast.runtime import RealRuntime, Runtime, settle_memory
from holdfast.server.app import asgi_app
from holdfast.server.listen import Listener, bind, shown_address
from holdfast.server.logs import JsonLines, WrittenRequests, events
from holdfast.server.settings import Settings

__all__ = ["Prepare", "run", "serve"]

Prepare = Callable[[Store], Awaitable[str | None]]
"""What is done once the store is open and before anybody is served (a demonstration's content, say); returns text to print."""

_FLUSH_SECONDS = 0.25


def run(settings: Settings, apps: Sequence[str] = (), *, database: str | None = None, prepare: Prepare | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `apps`: modules of applications, where the settings name none; `database`: an address, instead of the
    settings' folder. Raises what opening the store
    raises, and UnsafeSettings for an address that cannot be listened on."""
    lines = log_to_stderr(settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, apps, database=database, prepare=prepare, lines=lines, opened=settle_memory))
    finally:
        lines.flush()


async def serve(settings: Settings, apps: Sequence[str] = (), *, database: str | None = None, prepare: Prepare | None = None,
                runtime: Runtime | None = None, lines: JsonLines | None = None, announce: Callable[[str], None] = print,
                opened: Callable[[], None] | None = None) -> None:
    """The same within an event loop. `announce` takes the lines for whoever started the server, the address among them; `opened` is called
    once everything is open, before anybody is served."""
    runtime = runtime or RealRuntime()
    async with AsyncExitStack() as stack:
        try:
            bound = stack.enter_context(bind(settings))
        except OSError as error:
            raise UnsafeSettings(f"Cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}.", field="port",
                                 hint="Choose another --port, or stop what listens there.") from error
        mode: Literal["process", "embedded"] = "process" if settings.writer == "process" else "embedded"
        store = await stack.enter_async_context(
            open_store(database or settings.data, apps=settings.app or tuple(apps), runtime=runtime, mode=mode, listen=mode == "embedded"))
        log = None if lines is None else WrittenRequests(lines, runtime)
        app = asgi_app(store, runtime=runtime, settings=settings, log=log)
        told = None if prepare is None else await prepare(store)
        listener = Listener(app, settings, message_bytes_max=store.schema.limits.push_bytes_max)
        if lines is not None:
            flushing = runtime.spawn(_flush(lines, runtime), name="write the log")
            stack.callback(flushing.cancel)
        if opened is not None:
            opened()
        announcing = runtime.spawn(_announce(listener, runtime, shown_address(bound), told, announce), name="say that it is ready")
        stack.callback(announcing.cancel)
        await listener.serve(sockets=[bound])
        events.info("stopped")


async def _announce(listener: Listener, runtime: Runtime, address: str, told: str | None, announce: Callable[[str], None]) -> None:
    """Print the address once connections are accepted: a script that waits for the line may then connect."""
    while not listener.started:
        await runtime.sleep(0.01)
    events.info("listening on %s", address)
    announce(f"Holdfast is ready: {address}")
    if told:
        announce(told)
    sys.stdout.flush()


async def _flush(lines: JsonLines, runtime: Runtime) -> None:
    while True:
        await runtime.sleep(_FLUSH_SECONDS)
        lines.flush()


def log_to_stderr(settings: Settings) -> JsonLines:
    """JSON lines on standard error for everything of ours, and for what goes wrong in the HTTP server."""
    descriptor = sys.stderr.fileno()
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    lines = JsonLines(lambda data: os.write(descriptor, data), level)
    for name, least in (("holdfast", level), ("uvicorn", max(level, logging.ERROR)), ("asyncio", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        logger.setLevel(least)
        logger.propagate = False
        logger.addHandler(lines)
    return lines
