"""What the server is given at its edge and passes to its handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from holdfast.engine.api import StoreAPI
from holdfast.engine.app import App
from holdfast.runtime import Runtime
from holdfast.server.authenticate import Authenticator
from holdfast.server.logs import RequestLog
from holdfast.server.metrics import Metrics
from holdfast.server.people import People
from holdfast.server.settings import Settings

__all__ = ["Services"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Made once per mounted server. `openapi` takes the prefix under which it is mounted; `ready` raises what keeps it from serving."""

    store: StoreAPI
    people: People
    authenticator: Authenticator
    runtime: Runtime
    settings: Settings
    metrics: Metrics
    log: RequestLog
    openapi: Callable[[str], bytes]
    ready: Callable[[], Awaitable[None]]
    applications: Sequence[App] = ()
