"""A clinic of two organisations in memory, with a clock that stands and randomness from a seed, so that two worlds in which the same
happened give the same bytes. `secretly` is what the twins of the isolation proof differ in."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from holdfast import open_store
from holdfast.core.identity import natural_id
from holdfast.engine.store import Store
from holdfast.model.keys import new_master_key
from holdfast.runtime import RealRuntime, uuid7_from
from holdfast.server.app import HoldfastApp, asgi_app
from holdfast.server.settings import Settings
from tests.proof.clinic import app as clinic

NOW = 1_800_000_000_000
PASSWORD = "correct horse battery"
MASTER_KEYS = new_master_key(lambda count: b"p" * count)
APPS = [clinic, "holdfast.apps.workshop"]

PEOPLE = {
    "olga": ("acme", ["owner"]), "mona": ("acme", ["admin"]), "dora": ("acme", ["doctor"]), "fred": ("acme", ["facilitator"]),
    "pia": ("acme", ["participant"]), "quin": ("acme", ["participant"]), "nora": ("acme", []), "paul": ("acme", []),
    "rolf": ("acme", ["doctor"]), "zoe": ("other", ["owner", "doctor", "facilitator", "participant"]),
}
"""Olga owns acme, mona runs it, dora is a doctor there, pia and quin are patients, nora is just a member, paul has a circle of his own,
rolf was a doctor until he was removed; zoe owns another organisation and has every role in it."""


class StillRuntime(RealRuntime):
    """The clock stands until it is moved; ids and randomness come from a seed; the disk may be another."""

    def __init__(self, vfs: str | None = None) -> None:
        super().__init__()
        self.now = NOW
        self._vfs = vfs
        self.reseed(0)

    def pass_minutes(self, minutes: int) -> None:
        self.now += minutes * 60_000

    def reseed(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = seed << 20

    def now_ms(self) -> int:
        return self.now

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def sqlite_vfs(self) -> str | None:
        return self._vfs

    def uuid7(self) -> str:
        self._count += 1
        return uuid7_from(self.now + (self._count >> 12), self._random.randbytes(8), self._count & 0xFFF)


def named_id(name: str) -> str:
    """The id of the record that the tests call so."""
    return natural_id("$proof", [name])


class _Overheard:
    """Stands before a reader or a batch, and notes what is asked of it."""

    def __init__(self, inner: Any, asked: list[str]) -> None:
        self._inner, self._asked = inner, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._inner, name)


def overhear(storage: Any, asked: list[str]) -> None:
    """Note in `asked` whatever is asked of this storage from now on."""
    for name in ("reader", "batch"):
        opened = getattr(storage, name)

        @asynccontextmanager
        async def listening(*args: Any, opened: Any = opened) -> AsyncIterator[Any]:
            async with opened(*args) as inner:
                yield _Overheard(inner, asked)

        setattr(storage, name, listening)


@dataclass
class World:
    """`tokens` and `actors` by name. `telling` False: whatever happens `secretly` is replaced by as many changes of paul's circle.
    `asked`: every question that was put to the storage, in order."""

    store: Store
    app: HoldfastApp
    runtime: StillRuntime
    telling: bool = True
    with_actions: bool = True
    script: list[int] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    actors: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _bases: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _afters: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _count: int = 0
    _played: int = 0

    def client(self, who: str | None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://clinic.example", headers=headers)

    async def call(self, who: str | None, method: str, url: str, body: Any = None, *, raw: bytes | None = None,
                   headers: dict[str, str] | None = None) -> httpx.Response:
        async with self.client(who) as client:
            given: dict[str, Any] = {"content": raw} if raw is not None else {} if body is None else {"json": body}
            return await client.request(method, url, headers=headers, **given)

    async def ok(self, who: str, method: str, url: str, body: Any = None) -> Any:
        answer = await self.call(who, method, url, body)
        assert answer.status_code < 300, (method, url, answer.text)
        return answer.json() if answer.content else None

    async def push(self, who: str, collection: str, record: str, *ops: dict[str, Any], device: str | None = None,
                   **more: Any) -> dict[str, Any]:
        """One mutation by the person's device, on the newest it has seen (`look`); its result."""
        device = device or f"dev-{who}"
        record = record if len(record) == 36 else named_id(record)
        key = (device, collection, record)
        self._count += 1
        mutation = {"mutation_id": f"{device}.{self._count}", "collection": collection, "record_id": record, "ops": list(ops),
                    "base": self._bases.get(key), "after": self._afters.get(key), **more}
        self._afters[key] = mutation["mutation_id"]
        reply = await self.ok(who, "POST", "/v1/push", {"device_id": device, "now": self.runtime.now, "mutations": [mutation]})
        result: dict[str, Any] = reply["results"][0]
        return result

    async def look(self, who: str, collection: str, record: str) -> dict[str, Any]:
        """The person's device sees the record as it stands."""
        record = record if len(record) == 36 else named_id(record)
        view: dict[str, Any] = await self.ok(who, "GET", f"/v1/records/{collection}/{record}?include_deleted=1")
        self._bases[f"dev-{who}", collection, record] = view["position"]
        return view

    async def head(self, tenant: str = "acme") -> int:
        async with self.store.storage.reader() as reader:
            return (await reader.head(tenant)).seq

    async def position(self, seq: int) -> str:
        async with self.store.storage.reader() as reader:
            return f"{seq}.{(await reader.prefixes('acme', [seq]))[seq]}"

    # -- what the twins differ in ------------------------------------------------------------------------------------------
    async def secretly(self, happening: Any) -> None:
        """`await happening()`; in the other twin as many changes of paul's circle as that made. Both go on with equal randomness."""
        if self.telling:
            before = await self.head()
            await happening()
            self.script.append(await self.head() - before)
        else:
            for number in range(self.script[self._played]):
                await self.push("paul", "circles", "pad", {"op": "set", "path": "/topic", "value": f"pad {self._played} {number}"})
        self._played += 1
        self._count = 1_000 * self._played
        self.runtime.reseed(self._played)


@asynccontextmanager
async def world(*, telling: bool = True, with_actions: bool = True, script: Sequence[int] = (),
                settings: Settings | None = None, vfs: str | None = None, **options: Any) -> AsyncIterator[World]:
    """A clinic with its people. `script` is what the telling twin wrote."""
    runtime = StillRuntime(vfs)
    async with open_store(apps=APPS, master_keys=MASTER_KEYS, runtime=runtime, **options) as store:
        server = asgi_app(store, settings=settings or Settings(port=0))
        made = World(store, server, runtime, telling, with_actions, list(script))
        overhear(store.storage, made.asked)
        for tenant in ("acme", "other"):
            await store.accounts.create_tenant(tenant, tenant.capitalize())
        for name, (tenant, roles) in PEOPLE.items():
            account = await store.accounts.create_account(f"{name}@clinic.example")
            made.actors[name] = await store.accounts.add_member(tenant, account, roles, display_name=name.capitalize())
            made.tokens[name] = await store.accounts.create_token(tenant, account.email)
        made.tokens["narrow"] = await store.accounts.create_token("acme", "olga@clinic.example", roles=[])
        made.tokens["parting"] = await store.accounts.create_token("acme", "quin@clinic.example")
        await store.accounts.remove_member("acme", made.actors["rolf"])
        await made.push("paul", "circles", "pad", {"op": "create", "value": {"lead": made.actors["paul"]}})
        await made.look("paul", "circles", "pad")
        try:
            yield made
        finally:
            await server.close()
