"""The organisation that the engine's tests play in: its records, a clock that stands still, and devices that push and pull."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from holdfast import (
    Counter,
    CreatedBy,
    Json,
    Money,
    Record,
    Ref,
    Sensitive,
    Set,
    Text,
    UpdatedAt,
    by_server,
    merge,
    own,
    role,
    tenant,
    unique,
    via,
)
from holdfast.core.entry import Mutation
from holdfast.core.messages import PullReply, PushReply, Result
from holdfast.core.ops import CreateOp, DeleteOp, Op, SetOp, SpliceOp
from holdfast.engine.api import Caller
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.runtime import RealRuntime

RECORDS: list[type[Record]] = []


class Note(Record, collection="notes", access=tenant):
    """Whatever merges, in one record."""

    title: str
    body: Text = ""
    status: Literal["draft", "sent", "done"] = "draft"
    price: Annotated[Money, merge.ask] | None = None
    views: Counter = 0
    tags: Set[str] = set()
    plan: Json = {}
    code: Annotated[str, unique] | None = None
    changed_at: UpdatedAt = by_server


class Workshop(Record, collection="workshops", read=own("leader_id") | role("assistant", "owner"), write=own("leader_id") | role("owner"),
               create=role("facilitator")):
    title: str
    leader_id: str


class Sitting(Record, collection="sittings", read=own("participant_id") | via("workshop"), write=own("participant_id")):
    workshop: Ref[Workshop]
    participant_id: CreatedBy = by_server
    step: int = 1


class Answer(Record, collection="answers", read=via("sitting"), write=via("sitting"), key=("sitting", "step")):
    sitting: Ref[Sitting]
    step: int
    text: Text = ""


class Task(Record, collection="tasks", read=own("owner_id") | role("owner"), write=tenant):
    """Who sees it hangs on a field that changes."""

    title: str
    owner_id: str
    note: Ref[Note] | None = None


class Secret(Record, collection="secrets", access=role("owner")):
    label: str
    phone: Sensitive[str] | None = None
    file: Sensitive[Json] = {}
    price: Annotated[Sensitive[str], merge.ask] | None = None


ALL = [Note, Workshop, Sitting, Answer, Task]


class StillRuntime(RealRuntime):
    """Wall clock stands until it is moved."""

    def __init__(self, now: int = 1_800_000_000_000) -> None:
        super().__init__()
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def pass_ms(self, ms: int) -> None:
        self.now += ms


class Device:
    """A device on the wire, as simple as it gets: a line per record, and the base its own pulls have moved."""

    def __init__(self, store: Store, member: MemberSession, device_id: str) -> None:
        self.store = store
        self.caller = member.caller
        self.id = device_id
        self.cursor: str | None = None
        self.after: dict[tuple[str, str], str] = {}
        self.base: dict[tuple[str, str], str] = {}
        self._count = 0

    def mutation(self, collection: str, record_id: str, *ops: Op, **more: Any) -> Mutation:
        """The next mutation of the record's line."""
        self._count += 1
        key = (collection, record_id)
        made = Mutation(**{"mutation_id": f"{self.id}-{self._count}", "collection": collection, "record_id": record_id, "ops": list(ops),
                           "after": self.after.get(key), "base": self.base.get(key), **more})
        self.after[key] = made.mutation_id
        return made

    async def push(self, *mutations: Mutation | bytes, now: int | None = None) -> PushReply:
        return await self.store.push(self.caller, self.id, list(mutations), now=now)

    async def send(self, collection: str, record_id: str, *ops: Op, **more: Any) -> Result:
        reply = await self.push(self.mutation(collection, record_id, *ops, **more))
        return reply.results[0]

    async def create(self, collection: str, record_id: str, value: Mapping[str, Any], **more: Any) -> Result:
        return await self.send(collection, record_id, CreateOp(dict(value)), **more)

    async def set(self, collection: str, record_id: str, path: str, value: Any, **more: Any) -> Result:
        return await self.send(collection, record_id, SetOp(path, value), **more)

    async def type(self, collection: str, record_id: str, path: str, at: int, deleted: int, inserted: str, **more: Any) -> Result:
        return await self.send(collection, record_id, SpliceOp(path, [(at, deleted, inserted)]), **more)

    async def delete(self, collection: str, record_id: str, **more: Any) -> Result:
        return await self.send(collection, record_id, DeleteOp(), **more)

    async def pull(self, **options: Any) -> PullReply:
        """One page; applies it as far as bases go."""
        reply = await self.store.pull(self.caller, cursor=self.cursor, **options)
        if reply.reset is None:
            self.cursor = reply.cursor
            for change in reply.changes:
                self.base[change.collection, change.record_id] = change.position
            for record in reply.records:
                self.base[record["collection"], record["id"]] = record["position"]
        return reply

    async def catch_up(self) -> None:
        while (await self.pull()).more:
            pass


def caller_of(member: MemberSession, **more: Any) -> Caller:
    return Caller(tenant_id=member.caller.tenant_id, actor_id=member.caller.actor_id, **more)
