"""The usual save, judged straight through: a device sets plain fields and types into texts of a record that nobody else has changed since.

`decide` judges in general; this is the same judgement for the case in which nothing can stand in its way, at a quarter of the cost. Rules
of the file: it says None wherever the general rules might say anything else (and never raises), so that only what is certain is
decided here; and it never says anything that the general rules would not: `tests/core/test_straight.py` holds the two against each
other. A new rule of merging therefore goes to the general path first; here it at most makes one more case None.
"""

from __future__ import annotations

from typing import Any

from holdfast.core.access import Everyone, Rule, allows
from holdfast.core.entry import Entry, Mutation, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Context, Decision, Facts
from holdfast.core.limits import Limits
from holdfast.core.ops import Op, SetOp, SpliceOp
from holdfast.core.schema import Collection, Field, Kind
from holdfast.core.stamping import stamped_fields
from holdfast.core.values import normalise

__all__ = ["decide_straight"]

_TEXT, _REF, _COUNTER, _SET, _JSON = Kind.TEXT, Kind.REF, Kind.COUNTER, Kind.SET, Kind.JSON


class _NotStraight(Exception):
    """Something that the general rules must judge."""


def decide_straight(row: Row, mutation: Mutation, context: Context | None, facts: Facts, collection: Collection,
                    limits: Limits) -> Decision | None:
    """The decision, where no entry of others is newer than the mutation's base; None: ask the general rules."""
    if (row.deleted or context is not None or facts.item is not None or facts.old_contract is not None or not facts.same_history
            or collection.check is not None or collection.append_only or collection.copied or mutation.atomic
            or facts.kind != "change" or facts.reverts is not None or facts.resolves or facts.extra):
        return None
    columns = None if _open_to_all(collection) else row.columns()
    if columns is not None and not (_admits(collection.read, columns, facts) and _admits(collection.write, columns, facts)):
        return None
    try:
        fields, ops, undo = _applied(row.fields, mutation.ops, collection, limits)
    except (_NotStraight, HoldfastError):
        return None
    changed = fields != row.fields
    if changed and (stamped := stamped_fields(collection, facts, fields, fresh=False)):
        fields = {**fields, **stamped}
    if columns is not None and not _admits(collection.write, {**columns, **fields}, facts):
        return None
    return _decision(row, mutation, facts, collection, fields, ops, undo, changed=changed)


def _open_to_all(collection: Collection) -> bool:
    return type(collection.read) is Everyone and type(collection.write) is Everyone


def _admits(rule: Rule, columns: dict[str, Any], facts: Facts) -> bool:
    return type(rule) is Everyone or allows(rule, columns, facts.actor)


def _applied(before: dict[str, Any], ops: list[Op], collection: Collection, limits: Limits) -> tuple[dict[str, Any], list[Op], list[Op]]:
    """(fields after `ops`, the ops with their values in canonical form, their inverse in the order to be applied). Raises _NotStraight,
    or what a check raises."""
    fields, declared = dict(before), collection.fields
    taken = ops
    undo: list[Op] = []
    for place, op in enumerate(ops):
        if type(op) is not SetOp and type(op) is not SpliceOp:
            raise _NotStraight
        field = declared.get(op.path[1:])
        if field is None or field.stamped is not None:
            raise _NotStraight
        if type(op) is SpliceOp:
            undo.append(_typed(fields, op, field, limits))
            continue
        assert type(op) is SetOp
        value = _set_value(op, field, collection, limits)
        undo.append(SetOp(op.path, fields.get(field.name)))
        fields[field.name] = value
        if value is not op.value:
            taken = [*taken[:place], SetOp(op.path, value), *taken[place + 1:]]
    undo.reverse()
    return fields, taken, undo


def _set_value(op: SetOp, field: Field, collection: Collection, limits: Limits) -> Any:
    """The value to stand in the field. Raises _NotStraight, or what makes the value unfit."""
    kind = field.kind
    if (kind is _TEXT or kind is _REF or kind is _COUNTER or kind is _SET or field.immutable or op.restated
            or (collection.unique and any(field.name in unique.fields for unique in collection.unique))):
        raise _NotStraight
    value = normalise(op.value, limits=limits, path=op.path)
    if kind is _JSON and isinstance(value, str):
        raise _NotStraight
    if value is None:
        if not field.optional and kind is not _JSON:
            raise _NotStraight
    elif field.check is not None:
        value = field.check(value)
    return value


def _typed(fields: dict[str, Any], op: SpliceOp, field: Field, limits: Limits) -> SpliceOp:
    """Put the edit into the text; its inverse. Raises _NotStraight, or what makes the result unfit."""
    if field.kind is not _TEXT or len(op.edits) != 1:
        raise _NotStraight
    current: str = fields[field.name]
    at, deleted, inserted = op.edits[0]
    end = at + deleted
    if at < 0 or deleted < 0 or end > len(current) or not (deleted or inserted):
        raise _NotStraight
    result = current[:at] + inserted + current[end:]
    if len(result) > max(len(current), limits.text_code_points_max):
        raise _NotStraight
    if field.check is not None:
        field.check(result)
    fields[field.name] = result
    return SpliceOp(op.path, [(at, len(inserted), current[at:end])])


def _decision(row: Row, mutation: Mutation, facts: Facts, collection: Collection, fields: dict[str, Any], ops: list[Op], undo: list[Op], *,
              changed: bool) -> Decision:
    seq, device_id, mutation_id, stamp, contract = facts.seq, facts.device_id, mutation.mutation_id, facts.stamp, collection.contract
    entry = Entry(
        tenant_id=facts.tenant_id, seq=seq, committed_at=facts.now, stamp=stamp, actor_id=facts.actor.id, device_id=device_id,
        mutation_id=mutation_id, collection=mutation.collection, record_id=mutation.record_id, contract=contract,
        edited_at=facts.edited_at, top=row.stamp if row.stamp > stamp else 0, on_behalf_of=facts.on_behalf_of, after=mutation.after,
        base=facts.base, sent=None if ops is mutation.ops or ops == mutation.ops else mutation.ops, sent_hash=facts.sent_hash, ops=ops,
        undo=undo, forked_from=mutation.forked_from, request=facts.request,
    )
    after = Row(
        collection=row.collection, id=row.id, fields=fields if changed else row.fields, contract=contract,
        rev=seq if changed else row.rev, last=seq, last_device=device_id, last_mutation=mutation_id,
        last_foreign=row.last_foreign if row.last_device == device_id else row.last, stamp=row.stamp if row.stamp > stamp else stamp,
    )
    return Decision(entry, after, True, None)
