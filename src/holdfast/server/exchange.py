"""One request as logs and metrics see it, from its headers to its answer; and how an answer is sent."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.types import Scope, Send

from holdfast.core.errors import HoldfastError, WorldError
from holdfast.runtime import Runtime
from holdfast.server.authenticate import Identity
from holdfast.server.logs import RequestLine, RequestLog, events
from holdfast.server.metrics import Metrics
from holdfast.server.problems import PROBLEM_TYPE, render

__all__ = ["GONE", "SECURITY_HEADERS", "Exchange", "Watch", "failure"]

GONE = 499
"""Logged as the status of a call whose client went away (nginx's number: nobody receives it)."""

_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.\-]{1,64}")

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-site"),
    (b"vary", b"Accept-Encoding"),
]

STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")


class Watch:
    """Where exchanges are told: log and metrics of one mounted server."""

    def __init__(self, runtime: Runtime, log: RequestLog, metrics: Metrics) -> None:
        self.runtime = runtime
        self.log = log
        self.metrics = metrics
        self._prefix = runtime.random_bytes(6).hex()
        self._count = 0

    def request_id(self, given: bytes | None) -> str:
        """The id that the client gave, if it is a sane one; else a new one, unique across restarts."""
        if given is not None and _GIVEN_ID.fullmatch(given):
            return given.decode("ascii")
        self._count += 1
        return f"{self._prefix}-{self._count:x}"


class Exchange:
    """Made when a request's headers are here; `finish` tells log and metrics, once."""

    __slots__ = ("_watch", "address", "code", "identity", "method", "request_id", "route", "secure", "started", "status")

    def __init__(self, watch: Watch, scope: Scope, request_id: bytes | None, route: str) -> None:
        self._watch = watch
        self.started = watch.runtime.monotonic()
        self.request_id = watch.request_id(request_id)
        self.method: str = scope.get("method", "WS")
        self.route = route
        client = scope.get("client")
        self.address: str = client[0] if client else ""
        self.secure = scope.get("scheme") in ("https", "wss")
        self.status = GONE
        self.code = ""
        self.identity: Identity | None = None

    def finish(self) -> None:
        seconds = self._watch.runtime.monotonic() - self.started
        self._watch.metrics.request(self.method, self.route, self.status, seconds)
        identity = self.identity
        self._watch.log.write(RequestLine(
            request_id=self.request_id, method=self.method, route=self.route, status=self.status, ms=round(seconds * 1000, 2),
            tenant=identity.tenant_id if identity else "", actor=identity.account_id if identity else "", code=self.code,
            address=self.address))

    def headers(self, media: bytes, length: int | None) -> list[tuple[bytes, bytes]]:
        """The headers of every answer."""
        found = [*SECURITY_HEADERS, (b"content-type", media), (b"x-request-id", self.request_id.encode())]
        if length is not None:
            found.append((b"content-length", str(length).encode()))
        if self.secure:
            found.append(STRICT_TRANSPORT)
        return found

    async def send(self, send: Send, status: int, media: bytes, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.status = status
        found = self.headers(media, len(body))
        if status in (204, 304):            # these have no body, and must not say how long it is
            found = [pair for pair in found if pair[0] not in (b"content-length", b"content-type")]
        if headers:
            replaced = {name for name, _ in headers}
            found = [pair for pair in found if pair[0] not in replaced] + headers
        await send({"type": "http.response.start", "status": status, "headers": found})
        await send({"type": "http.response.body", "body": body})

    async def fail(self, send: Send, error: BaseException) -> None:
        """Answer with the problem that `error` is. What is no error of the tree goes to the log with its traceback, and nowhere else."""
        told = failure(error, self.request_id, self.route)
        problem = render(told, self.request_id)
        self.code = problem.code
        await self.send(send, problem.status, PROBLEM_TYPE, problem.body, list(problem.headers))


def failure(error: BaseException, request_id: str, route: str) -> BaseException:
    """The error to answer with, for what a handler raised."""
    if isinstance(error, HoldfastError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return WorldError("The server is stopping, and this call was still under way.", retry_after=2,
                          hint="Send it again in a moment: the same mutation id takes effect once.")
    if isinstance(error, TimeoutError):
        return WorldError("The call took too long; whether it took effect is unknown.", retry_after=2,
                          hint="Send it again: the same mutation id takes effect once.")
    facts: dict[str, Any] = {"request_id": request_id, "route": route}
    events.error("a call failed unexpectedly", exc_info=error, extra={"facts": facts})
    return error
