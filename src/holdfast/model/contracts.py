"""Contracts: reading what was made under an older version of a collection's schema. The log is never rewritten; entries, rows and
mutations pass through here when they are read.

What does not fit raises InvalidValue with a reason for people; for a mutation the engine holds it as `old_contract`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.entry import Entry, Mutation, Row, Unapplied
from holdfast.core.errors import HoldfastError, InvalidValue
from holdfast.core.limits import Limits
from holdfast.core.ops import AddOp, CreateOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.schema import Collection, UpcastStep
from holdfast.core.values import normalise
from holdfast.model.conversion import plain_copy

__all__ = ["names_at", "upcast_entry", "upcast_fields", "upcast_mutation", "upcast_ops", "upcast_row"]


def upcast_mutation(mutation: Mutation, collection: Collection) -> Mutation:
    """The mutation under the present contract (the same object if it was made under it). Its ops may have become fewer, even none:
    changes of dropped fields change nothing. Raises InvalidValue for what does not fit, also for a contract of the future."""
    if mutation.contract == collection.contract:
        return mutation
    return msgspec.structs.replace(mutation, contract=collection.contract, ops=upcast_ops(mutation.ops, mutation.contract, collection))


def upcast_row(row: Row, collection: Collection) -> Row:
    """The record under the present contract. Raises InvalidValue."""
    if row.contract == collection.contract:
        return row
    return msgspec.structs.replace(row, contract=collection.contract, fields=upcast_fields(row.fields, row.contract, collection))


def upcast_entry(entry: Entry, collection: Collection) -> Entry:
    """The entry as the present contract reads it. Ops that cannot be read so are left out, with their inverse: the history of such a
    field begins with the contract that converted it."""
    if entry.contract == collection.contract or not entry.collection:
        return entry

    def fitting(ops: Sequence[Op]) -> list[Op]:
        return [one for op in ops for one in _fitting(op, entry.contract, collection)]

    return msgspec.structs.replace(
        entry, contract=collection.contract, ops=fitting(entry.ops), undo=fitting(entry.undo),
        sent=None if entry.sent is None else fitting(entry.sent),
        unapplied=[_upcast_unapplied(part, entry.contract, collection) for part in entry.unapplied],
    )


def upcast_fields(fields: Mapping[str, Any], contract: int, collection: Collection) -> dict[str, Any]:
    """A whole record's fields under the present contract, every declared field with a value. Raises InvalidValue for a field that
    neither the collection nor an upcaster knows, and for a value that does not fit."""
    made, _, touched = _walk(fields, contract, collection)
    for name in made:
        if name not in collection.fields:
            raise InvalidValue(f"{collection.name} has no field {name} under contract {collection.contract}.", field=name)
    complete = {}
    for name, field in collection.fields.items():
        value = made[name] if name in made else plain_copy(field.default)
        complete[name] = _judged(value, name, collection) if name in touched else value
    return complete


def upcast_ops(ops: Sequence[Op], contract: int, collection: Collection) -> list[Op]:
    """Ops under the present contract, in order. Raises InvalidValue for one that does not fit."""
    if contract == collection.contract:
        return list(ops)
    return [made for op in ops for made in _upcast_op(op, contract, collection)]


def names_at(contract: int, collection: Collection) -> dict[str, str]:
    """What the present fields were called under `contract`: old name -> name now. Fields that did not exist then are missing only if
    a `default` made them; a field without a step is taken to have had its name all along."""
    names = {name: name for name in collection.fields}
    for step in reversed(_steps(contract, collection)):
        if step.verb == "rename":
            names = {(step.field if old == step.to else old): now for old, now in names.items()}
        elif step.verb == "drop":
            names.pop(step.field, None)
    return names


# -- steps -----------------------------------------------------------------------------------------------------------------


def _steps(contract: int, collection: Collection) -> list[UpcastStep]:
    if contract > collection.contract:
        raise InvalidValue(f"This was made under contract {contract} of {collection.name}; this server knows {collection.contract}.",
                           hint="Upgrade the server.")
    if contract < 1:
        raise InvalidValue(f"{collection.name} has no contract {contract}: contracts count from 1.")
    return [step for number in range(contract, collection.contract) for step in collection.upcasts[number].steps]


def _walk(fields: Mapping[str, Any], contract: int, collection: Collection) -> tuple[dict[str, Any], set[str], set[str]]:
    """The fields after all steps; which of them only a `default` gave; which a step gave a value."""
    made, filled, touched = dict(fields), set[str](), set[str]()
    for step in _steps(contract, collection):
        if step.verb == "default":
            if step.field not in made:
                made[step.field] = plain_copy(step.value)
                filled.add(step.field)
                touched.add(step.field)
        elif step.field in made:
            value = made.pop(step.field)
            known = step.field in filled, step.field in touched
            filled.discard(step.field)
            touched.discard(step.field)
            if step.verb == "drop":
                continue
            name = step.to if step.verb == "rename" and step.to is not None else step.field
            made[name] = _converted(step, value, collection) if step.verb == "convert" else value
            filled.update({name} if known[0] else ())
            touched.update({name} if known[1] or step.verb == "convert" else ())
    return made, filled, touched


def _converted(step: UpcastStep, value: Any, collection: Collection) -> Any:
    if value is None or step.convert is None:
        return value
    try:
        return step.convert(plain_copy(value))
    except HoldfastError:
        raise
    except Exception as error:
        raise InvalidValue(f"{step.field} of {collection.name} could not be converted from its older contract ({type(error).__name__}).",
                           field=step.field) from None


def _judged(value: Any, name: str, collection: Collection) -> Any:
    """A value that a step made, in canonical form: a converter is the application's code."""
    field = collection.fields[name]
    if value is None:
        if field.optional:
            return None
        raise InvalidValue(f"{name} is never null.", field=name)
    value = normalise(value, limits=Limits(), path="/" + name)
    return value if field.check is None else field.check(value)


# -- ops -------------------------------------------------------------------------------------------------------------------


def _upcast_op(op: Op, contract: int, collection: Collection) -> list[Op]:
    if isinstance(op, CreateOp):
        made, filled, touched = _walk(op.value, contract, collection)
        given = {name: value for name, value in made.items() if name not in filled or _must_be_given(name, collection)}
        return [CreateOp({name: _judged(value, name, collection) if name in touched and name in collection.fields else value
                          for name, value in given.items()})]
    path = getattr(op, "path", None)
    if path is None:
        return [op]
    name, inside = _split(path)
    for step in _steps(contract, collection):
        if step.field != name:
            continue
        if step.verb == "drop":
            return []
        if step.verb == "rename" and step.to is not None:
            name = step.to
        elif step.verb == "convert":
            op = _converted_op(op, inside, step, collection)
    return [_at(op, "/" + name + inside)]


def _must_be_given(name: str, collection: Collection) -> bool:
    return name in collection.fields and collection.fields[name].required


def _converted_op(op: Op, inside: str, step: UpcastStep, collection: Collection) -> Op:
    if inside or not isinstance(op, SetOp | UnsetOp):
        raise InvalidValue(f"This is a change inside {step.field}, which an older contract of {collection.name} kept in another form.",
                           field=step.field)
    if isinstance(op, UnsetOp):
        return op
    return SetOp(op.path, _converted(step, op.value, collection), op.restated)


def _split(path: str) -> tuple[str, str]:
    """"/breakdown/roof/0" -> ("breakdown", "/roof/0"). Names of fields need no escapes."""
    name, slash, rest = path[1:].partition("/")
    return name, slash + rest


def _at(op: Op, path: str) -> Op:
    if isinstance(op, SetOp | UnsetOp | SpliceOp | AddOp | IncludeOp | ExcludeOp):
        return op if op.path == path else msgspec.structs.replace(op, path=path)
    return op


def _fitting(op: Op, contract: int, collection: Collection) -> list[Op]:
    try:
        return _upcast_op(op, contract, collection)
    except InvalidValue:
        return []


def _upcast_unapplied(part: Unapplied, contract: int, collection: Collection) -> Unapplied:
    """Its op and place under the present contract, where they fit; the values stay as they were sent."""
    fitting = [] if part.op is None else _fitting(part.op, contract, collection)
    path = None if part.path is None else next((one.path for one in _fitting(UnsetOp(part.path), contract, collection)
                                                if isinstance(one, UnsetOp)), part.path)
    return msgspec.structs.replace(part, op=fitting[0] if fitting else part.op, path=path)
