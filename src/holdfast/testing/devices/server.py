"""A real Holdfast server in this process, which can be stopped, put back to a backup and upgraded while the link in front of it stays. What
a case wants to know of it, it asks over the wire, past the link; only people, tokens and rights are made by hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from holdfast.client.transport import Reply, Request
from holdfast.core.limits import Limits
from holdfast.engine.opening import Mode, open_store
from holdfast.engine.store import Store
from holdfast.runtime import Runtime
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from holdfast.testing.asgi import AsgiTransport
from holdfast.testing.devices.link import Link
from holdfast.testing.devices.records import records_of

__all__ = ["Answered", "Server"]

TENANT = "acme"
JUDGE = "judge"


class Answered(Exception):
    """The server answered one of the suite's own calls with a problem."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.status} {reply.body[:500]!r}")
        self.reply = reply


class Server:
    """`people` are made as they are first named; the first is the owner, whom the suite itself asks as."""

    def __init__(self, folder: Path, runtime: Runtime, link: Link, *, heartbeat_seconds: float, mode: Mode, limits: Limits) -> None:
        self.folder = folder
        self.runtime = runtime
        self.link = link
        self.contract = 1
        self._limits = limits
        self._mode: Mode = mode
        self._settings = Settings(heartbeat_seconds=heartbeat_seconds, presence_seconds=0.01)
        self._stack = AsyncExitStack()
        self._store: Store | None = None
        self._own_tokens: dict[str, str] = {}
        self.put_back_at: int | None = None     # how many messages the link had seen when it was last put back

    # -- its life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._stack = AsyncExitStack()
        self._store = await self._stack.enter_async_context(open_store(
            self.folder / "server", records=records_of(self.contract), mode=self._mode, runtime=self.runtime, limits=self._limits))
        app = asgi_app(self._store, settings=self._settings)
        self._stack.push_async_callback(app.close)
        self.link.app = app

    async def stop(self) -> None:
        self.link.app = None
        self.link.cut()
        await self._stack.aclose()
        self._store = None

    async def back_up(self) -> None:
        """Keep a copy of the server as it is."""
        await self.stop()
        shutil.rmtree(self.folder / "backup", ignore_errors=True)
        shutil.copytree(self.folder / "server", self.folder / "backup")
        await self.start()

    async def put_back(self) -> None:
        """The server is restored from its backup: what it did since, it has never heard of. Tokens are made anew where they are gone."""
        await self.stop()
        shutil.rmtree(self.folder / "server")
        shutil.copytree(self.folder / "backup", self.folder / "server")
        self._own_tokens.clear()
        self.put_back_at = len(self.link.seen)
        await self.start()

    async def upgrade(self) -> None:
        """The applications of the server move on to the next contract of cards."""
        await self.stop()
        self.contract = 2
        await self.start()

    # -- people -----------------------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        assert self._store is not None, "the server is stopped"
        return self._store

    async def member(self, person: str, roles: Sequence[str] = ("editor",)) -> str:
        """Make somebody a member with these roles, or give them other ones; the person's id."""
        await self.store.member(TENANT, f"{JUDGE}@example.org", roles=["owner", "editor"])
        session = await self.store.member(TENANT, f"{person}@example.org", roles=list(roles))
        return session.actor_id

    async def remove(self, person: str) -> None:
        account = await self.store.accounts.account(f"{person}@example.org")
        assert account is not None
        await self.store.accounts.remove_member(TENANT, account.id)

    async def token(self, person: str, device: str, seconds: float | None = None) -> str:
        """A token of this person, which the link knows for this device's; it ends after so many seconds."""
        expires_at = None if seconds is None else self.runtime.now_ms() + round(seconds * 1_000)
        token = await self.store.accounts.create_token(TENANT, f"{person}@example.org", name=device, expires_at=expires_at)
        self.link.names[token] = device
        return token

    # -- asked over the wire ----------------------------------------------------------------------------------------------

    async def call(self, method: str, path: str, *, person: str = JUDGE, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """A call past the link, as a person. Raises Answered."""
        if person not in self._own_tokens:
            self._own_tokens[person] = await self.store.accounts.create_token(TENANT, f"{person}@example.org", name="suite")
        headers = {"authorization": f"Bearer {self._own_tokens[person]}", "content-type": "application/json"}
        transport = AsgiTransport(self.link.app, runtime=self.runtime) if self.link.app is not None else None
        assert transport is not None, "the server is stopped"
        reply = await transport.request(Request(method=method, path=path, query=query or {}, headers=headers,
                                                body=None if body is None else msgspec.json.encode(body)), seconds_max=30)
        if reply.status >= 400:
            raise Answered(reply)
        return msgspec.json.decode(reply.body) if reply.body else None

    async def record(self, collection: str, record_id: str) -> dict[str, Any] | None:
        """The record as the owner sees it, deleted ones too; None where there is none."""
        try:
            found: dict[str, Any] = await self.call("GET", f"/v1/records/{collection}/{record_id}", query={"include_deleted": "true"})
        except Answered as answered:
            if answered.reply.status == 404:
                return None
            raise
        return found

    async def changes(self, record_id: str | None = None) -> list[dict[str, Any]]:
        """The whole log as the owner sees it, or that of one record, oldest first."""
        found: list[dict[str, Any]] = []
        cursor, more = None, True
        while more:
            page = await self.call("GET", "/v1/pull", query={"limit": "1000", **({} if cursor is None else {"cursor": cursor})})
            found += page["changes"]
            cursor, more = page["cursor"], page["more"]
        return [one for one in found if record_id in (None, one["record_id"])]

    async def push(self, person: str, device_id: str, mutations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What another device sends: the results."""
        reply = await self.call("POST", "/v1/push", person=person,
                                body={"device_id": device_id, "now": self.runtime.now_ms(), "mutations": list(mutations)})
        results: list[dict[str, Any]] = reply["results"]
        return results
