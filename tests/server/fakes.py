"""A store and accounts of a few lines, for tests of the HTTP edge alone: what a limit, a timeout or a slow client does must not depend on
how the engine works. Tests of what calls *mean* run on the real store."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.entry import Request
from holdfast.core.errors import HoldfastError, NotFound, NotSignedIn
from holdfast.core.messages import Change, Problem, PullReply, PushReply, Result
from holdfast.core.ops import SetOp
from holdfast.core.schema import Collection, Field, Kind, Schema
from holdfast.engine.api import Caller, ListQuery, Page
from holdfast.engine.feed import Feed
from holdfast.server.authenticate import Identity
from holdfast.server.people import ChooseTenant, SignedIn, TenantName

SCHEMA = Schema(digest="d1", collections={"notes": Collection(name="notes", doc="Notes.", app="desk", record="Note", fields={
    "title": Field(name="title", kind=Kind.STRING, required=True), "body": Field(name="body", kind=Kind.TEXT, default=""),
    "stars": Field(name="stars", kind=Kind.INTEGER, optional=True),
    "secret": Field(name="secret", kind=Kind.STRING, optional=True, sensitive=True)})})

Key = tuple[str, str, str]


def position_of(seq: int) -> str:
    return f"{seq}.{seq:08x}"


class FakeStore:
    """Every member of a tenant sees everything in it, but for records whose title starts with the id of another actor and a colon.
    `gate`, when set, holds pushes back; `failure` is raised by pushes and pulls; `pulls` counts pulls."""

    def __init__(self) -> None:
        self.schema = SCHEMA
        self.feed = Feed()
        self.log: dict[str, list[Change]] = {}
        self.records: dict[Key, dict[str, Any]] = {}
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None
        self.pulls = 0
        self.shared_pulls = 0
        self.reports: list[Mapping[str, Any]] = []

    async def _blocked(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.gate is not None:
            await self.gate.wait()

    def _write(self, caller: Caller, device: str, mutation_id: str, collection: str, record_id: str, fields: Mapping[str, Any]) -> Result:
        log = self.log.setdefault(caller.tenant_id, [])
        seq = len(log) + 1
        key = (caller.tenant_id, collection, record_id)
        record = self.records.setdefault(key, {"collection": collection, "id": record_id, "contract": 1, "deleted": False, "fields": {}})
        record["fields"].update(fields)
        record.update(rev=seq, position=position_of(seq))
        log.append(Change(position=position_of(seq), seq=seq, collection=collection, record_id=record_id, rev=seq, actor_id=caller.actor_id,
                          ops=[SetOp(f"/{name}", value) for name, value in fields.items()], device_id=device, mutation_id=mutation_id,
                          committed_at="2026-11-20T14:00:00.000Z"))
        self.feed.publish(caller.tenant_id, seq)
        return Result(mutation_id=mutation_id, outcome="applied", receipt="committed", position=position_of(seq), seq=seq, rev=seq,
                      record=record)

    async def push(self, caller: Caller, device_id: str, mutations: Sequence[Any], *, now: int | None = None) -> PushReply:
        await self._blocked()
        results = []
        for raw in mutations:
            try:
                found = json.loads(raw)
                fields = {op["path"][1:]: op["value"] for op in found["ops"]}
                results.append(self._write(caller, device_id, found["mutation_id"], found["collection"], found["record_id"], fields))
            except (ValueError, KeyError, TypeError):
                results.append(Result(mutation_id="", outcome="refused", receipt="refused",
                                      error=Problem(code="malformed", detail="This mutation cannot be read.")))
        return PushReply(results=results, head=len(self.log.get(caller.tenant_id, ())))

    def _visible(self, caller: Caller, collection: str, record_id: str) -> bool:
        record = self.records.get((caller.tenant_id, collection, record_id))
        owner = "" if record is None else str(record["fields"].get("title", "")).partition(":")
        return record is not None and (not owner[1] or owner[0] == caller.actor_id)

    async def pull(self, caller: Caller, *, cursor: str | None, limit: int = 500, **_: Any) -> PullReply:
        self.pulls += 1
        if self.failure is not None:
            raise self.failure
        log = self.log.get(caller.tenant_id, [])
        start = 0 if cursor is None else int(cursor.partition(".")[0])
        if cursor is not None and start and cursor != position_of(start):
            return PullReply(changes=[], cursor=position_of(len(log)), head=len(log), backed_up_seq=0, more=False, reset="history")
        page = log[start:start + limit]
        return PullReply(changes=[one for one in page if self._visible(caller, one.collection, one.record_id)],
                         cursor=position_of(start + len(page)), head=len(log), backed_up_seq=0, more=start + len(page) < len(log))

    async def pull_many(self, callers: Sequence[Caller], **options: Any) -> list[PullReply]:
        self.shared_pulls += 1
        found: dict[bytes, PullReply] = {}
        answers = []
        for caller in callers:
            reply = await self.pull(caller, **options)
            answers.append(found.setdefault(json.dumps(msgspec.to_builtins(reply)).encode(), reply))
        return answers

    async def snapshot(self, caller: Caller, **_: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"cursor": position_of(len(self.log.get(caller.tenant_id, ())))}
        for (tenant, collection, record_id), record in list(self.records.items()):
            if tenant == caller.tenant_id and self._visible(caller, collection, record_id):
                yield record

    async def records_since(self, caller: Caller, wanted: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"collection": one[0], "id": one[1], "forget": True} for one in wanted]

    async def report_device(self, caller: Caller, device_id: str, report: Mapping[str, Any]) -> None:
        self.reports.append({"device_id": device_id, **report})

    def subscribe(self, tenant_id: str) -> Any:
        return self.feed.subscribe(tenant_id)

    async def get(self, caller: Caller, collection: str, record_id: str, **_: Any) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        if not self._visible(caller, collection, record_id):
            raise NotFound("There is no such record.")
        return self.records[(caller.tenant_id, collection, record_id)]

    async def list(self, caller: Caller, collection: str, query: ListQuery) -> Page:
        found = [record for (tenant, kind, record_id), record in self.records.items()
                 if (tenant, kind) == (caller.tenant_id, collection) and self._visible(caller, collection, record_id)]
        return Page(records=found[:query.limit], cursor=None)

    async def create(self, caller: Caller, collection: str, fields: Mapping[str, Any], *, record_id: str | None = None,
                     mutation_id: str | None = None) -> Result:
        await self._blocked()
        return self._write(caller, "!" + caller.actor_id, mutation_id or "m", collection, record_id or "r", fields)


class FakePeople:
    """Accounts a@ and b@ of tenant t1, c@ of t2, d@ of both; the password is "open sesame". Tokens: hf_<account>_<tenant>."""

    MEMBERS = {"a": ["t1"], "b": ["t1"], "c": ["t2"], "d": ["t1", "t2"]}

    def __init__(self) -> None:
        self.withdrawn: set[str] = set()
        self.failure: HoldfastError | None = None

    async def sign_in(self, email: str, password: str, *, tenant: str | None, request: Request) -> SignedIn | ChooseTenant:
        if self.failure is not None:
            raise self.failure
        account = email.partition("@")[0]
        tenants = self.MEMBERS.get(account, [])
        if password != "open sesame" or not tenants or (tenant is not None and tenant not in tenants):
            raise NotSignedIn("E-mail address or password is not right.")
        if tenant is None and len(tenants) > 1:
            return ChooseTenant(tenants=[TenantName(tenant=one, name=one.upper()) for one in tenants])
        chosen = tenant or tenants[0]
        return SignedIn(token=f"hf_{account}_{chosen}", tenant=chosen, actor_id=account, expires_at=4_102_444_800_000)

    async def check(self, secret: str) -> Identity | None:
        parts = secret.split("_")
        if secret in self.withdrawn or len(parts) != 3 or parts[0] != "hf" or parts[2] not in self.MEMBERS.get(parts[1], []):
            return None
        return Identity(tenant_id=parts[2], account_id=parts[1], kind="token", secret_hash=hashlib.sha256(secret.encode()).hexdigest())

    async def sign_out(self, identity: Identity) -> None:
        self.withdrawn |= {f"hf_{account}_{tenant}" for account, tenants in self.MEMBERS.items() for tenant in tenants
                           if hashlib.sha256(f"hf_{account}_{tenant}".encode()).hexdigest() == identity.secret_hash}

    async def change_password(self, identity: Identity, *, current: str, new: str, request: Request) -> None:
        if current != "open sesame":
            raise NotSignedIn("The present password is not right.")

    async def profile(self, identity: Identity) -> dict[str, Any]:
        return {"account": identity.account_id, "tenant": identity.tenant_id, "roles": ["owner"]}

    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None:
        name = (email or "").partition("@")[0] if email else account_id
        return name if name in self.MEMBERS else None

    async def memberships(self, account_id: str) -> list[str]:
        return list(self.MEMBERS.get(account_id, []))
