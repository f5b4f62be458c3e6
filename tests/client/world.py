"""A real store behind the real server, in this process, and replicas of it: what most tests of the client stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from holdfast import Counter, Json, Money, Record, Ref, Set, Store, Text, merge, open_store, tenant
from holdfast.client import Replica, open_replica
from holdfast.client.settings import ReplicaSettings
from holdfast.runtime import RealRuntime, Runtime
from holdfast.server.app import HoldfastApp, asgi_app
from holdfast.server.settings import Settings
from holdfast.testing.asgi import AsgiTransport, Fault

__all__ = ["QUICK", "Folder", "Note", "World", "world"]

QUICK = ReplicaSettings(hold_ms=5, hold_ms_max=20, backoff_seconds=0.01, backoff_seconds_max=0.05, connect_seconds_max=2.0,
                        answer_seconds_max=0.5, poll_seconds=0.05, right_seconds=0.2, shared=False, disk_retry_seconds=0.05)
"""Waits short enough to wait for."""


class Folder(Record, collection="folders", access=tenant):
    """Where notes lie."""

    name: str


class Note(Record, collection="notes", access=tenant):
    """Something written down."""

    title: str = ""
    folder: Ref[Folder] | None = None
    status: Literal["open", "done"] = "open"
    price: Annotated[Money, merge.ask] | None = None
    body: Text = ""
    tags: Set[str] = set()
    views: Counter = 0
    extra: Json = {}


class World:
    """A server and its people."""

    def __init__(self, store: Store, app: HoldfastApp, folder: Path, runtime: Runtime) -> None:
        self.store = store
        self.runtime = runtime
        self.app = app
        self.folder = folder
        self.tokens: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def token(self, email: str = "ada@example.org", roles: Iterable[str] = ("owner",)) -> str:
        if email not in self.tokens:
            await self.store.member("acme", email, roles=list(roles))
            self.tokens[email] = await self.store.accounts.create_token("acme", email, name="replica")
        return self.tokens[email]

    @asynccontextmanager
    async def replica(self, name: str, *, email: str = "ada@example.org", fault: Fault | None = None, settings: ReplicaSettings = QUICK,
                      records: Iterable[type[Record]] = (Note, Folder), **options: Any) -> AsyncIterator[Replica]:
        runtime = options.pop("runtime", self.runtime)
        transport = AsgiTransport(self.app, runtime=runtime, **({} if fault is None else {"fault": fault}))
        async with open_replica(self.folder / f"{name}.replica", transport=transport, token=await self.token(email), records=records,
                                settings=settings, runtime=runtime, **options) as replica:
            yield replica


@asynccontextmanager
async def world(folder: Path, records: Iterable[type[Record]] = (Note, Folder), runtime: Runtime | None = None,
                **options: Any) -> AsyncIterator[World]:
    runtime = runtime or RealRuntime()
    async with open_store(folder / "server", records=list(records), mode="inline", runtime=runtime, **options) as store:
        app = asgi_app(store, settings=Settings(heartbeat_seconds=0.1, presence_seconds=0.01))
        try:
            yield World(store, app, folder, runtime)
        finally:
            await app.close()
