"""One call of the API, as its handler sees it, and the answer it gives; and `Route`, a row of the route table.

The route table is the one place where the API is declared: the router, the OpenAPI, the wire reference and the tests' list of cases
are made from it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from holdfast.core.entry import Request
from holdfast.core.errors import HoldfastError, InvalidValue, Malformed, NotFound
from holdfast.core.identity import is_id
from holdfast.core.schema import Collection
from holdfast.engine.api import Caller, StoreAPI
from holdfast.server.authenticate import Headers, Identity
from holdfast.server.parameters import Parameter
from holdfast.server.services import Services

__all__ = ["JSON", "NDJSON", "Answer", "Call", "Handler", "Route", "request_of", "wanted_path"]

T = TypeVar("T")

NDJSON = b"application/x-ndjson"
JSON = b"application/json"


class Answer(msgspec.Struct, kw_only=True):
    """What a handler answers. `body` is encoded as JSON unless it is bytes (None: no body); a `stream` is sent piece by piece."""

    body: Any = None
    status: int = 200
    media: bytes = JSON
    headers: list[tuple[bytes, bytes]] = []
    stream: AsyncIterator[bytes] | None = None


@dataclass(slots=True, kw_only=True)
class Call:
    """One call. `body` is the declared Struct (or a dict where the route declares none of its own)."""

    services: Services
    request_id: str
    method: str
    scheme: str
    path: Mapping[str, str]
    headers: Headers
    values: Mapping[str, Any]
    filters: list[tuple[str, str]]
    address: str
    base_path: str = ""
    identity: Identity | None = None
    body: Any = None

    @property
    def store(self) -> StoreAPI:
        return self.services.store

    @property
    def signed_in(self) -> Identity:
        assert self.identity is not None, "the route is not public, so somebody signed in"
        return self.identity

    @property
    def caller(self) -> Caller:
        return self.signed_in.caller(self.request)

    @property
    def request(self) -> Request:
        return request_of(self.headers, self.address)

    def given(self, kind: type[T]) -> T:
        """The body, which the route declares to be of `kind`."""
        assert isinstance(self.body, kind)
        return self.body

    @property
    def collection(self) -> Collection:
        """The collection that the path names. Raises NotFound."""
        found = self.store.schema.collections.get(self.path["collection"])
        if found is None:
            raise NotFound("There is no such collection.", hint="GET /v1/schema lists the collections.")
        return found

    @property
    def record_id(self) -> str:
        return self.path["id"]

    @property
    def mutation_id(self) -> str | None:
        """The Idempotency-Key, if there is one. Raises Malformed."""
        raw = self.headers.get(b"idempotency-key")
        if raw is None:
            return None
        key = raw.decode("latin-1").strip().strip('"')
        if not is_id(key):
            raise Malformed("The Idempotency-Key must be 1 to 64 of A-Z a-z 0-9 _ . : -", field="Idempotency-Key",
                            hint="A UUID does well.")
        return key


def request_of(headers: Headers, address: str) -> Request:
    """What the log keeps about where a call came from."""
    return Request(address=address, agent=headers.get(b"user-agent", b"")[:200].decode("latin-1"))


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A row of the route table. `replies` is status -> Struct (or a media type for what is not JSON, or None for no body);
    `shown` is the JSON Schema of the arguments where `body` (or the free parameters of a `filtered` route) does not say it;
    `errors` are those beyond the ones every call can answer. Without a handler the route is served as raw ASGI."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler | None = None
    doc: str = ""
    public: bool = False
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    filtered: bool = False
    shown: Mapping[str, Any] | None = None
    body: Any = None
    body_required: bool = True
    body_bytes_max: int | None = None
    replies: Mapping[int, Any] = field(default_factory=dict)
    errors: tuple[type[HoldfastError], ...] = ()
    streams: bool = False
    app: str = ""

    @property
    def tag(self) -> str:
        return self.app or self.path.removeprefix("/v1/").strip("/").split("/")[0] or "machines"


def wanted_path(path: str) -> str:
    """A JSON Pointer that a caller names. Raises InvalidValue."""
    if path and not path.startswith("/"):
        raise InvalidValue("A path is a JSON Pointer such as /notes.", field="path", hint="Start it with a slash.")
    return path
