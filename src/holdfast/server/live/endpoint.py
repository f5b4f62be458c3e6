"""`WS /v1/live` as an ASGI application: sign-in, `hello`, then messages until the socket closes.

A socket signs in by its cookie, if its Origin is ours, or by the token of its first message; never by its URL, which ends up in logs
and histories. Messages of one socket are handled one after another, so a device's pushes keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from starlette.types import Message, Receive, Scope, Send

from holdfast.core.errors import Forbidden, HoldfastError, InvalidValue, Malformed, NotSignedIn
from holdfast.core.identity import is_id
from holdfast.core.messages import Push
from holdfast.engine.api import StoreAPI, problem_of
from holdfast.runtime import Runtime
from holdfast.server.authenticate import Authenticator, Headers, Identity, is_secure, presented_cookie, raise_if_cross_site
from holdfast.server.bodies import invalid_form
from holdfast.server.calls import Answer, Call, Route, request_of
from holdfast.server.connections import FRAMES, FrameWriter
from holdfast.server.devices import known_collections
from holdfast.server.exchange import Exchange
from holdfast.server.live.hub import Hub
from holdfast.server.live.messages import (
    FORBIDDEN,
    MALFORMED,
    NOT_SIGNED_IN,
    TOO_LATE,
    Errored,
    Hello,
    Incoming,
    Ping,
    Place,
    Pong,
    Pushed,
    PushMessage,
    Resume,
    Welcome,
    decode,
    frame_of,
)
from holdfast.server.live.outlet import DirectOutlet, Outlet, QueuedOutlet
from holdfast.server.live.session import Session
from holdfast.server.metrics import Metrics
from holdfast.server.push import push_once
from holdfast.server.settings import Settings

__all__ = ["LIVE_PATH", "LIVE_ROUTE", "LiveEndpoint"]

LIVE_PATH = "/v1/live"


async def no_socket(call: Call) -> Answer:
    """A plain request for the socket's address."""
    raise Malformed("This address is a WebSocket.", hint="Connect with `Upgrade: websocket`.")


LIVE_ROUTE = Route(
    method="GET", path=LIVE_PATH, name="live", summary="A WebSocket: pushes and changes both ways, heartbeats, presence.", public=True,
    handler=no_socket, replies={101: None},
    doc="Messages are JSON objects told apart by `type`; the wire reference lists them. The first is `hello`.")

_MISTAKES_MAX = 20
_MESSAGE_ID_MAX = 64
_REASON_MAX = 100


class _SocketGone(Exception):
    """The device closed the socket, or its connection is lost."""


class _Refused(Exception):
    """The socket is closed before it has begun."""

    def __init__(self, code: int, error: HoldfastError) -> None:
        super().__init__(code)
        self.code = code
        self.error = error


class LiveEndpoint:
    """All sockets of one mounted server."""

    def __init__(self, store: StoreAPI, authenticator: Authenticator, runtime: Runtime, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._authenticator = authenticator
        self._runtime = runtime
        self._settings = settings
        self._metrics = metrics
        self._hubs: dict[str, Hub] = {}
        metrics.gauge("sockets", "Sockets open now.", lambda: float(sum(len(hub.sessions) for hub in self._hubs.values())))

    async def close(self) -> None:
        """End every hub; the sockets themselves are the HTTP server's to close."""
        hubs, self._hubs = list(self._hubs.values()), {}
        for hub in hubs:
            await hub.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Serve one socket to its end."""
        await receive()                                 # websocket.connect
        await send({"type": "websocket.accept"})
        exchange.status = 101
        outlet = self._outlet(scope, send)
        try:
            session = await self._greet(scope, receive, outlet)
            exchange.identity = session.identity
            await self._attend(session, receive)
            exchange.code = str(session.ended[0]) if session.ended else ""
        except _Refused as refused:
            exchange.code = str(refused.code)
            outlet.write(frame_of(Errored(problem=problem_of(refused.error))))
            await outlet.drained()
            await outlet.close(refused.code, refused.error.detail[:_REASON_MAX])
        except _SocketGone:
            return
        finally:
            await outlet.stop()

    async def _attend(self, session: Session, receive: Receive) -> None:
        hub = self._hub(session.identity.tenant_id)
        hub.add(session)
        try:
            await self._listen(session, hub, receive)
        except _SocketGone:
            return
        finally:
            hub.remove(session)
            await session.closed()
            if session.ended is not None:
                self._metrics.count("sockets_closed", str(session.ended[0]))
            if not hub.sessions and self._hubs.get(hub.tenant_id) is hub:
                del self._hubs[hub.tenant_id]
                await hub.close()

    def _hub(self, tenant_id: str) -> Hub:
        hub = self._hubs.get(tenant_id)
        if hub is None:
            hub = self._hubs[tenant_id] = Hub(tenant_id, self._store, self._runtime, self._settings, self._metrics)
        return hub

    def _outlet(self, scope: Scope, send: Send) -> Outlet:
        bytes_max = self._store.schema.limits.socket_buffered_bytes_max
        writer = scope.get("extensions", {}).get(FRAMES)
        if isinstance(writer, FrameWriter):
            return DirectOutlet(writer, send, bytes_max)
        return QueuedOutlet(send, self._runtime, bytes_max)

    # -- the first message ----------------------------------------------------------------------------------------------
    async def _greet(self, scope: Scope, receive: Receive, outlet: Outlet) -> Session:
        """The session that `hello` opens. Raises _Refused, _SocketGone."""
        try:
            async with asyncio.timeout(self._settings.hello_seconds_max):
                hello = read_message(await _next(receive))
        except TimeoutError:
            raise _Refused(TOO_LATE, NotSignedIn("The first message did not come in time.")) from None
        except HoldfastError as error:
            raise _Refused(MALFORMED, error) from None
        if not isinstance(hello, Hello) or not is_id(hello.device_id):
            raise _Refused(MALFORMED, Malformed("The first message must be a hello with a device_id of 1 to 64 of A-Z a-z 0-9 _ . : -",
                                                hint='Send {"type":"hello","device_id":"…","cursor":null} first.'))
        headers = dict(scope["headers"])
        try:
            check = self._check_of(hello, headers, scope["scheme"])
            identity = await check()
            known_collections(self._store.schema.collections, [*(hello.collections or ()), *hello.watch])
        except NotSignedIn as error:
            raise _Refused(NOT_SIGNED_IN, error) from None
        except HoldfastError as error:
            raise _Refused(FORBIDDEN if isinstance(error, Forbidden) else MALFORMED, error) from None
        address = scope["client"][0] if scope.get("client") else ""
        session = Session(self._runtime.uuid7(), identity, identity.caller(request_of(headers, address)), hello, outlet, self._runtime,
                          check)
        session.send(Welcome(session=session.id, tenant=identity.tenant_id, actor_id=identity.account_id, device_id=session.device_id,
                             now=self._runtime.now_ms(), heartbeat_ms=int(self._settings.heartbeat_seconds * 1000)))
        return session

    def _check_of(self, hello: Hello, headers: Headers, scheme: str) -> Callable[[], Awaitable[Identity]]:
        """What finds out who the socket is, now and again later. Raises NotSignedIn, Forbidden."""
        tenant = hello.tenant.encode() if hello.tenant is not None else headers.get(b"holdfast-tenant")
        secret = hello.token
        if secret is None:
            secret = presented_cookie(headers, secure=is_secure(scheme, self._settings))
            if secret is None:
                raise NotSignedIn("This socket names nobody: its hello has no token, and there is no session cookie.")
            raise_if_cross_site(headers, scheme, self._settings, must_say=True)
        return partial(self._authenticator.identify_secret, secret, tenant)

    # -- the messages after it ------------------------------------------------------------------------------------------
    async def _listen(self, session: Session, hub: Hub, receive: Receive) -> None:
        mistakes = 0
        while session.ended is None:
            raw = await _next(receive)
            message: Incoming | None = None
            try:
                message = read_message(raw)
                await self._handle(message, session, hub)
            except Exception as error:
                session.fail(error, message.id if isinstance(message, PushMessage) else None)
                mistakes += message is None
                if mistakes > _MISTAKES_MAX:
                    session.end(MALFORMED, "Too many messages that cannot be read.")

    async def _handle(self, message: Incoming, session: Session, hub: Hub) -> None:
        if isinstance(message, PushMessage):
            await self._push(message, session)
        elif isinstance(message, Place):
            await hub.teller.enter(session, message)
        elif isinstance(message, Resume):
            session.cursor = message.cursor
            hub.resume(session)
        elif isinstance(message, Ping):
            session.send(Pong(id=message.id[:_MESSAGE_ID_MAX]))
        else:
            raise InvalidValue("This socket has said hello already.", hint="Send resume to go on from another cursor.")

    async def _push(self, message: PushMessage, session: Session) -> None:
        if len(message.id) > _MESSAGE_ID_MAX:
            raise InvalidValue(f"A message's id has at most {_MESSAGE_ID_MAX} characters.", field="/id")
        # Each push is judged with the credential as it stands: a socket that outlives its sign-in must not save under it.
        await session.check()
        push = Push(device_id=session.device_id, mutations=message.mutations, now=message.now)
        async with asyncio.timeout(self._settings.answer_seconds_max):
            reply = await push_once(self._store, session.caller, push, self._metrics)
        session.send(Pushed(id=message.id, results=reply.results, head=reply.head))


async def _next(receive: Receive) -> str:
    """The next text message. Raises _SocketGone; a binary message reads as an empty one, which is answered as malformed."""
    message: Message = await receive()
    if message["type"] != "websocket.receive":
        raise _SocketGone
    return message.get("text") or ""


def read_message(raw: str) -> Incoming:
    """Raises Malformed (no JSON, not text), InvalidValue (no message of this protocol; says where)."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise invalid_form(error) from None
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Malformed(f"A message must be a JSON object in a text frame: {error}.") from None
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
