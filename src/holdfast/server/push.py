"""`POST /v1/push`, the hot path: raw ASGI, no framework, the envelope decoded once, the mutations handed on as raw bytes.

Each mutation is decoded by the engine, so that a malformed one is refused alone and its neighbours go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.types import Receive, Scope, Send

from holdfast.core.errors import InvalidValue, LimitExceeded, Malformed, MethodNotAllowed
from holdfast.core.identity import is_id
from holdfast.core.messages import Push, PushReply
from holdfast.engine.api import Caller, StoreAPI
from holdfast.server import bodies
from holdfast.server.authenticate import Authenticator
from holdfast.server.calls import JSON, Route, request_of
from holdfast.server.deadlines import Deadlines
from holdfast.server.endpoint import raise_if_repeated
from holdfast.server.exchange import Exchange, Watch
from holdfast.server.metrics import Metrics
from holdfast.server.settings import Settings

__all__ = ["PUSH_PATH", "PUSH_ROUTE", "PushEndpoint", "decode_push", "push_once"]

PUSH_PATH = "/v1/push"

PUSH_ROUTE = Route(
    method="POST", path=PUSH_PATH, name="push", summary="Send a device's mutations; one result each, in order.",
    doc="Acknowledged results are durable. A mutation that is sent again under its id takes effect once. What cannot be applied waits "
        "in the inbox or is refused alone; its neighbours go on.",
    body={"type": "object", "required": ["device_id", "mutations"], "properties": {
        "device_id": {"type": "string", "pattern": "^[A-Za-z0-9_.:\\-]{1,64}$"},
        "now": {"type": ["integer", "null"], "description": "The device's clock, ms since 1970."},
        "mutations": {"type": "array", "items": {"type": "object"}}}},
    replies={200: PushReply}, errors=(InvalidValue,))

_decoder = msgspec.json.Decoder(Push)
_encoder = msgspec.json.Encoder()


def decode_push(body: bytes) -> Push:
    """The envelope. Raises Malformed (no JSON), InvalidValue (not a push; says where)."""
    try:
        push = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise bodies.invalid_form(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"The body is not well-formed JSON: {error}.") from None
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    if not is_id(push.device_id):
        raise InvalidValue("A device id is 1 to 64 of A-Z a-z 0-9 _ . : -", field="/device_id")
    return push


async def push_once(store: StoreAPI, caller: Caller, push: Push, metrics: Metrics) -> PushReply:
    """Hand the mutations to the store. Raises LimitExceeded before anything is queued."""
    limit = store.schema.limits.push_mutations_max
    if len(push.mutations) > limit:
        raise LimitExceeded(f"A push holds at most {limit} mutations, this one has {len(push.mutations)}.", field="/mutations",
                            maximum=limit, unit="mutations")
    metrics.mutations_waiting += len(push.mutations)
    try:
        reply = await store.push(caller, push.device_id, [bytes(raw) for raw in push.mutations], now=push.now)
    finally:
        metrics.mutations_waiting -= len(push.mutations)
    for result in reply.results:
        metrics.count("mutations", result.outcome)
    return reply


class PushEndpoint:
    """The ASGI application for pushes."""

    def __init__(self, store: StoreAPI, authenticator: Authenticator, settings: Settings, watch: Watch, metrics: Metrics) -> None:
        self._store = store
        self._authenticator = authenticator
        self._deadlines = Deadlines(settings.answer_seconds_max)
        self._bytes_max = store.schema.limits.push_bytes_max
        self._watch = watch
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        exchange = Exchange(self._watch, scope, headers.get(b"x-request-id"), PUSH_PATH)
        try:
            body = await self._answer(exchange, scope, headers, receive, send)
            if body is not None:
                await exchange.send(send, 200, JSON, body)
        except bodies.ClientGone:
            return
        except (Exception, asyncio.CancelledError) as error:
            await exchange.fail(send, error)
        finally:
            exchange.finish()

    async def _answer(self, exchange: Exchange, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> bytes | None:
        if exchange.method != "POST":
            if exchange.method == "OPTIONS":
                await exchange.send(send, 204, b"text/plain", b"", [(b"allow", b"OPTIONS, POST")])
                return None
            raise MethodNotAllowed(f"This address does not take {exchange.method[:20]}.", allow=["OPTIONS", "POST"])
        raise_if_repeated(headers, scope["headers"])
        exchange.identity = identity = await self._authenticator.identify(headers, method="POST", scheme=scope["scheme"])
        if scope["query_string"]:
            raise Malformed("A push takes no parameters.", hint="Send everything in the body.")
        bodies.raise_if_not_json(headers)
        with self._deadlines.bound():
            push = decode_push(await bodies.read_body(receive, headers, self._bytes_max))
            reply = await push_once(self._store, identity.caller(request_of(headers, exchange.address)), push, self._metrics)
        return _encoder.encode(reply)
