"""The device's side of merging: what a person sees of a record, and what becomes of pending work when the ground under it changes.

Theory. A device holds each record as pulled, and its own mutations that have not come back in a pull. The view is those mutations
decided on top by the server's own `decide`, each past the others' entries newer than its base and in the device's own context. So a
device expects what the server will make of its work if nobody comes between; and what a splice means, the device and the server
agree on by construction.

Rules of the file.
- A device shows its own changes whatever will become of them: rights, limits, references and questions are left to the server
  (`showing` takes them out of the schema). Only typing that goes on in a text that was held is not shown: it came back with it.
- The context row moves on when an own entry comes back (`came_back`), by what the server did with it, not by what was expected.
- Base and position of a view are those of the record as pulled: the expected entries have no number yet (`EXPECTED`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from holdfast.core import clock, text
from holdfast.core.access import Actor, All
from holdfast.core.apply import apply_ops, defaults
from holdfast.core.decide import decide
from holdfast.core.entry import Entry, Mutation, Row, TextChange, Waiting
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Context, Facts
from holdfast.core.limits import Limits
from holdfast.core.messages import Change
from holdfast.core.ops import CreateOp, DeleteOp, Op, SpliceOp, UndeleteOp
from holdfast.core.schema import Collection, Field, Schema, Stamped
from holdfast.core.waiting import change_of, gather, pass_over, past_identical, skipped_as_identical, taken_back, text_fields

__all__ = [
    "EXPECTED", "Ground", "Pending", "Step", "View", "advance", "came_back", "entry_of", "follow", "held_splices", "show", "showing",
    "undone", "without",
]

EXPECTED: Final = 1 << 60
"""The seq of an entry that is only expected: newer than any that exists."""

_LIFE: Final = (CreateOp, DeleteOp, UndeleteOp)
_NO_LIMITS: Final = Limits(text_code_points_max=1 << 40, string_code_points_max=1 << 40, set_items_max=1 << 40, json_bytes_max=1 << 40)


@dataclass(frozen=True, slots=True)
class Pending:
    """An own mutation that has not come back. `base` and `stamp` as it was made with."""

    mutation: Mutation
    base: int | None
    stamp: int


@dataclass(frozen=True, slots=True)
class Ground:
    """A record as pulled: its row, others' entries newer than the oldest pending base (rising), the device's context row."""

    row: Row | None
    since: Sequence[Entry] = ()
    context: Context | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a person sees, and the context that the next own mutation has. `rebased`: per pending mutation its ops as expected."""

    row: Row | None
    context: Context | None
    rebased: tuple[Sequence[Op], ...] = ()


def showing(schema: Schema) -> Schema:
    """The schema by which a device shows its own work: kinds, defaults and merge rules, without what only the server judges."""
    return Schema(collections=MappingProxyType({name: _shown(one) for name, one in schema.collections.items()}), limits=_NO_LIMITS)


def _shown(collection: Collection) -> Collection:
    fields: dict[str, Field] = {
        name: dataclasses.replace(field, required=False, immutable=False, check=None, ref=None, choices=None)
        for name, field in collection.fields.items()
    }
    return dataclasses.replace(collection, fields=MappingProxyType(fields), unique=(), read=All, write=All, create=None, delete=None,
                               copied=(), append_only=False, check=None)


# -- the view ----------------------------------------------------------------------------------------------------------------


def show(ground: Ground, pending: Sequence[Pending], device_id: str, actor_id: str, schema: Schema, now: int) -> View:
    """The view of a record. `schema` is what `showing` makes. `now` (ms) is what stamped fields show until the server says."""
    view = View(ground.row, ground.context)
    rebased: list[Sequence[Op]] = []
    for one in pending:
        view = advance(view, one, ground.since, device_id, actor_id, schema, now)
        rebased.append(view.rebased[-1])
    return View(view.row, view.context, tuple(rebased))


def advance(view: View, one: Pending, since: Sequence[Entry], device_id: str, actor_id: str, schema: Schema, now: int) -> View:
    """The view with one more mutation on top. `rebased` of the result holds this one alone."""
    row, mutation = view.row, one.mutation
    lives = not isinstance(mutation.ops[0], _LIFE)
    was_deleted = row is not None and row.deleted
    if row is not None and lives and was_deleted:
        row = msgspec.structs.replace(row, deleted=False)
    facts = Facts(tenant_id="", seq=EXPECTED, now=now, actor=Actor(actor_id), device_id=device_id, stamp=one.stamp, base=one.base)
    newer = [entry for entry in since if entry.seq > (one.base or 0)] if since else []
    decision = decide(row, mutation, newer, view.context, facts, schema)
    after = decision.row
    if after is None:
        return View(view.row, view.context, ((),))
    collection = schema.collections[mutation.collection]
    for part in decision.entry.unapplied:
        if part.waits and part.op is not None and not isinstance(part.op, SpliceOp):
            after = _shown_anyway(after, part.op, collection)
    if view.row is not None:
        after.rev, after.last, after.last_prefix = view.row.rev, view.row.last, view.row.last_prefix
    else:
        after.rev = after.last = 0
    if lives:
        after.deleted = was_deleted
    return View(after, decision.context, (_expected(mutation, decision.entry),))


def _expected(mutation: Mutation, entry: Entry) -> Sequence[Op]:
    """The ops as they would be applied; of what would wait, as sent."""
    return entry.ops if not any(part.waits for part in entry.unapplied) else mutation.ops


def _shown_anyway(row: Row, op: Op, collection: Collection) -> Row:
    """A change that the rules would hold: on the device it is shown until the server has spoken."""
    try:
        return msgspec.structs.replace(row, fields=apply_ops(row.fields, [op], collection)[0])
    except HoldfastError:
        return row


# -- what was pulled ---------------------------------------------------------------------------------------------------------


def follow(row: Row | None, change: Change, collection: Collection) -> tuple[Row, list[Op]] | None:
    """The record after a pulled change, and the exact inverse. None: it is no news, or the record is not here (it comes whole when it
    comes into view). Raises Malformed if the change does not fit: then the record here is not the server's."""
    ops = change.ops
    if row is None:
        if not ops or not isinstance(ops[0], CreateOp):
            return None
        made = {**defaults(collection), **ops[0].value}
        row = Row(collection=change.collection, id=change.record_id, fields=made, contract=collection.contract)
        fresh, undo = True, list[Op]([DeleteOp()])
    elif change.seq <= row.last:
        return None
    else:
        row, undo = _applied(row, ops, collection)
        fresh = False
    if change.rev == change.seq:
        stamped = _stamped(change, collection, fresh=fresh)
        if stamped:
            row.fields = {**row.fields, **stamped}
    seq, _, prefix = change.position.partition(".")
    stamp = clock.parse(change.stamp) if change.stamp else 0
    row.rev, row.last, row.last_prefix, row.stamp = change.rev or row.rev, int(seq), prefix, max(row.stamp, stamp)
    return row, undo


def _applied(row: Row, ops: Sequence[Op], collection: Collection) -> tuple[Row, list[Op]]:
    """A new row (the old one stays as it is) and the inverse."""
    fields, deleted = row.fields, row.deleted
    for op in ops:
        if isinstance(op, _LIFE):
            break
    else:
        fields, inverse = apply_ops(fields, ops, collection)
        return msgspec.structs.replace(row, fields=fields), inverse
    inverses: list[list[Op]] = []
    for op in ops:
        if isinstance(op, _LIFE):
            now = isinstance(op, DeleteOp)
            if now is not deleted:
                inverses.append([UndeleteOp() if now else DeleteOp()])
            deleted = now
        else:
            fields, inverse = apply_ops(fields, [op], collection)
            inverses.append(inverse)
    return msgspec.structs.replace(row, fields=fields, deleted=deleted), [op for inverse in reversed(inverses) for op in inverse]


def undone(row: Row, undo: Sequence[Op], collection: Collection) -> Row:
    """The record before an entry, by its inverse; its bookkeeping is the caller's."""
    return _applied(row, undo, collection)[0]


def _stamped(change: Change, collection: Collection, *, fresh: bool) -> dict[str, Any]:
    """The fields that the server fills, of an entry that changed the record."""
    found: dict[str, Any] = {}
    for field in collection.fields.values():
        if field.stamped is None or (field.stamped in (Stamped.CREATED_BY, Stamped.CREATED_AT) and not fresh):
            continue
        by = field.stamped in (Stamped.CREATED_BY, Stamped.UPDATED_BY)
        found[field.name] = (change.on_behalf_of or change.actor_id) if by else change.committed_at
    return found


def entry_of(change: Change, undo: list[Op]) -> Entry:
    """A pulled change as `decide` reads the entries of others."""
    reverts = None if change.partly else change.reverts
    stamp = clock.parse(change.stamp) if change.stamp else 0
    return Entry(tenant_id="", seq=change.seq, committed_at=0, stamp=stamp, actor_id=change.actor_id,
                 device_id=change.device_id, mutation_id=change.mutation_id, collection=change.collection, record_id=change.record_id,
                 ops=change.ops, undo=undo, reverts=reverts)


# -- an own entry comes back -------------------------------------------------------------------------------------------------


def came_back(ground: Ground, sent: Pending, change: Change, device_id: str, collection: Collection) -> Context | None:
    """The context row once an own entry stands: what `decide` returned at the server. `ground` is that before the entry."""
    context, base = ground.context, sent.base or 0
    since = [entry for entry in ground.since if entry.seq > base]
    held = held_splices(sent.mutation.ops, change) if change.outcome == "held" else []
    created = isinstance(sent.mutation.ops[0], CreateOp)
    if created and change.outcome == "held":
        return _pruned(context, base)
    texts: dict[str, list[Waiting]] = {}
    touched = any(isinstance(op, SpliceOp) for op in change.ops) or bool(held)
    for name in text_fields(collection):
        default = str(collection.fields[name].default or "")
        waiting = gather(context, name, sent.base, since, default)
        entry = msgspec.structs.replace(entry_of(change, []), sent=sent.mutation.ops)
        whole = change_of(sent.mutation.ops, name, default)
        if created and whole and ground.row is not None and skipped_as_identical(entry, name):
            texts[name] = past_identical(waiting, whole)
            touched = True
            continue
        for op in sent.mutation.ops:
            own = change_of([op], name, default)
            if any(op is one for one in held if one.path == f"/{name}"):
                waiting = taken_back(waiting, own, device_id, change.seq)
            elif own:
                waiting = pass_over(waiting, own, device_id)[0]
        texts[name] = waiting
    if not touched:
        return _pruned(context, base)
    kept = {name: waiting for name, waiting in texts.items() if waiting}
    return Context(kept, change.seq) if kept or since else None


def _pruned(context: Context | None, base: int) -> Context | None:
    if context is None:
        return None
    kept = {name: left for name, waiting in context.texts.items() if (left := [other for other in waiting if other.seq > base])}
    return Context(kept, context.through) if kept or base < context.through else None


def held_splices(sent: Sequence[Op], change: Change) -> list[SpliceOp]:
    """The splices of a held mutation that were not applied. Once one of a text is held, those after it are too."""
    applied: dict[str, int] = {}
    for op in change.ops:
        if isinstance(op, SpliceOp):
            applied[op.path] = applied.get(op.path, 0) + 1
    held: list[SpliceOp] = []
    for op in sent:
        if isinstance(op, SpliceOp):
            applied[op.path] = applied.get(op.path, 0) - 1
            if applied[op.path] < 0:
                held.append(op)
    return held


# -- work that has to be made anew -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a record's past, as it was made on everything before it. `mine`: an own one, to be made anew; others are dropped.
    `applied`: the next step was made with it in place (one that was held or refused is not). `frozen`: an own one that cannot be made anew,
    because it may have arrived: what the server then has of it, whatever it was made on."""

    ops: Sequence[Op]
    mine: bool
    applied: bool = True
    frozen: Sequence[Op] | None = None


def without(steps: Iterable[Step], collection: Collection, stood: Mapping[str, Any] | None = None) -> list[list[Op]]:
    """Own changes as they would have been made had what is dropped never been: those of `steps` that are `mine`, in order, each
    transformed past the inverses of what was dropped before it. Frozen ones come back as they are.

    `stood`: the record's fields before the first step; needed where a step is frozen. Only texts depend on what stood before; every
    other op stays as it is.
    """
    pasts = {"/" + name: _TextPast(name, str(collection.fields[name].default or ""), stood) for name in text_fields(collection)}
    made: list[list[Op]] = []
    for step in steps:
        kept: list[Op] = []
        for at, op in enumerate(step.ops):
            past = pasts.get(getattr(op, "path", ""))
            if isinstance(op, SpliceOp) and past is not None:
                frozen = None if step.frozen is None else step.frozen[at]
                kept.append(past.take(op, step, frozen if isinstance(frozen, SpliceOp) else None))
            else:
                if isinstance(op, CreateOp):
                    for one in pasts.values():
                        one.create(op, mine=step.mine)
                kept.append(op)
        if step.mine:
            made.append(list(step.frozen) if step.frozen is not None else kept)
    return made


class _TextPast:
    """One text, as it went with everything (`whole`) and as it goes with the own changes alone (`own`); `dropped` leads from the one to
    the other. The texts themselves are followed only where something is frozen."""

    def __init__(self, name: str, default: str, stood: Mapping[str, Any] | None) -> None:
        self.name, self.default = name, default
        self.dropped: TextChange = []
        self.own = self.whole = "" if stood is None else str(stood.get(name) or "")

    def create(self, op: CreateOp, *, mine: bool) -> None:
        change = change_of([op], self.name, self.default)
        self.whole = _fitted(self.default, change)
        if mine:
            self.own = self.whole
        else:
            self.dropped = text.compose(self.dropped, change)

    def take(self, op: SpliceOp, step: Step, frozen: SpliceOp | None) -> SpliceOp:
        change = text.from_edits(op.edits)
        if not step.mine:
            self.dropped = text.compose(self.dropped, change)
            self.whole = _fitted(self.whole, change)
            return op
        back, own = text.transform(text.invert_shape(self.dropped), change, True)
        after = text.invert_shape(back)
        self.dropped = after if step.applied else text.compose(after, text.invert_shape(change))
        if step.applied:
            self.whole = _fitted(self.whole, change)
        if frozen is None:
            self.own = _fitted(self.own, own)
            return SpliceOp(op.path, text.to_edits(own))
        self.own = _fitted(self.own, text.from_edits(frozen.edits))
        self.dropped = text.from_edits(text.diff(self.own, self.whole))
        return frozen


def _fitted(now: str, change: TextChange) -> str:
    """`now` after `change`, stretched where the change reaches further."""
    missing = text.span(change) - len(now)
    return text.apply(now + text.PLACEHOLDER * missing if missing > 0 else now, change)
