"""`decide`: one mutation against the record as it stands. Pure: no I/O, no clock, no randomness; the heart of Holdfast.

The order of judgement: rights, then what a mutation can be held for as a whole (deleted record, other contract, missing
reference, …), then op by op (`places`), then the record's own rules, uniqueness and the right to what it has become. What is
not applied is in `unapplied`, always; what waits for a person opens or joins the inbox item (`items`).

Source of the rules: DESIGN section 5 and the examples in vectors/decide.json, each of which a simpler rule got wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.access import Rule, allows
from holdfast.core.creation import create_ops, created_fields
from holdfast.core.entry import Entry, Mutation, Outcome, Row, Unapplied
from holdfast.core.facts import Context, Decision, Facts, Lookups, UniqueKey
from holdfast.core.heldtext import hold_text
from holdfast.core.items import item_after
from holdfast.core.ops import CreateOp, DeleteOp, Op, SetOp, SpliceOp, UndeleteOp
from holdfast.core.places import take_op, unfit_documents
from holdfast.core.refine import needs_view
from holdfast.core.schema import Collection, Kind, Schema
from holdfast.core.stamping import stamped_fields
from holdfast.core.straight import decide_straight
from holdfast.core.waiting import past_identical
from holdfast.core.whole import NEVER_CHANGED, HeldWhole
from holdfast.core.working import Working

__all__ = ["decide", "decide_in_general", "lookups", "rewrite_copied", "settle"]


# -- before: what must be known -------------------------------------------------------------------------------------------


def lookups(mutation: Mutation, row: Row | None, collection: Collection) -> Lookups:
    """The records and unique values that `decide` will ask about: load them into `Facts.refs` and `Facts.taken`."""
    given = _given(mutation.ops)
    refs = {(field.ref, given[field.name]) for field in collection.fields.values()
            if field.kind is Kind.REF and field.ref is not None and isinstance(given.get(field.name), str)}
    uniques: set[UniqueKey] = set()
    undelete = isinstance(mutation.ops[0], UndeleteOp)
    for unique in collection.unique:
        if undelete or any(name in given for name in unique.fields):
            fields = {**(row.fields if row is not None else {}), **given}
            values = tuple(fields.get(name, collection.fields[name].default) for name in unique.fields)
            if None not in values:
                uniques.add((collection.name, unique.name, values))
    return Lookups(frozenset(refs), frozenset(uniques), needs_view(mutation.ops, collection))


def _given(ops: Iterable[Op]) -> dict[str, Any]:
    """Top-level values that ops set."""
    given: dict[str, Any] = {}
    for op in ops:
        if isinstance(op, CreateOp):
            given |= op.value
        elif isinstance(op, SetOp) and "/" not in op.path[1:]:
            given[op.path[1:]] = op.value
    return given


# -- the decision ---------------------------------------------------------------------------------------------------------


def decide(
    row: Row | None, mutation: Mutation, entries_since: Sequence[Entry], context: Context | None, facts: Facts, schema: Schema,
) -> Decision:
    """Decide one admitted mutation.

    `entries_since`: the entries about this record with seq > base by other devices, rising, as they were applied; `context`: the
    device's context row; `facts.refs` and `facts.taken`: what `lookups` asked for. The entry returned is not sealed.
    """
    if row is not None and not entries_since:
        decision = decide_straight(row, mutation, context, facts, schema.collections[mutation.collection], schema.limits)
        if decision is not None:
            return decision
    return decide_in_general(row, mutation, entries_since, context, facts, schema)


def decide_in_general(
    row: Row | None, mutation: Mutation, entries_since: Sequence[Entry], context: Context | None, facts: Facts, schema: Schema,
) -> Decision:
    """`decide` by the general rules alone; `straight` says the same faster where nobody else is concerned."""
    collection = schema.collections[mutation.collection]
    try:
        return _decided(row, mutation, entries_since, context, facts, schema, collection, {})
    except HeldWhole as whole:
        working = _working(row, entries_since, context, facts, schema, collection, {})
        _hold_whole(working, mutation.ops, whole)
        return _decision(working, mutation, row)


def _decided(
    row: Row | None, mutation: Mutation, entries_since: Sequence[Entry], context: Context | None, facts: Facts, schema: Schema,
    collection: Collection, blocked: Mapping[str, str],
) -> Decision:
    working = _working(row, entries_since, context, facts, schema, collection, blocked)
    first = mutation.ops[0]
    fresh = isinstance(first, CreateOp) and row is None
    _judge(working, first, fresh)
    if isinstance(first, CreateOp):
        row = _create(working, first, mutation)
    elif isinstance(first, DeleteOp | UndeleteOp):
        row = _flip(working, first)
    else:
        for at, op in enumerate(mutation.ops):
            take_op(working, op, mutation.ops[:at])
    problems = _problems(working, row)
    if problems:
        culprits = {name: message for name, message in problems if name in _touched(working)}
        if not culprits or culprits.keys() <= blocked.keys() or fresh:
            raise HeldWhole("invalid", "; ".join(message for _, message in problems))
        return _decided(working.row, mutation, entries_since, context, facts, schema, collection, {**blocked, **culprits})
    _check_whole(working, row, first, fresh)
    if mutation.atomic and any(part.waits for part in working.unapplied):
        _make_atomic(working, mutation.ops)
        row = working.row       # neither made nor brought back
    return _decision(working, mutation, row)


def _problems(working: Working, row: Row | None) -> list[tuple[str, str]]:
    """What is wrong with the record as the ops leave it: documents changed inside, then the record's own rules."""
    unfit = unfit_documents(working)
    if unfit or working.collection.check is None or row is None or not working.ops:
        return list(unfit.items())
    return working.collection.check(working.fields)


def _working(
    row: Row | None, entries_since: Sequence[Entry], context: Context | None, facts: Facts, schema: Schema, collection: Collection,
    blocked: Mapping[str, str],
) -> Working:
    return Working(collection, schema, facts, row.fields if row is not None else {}, row, entries_since, context, blocked=blocked)


def _judge(working: Working, first: Op, fresh: bool) -> None:
    """Rights, then what holds a mutation whole before its ops are looked at."""
    collection, facts, row = working.collection, working.facts, working.row
    if not fresh:
        columns = row.columns() if row is not None else {}
        if row is None or not allows(collection.read, columns, facts.actor):
            raise HeldWhole("unavailable", "This record does not exist, or you may not see it.")
        if collection.append_only and not isinstance(first, CreateOp):
            raise HeldWhole("forbidden", NEVER_CHANGED)
        if not allows(_rule_for(collection, first), columns, facts.actor):
            raise HeldWhole("forbidden", "You may read this record, not change it.")
    if facts.old_contract is not None:
        raise HeldWhole("old_contract", facts.old_contract)
    if not facts.base_kept and working.entries_since:
        raise HeldWhole("base_too_old", "What it was made on is no longer kept, and the record has changed since.")
    if row is not None and row.deleted and not isinstance(first, CreateOp | DeleteOp | UndeleteOp):
        raise HeldWhole("deleted", "The record was deleted meanwhile.")


def _rule_for(collection: Collection, op: Op) -> Rule:
    if isinstance(op, DeleteOp | UndeleteOp) and collection.delete is not None:
        return collection.delete
    return collection.write


def _create(working: Working, op: CreateOp, mutation: Mutation) -> Row | None:
    row = working.row
    if row is None:
        value = created_fields(working, op)
        working.ops, working.undo = [CreateOp(value)], [DeleteOp()]
        return Row(collection=mutation.collection, id=mutation.record_id, fields=working.fields, contract=working.collection.contract)
    if row.deleted:
        knew = (working.facts.base or 0) >= row.rev or all(entry.seq != row.rev for entry in working.entries_since)
        if not knew:
            raise HeldWhole("deleted", "A record with this id was deleted meanwhile.")
        working.ops, working.undo = [UndeleteOp()], [DeleteOp()]
        row = msgspec.structs.replace(row, deleted=False)
    else:
        working.merged = True
    for name in [name for name, value in op.value.items() if _identical_text(working, name, value)]:
        _skip_identical(working, name, op.value[name])
    for made in create_ops(working, op):
        take_op(working, made, ())
    return row


def _identical_text(working: Working, name: str, value: Any) -> bool:
    field = working.collection.fields.get(name)
    if field is None or field.kind is not Kind.TEXT or value == field.default:
        return False
    created = (entry.ops[0].value.get(name) for entry in working.entries_since if entry.ops and isinstance(entry.ops[0], CreateOp))
    return value == working.fields.get(name) or value in created


def _skip_identical(working: Working, name: str, value: str) -> None:
    """Somebody else made the same text: it counts as one's own, so only what came after it waits."""
    working.texts[name] = past_identical(working.waiting(name), [value])


def _flip(working: Working, op: DeleteOp | UndeleteOp) -> Row:
    row = working.row
    assert row is not None
    deleting = isinstance(op, DeleteOp)
    working.merged = bool(working.entries_since)
    working.ops = [op]
    if row.deleted is deleting:
        return row
    working.undo = [UndeleteOp() if deleting else DeleteOp()]
    return msgspec.structs.replace(row, deleted=deleting)


def _touched(working: Working) -> set[str]:
    return {getattr(op, "path", "/")[1:].partition("/")[0] for op in working.ops}


def _check_whole(working: Working, row: Row | None, first: Op, fresh: bool) -> None:
    """References, uniqueness and the right to what the record has become."""
    assert row is not None
    collection, facts = working.collection, working.facts
    before = working.row.fields if working.row is not None else {}
    for field in collection.fields.values():
        wanted = working.fields.get(field.name)
        if field.kind is Kind.REF and field.ref is not None and wanted is not None and wanted != before.get(field.name):
            target = facts.refs.get((field.ref, wanted))
            readable = working.schema.collections[field.ref].read
            if target is None or target.deleted or not allows(readable, target.columns(), facts.actor):
                raise HeldWhole("missing_ref", f"{field.name} refers to a record that does not exist, or that you may not see.",
                             (field.ref, wanted))
    revived = isinstance(first, UndeleteOp)
    for unique in collection.unique:
        values = tuple(working.fields[name] for name in unique.fields)
        if not revived and all(before.get(name) == working.fields[name] for name in unique.fields):
            continue
        holder = facts.taken.get((collection.name, unique.name, values)) if None not in values else None
        if holder is not None and holder != row.id:
            raise HeldWhole("taken", f"{', '.join(unique.fields)}: another record has this value.")
    stamped = stamped_fields(collection, facts, working.fields, fresh=fresh)
    columns = {**working.fields, **stamped, **_copied(working, row), "id": row.id}
    rule = collection.create if fresh and collection.create is not None else _rule_for(collection, first)
    if not allows(rule, columns, facts.actor):
        raise HeldWhole("forbidden", "You may not make this record." if fresh else "You may not give the record this state.")


def _copied(working: Working, row: Row) -> dict[str, Any]:
    """The hidden columns: taken from the parents whose reference this mutation sets, else as they are."""
    copied = dict(row.copied)
    for column in working.collection.copied:
        ref = working.fields.get(column.ref_field)
        unchanged = working.row is not None and working.row.fields.get(column.ref_field) == ref
        if unchanged and column.column in copied:
            continue
        parent = working.facts.refs.get((column.parent, ref)) if isinstance(ref, str) else None
        copied[column.column] = parent.columns().get(column.source) if parent is not None else None
    return copied


# -- holding --------------------------------------------------------------------------------------------------------------


def _hold_whole(working: Working, ops: Sequence[Op], whole: HeldWhole) -> None:
    for op in ops:
        field = working.collection.fields.get(op.path[1:]) if isinstance(op, SpliceOp) else None
        if field is not None and isinstance(op, SpliceOp):
            hold_text(working, op, field, whole.reason, whole.message)
        else:
            working.leave(whole.reason, op, waits=True, path=getattr(op, "path", None), message=whole.message, ref=whole.ref,
                          mine=_shown(working, op))


def _shown(working: Working, op: Op) -> Any:
    field = working.collection.fields.get(getattr(op, "path", "/")[1:].partition("/")[0])
    return None if field is not None and field.sensitive else getattr(op, "value", None)


def _make_atomic(working: Working, ops: Sequence[Op]) -> None:
    """All or none: what would have applied waits beside what is held. Everything is held anew, in order, so that texts are composed as
    they were typed."""
    held = [part for part in working.unapplied if part.waits]
    working.fields, working.ops, working.undo = (working.row.fields if working.row is not None else {}), [], []
    working.unapplied, working.merged = [], False
    working.closes, working.texts, working.held_texts = set(), {}, {}
    for op in ops:
        part = next((part for part in held if part.op == op), None)
        field = working.collection.fields.get(op.path[1:]) if isinstance(op, SpliceOp) else None
        if field is not None and isinstance(op, SpliceOp):
            other = "Another part of this change waits for a decision."
            hold_text(working, op, field, *((part.reason, part.message) if part is not None else ("atomic", other)))
        elif part is not None:
            working.unapplied.append(part)
        else:
            working.leave("atomic", op, waits=True, path=getattr(op, "path", None), mine=_shown(working, op))
    working.unapplied.extend(part for part in held if part.op not in ops and not isinstance(part.op, SpliceOp))


# -- after: the entry and the views ----------------------------------------------------------------------------------------


def _decision(working: Working, mutation: Mutation, row: Row | None) -> Decision:
    facts, was = working.facts, working.row
    holds = any(part.waits for part in working.unapplied)
    outcome: Outcome = "held" if holds else "merged" if working.merged or working.unapplied else "applied"
    extra = {**facts.extra, "closes": sorted(working.closes)} if working.closes else facts.extra
    entry = Entry(
        tenant_id=facts.tenant_id, seq=facts.seq, committed_at=facts.now, stamp=facts.stamp, actor_id=facts.actor.id,
        device_id=facts.device_id, mutation_id=mutation.mutation_id, kind=facts.kind, collection=mutation.collection,
        record_id=mutation.record_id, contract=working.collection.contract, outcome=outcome, edited_at=facts.edited_at,
        top=was.stamp if was is not None and was.stamp > facts.stamp else 0, on_behalf_of=facts.on_behalf_of, after=mutation.after,
        base=facts.base, sent=None if working.ops == mutation.ops else mutation.ops, sent_hash=facts.sent_hash, ops=working.ops,
        undo=working.undo, unapplied=working.unapplied, atomic=mutation.atomic, forked_from=mutation.forked_from,
        reverts=facts.reverts, resolves=facts.resolves, extra=extra, request=facts.request,
    )
    item, closed = facts.item, None
    if holds or working.closes:
        item, closed = item_after(facts.item, entry, working.collection, closes=working.closes, texts=working.held_texts)
    after = _row_after(working, entry, row) if row is not None else None
    waiting = working.context_after() if row is not None else working.context
    return Decision(entry, after, after is not None, waiting, item, closed, item.id if holds and item is not None else None)


def _row_after(working: Working, entry: Entry, row: Row) -> Row:
    facts, was = working.facts, working.row
    changed = was is None or row.deleted is not was.deleted or (bool(working.undo) and working.fields != was.fields)
    fields = working.fields
    if changed:
        fields = {**fields, **stamped_fields(working.collection, facts, fields, fresh=was is None)}
    foreign = 0
    if was is not None:
        foreign = was.last_foreign if was.last_device == facts.device_id else was.last
    return Row(
        collection=row.collection, id=row.id, fields=fields, copied=_copied(working, row) if working.collection.copied else {},
        contract=working.collection.contract, deleted=row.deleted, rev=entry.seq if changed else row.rev, last=entry.seq,
        last_device=facts.device_id, last_mutation=entry.mutation_id, last_foreign=foreign, stamp=max(row.stamp, facts.stamp),
    )


# -- what the server makes -------------------------------------------------------------------------------------------------


def settle(
    row: Row | None, ops: Sequence[Op], unapplied: Sequence[Unapplied], facts: Facts, schema: Schema, *, mutation_id: str,
    collection: str, record_id: str,
) -> Decision:
    """Apply server-made ops (undo, redo, restore, resolve, redecide) to the record as it stands, with the same rights and rules as
    any change but no rivals; `unapplied` is what the plan left out. No ops: an entry that changes nothing.

    What the rules refuse is held like any other change: a caller that must not open an item looks at the outcome first.
    """
    contract = schema.collections[collection].contract
    mutation = Mutation(mutation_id=mutation_id, collection=collection, record_id=record_id, ops=list(ops), contract=contract)
    if ops:
        decision = decide(row, mutation, (), None, facts, schema)
    else:
        working = _working(row, (), None, facts, schema, schema.collections[collection], {})
        decision = _decision(working, mutation, row)
    if not unapplied:
        return decision
    entry = msgspec.structs.replace(decision.entry, unapplied=[*unapplied, *decision.entry.unapplied],
                                    outcome="held" if decision.entry.outcome == "held" else "merged")
    return msgspec.structs.replace(decision, entry=entry)


def rewrite_copied(row: Row, copied: Mapping[str, Any], facts: Facts, collection: Collection, mutation_id: str) -> Decision:
    """The `access` entry of a child whose parent changed: its hidden columns, nothing that people see; `rev` stays."""
    before = {name: row.copied.get(name) for name in copied}
    entry = Entry(
        tenant_id=facts.tenant_id, seq=facts.seq, committed_at=facts.now, stamp=facts.stamp, actor_id=facts.actor.id,
        device_id=facts.device_id, mutation_id=mutation_id, kind="access", collection=row.collection, record_id=row.id,
        contract=collection.contract, top=row.stamp if row.stamp > facts.stamp else 0, base=row.last,
        extra={"columns": dict(copied), "before": before},
    )
    foreign = row.last_foreign if row.last_device == facts.device_id else row.last
    after = msgspec.structs.replace(row, copied={**row.copied, **copied}, last=facts.seq, last_prefix="", last_device=facts.device_id,
                                    last_mutation=entry.mutation_id, last_foreign=foreign)
    return Decision(entry, after, True, None)
