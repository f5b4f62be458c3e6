"""A device that answers by messages: a page in a browser, or a program in another language. It stands at one address with the server under
test, so that a page has no other origin to ask.

| address | what it is |
|---|---|
| `WS /suite/driver` | the suite sends a call, the page answers it |
| `GET /suite/next` | the same without a socket: the next call, 204 after a while without one |
| `POST /suite/answer` | its answer |
| `/pages/…` | the files of the driver page |
| everything else | the link, and behind it the server |

A call is `{"id", "call", "arguments"}`, an answer `{"id", "result"}` or `{"id", "error": {"code", "detail"}}`.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, cast

import msgspec
from starlette.staticfiles import StaticFiles

from holdfast.runtime import Runtime
from holdfast.testing.devices.driver import CALLS, Driver, DriverError
from holdfast.testing.devices.link import App, Link, Receive, Scope, Send, answer, whole

__all__ = ["Page", "Site"]

POLL_SECONDS = 20.0


class Page:
    """The driver at the other end of the messages. A page that is loaded anew goes on with what was not answered."""

    def __init__(self, runtime: Runtime, *, seconds_max: float = 60.0) -> None:
        self._runtime = runtime
        self._seconds_max = seconds_max
        self._numbers = itertools.count(1)
        self._calls: dict[int, bytes] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._some = asyncio.Event()
        self.is_there = asyncio.Event()

    @property
    def driver(self) -> Driver:
        return cast(Driver, self)

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(name)

        async def ask(*given: Any, **more: Any) -> Any:
            return await self._ask(name, dict(zip(CALLS[name], given, strict=False)) | more)

        return ask

    async def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        number = next(self._numbers)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = answered
        self._calls[number] = msgspec.json.encode({"id": number, "call": name, "arguments": arguments})
        self._some.set()
        try:
            async with asyncio.timeout(self._seconds_max + float(arguments.get("seconds", 0))):
                return await answered
        except TimeoutError:
            raise DriverError("unavailable", f"The page did not answer {name} in time.") from None
        finally:
            del self._asked[number]
            self._calls.pop(number, None)

    async def next_call(self) -> bytes:
        """The oldest call that nobody has taken."""
        while not self._calls:
            self._some.clear()
            await self._some.wait()
        number = min(self._calls)
        return self._calls.pop(number)

    def answer(self, raw: bytes) -> None:
        """Take an answer; one to a call that is over is dropped."""
        message = msgspec.json.decode(raw)
        waiting = self._asked.get(message.get("id"))
        if waiting is None or waiting.done():
            return
        error = message.get("error")
        if error is None:
            waiting.set_result(message.get("result"))
        else:
            waiting.set_exception(DriverError(str(error.get("code")), str(error.get("detail"))))


class Site:
    """One ASGI application for a page and the server it is tested against. `link` is that of the case in hand."""

    def __init__(self, page: Page, runtime: Runtime, pages: Path | None = None) -> None:
        self.link: Link | None = None
        self._page = page
        self._runtime = runtime
        self._files: App | None = None if pages is None else cast(App, StaticFiles(directory=pages, html=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket" and path == "/suite/driver":
            await self._drive(receive, send)
        elif scope["type"] == "http" and path in ("/suite/next", "/suite/answer"):
            await self._poll(path, receive, send)
        elif scope["type"] == "http" and path.startswith("/pages") and self._files is not None:
            await self._files({**scope, "path": path.removeprefix("/pages") or "/", "root_path": ""}, receive, send)
        elif self.link is not None:
            await self.link(scope, receive, send)
        elif scope["type"] == "http":
            await answer(send, 503, b"no case is running", "text/plain")
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1013})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def _drive(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self._page.is_there.set()
        telling = self._runtime.spawn(self._tell(send), name="calls to the page")
        try:
            while (message := await receive())["type"] == "websocket.receive":
                self._page.answer((message.get("text") or "").encode())
        finally:
            telling.cancel()

    async def _tell(self, send: Send) -> None:
        while True:
            await send({"type": "websocket.send", "text": (await self._page.next_call()).decode()})

    async def _poll(self, path: str, receive: Receive, send: Send) -> None:
        self._page.is_there.set()
        body = await whole(receive)
        if path == "/suite/answer":
            self._page.answer(body)
            await answer(send, 204, b"", "application/json")
            return
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await answer(send, 200, await self._page.next_call(), "application/json")
        except TimeoutError:
            await answer(send, 204, b"", "application/json")
