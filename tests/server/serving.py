"""A server on a free port of loopback, within the test's own event loop, and clients for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from holdfast.server.listen import Listener, bind
from holdfast.server.settings import Settings

MESSAGE_BYTES_MAX = 4 << 20


@dataclass
class Served:
    """A server that listens."""

    host: str
    port: int
    listener: Listener

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, token: str | None = None, **options: Any) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, **options)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes, read until the server closes (or two seconds of silence)."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request)
        found = b""
        try:
            async with asyncio.timeout(2):
                while piece := await reader.read(65536):
                    found += piece
        except TimeoutError:
            found += b"<still open>"
        finally:
            writer.close()
        return found

    @asynccontextmanager
    async def socket(self, hello: dict[str, Any] | None, *, path: str = "/v1/live", **options: Any) -> AsyncIterator[Talker]:
        async with connect(f"ws://{self.host}:{self.port}{path}", compression=None, proxy=None, max_size=None, **options) as connection:
            talker = Talker(connection)
            if hello is not None:
                await talker.say({"type": "hello", **hello})
            yield talker


@dataclass
class Talker:
    """A device's end of a socket."""

    connection: ClientConnection

    async def say(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else msgspec.json.encode(message).decode())

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next message, or the next of a type."""
        async with asyncio.timeout(5):
            while True:
                found: dict[str, Any] = msgspec.json.decode(await self.connection.recv())
                if kind is None or found["type"] == kind:
                    return found

    async def silence(self, seconds: float = 0.15) -> None:
        """Assert that nothing but heartbeats comes."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = msgspec.json.decode(await self.connection.recv())
                    assert found["type"] == "heartbeat", found
        except TimeoutError:
            return

    async def closed(self) -> tuple[int, str]:
        """Wait for the server to close; code and reason."""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code or 0, self.connection.close_reason or ""


@asynccontextmanager
async def serving(app: ASGIApp, settings: Settings | None = None) -> AsyncIterator[Served]:
    """Serve `app` until the block ends; the server must then stop by itself within seconds."""
    settings = settings or Settings(port=0)
    bound = bind(settings)
    host, port = bound.getsockname()[:2]
    listener = Listener(app, settings, message_bytes_max=MESSAGE_BYTES_MAX)
    task = asyncio.get_running_loop().create_task(listener.serve(sockets=[bound]))
    while not listener.started and not task.done():  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.005)
    try:
        yield Served(host, port, listener)
    finally:
        listener.should_exit = True
        async with asyncio.timeout(15):
            await task
