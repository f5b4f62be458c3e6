"""The server as one ASGI application: `asgi_app(store, …)`.

It can be served alone (`server.serve`) or mounted inside somebody's own Starlette or FastAPI application, under any prefix. It
starts nothing until the first request; `close()` (or the lifespan, when it is served alone) ends what it started. The store is the
caller's: who opened it closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

import msgspec
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route as PathRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.core.errors import DeclarationError
from holdfast.engine.api import StoreAPI
from holdfast.engine.app import App
from holdfast.engine.store import Store
from holdfast.engine.work import Upkeep
from holdfast.runtime import RealRuntime, Runtime
from holdfast.server.applications import application_routes
from holdfast.server.authenticate import Authenticator, TokenChecker
from holdfast.server.calls import Route
from holdfast.server.devices import device_routes
from holdfast.server.endpoint import Endpoint, NoEndpoint
from holdfast.server.exchange import Exchange, Watch
from holdfast.server.live.endpoint import LIVE_PATH, LIVE_ROUTE, LiveEndpoint
from holdfast.server.logs import LoggedRequests, RequestLog
from holdfast.server.machines import machine_routes
from holdfast.server.metrics import Metrics
from holdfast.server.oidc import Issuer
from holdfast.server.openapi import document
from holdfast.server.past import past_routes
from holdfast.server.people import AccountPeople, People
from holdfast.server.push import PUSH_PATH, PUSH_ROUTE, PushEndpoint
from holdfast.server.records import record_routes
from holdfast.server.services import Services
from holdfast.server.settings import Settings
from holdfast.server.signing_in import sign_in_routes
from holdfast.server.waiting import waiting_routes

__all__ = ["HoldfastApp", "asgi_app", "built_in_routes"]

_COMPRESSED_BYTES_MIN = 1024
_COMPRESSION_LEVEL = 4
_READY_SECONDS_MAX = 5.0
_READY_SECONDS = 1.0
_CORS_REQUEST_HEADERS = ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Holdfast-Tenant", "X-Request-Id"]
_CORS_ANSWER_HEADERS = ["ETag", "Location", "Retry-After", "Idempotent-Replayed", "X-Request-Id"]


def built_in_routes() -> list[Route]:
    """The route table of the API itself; applications add theirs."""
    return [*sign_in_routes(), PUSH_ROUTE, LIVE_ROUTE, *device_routes(), *record_routes(), *past_routes(), *waiting_routes(),
            *machine_routes()]


def asgi_app(store: StoreAPI, people: People | None = None, *, runtime: Runtime | None = None, settings: Settings | None = None,
             applications: Sequence[App] | None = None, tokens: TokenChecker | None = None,
             ready: Callable[[], Awaitable[None]] | None = None, log: RequestLog | None = None) -> HoldfastApp:
    """The server over a store that `open_store` opened: `app.mount("/holdfast", asgi_app(store))`. `people`, `applications` and `tokens`
    (who checks JWTs) are those of the store and the settings, unless given; requests are logged to `holdfast.requests`, unless `log` is
    given. Raises DeclarationError, UnsafeSettings."""
    settings = settings or Settings()
    if isinstance(store, Store):
        runtime = runtime or store.runtime
        people = people or AccountPeople(store.accounts)
        applications = list(store.apps.values()) if applications is None else applications
    if people is None:
        raise DeclarationError("A store that is none of open_store needs `people`: who may sign in.")
    runtime = runtime or RealRuntime()
    if tokens is None and settings.oidc_issuer is not None:
        tokens = Issuer(settings, people, runtime)
    return HoldfastApp(store, people, runtime, settings, applications or (), tokens, ready or Readiness(store, runtime),
                       log or LoggedRequests())


class Readiness:
    """Whether the store takes saves: its writer answers, in time. Anybody may ask, so the writer is asked once a second at most."""

    def __init__(self, store: StoreAPI, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._ready_until = float("-inf")

    async def __call__(self) -> None:
        """Raise what keeps the store from taking saves; TimeoutError if it does not answer."""
        if isinstance(self._store, Store) and self._runtime.monotonic() >= self._ready_until:
            async with asyncio.timeout(_READY_SECONDS_MAX):
                await self._store.gate.submit(Upkeep())
            self._ready_until = self._runtime.monotonic() + _READY_SECONDS


class HoldfastApp:
    """See the module. `routes` is the table that everything was made from."""

    def __init__(self, store: StoreAPI, people: People, runtime: Runtime, settings: Settings, applications: Sequence[App],
                 tokens: TokenChecker | None, ready: Callable[[], Awaitable[None]], log: RequestLog) -> None:
        self.routes: tuple[Route, ...] = (*built_in_routes(), *application_routes(applications))
        self.metrics = Metrics()
        self.metrics.gauge("writer_starts", "How often the writer's process was started; more than 1: it died.",
                           lambda: writer_starts(store))
        self._watch = Watch(runtime, log, self.metrics)
        authenticator = Authenticator(people, tokens, runtime, settings)
        services = Services(store=store, people=people, authenticator=authenticator, runtime=runtime, settings=settings,
                            metrics=self.metrics, log=self._watch.log, ready=ready, applications=applications,
                            openapi=cache(lambda base: msgspec.json.encode(document(self.routes, store.schema, base_path=base))))
        self._push = PushEndpoint(store, authenticator, settings, self._watch, self.metrics)
        self._live = LiveEndpoint(store, authenticator, runtime, settings, self.metrics)
        self._many: ASGIApp = self._router(services)
        self._compressed = GZipMiddleware(self._many, minimum_size=_COMPRESSED_BYTES_MIN, compresslevel=_COMPRESSION_LEVEL)
        self._app: ASGIApp = self._route
        if settings.cors_origins:
            self._app = CORSMiddleware(self._route, allow_origins=settings.cors_origins, allow_credentials=True,
                                       allow_methods=["GET", "POST", "PATCH", "DELETE"], allow_headers=_CORS_REQUEST_HEADERS,
                                       expose_headers=_CORS_ANSWER_HEADERS, max_age=600)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """End what the sockets need in the background. The store stays open."""
        await self._live.close()

    def _router(self, services: Services) -> Router:
        by_path: dict[str, list[Route]] = {}
        for route in self.routes:
            if route.handler is not None:
                by_path.setdefault(route.path, []).append(route)
        return Router(routes=[PathRoute(path, Endpoint(routes, services, self._watch), name=path) for path, routes in by_path.items()],
                      redirect_slashes=False, default=NoEndpoint(self._watch))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            path = route_path(scope)
            if path == PUSH_PATH:
                await self._push(scope, receive, send)
            elif any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"]):
                await self._compressed(scope, receive, varying_once(send))
            else:
                await self._many(scope, receive, send)
        elif kind == "websocket":
            await self._socket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if route_path(scope) != LIVE_PATH:
            await send({"type": "websocket.close", "code": 4404, "reason": "There is no socket at this address."})
            return
        exchange = Exchange(self._watch, scope, None, LIVE_PATH)
        try:
            await self._live(scope, receive, send, exchange)
        finally:
            exchange.finish()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def varying_once(send: Send) -> Send:
    """What compresses says that answers vary by encoding, as all our answers do already: once is enough."""
    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(name, _once(value) if name == b"vary" else value) for name, value in message["headers"]]
        await send(message)

    return forward


def _once(value: bytes) -> bytes:
    return b", ".join(dict.fromkeys(one.strip() for one in value.split(b",")))


def writer_starts(store: StoreAPI) -> float:
    """0 where the writer is no process of its own."""
    process = store.writer_process if isinstance(store, Store) else None
    return 0 if process is None else process.starts


def route_path(scope: Scope) -> str:
    """The path below the prefix under which we are mounted."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path[len(prefix):] if prefix and path.startswith(prefix) else path
