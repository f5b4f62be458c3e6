"""One mutation at a time, on the ground the earlier ones left: admission, what `decide` must know, the decision, its limits, its
result. Everything is loaded set-wise before (`prepare`); what only a few mutations need is loaded when it is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from holdfast.core import clock, decide, digest, position
from holdfast.core.access import Actor, allows
from holdfast.core.admission import Duplicate, Refused, admit
from holdfast.core.entry import Entry, EntryKind, Mutation, Row, Unapplied
from holdfast.core.errors import Forbidden, HoldfastError, InvalidValue, WorldError
from holdfast.core.facts import Context, Decision, Facts, Key, Lookups, UniqueKey
from holdfast.core.identity import pseudo_device
from holdfast.core.limits import Limits
from holdfast.core.messages import Problem, Result
from holdfast.core.ops import Op, SetOp, UnsetOp
from holdfast.core.schema import Collection, Schema
from holdfast.engine.consequences import came_into_view, follow
from holdfast.engine.ground import MEMBERS, Adopted, DeviceKey, Ground, is_pseudo
from holdfast.engine.seen import Seen, may_wait, number_of, seen_of
from holdfast.engine.traits import Traits
from holdfast.engine.usual import Sender, decide_usual
from holdfast.engine.work import SYSTEM_ROLES, Act, Arrival, Change, PushWork, TenantWork, Who
from holdfast.model.builtin import OWNER, role_change_problem
from holdfast.model.contracts import upcast_mutation
from holdfast.runtime import Runtime

__all__ = ["Judge", "refused", "shown"]

log = logging.getLogger("holdfast.engine")

SALT_BYTES = 16
BACKED_UP = "backed_up_seq"
LONG_PUSH = 8
"""Mutations from which on a push tells of a device that comes back, not of somebody who types: what it saves upon is not kept in mind."""


def refused(mutation_id: str, problem: Problem) -> Result:
    return Result(mutation_id=mutation_id, outcome="refused", receipt="refused", error=problem)


class Judge:
    def __init__(self, ground: Ground, *, schema: Schema, limits: Limits, runtime: Runtime) -> None:
        self.ground = ground
        self.schema = schema
        self.limits = limits
        self.runtime = runtime
        self._salts: list[bytes] = []
        self._salts_at_once = 1
        self.rebase_pairs = 0       # others' changes × own ones, rebased in this batch: what makes a batch long

    # -- before the first -----------------------------------------------------------------------------------------------

    async def prepare(self, works: Sequence[TenantWork]) -> None:
        """Load what the works' mutations will ask for, in a few statements for all of them."""
        ground = self.ground
        pushed = [(device_id, mutation) for work in works for device_id, mutation in _mutations_of(work)]
        for work in works:
            if isinstance(work, PushWork) and len(work.mutations) >= LONG_PUSH:
                ground.passing.update([(mutation.collection, mutation.record_id) for mutation in work.mutations])
        await ground.load_rows([*((MEMBERS, work.who.actor_id) for work in works),
                                *((mutation.collection, mutation.record_id) for _, mutation in pushed)])
        self._salts_at_once = max(1, len(pushed))
        lines = [(device_id, mutation.collection, mutation.record_id) for device_id, mutation in pushed]
        await ground.load_items(lines)
        lasts: list[DeviceKey] = []
        contexts: list[DeviceKey] = []
        whos = (work.who for work in works for _ in _mutations_of(work))
        for line, (device_id, mutation), who in zip(lines, pushed, whos, strict=True):
            row = ground.rows.get(line[1:])
            if is_pseudo(device_id):
                continue
            if row is None or row.last_device != device_id:
                lasts.append(line)
            if row is not None and ground.traits[mutation.collection].has_texts and may_wait(ground, row, line, number_of(mutation.base)) \
                    and self._may_read(who, row):
                contexts.append(line)
        await ground.load_lasts(lasts)
        await ground.load_contexts(contexts)
        await ground.load_known(self._perhaps_known(lines, pushed))
        await self._preload_lookups(mutation for _, mutation in pushed)

    def _may_read(self, who: Who, row: Row) -> bool:
        actor = self.actor_of(who)
        return actor is not None and allows(self.schema.collections[row.collection].read, row.columns(), actor)

    def _perhaps_known(self, lines: Sequence[DeviceKey], pushed: Sequence[tuple[str, Mutation]]) -> Iterable[tuple[str, str]]:
        """The mutations that may be in the log already. One that follows the newest of its line is not: what the log has of that line
        came before. (An id that is used again elsewhere meets the database's constraint; then everything is looked up.)"""
        newest: dict[DeviceKey, str | None] = {}
        for line, (device_id, mutation) in zip(lines, pushed, strict=True):
            if is_pseudo(device_id) or self.ground.memory.doubt:
                yield device_id, mutation.mutation_id
                continue
            if line not in newest:
                newest[line] = self._newest(line)
            if mutation.after == newest[line]:
                newest[line] = mutation.mutation_id
            else:
                yield device_id, mutation.mutation_id

    def _newest(self, line: DeviceKey) -> str | None:
        """The device's newest mutation of the record, loaded before."""
        row = self.ground.rows.get(line[1:])
        if row is not None and row.last_device == line[0]:
            return row.last_mutation
        last = self.ground.lasts[line]
        return None if last is None else last.mutation_id

    async def _preload_lookups(self, mutations: Iterable[Mutation]) -> None:
        refs: list[Key] = []
        uniques: list[UniqueKey] = []
        for mutation in mutations:
            if self.ground.traits[mutation.collection].looks_up:
                wanted = self._lookups(mutation, self.ground.rows.get((mutation.collection, mutation.record_id)))
                refs.extend(wanted.refs)
                uniques.extend(wanted.uniques)
        await self.ground.load_rows(refs)
        await self.ground.load_taken(uniques)

    def _lookups(self, mutation: Mutation, row: Row | None) -> Lookups:
        try:
            return decide.lookups(mutation, row, self.schema.collections[mutation.collection])
        except TypeError:       # a value that cannot be compared (an array for a key): nothing holds it, and decide will not take it
            return Lookups()

    def actor_of(self, who: Who) -> Actor | None:
        """The member as it stands; the server itself; None: no member (any more)."""
        if who.system:
            return Actor(who.actor_id, SYSTEM_ROLES)
        actor = self.ground.actor(who.actor_id, who.narrowed)
        return Actor(actor.id, actor.roles | who.granted) if actor is not None and who.granted else actor

    def salt(self) -> bytes:
        """A fresh salt for an entry's digests. Drawn for a whole batch at once: each draw is a call of the system."""
        if not self._salts:
            drawn = self.runtime.random_bytes(SALT_BYTES * self._salts_at_once)
            self._salts = [drawn[at:at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        return self._salts.pop()

    def sent_hash(self, salt: bytes, mutation: Mutation) -> str:
        """What tells this mutation, sent again, from another one under its id."""
        collection = mutation.collection if mutation.collection in self.schema.collections else ""
        return digest.sent_hash(self.ground.secrecy.hash_salt(collection, salt), mutation)

    # -- a device's mutation --------------------------------------------------------------------------------------------

    def usual(self, sender: Sender, mutation: Mutation, arrival: Arrival) -> Result | None:
        """The result of a mutation that meets nothing unusual, without waiting for anything; None: nothing was taken over, see `pushed`."""
        try:
            decision = decide_usual(self.ground, sender, mutation, arrival, self.sent_hash)
        except Exception:
            return None                     # the general way meets it again, and says it
        return None if decision is None else self.result(sender.actor, decision, self.ground.adopt(decision, arrival.salt))

    async def pushed(self, sender: Sender, mutation: Mutation, arrival: Arrival) -> Result:
        """One result, whatever happens: a mutation that cannot be applied is held or refused alone, its neighbours go on."""
        mark_seq = self.ground.seq
        try:
            return await self._pushed(sender, mutation, arrival)
        except WorldError:
            raise
        except HoldfastError as error:
            return self._refused(sender.who, mutation.mutation_id, Problem(code=error.code, detail=error.detail, hint=error.hint,
                                                                           field=error.field))
        except Exception:
            if self.ground.seq != mark_seq:
                raise                       # half taken over: the whole batch is not to be trusted
            log.exception("A mutation of collection %s could not be decided.", mutation.collection)
            problem = Problem(code="internal", detail="This change could not be decided; that is our mistake.",
                              hint="It stays on the device. Tell the operator the mutation id.")
            return refused(mutation.mutation_id, problem)

    async def _pushed(self, sender: Sender, mutation: Mutation, arrival: Arrival) -> Result:
        who, actor, device_id = sender.who, sender.actor, sender.device_id
        repeated = await self.repeated(actor, device_id, mutation)
        if repeated is not None:
            return repeated
        judged = await self._admit(mutation, device_id, actor)
        if judged is not None:
            return self._refused(who, mutation.mutation_id, judged.problem)
        decision = await self.decision(who, actor, device_id, mutation, arrival.salt, offset_ms=sender.offset_ms,
                                       sent_hash=arrival.sent_hash)
        problem = await self.over_limit(who, decision)
        if problem is not None:
            return refused(mutation.mutation_id, problem)
        adopted = await self.adopt(decision, arrival.salt, actor)
        return self.result(actor, decision, adopted)

    async def repeated(self, actor: Actor, device_id: str, mutation: Mutation) -> Result | None:
        """The first outcome, if this mutation is in the log already. Raises Reused through `admit`'s refusal as a result."""
        known = self.ground.known.get((device_id, mutation.mutation_id))
        if known is None:
            return None
        same = known.erased or await self._same_content(known, mutation)
        verdict = admit(mutation, known=known, same_content=same, last_mutation=None, after_known=False)
        if isinstance(verdict, Refused):
            return refused(mutation.mutation_id, verdict.problem)
        assert isinstance(verdict, Duplicate)
        return await self.first_outcome(actor, known)

    async def _same_content(self, known: Entry, mutation: Mutation) -> bool:
        if known.seq > self.ground.start:
            salt = self.ground.salt_of(known.seq)
        else:
            seal = (await self.ground.batch.seals(self.ground.tenant_id, [known.seq])).get(known.seq)
            salt = seal.salt if seal is not None else b""
        return self.sent_hash(salt, mutation) == known.sent_hash

    async def first_outcome(self, actor: Actor, known: Entry) -> Result:
        """The answer of an entry that is in the log, with the rights of now."""
        row = await self.ground.row((known.collection, known.record_id)) if known.record_id else None
        item_id = await self._item_holding(known) if known.outcome == "held" else None
        receipt: Any = "committed"
        if known.outcome == "held" and item_id is not None:
            receipt = "held"
        elif known.seq <= int(await self.ground.batch.setting(self.ground.tenant_id, BACKED_UP) or 0):
            receipt = "backed_up"
        return Result(mutation_id=known.mutation_id, outcome="duplicate", first_outcome=known.outcome, receipt=receipt, seq=known.seq,
                      position=position.render(known.seq, known.digest), rev=self._rev_for(actor, row), inbox_id=item_id)

    async def _item_holding(self, known: Entry) -> str | None:
        line = (known.device_id, known.collection, known.record_id)
        await self.ground.load_items([line])
        item = self.ground.items[line]
        return item.id if item is not None and known.seq in item.seqs else None

    async def _admit(self, mutation: Mutation, device_id: str, actor: Actor) -> Refused | None:
        """Order within the device's line of this record. The server's own have none."""
        if is_pseudo(device_id):
            return None
        key = (mutation.collection, mutation.record_id)
        line = (device_id, *key)
        row = self.ground.rows.get(key)
        if line not in self.ground.lasts and (row is None or row.last_device != device_id):
            await self.ground.load_lasts([line])
        last_mutation = self._newest(line)
        after_known = False
        if mutation.after is not None and mutation.after != last_mutation:
            await self.ground.load_known([(device_id, mutation.after)])
            earlier = self.ground.known[device_id, mutation.after]
            after_known = earlier is not None and (earlier.collection, earlier.record_id) == key
        verdict = admit(mutation, known=None, same_content=False, last_mutation=last_mutation, after_known=after_known)
        return verdict if isinstance(verdict, Refused) else None

    # -- the decision ---------------------------------------------------------------------------------------------------

    async def decision(self, who: Who, actor: Actor, device_id: str, mutation: Mutation, salt: bytes, *, offset_ms: int = 0,
                       on_current: bool = False, kind: EntryKind = "change", extra: dict[str, Any] | None = None,
                       sent_hash: str = "") -> Decision:
        """Decide `mutation` on the ground as it stands. `on_current`: made on that very state. `sent_hash`: where it is known."""
        ground = self.ground
        key = (mutation.collection, mutation.record_id)
        collection = self.schema.collections[mutation.collection]
        traits = ground.traits[mutation.collection]
        row = ground.rows[key] if key in ground.rows else await ground.row(key)
        readable = row is not None and (traits.read_by_all or allows(collection.read, row.columns(), actor))
        seen = Seen(base=row.last if row is not None else None, stamp=row.stamp if row is not None else 0)
        if not on_current:
            seen = await seen_of(ground, mutation, key, row, device_id, actor_id=actor.id, readable=readable)
            if seen.entries_since or seen.context is not None:
                self.rebase_pairs += len(seen.entries_since) + _waiting_in(seen.context)
        edited_at = None if mutation.edited_at is None else clock.parse(mutation.edited_at)
        stamp = clock.decided(edited_at, offset_ms=offset_ms, now=ground.now, seen=seen.stamp, limits=self.limits)
        upcast, old_contract = _under_present_contract(mutation, collection)
        facts = Facts(tenant_id=ground.tenant_id, seq=ground.seq + 1, now=ground.now, actor=actor, device_id=device_id, stamp=stamp,
                      base=seen.base, edited_at=edited_at, on_behalf_of=who.on_behalf_of, request=who.request,
                      item=await self._open_item(device_id, key), same_history=seen.same_history, base_kept=seen.base_kept,
                      old_contract=old_contract, sent_hash=sent_hash or self.sent_hash(salt, mutation), kind=kind, extra=extra or {})
        if traits.looks_up or _refines(upcast, traits):
            await self.look_up(facts, upcast, row if readable else None)      # how long it takes must not tell of a hidden record
        if not upcast.ops:
            return self._without_ops(row, upcast, facts)
        return decide.decide(row, upcast, seen.entries_since, seen.context, facts, self.schema)

    def _without_ops(self, row: Row | None, mutation: Mutation, facts: Facts) -> Decision:
        """All that the mutation changed is no longer kept: an entry that changes nothing, so that its device's line goes on."""
        decision = decide.settle(row, [], [], facts, self.schema, mutation_id=mutation.mutation_id, collection=mutation.collection,
                                 record_id=mutation.record_id)
        entry = msgspec.structs.replace(decision.entry, after=mutation.after, atomic=mutation.atomic, forked_from=mutation.forked_from)
        return msgspec.structs.replace(decision, entry=entry)

    async def look_up(self, facts: Facts, mutation: Mutation, row: Row | None) -> None:
        wanted = self._lookups(mutation, row)
        if wanted.refs:
            await self.ground.load_rows(wanted.refs)
            facts.refs = {key: self.ground.rows.get(key) for key in wanted.refs}
        if wanted.uniques:
            await self.ground.load_taken(wanted.uniques)
            facts.taken = {one: holder for one in wanted.uniques if (holder := self.ground.taken[one]) is not None}
        if wanted.own_since and row is not None and not is_pseudo(facts.device_id) and row.last > (facts.base or 0):
            since = await self.ground.entries_since((mutation.collection, mutation.record_id), facts.base or 0)
            facts.own_since = [entry for entry in since if entry.device_id == facts.device_id]

    async def _open_item(self, device_id: str, key: Key) -> Any:
        line = (device_id, *key)
        if line not in self.ground.items:
            await self.ground.load_items([line])
        return self.ground.items[line]

    # -- limits, taking over, results -----------------------------------------------------------------------------------

    async def over_limit(self, who: Who, decision: Decision) -> Problem | None:
        """Why a decision is not taken over although it stands: the actor's inbox is full, or too much was held lately."""
        if decision.entry.outcome != "held":
            return None
        pace, ground = self.ground.memory.pace, self.ground
        wait_s = pace.wait_s(ground.tenant_id, who.actor_id, ground.now)
        if wait_s:
            return Problem(code="rate",
                           detail=f"More than {self.limits.held_or_refused_per_minute_max} changes a minute could not be applied.",
                           hint="Nothing was kept; it is sent again by itself.", retry_after=wait_s)
        item = decision.item
        if item is not None:
            items, size_bytes = await ground.load_usage(item.actor_id)
            standing = ground.items.get((item.device_id, item.collection, item.record_id))
            items += 1 if standing is None else 0
            size_bytes += item.bytes - (0 if standing is None else standing.bytes)
            if items > self.limits.inbox_items_max or size_bytes > self.limits.inbox_bytes_max:
                return Problem(code="limit", detail=f"The inbox is full: it takes {self.limits.inbox_items_max:,} items and "
                               f"{self.limits.inbox_bytes_max:,} bytes.", hint="Decide what waits there, then send this again.")
        pace.note(ground.tenant_id, who.actor_id, ground.now)
        return None

    def _refused(self, who: Who, mutation_id: str, problem: Problem) -> Result:
        ground = self.ground
        wait_s = ground.memory.pace.wait_s(ground.tenant_id, who.actor_id, ground.now)
        if wait_s:
            problem = Problem(code="rate", detail=f"More than {self.limits.held_or_refused_per_minute_max} changes a minute could not be "
                              "applied.", hint="Nothing was kept; it is sent again by itself.", retry_after=wait_s)
        else:
            ground.memory.pace.note(ground.tenant_id, who.actor_id, ground.now)
        return refused(mutation_id, problem)

    async def adopt(self, decision: Decision, salt: bytes, actor: Actor) -> Adopted:
        """Take a decision over, with what follows from it at once (children's copied columns). Raises Forbidden for a change of
        roles that no rule of one row can judge."""
        entry = decision.entry
        before = self.ground.rows.get((entry.collection, entry.record_id)) if entry.record_id else None
        if entry.collection == MEMBERS and decision.row is not None:
            await self._raise_on_roles(actor, before, decision.row)
        adopted = self.ground.adopt(decision, salt)
        after = adopted.row
        if after is not None:
            traits = self.ground.traits[entry.collection]
            if traits.referred_to and came_into_view(traits, before, after):
                self.ground.arrived[entry.collection, entry.record_id] = None
            if before is not None and traits.copied_from:
                await follow(self, before, after, entry, actor)
        return adopted

    async def _raise_on_roles(self, actor: Actor, before: Row | None, after: Row) -> None:
        had = frozenset() if before is None or before.deleted else frozenset(before.fields["roles"])
        has = frozenset() if after.deleted else frozenset(after.fields["roles"])
        if had == has:
            return
        others = await self.ground.other_owners(after.id) if OWNER in had - has else 0
        problem = role_change_problem(actor, had, has, others)
        if problem is not None:
            raise Forbidden(problem)

    async def settled(self, who: Who, actor: Actor, kind: EntryKind, mutation_id: str, key: Key, ops: Sequence[Op], *, salt: bytes,
                      unapplied: Sequence[Unapplied] = (), sent_hash: str = "", reverts: int | None = None, resolves: Sequence[int] = (),
                      extra: dict[str, Any] | None = None) -> Decision:
        """What the server makes on somebody's behalf, on the record as it stands, with that person's rights."""
        ground = self.ground
        row = await ground.row(key)
        stamp = clock.decided(None, offset_ms=0, now=ground.now, seen=0 if row is None else row.stamp, limits=self.limits)
        facts = Facts(tenant_id=ground.tenant_id, seq=ground.seq + 1, now=ground.now, actor=actor, device_id=pseudo_device(actor.id),
                      stamp=stamp,
                      base=None if row is None else row.last, on_behalf_of=who.on_behalf_of, request=who.request, sent_hash=sent_hash,
                      kind=kind, reverts=reverts, resolves=list(resolves), extra=extra or {})
        if ops:
            asked = Mutation(mutation_id=mutation_id, collection=key[0], record_id=key[1], ops=list(ops))
            await self.look_up(facts, asked, row)
        return decide.settle(row, ops, unapplied, facts, self.schema, mutation_id=mutation_id, collection=key[0], record_id=key[1])

    def _rev_for(self, actor: Actor, row: Row | None) -> int | None:
        if row is None:
            return None
        if self.ground.traits[row.collection].read_by_all or allows(self.schema.collections[row.collection].read, row.columns(), actor):
            return row.rev
        return None

    def result(self, actor: Actor, decision: Decision, adopted: Adopted) -> Result:
        entry = decision.entry
        rev = self._rev_for(actor, adopted.row)
        return Result(mutation_id=entry.mutation_id, outcome=entry.outcome, receipt="held" if entry.outcome == "held" else "committed",
                      position=adopted.position, seq=entry.seq, rev=rev, inbox_id=decision.inbox_id,
                      unapplied=[shown(part, readable=rev is not None) for part in entry.unapplied] if entry.unapplied else None)


def _waiting_in(context: Context | None) -> int:
    return 0 if context is None else sum(len(waiting) for waiting in context.texts.values())


def _refines(mutation: Mutation, traits: Traits) -> bool:
    """Whether a `set` on a Text, Counter or Set must become the finer op."""
    finer = traits.finer_paths
    for op in mutation.ops:                                                     # noqa: SIM110 - a generator costs more than the loop
        if (type(op) is SetOp or type(op) is UnsetOp) and op.path in finer:
            return True
    return False


def _under_present_contract(mutation: Mutation, collection: Collection) -> tuple[Mutation, str | None]:
    """The mutation as the present contract reads it; else as it is, with the reason why it cannot be read so."""
    if mutation.contract == collection.contract:
        return mutation, None
    try:
        return upcast_mutation(mutation, collection), None
    except InvalidValue as error:
        return mutation, error.detail


def shown(part: Unapplied, *, readable: bool) -> dict[str, Any]:
    """An unapplied part for its author; to one who may not see the record only the own value."""
    if not readable:
        part = msgspec.structs.replace(part, theirs=None, base_value=None, seq=0)
    found: dict[str, Any] = msgspec.to_builtins(part)
    return found


def _mutations_of(work: TenantWork) -> Iterable[tuple[str, Mutation]]:
    if isinstance(work, PushWork):
        return ((work.device_id, mutation) for mutation in work.mutations)
    if isinstance(work, Change):
        return (("!" + work.who.actor_id, work.mutation),)
    if isinstance(work, Act):
        return (("!" + work.who.actor_id, mutation) for mutation in work.mutations)
    return ()
