"""Erasing by law: the payloads of a record's entries go, with what was made of them (contexts, inbox items), the chain stays checkable.
Erasing is itself an entry. Without chosen entries the record's present state goes too: it is emptied and deleted. With chosen ones,
the later entries that may repeat what those said go with them; what waits for a decision about others goes on waiting, and the
erasure says what that is: the log may no longer."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import msgspec

from holdfast.core.access import Actor
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.errors import Forbidden, InvalidValue, NotFound
from holdfast.core.facts import Decision
from holdfast.core.items import part_place
from holdfast.core.messages import Result
from holdfast.core.ops import CreateOp, DeleteOp, Op, UndeleteOp
from holdfast.core.pointer import overlaps
from holdfast.core.schema import Collection, Field, Kind
from holdfast.core.waiting import blanked, blanked_held
from holdfast.engine.ground import DeviceKey, Ground
from holdfast.engine.judge import Judge
from holdfast.engine.reverting import asked_as_mutation, repeat_of
from holdfast.engine.traits import own_columns
from holdfast.engine.views import ABSENT
from holdfast.engine.work import Erase, Results

__all__ = ["emptied", "erase"]

MAY_ERASE = frozenset({"owner"})
REASON_CODE_POINTS_MAX = 1_000

_EMPTY: dict[Kind, Any] = {Kind.STRING: "", Kind.INTEGER: 0, Kind.NUMBER: 0, Kind.BOOLEAN: False, Kind.DATE: "1970-01-01",
                           Kind.DATETIME: "1970-01-01T00:00:00.000Z", Kind.JSON: None, Kind.TEXT: "", Kind.COUNTER: 0, Kind.SET: []}


async def erase(judge: Judge, actor: Actor, work: Erase) -> Results:
    """Raises Forbidden (not an owner), NotFound, InvalidValue."""
    if actor.roles.isdisjoint(MAY_ERASE):
        raise Forbidden("Only an owner of the organisation may erase.")
    key = (work.collection, work.record_id)
    asked = asked_as_mutation(work.mutation_id, *key, "erase", {"seqs": work.seqs, "reason": work.reason})
    again = await repeat_of(judge, actor, asked)
    if again is not None:
        return again
    if not work.reason.strip() or len(work.reason) > REASON_CODE_POINTS_MAX:
        raise InvalidValue(f"A reason of 1 to {REASON_CODE_POINTS_MAX:,} characters is kept with the erasure.", field="reason")
    entries = await judge.ground.newest_first(key) if work.collection in judge.schema.collections else []
    chosen = _chosen(entries, work)
    salt = judge.salt()
    lines = [(device_id, *key) for device_id in dict.fromkeys(entry.device_id for entry in entries)]
    seqs = None if work.seqs is None else {entry.seq for entry in chosen}
    await judge.ground.load_items(lines)
    waits = [(item.device_id, item.seqs, item.assigned_to) for line in lines
             if (item := judge.ground.items[line]) is not None and _goes_on(item, seqs)]
    extra = {"seqs": [entry.seq for entry in chosen], "reason": work.reason, "whole": work.seqs is None,
             **({"waits": waits} if waits else {})}
    decision = await judge.settled(work.who, actor, "erase", work.mutation_id, key, [], salt=salt,
                                   sent_hash=judge.sent_hash(salt, asked), extra=extra)
    if work.seqs is None and decision.row is not None:
        decision = _emptying(decision, judge.schema.collections[work.collection])
    adopted = await judge.adopt(decision, salt, actor)
    await _forget_contexts(judge.ground, lines, seqs)
    _forget_items(judge.ground, lines, seqs)
    judge.ground.erase(entry.seq for entry in chosen)
    result = Result(mutation_id=work.mutation_id, outcome="applied", receipt="committed", position=adopted.position, seq=adopted.entry.seq)
    return Results([result], judge.ground.seq)


def _chosen(entries: list[Entry], work: Erase) -> list[Entry]:
    if not entries:
        raise NotFound(ABSENT)
    if work.seqs is None:
        chosen = list(entries)
    else:
        named = [entry for entry in entries if entry.seq in set(work.seqs)]
        if len(named) != len(set(work.seqs)):
            raise NotFound("The record has no entry with one of these numbers.")
        chosen = [entry for entry in entries if entry in named or any(_repeats(entry, other) for other in named)]
    # What an erasure says of itself is not personal, and is what proves that it was done.
    return [entry for entry in reversed(chosen) if not entry.erased and entry.kind != "erase"]


def _repeats(entry: Entry, earlier: Entry) -> bool:
    """Whether the inverse of `entry`, or the value that stood against it, may hold what `earlier` said: then it goes too."""
    if entry.seq <= earlier.seq:
        return False
    said = _places(earlier.ops)
    against = {part_place(part) for part in entry.unapplied if part.theirs is not None or part.base_value is not None}
    return any(overlaps(place, other) for place in _places(entry.undo) | against for other in said)


def _places(ops: list[Op]) -> set[str]:
    """Where ops put values; "" stands for the whole record."""
    return {"" if isinstance(op, CreateOp | DeleteOp | UndeleteOp) else op.path for op in ops}


def _emptying(decision: Decision, collection: Collection) -> Decision:
    row = decision.row
    assert row is not None
    empty = msgspec.structs.replace(emptied(row, collection), rev=decision.entry.seq)
    return Decision(decision.entry, empty, True, None)


def emptied(row: Row, collection: Collection) -> Row:
    """The record without what people wrote: deleted, every field at its emptiest valid value. References and ids stay, and with them
    whose it is, by itself or through another record: who could read it must hear that it is gone."""
    keep = {*(collection.key or ()), *own_columns(collection.read), *(copied.ref_field for copied in collection.copied)}
    unique = {name for one in collection.unique for name in one.fields}
    fields = {name: value if name in keep else _emptiest(collection.fields[name], value, row.id, unique=name in unique)
              for name, value in row.fields.items()}
    return msgspec.structs.replace(row, fields=fields, deleted=True)


def _emptiest(field: Field, value: Any, record_id: str, *, unique: bool) -> Any:
    if field.optional:
        return None
    if field.kind in (Kind.REF, Kind.UUID):
        return value
    if unique:
        return f"erased {record_id}" if field.kind is Kind.STRING else value
    if field.kind is Kind.CHOICE:
        return field.default if field.default is not None else (field.choices or ("",))[0]
    if field.kind is Kind.MONEY:
        return f"{0:.{field.scale}f}"
    if field.kind is Kind.JSON:
        return field.default
    return _EMPTY[field.kind]


async def _forget_contexts(ground: Ground, lines: Sequence[DeviceKey], seqs: Set[int] | None) -> None:
    """`seqs` None: the record is erased whole, and no device goes on where it was. Else the record goes on, and what a device sends
    next was typed on all that it had sent before: its context stays, without what the erased entries said."""
    await ground.load_contexts(lines)
    for line in lines:
        context = ground.contexts[line]
        after = None if context is None or seqs is None else blanked(context, seqs)
        if after != context:
            ground.put_context(line, after)


def _goes_on(item: Item, seqs: Set[int] | None) -> bool:
    return seqs is not None and seqs.isdisjoint(item.seqs)


def _forget_items(ground: Ground, lines: Sequence[DeviceKey], seqs: Set[int] | None) -> None:
    for line in lines:
        item = ground.items[line]
        if item is None:
            continue
        if seqs is None or not _goes_on(item, seqs):
            ground.close_item(item)
        elif item.texts:
            texts = {name: [blanked_held(held, seqs) for held in texts] for name, texts in item.texts.items()}
            ground.put_item(msgspec.structs.replace(item, texts=texts))
