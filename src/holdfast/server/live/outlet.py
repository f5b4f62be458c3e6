"""How messages leave towards one socket, with a bound on what waits for a slow reader.

Under uvicorn with our connections (`server.connections`) prepared frames go straight to the transport, whose buffer is the measure.
Under any other ASGI server a queue and a task that sends do the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from starlette.types import Send

from holdfast.runtime import Runtime
from holdfast.server.connections import FrameWriter
from holdfast.server.live.messages import Frame

__all__ = ["DirectOutlet", "Outlet", "QueuedOutlet"]

_CLOSE_SECONDS_MAX = 2.0


class Outlet(Protocol):
    """Where a session writes."""

    def write(self, frame: Frame) -> bool:
        """Pass a frame on without waiting. False: the reader is gone, or more than the bound waits for it already. (So what waits is
        at most the bound and one frame; a frame of any size can be sent to a reader that keeps up.)"""

    async def drained(self) -> None:
        """Wait until little or nothing waits."""

    async def close(self, code: int, reason: str) -> None:
        """Say why and close; a reader that takes nothing any more is cut off."""

    async def stop(self) -> None:
        """Let go of what this outlet holds."""


class DirectOutlet:
    """Straight to the transport."""

    def __init__(self, writer: FrameWriter, send: Send, bytes_max: int) -> None:
        self._writer = writer
        self._send = send
        self._bytes_max = bytes_max

    def write(self, frame: Frame) -> bool:
        if self._writer.buffered_bytes() > self._bytes_max:
            return False
        return self._writer.write(frame.wire)

    async def drained(self) -> None:
        await self._writer.drained()

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            self._writer.abort()

    async def stop(self) -> None:
        return None


class QueuedOutlet:
    """For any ASGI server."""

    def __init__(self, send: Send, runtime: Runtime, bytes_max: int) -> None:
        self._send = send
        self._bytes_max = bytes_max
        self._waiting: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._gone = False
        self._task = runtime.spawn(self._run(), name="socket writer")

    def write(self, frame: Frame) -> bool:
        if self._gone or self._waiting_bytes > self._bytes_max:
            return False
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        self._none.clear()
        self._some.set()
        return True

    async def drained(self) -> None:
        await self._none.wait()

    async def close(self, code: int, reason: str) -> None:
        await self.stop()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError, RuntimeError):
            return      # nobody reads any more; the server drops the connection when the application returns

    async def stop(self) -> None:
        self._gone = True
        self._none.set()
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await self._some.wait()
                while self._waiting:
                    frame = self._waiting[0]
                    await self._send({"type": "websocket.send", "text": frame.payload.decode()})
                    self._waiting.popleft()
                    self._waiting_bytes -= len(frame)
                self._some.clear()
                self._none.set()
        except (OSError, RuntimeError):
            self._gone = True
            self._none.set()
