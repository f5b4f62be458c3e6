"""A `Transport` into a server in the same process: requests and sockets go straight to its ASGI application, without a network.

`fault` is asked before each request and each message of a socket, both ways; what it raises is what the device sees (`Unreachable`,
`ChannelClosed`), and it may sleep. That is the seam for a network that loses, delays and cuts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

from holdfast.client.transport import Answered, Channel, ChannelClosed, Reply, Request, Unreachable
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["AsgiTransport", "Fault", "Leg"]

Scope: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

Leg = Literal["request", "reply", "connect", "send", "receive"]
"""Where on its way a message is: a request to the server or its reply, opening a socket, a message to the server or from it."""

Fault = Callable[[Leg, str], Awaitable[None]]
"""Asked with the leg and the path (of a socket: the message)."""


async def _no_fault(leg: Leg, what: str) -> None:
    return None


class AsgiTransport:
    """Several may share one application. `close` leaves the application open."""

    def __init__(self, app: App, *, runtime: Runtime | None = None, fault: Fault = _no_fault) -> None:
        self._app = app
        self._runtime = runtime or RealRuntime()
        self.fault = fault

    async def request(self, request: Request, *, seconds_max: float) -> Reply:
        call = await self._call(request, seconds_max)
        call.raise_if_cut_off()
        return call.reply()

    async def _call(self, request: Request, seconds_max: float) -> _HttpCall:
        """One call, as far as its answer came."""
        await self.fault("request", request.path)
        call = _HttpCall(request)
        serving = self._runtime.spawn(self._serve(_scope(request), call), name="request in process")
        try:
            async with asyncio.timeout(seconds_max):
                await asyncio.shield(serving)       # a client that leaves does not stop the server
        except TimeoutError:
            raise Unreachable(f"The server did not answer within {seconds_max:g} s.") from None
        finally:
            call.leave()
        await self.fault("reply", request.path)
        return call

    async def _serve(self, scope: Scope, call: _HttpCall) -> None:
        await self._app(scope, call.receive, call.send)

    async def lines(self, request: Request, *, seconds_max: float) -> AsyncIterator[bytes]:
        call = await self._call(request, seconds_max)
        reply = call.reply()
        if reply.status != 200:
            call.raise_if_cut_off()
            raise Answered(reply)
        *whole, rest = reply.body.split(b"\n")
        for line in whole if rest == b"" or not call.is_complete else [*whole, rest]:
            if line:
                await self.fault("reply", request.path)
                yield line
        call.raise_if_cut_off()

    async def connect(self, path: str, *, seconds_max: float) -> Channel:
        await self.fault("connect", path)
        channel = AsgiChannel(self.fault)
        channel.start(self._app, path, self._runtime)
        try:
            async with asyncio.timeout(seconds_max):
                await channel.opened()
        except TimeoutError:
            await channel.close()
            raise Unreachable(f"The server did not open a socket within {seconds_max:g} s.") from None
        if channel.is_turned_away:
            raise Unreachable("No socket comes through.")
        return channel

    async def close(self) -> None:
        return None


def _scope(request: Request) -> Scope:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    if request.body is not None:
        headers.append((b"content-length", str(len(request.body)).encode()))
    return {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(), "query_string": urlencode(request.query).encode(), "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 0), "server": ("testserver", 80), "extensions": {}}


class _HttpCall:
    """One request and what is answered."""

    def __init__(self, request: Request) -> None:
        self._body: bytes | None = request.body or b""
        self._status = 0
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._left = asyncio.Event()
        self.is_complete = False

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            await self._left.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {name.decode().lower(): value.decode("latin-1") for name, value in message.get("headers", ())}
        elif message["type"] == "http.response.body":
            self._pieces.append(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)

    def raise_if_cut_off(self) -> None:
        """An application that ends without ending its answer: the connection broke."""
        if not self.is_complete:
            raise Unreachable("The answer was cut off.")

    def reply(self) -> Reply:
        return Reply(status=self._status, body=b"".join(self._pieces), headers=self._headers)


class AsgiChannel:
    """A socket: two queues and the application's task between them."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[str | ChannelClosed] = asyncio.Queue()
        self._accepted = asyncio.Event()
        self.is_turned_away = True
        self._closed: ChannelClosed | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, app: App, path: str, runtime: Runtime) -> None:
        scope: Scope = {"type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": path,
                        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [(b"host", b"testserver")],
                        "client": ("127.0.0.1", 0), "server": ("testserver", 80), "subprotocols": [], "extensions": {}}
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = runtime.spawn(self._run(app, scope), name="socket in process")

    async def _run(self, app: App, scope: Scope) -> None:
        try:
            await app(scope, self._to_app.get, self._take)
        finally:
            self._from_app.put_nowait(ChannelClosed())
            self._accepted.set()

    async def _take(self, message: Any) -> None:
        if message["type"] == "websocket.accept":
            self.is_turned_away = False
            self._accepted.set()
        elif message["type"] == "websocket.send":
            text = message.get("text")
            self._from_app.put_nowait(text if text is not None else message["bytes"].decode())
        elif message["type"] == "websocket.close":
            self._from_app.put_nowait(ChannelClosed(message.get("code", 1000), message.get("reason") or ""))
            self._accepted.set()

    async def opened(self) -> None:
        await self._accepted.wait()

    async def send(self, message: str) -> None:
        self._raise_if_closed()
        try:
            await self._fault("send", message)
        except ChannelClosed as closed:
            await self._cut(closed)
            raise
        self._to_app.put_nowait({"type": "websocket.receive", "text": message})

    async def receive(self) -> str:
        self._raise_if_closed()
        found = await self._from_app.get()
        if isinstance(found, ChannelClosed):
            self._closed = found
            raise found
        try:
            await self._fault("receive", found)
        except ChannelClosed as closed:
            await self._cut(closed)
            raise
        return found

    def _raise_if_closed(self) -> None:
        if self._closed is not None:
            raise ChannelClosed(self._closed.code, self._closed.reason)

    async def _cut(self, closed: ChannelClosed) -> None:
        self._closed = closed
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def close(self) -> None:
        if self._closed is None:
            self._closed = ChannelClosed(1000, "closed here")
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
            self._from_app.put_nowait(self._closed)
