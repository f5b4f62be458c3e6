"""The calls of the wire as a device makes them, over any `Transport`: encoding, decoding, and the server's problems as errors.

An answer that is a problem raises the error of its code (`core.errors`): NotSignedIn, Forbidden, a WorldError with its `retry_after`,
and so on. No answer raises `Unreachable`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from inspect import isawaitable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from holdfast.client.transport import Answered, Channel, ChannelClosed, Reply, Request, Transport, Unreachable
from holdfast.core.errors import Forbidden, HoldfastError, Malformed, NotSignedIn, WorldError
from holdfast.core.messages import Problem, PullReply, PushReply
from holdfast.runtime import collecting_later

__all__ = ["Changes", "Errored", "Heartbeat", "Live", "Presence", "Pushed", "TokenSource", "Welcome", "Wire", "error_of_problem"]

T = TypeVar("T")

TokenSource: TypeAlias = Any
"""A token, or something to call for one (a function or a coroutine function); None: nobody is signed in."""

CALL_SECONDS_MAX: Final = 30.0
PUSH_SECONDS_MAX: Final = 60.0
PULL_ENTRIES: Final = 1_000

_encode: Final = msgspec.json.Encoder().encode
_push_reply: Final = msgspec.json.Decoder(PushReply)
_pull_reply: Final = msgspec.json.Decoder(PullReply)
_any: Final = msgspec.json.Decoder()


class Welcome(msgspec.Struct, tag_field="type", tag="welcome", kw_only=True):
    session: str
    tenant: str
    actor_id: str
    device_id: str
    now: int
    heartbeat_ms: int


class Changes(PullReply, tag_field="type", tag="changes", kw_only=True, omit_defaults=True):
    """What a pull answers, on the socket."""


class Pushed(PushReply, tag_field="type", tag="pushed", kw_only=True):
    id: str


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", kw_only=True):
    cursor: str | None
    head: int
    backed_up_seq: int
    now: int


class Presence(msgspec.Struct, tag_field="type", tag="presence", kw_only=True):
    collection: str
    record_id: str
    here: list[dict[str, Any]]


class Pong(msgspec.Struct, tag_field="type", tag="pong", kw_only=True):
    id: str = ""


class Errored(msgspec.Struct, tag_field="type", tag="error", kw_only=True):
    problem: Problem
    id: str | None = None


Message: TypeAlias = Welcome | Changes | Pushed | Heartbeat | Presence | Pong | Errored
_message: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)


# -- errors ------------------------------------------------------------------------------------------------------------------


def _classes(base: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    yield base
    for child in base.__subclasses__():
        yield from _classes(child)


_BY_CODE: Final = {one.code: one for one in _classes(HoldfastError)}


def error_of_problem(problem: Problem, status: int = 0) -> HoldfastError:
    """The error of the tree that a problem says; a code of a newer server by its status."""
    kind = _BY_CODE.get(problem.code)
    if kind is None or kind is HoldfastError:
        kind = WorldError if status >= 500 or status == 0 else NotSignedIn if status == 401 else Forbidden if status == 403 else Malformed
    if issubclass(kind, WorldError):
        return kind(problem.detail, retry_after=problem.retry_after or 0, hint=problem.hint or None, field=problem.field)
    return kind(problem.detail, hint=problem.hint or None, field=problem.field)


def _raise_for(reply: Reply) -> None:
    """Raise what an answer that is none of the expected says."""
    try:
        problem = msgspec.json.decode(reply.body, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem(code="", detail=f"The server answered {reply.status}.")
    if problem.retry_after is None and reply.headers.get("retry-after", "").isdigit():
        problem.retry_after = int(reply.headers["retry-after"])
    raise error_of_problem(problem, reply.status)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        with collecting_later():
            return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"What answered is no Holdfast server: {error}") from None


# -- calls -------------------------------------------------------------------------------------------------------------------


class Wire:
    def __init__(self, transport: Transport, token: TokenSource) -> None:
        self.transport = transport
        self._token = token

    def sign_in(self, token: TokenSource) -> None:
        self._token = token

    async def token(self) -> str:
        """The token of now. Raises NotSignedIn where there is none, Unreachable where the program's own function could not get one."""
        try:
            found = self._token() if callable(self._token) else self._token
            if isawaitable(found):
                found = await found
        except (HoldfastError, Unreachable):
            raise
        except Exception as error:
            raise Unreachable(f"The program could not get a token ({type(error).__name__}: {error}).") from error
        if not found:
            raise NotSignedIn("There is no token to sign in with.")
        return str(found)

    async def _ask(self, request: Request, seconds_max: float = CALL_SECONDS_MAX) -> Reply:
        headers = {**request.headers, "authorization": f"Bearer {await self.token()}"}
        if request.body is not None:
            headers["content-type"] = "application/json"
        asked = Request(method=request.method, path=request.path, query=request.query, body=request.body, headers=headers)
        reply = await self.transport.request(asked, seconds_max=seconds_max)
        if reply.status not in (200, 201, 202, 204):
            _raise_for(reply)
        return reply

    async def push(self, device_id: str, bodies: Sequence[bytes], now: int) -> PushReply:
        body = push_body(device_id, bodies, now)
        return _decoded(_push_reply, (await self._ask(Request(method="POST", path="/v1/push", body=body), PUSH_SECONDS_MAX)).body)

    async def pull(self, cursor: str | None, *, collections: Sequence[str], contracts: Mapping[str, int], device_id: str,
                   limit: int = PULL_ENTRIES) -> PullReply:
        query = {"limit": str(limit), "collections": ",".join(collections), "device_id": device_id,
                 "contracts": ",".join(f"{name}:{version}" for name, version in contracts.items())}
        if cursor is not None:
            query["cursor"] = cursor
        return _decoded(_pull_reply, (await self._ask(Request(method="GET", path="/v1/pull", query=query))).body)

    async def snapshot(self, collections: Sequence[str], after: str | None,
                       pending: Mapping[str, str | None]) -> AsyncIterator[dict[str, Any]]:
        """The lines: first {"cursor"}, then records. Raises Unreachable where they break off."""
        body = _encode({"collections": list(collections), "after": after, "pending": dict(pending)})
        headers = {"authorization": f"Bearer {await self.token()}", "content-type": "application/json"}
        try:
            async for line in self.transport.lines(Request(method="POST", path="/v1/snapshot", body=body, headers=headers),
                                                   seconds_max=CALL_SECONDS_MAX):
                if line:
                    yield _decoded(_any, line)
        except Answered as answered:
            _raise_for(answered.reply)

    async def records(self, wanted: Sequence[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
        asked = [{"collection": collection, "record_id": record_id, "base": base} for collection, record_id, base in wanted]
        found: list[dict[str, Any]] = (await self.call("POST", "/v1/records", body={"wanted": asked}))["records"]
        return found

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None,
                   idempotency_key: str | None = None) -> Any:
        """Any other call: its JSON, None for no content."""
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        reply = await self._ask(Request(method=method, path=path, query=query or {}, body=None if body is None else _encode(body),
                                        headers=headers))
        return None if not reply.body else _decoded(_any, reply.body)

    async def live(self, seconds_max: float) -> Live:
        """An open socket; `hello` is still to be said. Raises Unreachable, NotSignedIn."""
        token = await self.token()
        return Live(await self.transport.connect("/v1/live", seconds_max=seconds_max), token)

    async def close(self) -> None:
        await self.transport.close()


class Live:
    """The socket as messages."""

    def __init__(self, channel: Channel, token: str) -> None:
        self._channel = channel
        self._token = token

    async def hello(self, device_id: str, cursor: str | None, collections: Sequence[str], contracts: Mapping[str, int],
                    watch: Sequence[str] = ()) -> None:
        await self._say({"type": "hello", "device_id": device_id, "token": self._token, "cursor": cursor, "collections": list(collections),
                         "contracts": dict(contracts), "watch": list(watch)})

    async def push(self, message_id: str, bodies: Sequence[bytes], now: int) -> None:
        message = b'{"type":"push","id":"%b","now":%d,"mutations":[%b]}' % (message_id.encode(), now, b",".join(bodies))
        await self._channel.send(message.decode())

    async def resume(self, cursor: str | None) -> None:
        await self._say({"type": "resume", "cursor": cursor})

    async def presence(self, collection: str | None, record_id: str | None, field: str | None, state: Any) -> None:
        await self._say({"type": "presence", "collection": collection, "record_id": record_id, "field": field, "state": state})

    async def ping(self) -> None:
        await self._say({"type": "ping", "id": ""})

    async def receive(self) -> Message:
        """Raises ChannelClosed, also for what is no message of this protocol."""
        raw = await self._channel.receive()
        try:
            with collecting_later():
                return _message.decode(raw)
        except msgspec.MsgspecError as error:
            raise ChannelClosed(4400, f"The server said something that is no message: {error}") from None

    async def close(self) -> None:
        await self._channel.close()

    async def _say(self, message: Mapping[str, Any]) -> None:
        await self._channel.send(_encode(message).decode())


def push_body(device_id: str, bodies: Sequence[bytes], now: int) -> bytes:
    return b'{"device_id":"%b","now":%d,"mutations":[%b]}' % (device_id.encode(), now, b",".join(bodies))


