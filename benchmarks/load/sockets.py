"""Devices that listen: a hundred sockets in one process, each frame parsed, each change counted by its mutation id.

A client of RFC 6455 reduced to what is measured (text frames from the server, one masked `hello` to it), so that the listeners leave the
two cores to the server.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import cast

import orjson

from benchmarks.load.connection import LoadFailed

__all__ = ["Listener", "listening"]

WELCOME_SECONDS_MAX = 20.0


class Listener(asyncio.Protocol):
    """One device on `/v1/live`. `seen` is called with a frame's payload and the time, for each frame that tells of changes."""

    def __init__(self, device_id: str, token: str, cursor: str | None, seen: Callable[[bytes, float], None]) -> None:
        self._hello = orjson.dumps({"type": "hello", "device_id": device_id, "token": token, "cursor": cursor})
        self._seen = seen
        self._rest = b""
        self._upgraded = False
        self._transport: asyncio.Transport | None = None
        self.in_step: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.frames = 0
        self.ended: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        key = base64.b64encode(os.urandom(16))
        self._transport.write(b"GET /v1/live HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                              b"sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n" % key)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self._fail(f"The server did not upgrade: {data[:300]!r}")
                return
            self._upgraded = True
            self._send(self._hello)
            data = data[end + 4:]
        self._rest = self._frames(data, time.perf_counter())

    def _frames(self, data: bytes, now: float) -> bytes:
        """Take the whole frames of `data`; returns the rest."""
        at, end = 0, len(data)
        while end - at >= 2:
            length, head = data[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(data[at + 2:at + 10], "big"), 10
            if end - at < head + length:
                break
            self._frame(data[at] & 0x0F, data[at + head:at + head + length], now)
            at += head + length
        return data[at:]

    def _frame(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == 1 and payload.startswith(b'{"type":"changes"'):
            self.frames += 1
            self._seen(payload, now)
        elif opcode == 1 and payload.startswith(b'{"type":"welcome"') and not self.in_step.done():
            self.in_step.set_result(None)
        elif opcode == 1 and payload.startswith(b'{"type":"error"'):
            self._fail(f"The server said {payload[:300]!r}")
        elif opcode == 8:
            self._fail(f"The server closed the socket: {payload[:200]!r}")

    def _send(self, payload: bytes) -> None:
        """One masked text frame (RFC 6455 asks clients to mask)."""
        assert self._transport is not None and len(payload) < 65_536
        mask = os.urandom(4)
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        masked = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        self._transport.write(b"\x81" + length + mask + masked)

    def _fail(self, reason: str) -> None:
        self.ended = self.ended or reason
        if not self.in_step.done():
            self.in_step.set_exception(LoadFailed(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"The connection was lost: {exc}")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def listening(port: int, listeners: list[Listener]) -> None:
    """Connect all and wait until each has been welcomed. Raises LoadFailed."""
    loop = asyncio.get_running_loop()
    for listener in listeners:
        await loop.create_connection(lambda one=listener: one, "127.0.0.1", port)  # type: ignore[misc]
    async with asyncio.timeout(WELCOME_SECONDS_MAX):
        await asyncio.gather(*(listener.in_step for listener in listeners))
