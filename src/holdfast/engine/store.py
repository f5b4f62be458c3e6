"""`Store`: what the engine offers (`engine.api.StoreAPI`). It reads by itself, each call in one snapshot and with the member's rights of
that moment, and gives whatever writes to the committer, wherever that runs (`Gate`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from pydantic import ValidationError

from holdfast.core import position
from holdfast.core.entry import Mutation
from holdfast.core.errors import Conflict, Forbidden, InvalidValue, LimitExceeded, Malformed, NotFound
from holdfast.core.identity import is_id, is_record_id, natural_id, pseudo_device
from holdfast.core.messages import PullReply, PushReply, Result
from holdfast.core.ops import DeleteOp, SetOp, UndeleteOp
from holdfast.core.schema import Collection, Schema
from holdfast.engine.accounts import Accounts
from holdfast.engine.actions import Context, is_read_changed, raise_if_not_for, raise_if_of_record, reply_as_json
from holdfast.engine.activity import activity_page
from holdfast.engine.api import Caller, ListQuery, Page, RecordView, Resolution
from holdfast.engine.app import Action, App, split_action_name
from holdfast.engine.commit import ACCOUNTS_GREW
from holdfast.engine.committer import Gate
from holdfast.engine.devices import Devices
from holdfast.engine.feed import Feed, FeedSubscription
from holdfast.engine.inboxes import inbox_page, one_item
from holdfast.engine.intake import Intake, Received, create_op, ops_of_fields, ops_of_json, with_author
from holdfast.engine.judge import refused
from holdfast.engine.listing import include_children, list_records
from holdfast.engine.memory import Newest
from holdfast.engine.past import difference, history_page, provenance, version_at
from holdfast.engine.pull import pull
from holdfast.engine.secrecy import Keyring, Secrecy
from holdfast.engine.session import MemberSession
from holdfast.engine.sharing import NO_MEMBER, actor_of, pull_many
from holdfast.engine.sight import Sight
from holdfast.engine.snapshot import records_since, snapshot
from holdfast.engine.traits import Traits
from holdfast.engine.turns import Turns
from holdfast.engine.views import ABSENT, record_view
from holdfast.engine.work import (
    Act,
    Arrival,
    Change,
    Erase,
    NameVersion,
    PushWork,
    Resolve,
    Restore,
    Results,
    Revert,
    TenantWork,
    Upkeep,
    Value,
    Who,
)
from holdfast.engine.writer_process import WriterProcess
from holdfast.model.builtin import MEMBERS
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Reader, Storage

__all__ = ["Store"]

ACTION_RUNS_MAX = 6
ARRIVALS_FROM = 8
"""Mutations in a push from which on what can be worked out of them before the writer is. Long pushes keep the writer busy, many short
ones this process (with 256 connections it takes more of a core than the writer)."""
TENANTS_MAX = 10_000


class Store:
    """Opened by `open_store`. Safe for any number of tasks of one event loop."""

    def __init__(self, storage: Storage, gate: Gate, feed: Feed, *, schema: Schema, keyring: Keyring, runtime: Runtime,
                 apps: Sequence[App] = ()) -> None:
        self.schema = schema
        self.runtime = runtime
        self.storage = storage
        self.apps = {app.name: app for app in apps}
        self.gate = gate
        self.keyring = keyring
        self._feed = feed
        self._limits = schema.limits
        self._intake = Intake(schema, runtime.random_bytes)
        self._traits = {name: Traits(collection, schema) for name, collection in schema.collections.items()}
        self._secrecies: Newest[str, Secrecy] = Newest(TENANTS_MAX)
        self._turns = Turns()
        self._devices = Devices(gate, runtime)
        self.accounts = Accounts(self)
        self.writer_process: WriterProcess | None = None    # mode "process": who writes
        feed.watch(ACCOUNTS_GREW, self.accounts.forget)

    async def member(self, tenant_id: str, email: str, *, roles: Iterable[str] | None = None, display_name: str = "") -> MemberSession:
        """Work as this person in this organisation. Whatever of the organisation, the account and the member does not exist is made; the
        first member of a new organisation is its owner, unless `roles` says otherwise. Raises InvalidValue."""
        actor_id = await self.accounts.ensure_member(tenant_id, email, roles, display_name=display_name)
        return MemberSession(self, Caller(tenant_id=tenant_id, actor_id=actor_id))

    def as_caller(self, caller: Caller) -> MemberSession:
        """Typed work as a member who was authenticated otherwise."""
        return MemberSession(self, caller)

    async def ready(self) -> None:
        """The writer takes saves and the disk takes commits. Raises the WorldError that says why not."""
        await self.gate.submit(Upkeep())

    # -- devices ------------------------------------------------------------------------------------------------------

    async def push(self, caller: Caller, device_id: str, mutations: Sequence[bytes | Mutation], *, now: int | None = None) -> PushReply:
        """See `StoreAPI.push`."""
        if not is_id(device_id):
            raise Malformed("A device id is 1 to 64 of A-Z a-z 0-9 _ . : -", field="device_id")
        if len(mutations) > self._limits.push_mutations_max:
            raise LimitExceeded(f"A push holds at most {self._limits.push_mutations_max} mutations.", field="mutations")
        size_bytes = sum(len(one) if isinstance(one, bytes) else 0 for one in mutations)
        if size_bytes > self._limits.push_bytes_max:
            raise LimitExceeded(f"A push has at most {self._limits.push_bytes_max:,} bytes.", field="mutations")
        results: list[Result | None] = [None] * len(mutations)
        good: list[Mutation] = []
        arrivals: list[Arrival] = []
        for at, raw in enumerate(mutations):
            received = self._intake.received(raw)
            if isinstance(received, Received):
                good.append(received.mutation)
                if len(mutations) >= ARRIVALS_FROM:
                    arrivals.append(self._intake.arrival(received))
            else:
                results[at] = refused(*received)
        head = 0
        if good:
            offset_ms = 0 if now is None else now - self.runtime.now_ms()
            answer = await self._results(PushWork(Who.of(caller), device_id, offset_ms, good, arrivals), size_bytes)
            head = answer.head
            decided = iter(answer.results)
            results = [next(decided) if result is None else result for result in results]
        else:
            async with self.sight(caller) as sight:
                head = (await sight.reader.head(caller.tenant_id)).seq
        return PushReply(results=[result for result in results if result is not None], head=head)

    async def pull(self, caller: Caller, *, cursor: str | None, limit: int = 500, collections: Sequence[str] | None = None,
                   device_id: str | None = None, contracts: Mapping[str, int] | None = None) -> PullReply:
        """See `StoreAPI.pull`. Raises Malformed (the cursor), NotFound (a collection)."""
        async with self.sight(caller) as sight:
            for name in collections or ():
                sight.collection(name)
            reply = await pull(sight, self._traits, cursor=cursor, limit=max(1, min(limit, self._limits.pull_entries_max)),
                               collections=collections, contracts=contracts)
            if device_id is not None and reply.reset is None:
                await self._devices.note_pull(sight, caller, device_id, position.parse(reply.cursor)[0])
            return reply

    async def pull_many(self, callers: Sequence[Caller], *, cursor: str | None, limit: int = 500, collections: Sequence[str] | None = None,
                        contracts: Mapping[str, int] | None = None) -> list[PullReply | Forbidden]:
        """See `StoreAPI.pull_many`. Raises Malformed (the cursor), Forbidden (there is no such organisation)."""
        async with self.storage.reader() as reader:
            secrecy = await self._secrecy(reader, callers[0].tenant_id)
            return await pull_many(reader, callers, schema=self.schema, traits=self._traits, secrecy=secrecy, cursor=cursor,
                                   limit=max(1, min(limit, self._limits.pull_entries_max)), collections=collections, contracts=contracts)

    def snapshot(self, caller: Caller, *, collections: Sequence[str] | None = None, after: str | None = None,
                 pending: Mapping[str, str | None] | None = None) -> AsyncIterator[dict[str, Any]]:
        """See `StoreAPI.snapshot`."""
        return snapshot(lambda: self.sight(caller), collections=collections, after=after, pending=pending or {})

    async def records_since(self, caller: Caller, wanted: Sequence[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
        """For each (collection, id, base): {"collection", "id", "base", "changes"}, a record view where the changes since are not to be
        had, or {"collection", "id", "forget": true}."""
        async with self.sight(caller) as sight:
            return await records_since(sight, wanted)

    async def report_device(self, caller: Caller, device_id: str, report: Mapping[str, Any]) -> None:
        """Keep what a device tells of itself. Raises Forbidden if it belongs to somebody else, LimitExceeded."""
        async with self.sight(caller) as sight:
            device = await self._devices.report(sight, caller, device_id, report)
        await self.gate.submit(Upkeep(devices=[device]))

    def subscribe(self, tenant_id: str) -> FeedSubscription:
        return self._feed.subscribe(tenant_id)

    # -- records ------------------------------------------------------------------------------------------------------

    async def get(self, caller: Caller, collection: str, record_id: str, *, include: Sequence[str] = (),
                  include_deleted: bool = False) -> RecordView:
        """Raises NotFound, InvalidValue (`include`)."""
        async with self.sight(caller) as sight:
            row = await sight.row(collection, record_id)
            if row.deleted and not include_deleted:
                raise NotFound(ABSENT)
            view = record_view(row)
            await include_children(sight, sight.collection(collection), [view], include)
            return view

    async def list(self, caller: Caller, collection: str, query: ListQuery) -> Page:
        """Raises NotFound (the collection), InvalidValue, Malformed (the cursor), LimitExceeded (too many children)."""
        async with self.sight(caller) as sight:
            return await list_records(sight, collection, query, self._limits)

    async def create(self, caller: Caller, collection: str, fields: Mapping[str, Any], *, record_id: str | None = None,
                     mutation_id: str | None = None) -> Result:
        """See `StoreAPI.create`. A natural key makes the id; a given one must be that."""
        known = self._collection(collection)
        op = create_op(with_author(known, fields, caller.on_behalf_of or caller.actor_id), self._limits)
        mutation = Mutation(mutation_id=self._id(mutation_id), collection=collection,
                            record_id=record_id or self.new_record_id(caller, known, op.value, mutation_id),
                            ops=[op], contract=known.contract)
        return await self._change(Change(Who.of(caller), mutation, on_current=False))

    def new_record_id(self, caller: Caller, collection: Collection, fields: Mapping[str, Any], mutation_id: str | None) -> str:
        """The id that a natural key makes; else a call that is repeated under its id must name the same record, without anybody
        remembering it."""
        if collection.key is not None:
            given = with_author(collection, fields, caller.on_behalf_of or caller.actor_id)
            return natural_id(collection.name, [given.get(name) for name in collection.key])
        return self.runtime.uuid7() if mutation_id is None else natural_id("$created", [caller.actor_id, mutation_id])

    async def change(self, caller: Caller, collection: str, record_id: str, *, fields: Mapping[str, Any] | None = None,
                     ops: Sequence[Mapping[str, Any]] | None = None, base: str | None = None, if_match: int | None = None,
                     mutation_id: str | None = None, atomic: bool = False) -> Result:
        """See `StoreAPI.change`."""
        known = self._collection(collection)
        if (fields is None) == (ops is None):
            raise InvalidValue("A change has either fields or ops.")
        made = ops_of_fields(known, fields, self._limits) if fields is not None else ops_of_json(ops or ())
        mutation = Mutation(mutation_id=self._id(mutation_id), collection=collection, record_id=record_id, ops=made,
                            contract=known.contract,
                            base=base, atomic=atomic)
        return await self._change(Change(Who.of(caller), mutation, on_current=base is None, if_match=if_match))

    async def delete(self, caller: Caller, collection: str, record_id: str, *, if_match: int | None = None,
                     mutation_id: str | None = None) -> Result:
        mutation = Mutation(mutation_id=self._id(mutation_id), collection=collection, record_id=record_id, ops=[DeleteOp()],
                            contract=self._collection(collection).contract)
        return await self._change(Change(Who.of(caller), mutation, if_match=if_match))

    async def undelete(self, caller: Caller, collection: str, record_id: str, *, mutation_id: str | None = None) -> Result:
        mutation = Mutation(mutation_id=self._id(mutation_id), collection=collection, record_id=record_id, ops=[UndeleteOp()],
                            contract=self._collection(collection).contract)
        return await self._change(Change(Who.of(caller), mutation))

    async def _change(self, work: Change) -> Result:
        """Raises NotFound (also for an id that cannot be one), Malformed, InvalidValue and what the commit raises."""
        if not is_record_id(work.mutation.record_id):
            raise NotFound(ABSENT)
        read = self._intake.read(work.mutation)
        if not isinstance(read, Mutation):
            raise InvalidValue(read[1].detail, field=read[1].field, hint=read[1].hint)
        return (await self._results(work)).results[0]

    def _collection(self, name: str) -> Collection:
        found = self.schema.collections.get(name)
        if found is None:
            raise NotFound(f"There is no collection {name[:60]!r}.")
        return found

    def _id(self, mutation_id: str | None) -> str:
        if mutation_id is None:
            return self.runtime.uuid7()
        if not is_id(mutation_id):
            raise Malformed("A mutation id is 1 to 64 of A-Z a-z 0-9 _ . : -", field="mutation_id")
        return mutation_id

    # -- the past -----------------------------------------------------------------------------------------------------

    async def history(self, caller: Caller, collection: str, record_id: str, *, cursor: str | None = None,
                      limit: int = 50) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await history_page(sight, collection, record_id, cursor, limit)

    async def at(self, caller: Caller, collection: str, record_id: str, rev: int) -> RecordView:
        async with self.sight(caller) as sight:
            return await version_at(sight, collection, record_id, rev)

    async def diff(self, caller: Caller, collection: str, record_id: str, *, frm: int, to: int | None) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await difference(sight, collection, record_id, frm, to)

    async def why(self, caller: Caller, collection: str, record_id: str, path: str) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await provenance(sight, collection, record_id, path)

    async def name_version(self, caller: Caller, collection: str, record_id: str, rev: int, name: str, *,
                           mutation_id: str | None = None) -> Result:
        return await self._one(NameVersion(Who.of(caller), self._id(mutation_id), collection, record_id, rev, name))

    async def restore(self, caller: Caller, collection: str, record_id: str, rev: int, *, paths: Sequence[str] | None = None,
                      mutation_id: str | None = None) -> Result:
        return await self._one(Restore(Who.of(caller), self._id(mutation_id), collection, record_id, rev,
                                       None if paths is None else [*paths]))

    async def undo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None = None, seq: int | None = None,
                   mutation_id: str | None = None) -> Result:
        """`device_id` None: what the caller did by this API (not by a device that pushes)."""
        device_id = device_id or pseudo_device(caller.actor_id)
        return await self._one(Revert(Who.of(caller), self._id(mutation_id), collection, record_id, device_id, seq=seq))

    async def redo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None = None,
                   mutation_id: str | None = None) -> Result:
        device_id = device_id or pseudo_device(caller.actor_id)
        return await self._one(Revert(Who.of(caller), self._id(mutation_id), collection, record_id, device_id, redo=True))

    # -- what waits, what happened --------------------------------------------------------------------------------------

    async def inbox(self, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await inbox_page(sight, cursor, limit)

    async def inbox_item(self, caller: Caller, item_id: str) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await one_item(sight, item_id)

    async def resolve(self, caller: Caller, item_id: str, resolution: Resolution, *, mutation_id: str | None = None) -> Result:
        return await self._one(Resolve(Who.of(caller), self._id(mutation_id), item_id, resolution))

    async def activity(self, caller: Caller, *, cursor: str | None = None, limit: int = 50, **filters: Any) -> dict[str, Any]:
        async with self.sight(caller) as sight:
            return await activity_page(sight, cursor, limit, filters)

    async def erase(self, caller: Caller, collection: str, record_id: str, *, seqs: Sequence[int] | None = None, reason: str,
                    mutation_id: str | None = None) -> Result:
        """See `StoreAPI.erase`. An operator need not be a member."""
        async with self.storage.reader() as reader:
            account = await reader.account(account_id=caller.actor_id)
        who = msgspec.structs.replace(Who.of(caller), system=account is not None and account.operator)
        return await self._one(Erase(who, self._id(mutation_id), collection, record_id, reason, None if seqs is None else [*seqs]))

    # -- actions ------------------------------------------------------------------------------------------------------

    async def action(self, caller: Caller, name: str, arguments: Mapping[str, Any], *, mutation_id: str,
                     device_id: str | None = None) -> dict[str, Any]:
        """See `StoreAPI.action`. Raises NotFound (no such action), Forbidden, InvalidValue, Reused, Conflict, and what the action
        raises."""
        found = self._action(name)
        given = found.read_arguments(arguments)
        who = msgspec.structs.replace(Who.of(caller), granted=found.grants)
        device_id = device_id or pseudo_device(caller.actor_id)
        call = Mutation(mutation_id=self._id(mutation_id), collection="", record_id=name, ops=[SetOp("", reply_as_json(dict(arguments)))])
        if await self._was_called(caller, found, device_id, call.mutation_id):
            return await self._value(Act(who, device_id, call, [], None, [], []))
        for run in range(ACTION_RUNS_MAX):
            try:
                async with self._turns.turn((caller.tenant_id, caller.actor_id, name), needed=run > 0):
                    return await self._run(caller, name, found, given, who, device_id, call)
            except Conflict as conflict:
                if not is_read_changed(conflict):
                    raise
        raise Conflict(f"What action {name} reads changed each of the {ACTION_RUNS_MAX} times it ran.", hint="Call it again.")

    async def _run(self, caller: Caller, name: str, found: Action, given: Any, who: Who, device_id: str, call: Mutation) -> dict[str, Any]:
        async with self.sight(caller, granted=found.grants) as sight:
            context = Context(sight, self.runtime)
            try:
                reply = reply_as_json(await found.function(context, given))
            except ValidationError as error:
                raise_if_of_record(error, self.schema)      # made from what the caller sent
                raise
        if found.reads_only:
            if context.mutations:
                raise Forbidden(f"Action {name} only reads, but has queued a change.")
            return {"reply": reply, "outcome": "applied", "receipt": "committed", "position": None, "results": []}
        for mutation in context.mutations:
            self._raise_if_refused(mutation)
        return await self._value(Act(who, device_id, call, context.mutations, reply, context.reads, context.lists, context.listed))

    def _action(self, name: str) -> Action:
        app_name, action_name = split_action_name(name)
        app = self.apps.get(app_name)
        found = None if app is None else app.action_named(action_name)
        if found is None:
            raise NotFound(f"There is no action {name[:80]!r}.")
        return found

    async def _was_called(self, caller: Caller, found: Action, device_id: str, mutation_id: str) -> bool:
        """Whether the log has this call: then it must not run again. Raises Forbidden if the caller may not call the
        action (any longer)."""
        async with self.sight(caller) as sight:
            raise_if_not_for(sight.actor.roles, found.only_for)
            return bool(await sight.reader.by_mutation(caller.tenant_id, [(device_id, mutation_id)]))

    def _raise_if_refused(self, mutation: Mutation) -> None:
        read = self._intake.read(mutation)
        if not isinstance(read, Mutation):
            raise InvalidValue(read[1].detail, field=read[1].field, hint=read[1].hint)

    # -- reading and writing ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def sight(self, caller: Caller, *, granted: frozenset[str] = frozenset()) -> AsyncIterator[Sight]:
        """What the caller sees now, in one snapshot. Raises Forbidden if it is no member."""
        async with self.storage.reader() as reader:
            secrecy = await self._secrecy(reader, caller.tenant_id)
            key = (MEMBERS, caller.actor_id)
            actor = actor_of((await reader.rows(caller.tenant_id, [key])).get(key), caller, granted)
            if actor is None:
                raise Forbidden(NO_MEMBER)
            yield Sight(reader, caller.tenant_id, actor, schema=self.schema, secrecy=secrecy)

    async def _secrecy(self, reader: Reader, tenant_id: str) -> Secrecy:
        """Raises Forbidden if there is no such organisation, in the words for somebody who is no member of it."""
        secrecy = self._secrecies.get(tenant_id)
        if secrecy is None:
            tenant = await reader.tenant(tenant_id)
            if tenant is None:
                raise Forbidden(NO_MEMBER)
            secrecy = self.keyring.secrecy(tenant)
            self._secrecies.put(tenant_id, secrecy)
        return secrecy

    async def _results(self, work: TenantWork, size_bytes: int = 0) -> Results:
        answer = await self.gate.submit(work, size_bytes=size_bytes)
        assert isinstance(answer, Results)
        return answer

    async def _one(self, work: TenantWork) -> Result:
        return (await self._results(work)).results[0]

    async def _value(self, work: TenantWork) -> dict[str, Any]:
        answer = await self.gate.submit(work)
        assert isinstance(answer, Value)
        found: dict[str, Any] = answer.value
        return found

