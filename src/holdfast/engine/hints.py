"""Hints between servers on one database: that an organisation's log has grown, and up to where. Never data, and never the truth: whoever
gets one reads the log. So a hint that is lost or comes twice harms nobody.

They are sent after the commit, never inside it, and gathered for some milliseconds first. Every few seconds, and whenever the channel was
made anew, the heads of those who are listened for are read, so that a lost hint delays and never loses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import orjson

from holdfast.core.errors import WorldError
from holdfast.engine.commit import ACCOUNTS_GREW
from holdfast.engine.feed import Feed
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Storage

__all__ = ["GATHERED_FOR_S", "LOOKED_EVERY_S", "Channel", "Hints"]

log: Final = logging.getLogger("holdfast.engine")

GATHERED_FOR_S: Final = 0.02
LOOKED_EVERY_S: Final = 3.0
AGAIN_AFTER_S: Final = 0.5
AGAIN_AFTER_MAX_S: Final = 10.0
MESSAGE_BYTES_MAX: Final = 7_000
"""PostgreSQL takes notifications of less than 8,000 bytes."""


class Channel(Protocol):
    """A way to tell all servers, this one included, a line of text. Every method raises WorldError when it is broken."""

    async def open(self, heard: Callable[[str], None]) -> None:
        """Make it anew. `heard` is called in this event loop."""

    async def send(self, text: str) -> None: ...
    async def check(self) -> None:
        """Whether it still carries."""

    async def close(self) -> None: ...


class Hints:
    def __init__(self, channel: Channel, feed: Feed, storage: Storage, runtime: Runtime) -> None:
        self._channel = channel
        self._feed = feed
        self._storage = storage
        self._runtime = runtime
        self._pending: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises WorldError if there is no channel."""
        await self._channel.open(self._heard)
        self._task = self._runtime.spawn(self._carry(), name="holdfast-hints")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._channel.close()

    def grown(self, name: str, seq: int) -> None:
        """After a commit: those here learn it at once, the other servers soon."""
        self._feed.publish(name, seq)
        self._pending[name] = max(seq, self._pending.get(name, 0))
        self._wake.set()

    def _heard(self, text: str) -> None:
        try:
            told: Any = orjson.loads(text)
            hints = [(str(name), int(seq)) for name, seq in told.items()]
        except (ValueError, AttributeError, TypeError):
            log.warning("A hint that cannot be read was left out.")
            return
        for name, seq in hints:
            self._feed.publish(name, seq)

    async def _carry(self) -> None:
        pause = AGAIN_AFTER_S
        while True:
            try:
                await self._look()
                while True:
                    await self._send_until_it_is_time_to_look()
                    await self._channel.check()
                    await self._look()
                    pause = AGAIN_AFTER_S
            except WorldError as error:
                log.warning("Hints from other servers come late: %s", error.detail)
            await self._runtime.sleep(pause)
            pause = min(AGAIN_AFTER_MAX_S, 2 * pause)
            with suppress(WorldError):
                await self._channel.open(self._heard)

    async def _send_until_it_is_time_to_look(self) -> None:
        until = self._runtime.monotonic() + LOOKED_EVERY_S
        while (left := until - self._runtime.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):   # `wait_for` of Python 3.11 can lose a cancellation that comes with the wake-up
                    await self._wake.wait()
            if self._pending:
                await self._runtime.sleep(GATHERED_FOR_S)
                await self._send()

    async def _send(self) -> None:
        self._wake.clear()
        pending, self._pending = self._pending, {}
        part: dict[str, int] = {}
        size = 0
        for name, seq in pending.items():
            size += len(name.encode()) + 24
            if size > MESSAGE_BYTES_MAX and part:
                await self._channel.send(orjson.dumps(part).decode())
                part, size = {}, len(name.encode()) + 24
            part[name] = seq
        await self._channel.send(orjson.dumps(part).decode())

    async def _look(self) -> None:
        """How far those have come who are listened for; and what is remembered of accounts may be old."""
        async with self._storage.reader() as reader:
            for name in self._feed.subscribed():
                self._feed.publish(name, (await reader.head(name)).seq)
        self._feed.publish(ACCOUNTS_GREW, self._runtime.now_ms())
