"""A server in one page, for tests of the pure core: one record, a list of entries, the views that `decide` keeps. No storage, no
queue: what the engine does with a database, done with lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core import admission, clock, inbox, undo
from holdfast.core.access import Actor, Everyone, Role
from holdfast.core.apply import apply_ops, defaults
from holdfast.core.decide import decide, lookups, settle
from holdfast.core.entry import Entry, ForkedFrom, Item, Mutation, Row
from holdfast.core.errors import InvalidValue
from holdfast.core.facts import Context, Decision, Facts
from holdfast.core.identity import pseudo_device
from holdfast.core.limits import Limits
from holdfast.core.ops import CreateOp, DeleteOp, Op, UndeleteOp
from holdfast.core.schema import Collection, Field, Kind, Merge, Schema
from holdfast.core.waiting import rebuild

RECORD = "00000000-0000-7000-8000-000000000001"
NOW = 1_800_000_000_000


def collection_from(described: Mapping[str, Any]) -> Collection:
    """The plain collection of a vector file; writing needs the role "writer"."""
    fields = {}
    for name, field in described["fields"].items():
        kind = Kind(field["kind"])
        fields[name] = Field(
            name=name, kind=kind, optional=field.get("optional", False), default=field.get("default"),
            merge=Merge(field.get("merge", "latest")), choices=tuple(field.get("choices", ())) or None,
            check=_integer if kind is Kind.INTEGER else None,
        )
    return Collection(name=described["name"], fields=fields, read=Everyone(), write=Role(frozenset({"writer"})))


def _integer(value: Any) -> Any:
    if not isinstance(value, int):
        raise InvalidValue("It must be a whole number.")
    return value


class Ledger:
    """Entries of one record, and what follows from them."""

    def __init__(self, collection: Collection, *, limits: Limits | None = None) -> None:
        self.collection = collection
        self.schema = Schema(collections={collection.name: collection}, limits=limits or Limits())
        self.entries: list[Entry] = []
        self.sent: dict[tuple[str, str], Mutation] = {}
        self.row: Row | None = None
        self.contexts: dict[str, Context] = {}
        self.items: dict[str, Item] = {}
        self.items_at: dict[int, dict[str, Item]] = {}      # after each entry that a person's decision made
        self.unwriting: set[str] = set()

    # -- devices ---------------------------------------------------------------------------------------------------------

    def push(self, device: str, mutation: Mutation, *, base: int | None, at: int, actor: str | None = None,
             same_history: bool = True) -> Entry | admission.Duplicate | admission.Refused:
        problem = admission.problem_with(mutation, self.schema)
        if problem is not None:
            return admission.Refused(problem)
        known = next((e for e in self.entries if (e.device_id, e.mutation_id) == (device, mutation.mutation_id)), None)
        mine = [e for e in self.entries if e.device_id == device]
        admitted = admission.admit(
            mutation, known=known, same_content=known is not None and self.sent[device, mutation.mutation_id] == mutation,
            last_mutation=mine[-1].mutation_id if mine else None, after_known=any(e.mutation_id == mutation.after for e in mine),
        )
        if not isinstance(admitted, admission.Admitted):
            return admitted
        self.sent[device, mutation.mutation_id] = mutation
        return self._take(self.decision(device, mutation, base=base, at=at, actor=actor, same_history=same_history), device)

    def decision(self, device: str, mutation: Mutation, *, base: int | None, at: int, actor: str | None = None,
                 same_history: bool = True) -> Decision:
        fork = mutation.forked_from
        since = [e for e in self.entries if e.seq > (base or 0) and not self._own(e, device, fork)]
        context = self.contexts.get(device)
        if fork is not None:
            context = rebuild(self.entries, lambda e: self._own(e, device, fork), device, base, self.collection)
        facts = self.facts(device, actor or device, base=base, at=at)
        facts.same_history = same_history
        if lookups(mutation, self.row, self.collection).own_since:
            facts.own_since = [e for e in self.entries if e.seq > (base or 0) and self._own(e, device, fork)]
        return decide(self.row, mutation, since, context, facts, self.schema)

    def _own(self, entry: Entry, device: str, fork: ForkedFrom | None) -> bool:
        if fork is None:
            forks = [e.forked_from for e in self.entries if e.device_id == device and e.forked_from is not None]
            fork = forks[0] if forks else None
        if entry.device_id == device or fork is None:
            return entry.device_id == device
        upto = next(e.seq for e in self.entries if (e.device_id, e.mutation_id) == (fork.device_id, fork.mutation_id))
        return entry.device_id == fork.device_id and entry.seq <= upto

    def facts(self, device: str, actor: str, *, base: int | None, at: int) -> Facts:
        seen = [max(e.stamp, e.top) for e in self.entries if e.seq <= (base or 0)]
        own = [e.stamp for e in self.entries if e.device_id == device]
        stamp = clock.decided(clock.pack(at, 0), offset_ms=0, now=NOW, seen=max([*seen[-1:], *own[-1:], 0]), limits=self.schema.limits)
        roles = frozenset() if actor in self.unwriting else frozenset({"writer"})
        return Facts(tenant_id="t", seq=len(self.entries) + 1, now=NOW, actor=Actor(actor, roles), device_id=device, stamp=stamp, base=base,
                     item=self.items.get(device))

    # -- what the server makes -------------------------------------------------------------------------------------------

    def undo(self, device: str, *, redo: bool = False, seq: int | None = None) -> Entry | None:
        target = undo.choose(reversed(self.entries), device, redo=redo) if seq is None else self.entries[seq - 1]
        if target is None or self.row is None:
            return None
        target = undo.in_force(target, [e for e in self.entries if e.seq > target.seq])
        plan = undo.plan(self.row, target, [e for e in self.entries if e.seq > target.seq], self.collection)
        facts = self._server_facts(device)
        facts.kind, facts.reverts, facts.extra = "redo" if redo else "undo", target.seq, {"device": device}
        return self._take(self._settle(plan.ops, plan.unapplied, facts), facts.device_id)

    def resolve(self, device: str, how: Any, values: Mapping[str, Any] | None = None) -> Entry | None:
        """None: the resolver has no right to it, and everything stays as it is."""
        item = self.items[device]
        plan = inbox.plan(item, self.row, how, values, [e for e in self.entries if e.seq > item.opened], self.collection)
        if device in self.unwriting and plan.ops:
            return None
        if plan.undelete:
            self._take(self._settle([UndeleteOp()], [], self._server_facts(device)), pseudo_device(device))
        facts = self._server_facts(device)
        facts.kind, facts.resolves = "resolve", list(item.seqs)
        entry = self._take(self._settle(plan.ops, plan.unapplied, facts), facts.device_id)
        left = inbox.left_after(item, plan)
        if left is None:
            del self.items[device]
        else:
            self.items[device] = left
        self.items_at[entry.seq] = dict(self.items)
        return entry

    def _server_facts(self, device: str) -> Facts:
        facts = self.facts(pseudo_device(device), device, base=self.entries[-1].seq, at=NOW)
        facts.item = None
        return facts

    def _settle(self, ops: Sequence[Op], unapplied: Sequence[Any], facts: Facts) -> Decision:
        return settle(self.row, ops, unapplied, facts, self.schema, mutation_id=f"server-{facts.seq}", collection=self.collection.name,
                      record_id=RECORD)

    # -- the log ---------------------------------------------------------------------------------------------------------

    def _take(self, decision: Decision, device: str) -> Entry:
        entry = decision.entry
        self.check(entry)
        self.entries.append(entry)
        self.row = decision.row
        if decision.context is not None:
            self.contexts[device] = decision.context
        else:
            self.contexts.pop(device, None)
        if decision.item is not None:
            self.items[device] = decision.item
        elif decision.closed is not None:
            self.items.pop(device, None)
        return entry

    def check(self, entry: Entry) -> None:
        """Every entry: its ops make the new state from the old one, its undo makes the old one again, nothing is dropped."""
        before = self.row
        if before is not None and not isinstance(entry.ops[0] if entry.ops else None, DeleteOp | UndeleteOp):
            after, _ = apply_ops(before.fields, [op for op in entry.ops if not isinstance(op, UndeleteOp)], self.collection)
            back, _ = apply_ops(after, [op for op in entry.undo if not isinstance(op, DeleteOp)], self.collection)
            assert back == before.fields, (entry.ops, entry.undo)
        assert entry.outcome == "held" or not any(part.waits for part in entry.unapplied)

    def replayed(self) -> dict[str, Any] | None:
        """The fields, folded from the entries alone."""
        fields: dict[str, Any] | None = None
        for entry in self.entries:
            for op in entry.ops:
                if isinstance(op, CreateOp):
                    fields = {**defaults(self.collection), **op.value}
                elif not isinstance(op, DeleteOp | UndeleteOp):
                    assert fields is not None
                    fields, _ = apply_ops(fields, [op], self.collection)
        return fields


def mutation_from(described: Mapping[str, Any], collection: str) -> Mutation:
    """A `push` step of a vector as a mutation."""
    fork = described.get("forked_from")
    return Mutation(
        mutation_id=described["id"], collection=collection, record_id=RECORD, ops=msgspec.convert(described["ops"], list[Op]),
        after=described["after"], atomic=described.get("atomic", False), forked_from=ForkedFrom(**fork) if fork else None,
    )


__all__ = ["NOW", "RECORD", "Ledger", "collection_from", "mutation_from"]
