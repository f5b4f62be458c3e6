"""From an ASGI request to a handler and back: the same steps for every row of the route table.

Order matters: the method, then who calls, then the parameters, then the body. So nobody without a credential learns which
parameters a call takes, and a body is read only from somebody who may send one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from holdfast.core.errors import Malformed, MethodNotAllowed, NotFound
from holdfast.engine.api import problem_of
from holdfast.runtime import Runtime
from holdfast.server import bodies, parameters
from holdfast.server.calls import Answer, Call, Route
from holdfast.server.deadlines import Deadlines
from holdfast.server.exchange import GONE, Exchange, Watch, failure
from holdfast.server.services import Services

__all__ = ["Endpoint", "NoEndpoint"]

_encoder = msgspec.json.Encoder()
_SINGLE = (b"authorization", b"content-type", b"content-length", b"host", b"cookie", b"if-match", b"idempotency-key", b"holdfast-tenant")


class Endpoint:
    """One path pattern with its methods, as an ASGI application."""

    def __init__(self, routes: Sequence[Route], services: Services, watch: Watch) -> None:
        self._path = routes[0].path
        self._routes = {route.method: route for route in routes}
        if "GET" in self._routes:
            self._routes.setdefault("HEAD", self._routes["GET"])
        self._services = services
        self._deadlines = Deadlines(services.settings.answer_seconds_max)
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        exchange = Exchange(self._watch, scope, headers.get(b"x-request-id"), self._path)
        try:
            await self._respond(exchange, scope, headers, receive, send)
        except bodies.ClientGone:
            return
        except (Exception, asyncio.CancelledError) as error:
            await exchange.fail(send, error)
        finally:
            exchange.finish()

    async def _respond(self, exchange: Exchange, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        route = self._routes.get(exchange.method)
        if route is None:
            if exchange.method == "OPTIONS":
                await exchange.send(send, 204, b"text/plain", b"", [(b"allow", ", ".join(self._allowed()).encode())])
                return
            raise MethodNotAllowed(f"This address does not take {exchange.method[:20]}.", allow=self._allowed())
        raise_if_repeated(headers, scope["headers"])
        if route.streams:
            answer = await self._answer(route, exchange, scope, headers, receive)
        else:
            with self._deadlines.bound():
                answer = await self._answer(route, exchange, scope, headers, receive)
        if answer.stream is not None:
            await send_stream(exchange, answer, self._services.runtime, receive, send)
        else:
            body = answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else _encoder.encode(answer.body)
            await exchange.send(send, answer.status, answer.media, body, answer.headers)

    def _allowed(self) -> list[str]:
        return sorted({*self._routes, "OPTIONS"})

    async def _answer(self, route: Route, exchange: Exchange, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        services = self._services
        if not route.public:
            exchange.identity = await services.authenticator.identify(headers, method=exchange.method, scheme=scope["scheme"])
        pairs = parameters.parse_query(scope["query_string"])
        values, rest = parameters.read_parameters(route.query, pairs)
        if rest and not route.filtered:
            raise Malformed(f"There is no parameter {rest[0][0][:50]!r} here.", field=rest[0][0][:50],
                            hint=f"Parameters: {', '.join(item.name for item in route.query) or 'none'}.")
        body = await self._body(route, headers, receive)
        call = Call(services=services, request_id=exchange.request_id, method=exchange.method, scheme=scope["scheme"],
                    path=scope["path_params"], headers=headers, values=values, filters=rest, address=exchange.address,
                    base_path=scope.get("root_path", ""), identity=exchange.identity, body=body)
        assert route.handler is not None
        return await route.handler(call)

    async def _body(self, route: Route, headers: Mapping[bytes, bytes], receive: Receive) -> Any:
        if route.body is None:
            return None
        raw = await bodies.read_body(receive, headers, route.body_bytes_max or self._services.settings.body_bytes_max)
        if not raw and not route.body_required:
            return bodies.convert(b"{}", route.body)
        bodies.raise_if_not_json(headers)
        return bodies.convert(raw, route.body)


class NoEndpoint:
    """Any address that is none of ours."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(self._watch, scope, dict(scope["headers"]).get(b"x-request-id"), "(none)")
        try:
            await exchange.fail(send, NotFound("There is nothing at this address.", hint="GET /openapi.json lists the addresses."))
        finally:
            exchange.finish()


def raise_if_repeated(headers: Mapping[bytes, bytes], raw: Sequence[tuple[bytes, bytes]]) -> None:
    """A header that decides something must not be there twice: a proxy before us may have believed the other one."""
    if len(headers) != len(raw):
        names = [name for name, _ in raw]
        for name in _SINGLE:
            if names.count(name) > 1:
                raise Malformed(f"The header {name.decode()} is there twice.", hint="Send it once.")


async def send_stream(exchange: Exchange, answer: Answer, runtime: Runtime, receive: Receive, send: Send) -> None:
    """Send the pieces as they come. `send` waits while the client does not read, so nothing piles up here; when the client is gone,
    the stream is closed. An error after the first piece cuts the answer off, so that it cannot be taken for a whole one."""
    assert answer.stream is not None
    stream = answer.stream
    first = await anext(stream, b"")        # an error before anything is sent is a proper problem
    exchange.status = answer.status
    gone = runtime.spawn(_gone(receive), name="watch for a client that leaves")
    try:
        headers = [*exchange.headers(answer.media, None), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for piece in stream:
            if gone.done():
                exchange.status = GONE
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (Exception, asyncio.CancelledError) as error:
        exchange.code = problem_of(error).code if isinstance(error, Exception) else "cut"
        failure(error, exchange.request_id, exchange.route)
    finally:
        gone.cancel()
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
