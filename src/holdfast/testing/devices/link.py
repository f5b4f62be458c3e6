"""The link between devices and their server: an ASGI application in front of another. It writes down every message, both ways, and does to
some what the case in hand tells it to (`faults`).

As it is an ASGI application it stands in front of a server in this process under virtual time, and behind uvicorn on loopback, in front of
the same server, for devices that need a real network. A broken connection is an answer that was begun and not ended; where a socket
breaks it is closed with 1012, as by a server that is restarted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from holdfast.runtime import Runtime
from holdfast.testing.devices.faults import (
    Delayed,
    Fault,
    Instead,
    Late,
    Message,
    Refused,
    Results,
    Rewritten,
    Rule,
    half,
    lose,
    repeat,
    swallow,
)
from holdfast.testing.devices.socket_link import SocketLink

__all__ = ["App", "Link", "Receive", "Scope", "Send", "answer", "whole"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLS = {"/v1/push": ("push", "pushed"), "/v1/pull": ("pull", "changes"), "/v1/snapshot": ("snapshot", "lines"),
         "/v1/records": ("records", "found")}


class Link:
    """`app` may be exchanged while the link stays: a server that is restarted. `names` says whose a token is."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.app: App | None = None
        self.seen: list[Message] = []
        self.names: dict[str, str] = {}
        self.is_down = False
        self.no_sockets = False
        self.rules: list[Rule] = []
        self.sockets: set[SocketLink] = set()

    # -- what a case tells it ---------------------------------------------------------------------------------------------

    def when(self, kind: str, fault: Fault, *, device: str | None = None, way: Any = None, times: int | None = 1,
             where: Callable[[Message], bool] | None = None) -> Rule:
        """From now on do `fault` to messages of this kind; see `Rule`. The first rule that takes a message has it."""
        rule = Rule(kind, fault, device, way, times, where)
        self.rules.append(rule)
        return rule

    def cut(self) -> None:
        """Every socket breaks, now."""
        for one in list(self.sockets):
            one.cut()

    def down(self) -> None:
        """No network: nothing comes through until `up`."""
        self.is_down = True
        self.cut()

    def up(self) -> None:
        self.is_down = False

    def heal(self) -> None:
        """All faults end."""
        self.rules.clear()
        self.is_down = self.no_sockets = False

    def of(self, kind: str, device: str | None = None) -> list[Message]:
        """The messages of a kind that the link has seen, oldest first."""
        return [one for one in self.seen if one.kind == kind and device in (None, one.device)]

    def mutations(self, device: str | None = None) -> list[dict[str, Any]]:
        """Every mutation that was in a push, as often as it was sent."""
        return [mutation for one in self.of("push", device) if isinstance(one.body, dict) for mutation in one.body["mutations"]]

    # -- what it does -----------------------------------------------------------------------------------------------------

    def note(self, message: Message) -> Fault | None:
        """Write a message down; what is to be done to it."""
        self.seen.append(message)
        if self.is_down:
            return lose
        return next((rule.fault for rule in self.rules if rule.takes(message)), None)

    def device_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        given = next((value.decode("latin-1") for name, value in headers if name == b"authorization"), "")
        return self.names.get(given.removeprefix("Bearer "), "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif self.app is not None:
            await self.app(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = Message(at=self.runtime.monotonic(), way="socket", side="to_server", kind="connect", device="", raw=b"", body=None)
        fault = self.note(message)
        if fault is not None or self.no_sockets or self.app is None:
            await receive()
            await send({"type": "websocket.close", "code": 1013})
            return
        link = SocketLink(self, self.app, {**scope, "extensions": {}}, receive, send)
        self.sockets.add(link)
        try:
            await link.run()
        finally:
            self.sockets.discard(link)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole(receive)
        asked, answered = CALLS.get(scope["path"], (scope["path"], scope["path"]))
        device = self.device_of(scope["headers"])
        query = dict(parse_qsl(scope.get("query_string", b"").decode()))
        message = Message(at=self.runtime.monotonic(), way="http", side="to_server", kind=asked, device=device, raw=body,
                          body=decoded(body), path=scope["path"], query=query)
        if asked == "push" and isinstance(message.body, dict):
            message.device_id = str(message.body.get("device_id"))
        fault = self.note(message)
        if fault is lose:
            await _break(send)
        elif fault is swallow:
            await _silence(receive)
        elif isinstance(fault, Refused):
            await answer(send, 200 if fault.status == 0 else fault.status, _problem(fault), "application/problem+json", fault.retry_after)
        elif isinstance(fault, Results):
            await answer(send, 200, msgspec.json.encode(fault.reply(message.body)), "application/json")
        elif isinstance(fault, Instead):
            await answer(send, fault.status, fault.body, fault.content_type)
        elif self.app is None:
            await _break(send)
        else:
            body = await self._spoiled(fault, message)
            if fault is repeat:
                await self._forward(scope, body)
            reply = await self._forward(scope, body)
            await self._back(reply, message, answered, receive, send)

    async def _spoiled(self, fault: Fault | None, message: Message) -> bytes:
        """Wait, or change the body."""
        if isinstance(fault, Delayed):
            await self.runtime.sleep(fault.seconds)
        elif isinstance(fault, Late):
            await fault.gate.wait()
        elif isinstance(fault, Rewritten):
            return fault.made_of(message)
        return message.raw

    async def _forward(self, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Ask the server; its whole answer, uncompressed."""
        app = self.app
        assert app is not None
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"accept-encoding", b"content-length")]
        asked, pieces, started = iter([body]), [], {}

        async def receive() -> Any:
            rest = next(asked, None)
            return {"type": "http.disconnect"} if rest is None else {"type": "http.request", "body": rest, "more_body": False}

        async def send(part: Any) -> None:
            if part["type"] == "http.response.start":
                started.update(part)
            else:
                pieces.append(part.get("body", b""))

        inner = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())], "extensions": {}}
        await app(inner, receive, send)
        kept = [(name, value) for name, value in started.get("headers", ()) if name.lower() != b"content-length"]
        return started.get("status", 500), kept, b"".join(pieces)

    async def _back(self, reply: tuple[int, list[tuple[bytes, bytes]], bytes], asked: Message, kind: str, receive: Receive,
                    send: Send) -> None:
        status, headers, body = reply
        message = Message(at=self.runtime.monotonic(), way="http", side="to_device", kind=kind, device=asked.device, raw=body,
                          body=decoded(body), status=status, path=asked.path, query=asked.query)
        fault = self.note(message)
        if fault is lose:
            await _break(send)
        elif fault is half:
            await _break(send, status, headers, body, len(body) // 2)
        elif fault is swallow:
            await _silence(receive)
        else:
            body = await self._spoiled(fault, message)
            headers = [*headers, (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})


def decoded(raw: bytes) -> Any:
    """The JSON of a body; None if it is none."""
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError:
        return None


def _problem(fault: Refused) -> bytes:
    return msgspec.json.encode({"type": f"urn:holdfast:problem:{fault.code}", "status": fault.status, **fault.problem()})


async def whole(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if part["type"] != "http.request" or not part.get("more_body"):
            return body


async def _silence(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def answer(send: Send, status: int, body: bytes, content_type: str, retry_after: int | None = None) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _break(send: Send, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = (), body: bytes = b"", arrives: int = 0) -> None:
    """Begin an answer that never ends: the connection breaks."""
    await send({"type": "http.response.start", "status": status,
                "headers": [*headers, (b"content-length", str(max(1, len(body))).encode())]})
    if arrives:
        await send({"type": "http.response.body", "body": body[:arrives], "more_body": True})
