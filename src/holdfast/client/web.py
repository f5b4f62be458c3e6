"""The real network: httpx for calls, websockets for the socket. Both know proxies and TLS as the system has them set up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from holdfast.client.transport import Answered, Channel, ChannelClosed, Reply, Request, Unreachable
from holdfast.core.errors import InvalidValue

__all__ = ["WebTransport", "normal_url"]

MESSAGE_BYTES_MAX: Final = 64 << 20
CONNECTIONS_MAX: Final = 4


def normal_url(url: str) -> str:
    """The server's address as a replica remembers it. Raises InvalidValue."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise InvalidValue("The server's address is a URL such as https://holdfast.example.org, without a name or password in it.",
                           field="url")
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))


class WebTransport:
    """A `Transport` to the server at `url`. Made inside the event loop that uses it."""

    def __init__(self, url: str) -> None:
        self._url = normal_url(url)
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=2)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, headers={"user-agent": "holdfast-replica"})

    async def request(self, request: Request, *, seconds_max: float) -> Reply:
        try:
            async with asyncio.timeout(seconds_max):
                answer = await self._client.request(request.method, self._url + request.path, params=dict(request.query),
                                                    content=request.body, headers=dict(request.headers))
        except TimeoutError:
            raise Unreachable(f"The server did not answer within {seconds_max:g} s.") from None
        except httpx.HTTPError as error:
            raise Unreachable(_words(error)) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(status=answer.status_code, body=answer.content, headers=headers)

    async def lines(self, request: Request, *, seconds_max: float) -> AsyncIterator[bytes]:
        timeout = httpx.Timeout(seconds_max)
        try:
            async with self._client.stream(request.method, self._url + request.path, params=dict(request.query), content=request.body,
                                           headers=dict(request.headers), timeout=timeout) as answer:
                if answer.status_code != 200:
                    body = await answer.aread()
                    raise Answered(Reply(status=answer.status_code, body=body, headers=dict(answer.headers)))
                rest = b""
                async for piece in answer.aiter_bytes():
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        yield line
                if rest:
                    raise Unreachable("The answer was cut off in the middle of a line.")
        except httpx.HTTPError as error:
            raise Unreachable(_words(error)) from error

    async def connect(self, path: str, *, seconds_max: float) -> Channel:
        address = "ws" + self._url.removeprefix("http") + path
        try:
            return WebChannel(await connect(address, open_timeout=seconds_max, max_size=MESSAGE_BYTES_MAX, close_timeout=2,
                                            ping_interval=20, ping_timeout=20, user_agent_header="holdfast-replica"))
        except TimeoutError:
            raise Unreachable(f"The server did not open a socket within {seconds_max:g} s.") from None
        except (OSError, WebSocketException) as error:
            raise Unreachable(_words(error)) from error

    async def close(self) -> None:
        await self._client.aclose()


class WebChannel:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _closed(closed) from closed

    async def receive(self) -> str:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as closed:
            raise _closed(closed) from closed
        return message if isinstance(message, str) else message.decode()

    async def close(self) -> None:
        await self._connection.close()


def _closed(closed: ConnectionClosed) -> ChannelClosed:
    received = closed.rcvd
    return ChannelClosed() if received is None else ChannelClosed(received.code, received.reason)


def _words(error: Exception) -> str:
    text = str(error).strip()
    return f"The server cannot be reached ({text or type(error).__name__})."
