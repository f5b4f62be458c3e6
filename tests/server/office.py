"""A server over a real store in memory, with two organisations and people in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast import open_store
from holdfast.engine.store import Store
from holdfast.model.keys import new_master_key
from holdfast.server.app import HoldfastApp, asgi_app
from holdfast.server.settings import Settings
from tests.server.desk import app as desk

PASSWORD = "correct horse battery"
"""Emil's and Ines's; the others have tokens alone, because hashing a password takes its time."""
PEOPLE = {"olga": ("acme", "owner"), "emil": ("acme", "editor"), "ines": ("acme", "editor"), "arno": ("acme", "archivist"),
          "zoe": ("other", "owner")}
MASTER_KEYS = new_master_key(lambda count: b"k" * count)


@dataclass
class Office:
    """`tokens` and `actors` by name: olga owns acme, emil and ines work there, arno sees all diaries, zoe owns another organisation."""

    store: Store
    app: HoldfastApp
    tokens: dict[str, str]
    actors: dict[str, str]

    def client(self, name: str | None = None, *, prefix: str = "", app: Any = None, **options: Any) -> httpx.AsyncClient:
        """A client in the same event loop, without sockets."""
        headers = {"authorization": f"Bearer {self.tokens[name]}"} if name else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app or self.app, raise_app_exceptions=True),
                                 base_url=f"http://desk.example{prefix}", headers=headers, **options)

    async def note(self, name: str = "emil", **fields: Any) -> dict[str, Any]:
        """A new note, as a record view."""
        async with self.client(name) as client:
            answer = await client.post("/v1/records/notes", json={"fields": {"title": "T", **fields}})
        assert answer.status_code == 201, answer.text
        record: dict[str, Any] = answer.json()["record"]
        return record


@asynccontextmanager
async def office(settings: Settings | None = None, **options: Any) -> AsyncIterator[Office]:
    async with open_store(apps=[desk], master_keys=MASTER_KEYS, **options) as store:
        tokens, actors = {}, {}
        for tenant in ("acme", "other"):
            await store.accounts.create_tenant(tenant, tenant.capitalize())
        for name, (tenant, role) in PEOPLE.items():
            account = await store.accounts.create_account(f"{name}@{tenant}.example", PASSWORD if name in ("emil", "ines") else None)
            actors[name] = await store.accounts.add_member(tenant, account, [role])
            tokens[name] = await store.accounts.create_token(tenant, account.email)
        app = asgi_app(store, settings=settings or Settings(port=0))
        try:
            yield Office(store, app, tokens, actors)
        finally:
            await app.close()
