"""Create: a new record from the fields given, or, where the record exists, the same fields merged into it."""

from __future__ import annotations

from typing import Any

from holdfast.core.apply import defaults
from holdfast.core.errors import HoldfastError
from holdfast.core.ops import AddOp, CreateOp, IncludeOp, Op, SetOp, SpliceOp
from holdfast.core.schema import Field, Kind, Stamped
from holdfast.core.values import normalise
from holdfast.core.whole import NEVER_CHANGED, HeldWhole
from holdfast.core.working import Working

__all__ = ["create_ops", "created_fields"]


def created_fields(working: Working, op: CreateOp) -> dict[str, Any]:
    """Check the fields given to a new record and fill in the defaults (`working.fields`). Returns what counts as given.

    A field whose value does not fit is held by itself and takes its default; a required one holds the whole create (HeldWhole).
    """
    collection = working.collection
    given: dict[str, Any] = {}
    for name, value in op.value.items():
        field = collection.fields.get(name)
        if field is not None and field.stamped is not None:
            continue
        problem, checked = (f"There is no field {name[:64]!r}.", None) if field is None else _checked(working, field, value)
        if problem is None:
            given[name] = checked
        elif field is not None and field.required:
            raise HeldWhole("invalid", problem)
        else:
            sensitive = field is not None and field.sensitive
            shown = None if sensitive else value
            working.leave("invalid", SetOp("/" + name, value), waits=True, path="/" + name, message=problem, mine=shown)
    _raise_if_for_somebody_else(working, op)
    for field in collection.fields.values():
        if field.required and field.stamped is None and given.get(field.name) is None:
            raise HeldWhole("invalid", f"{field.name} is required.")
    working.fields = {**defaults(collection), **given}
    return given


def _raise_if_for_somebody_else(working: Working, op: CreateOp) -> None:
    """Who creates a record may be part of its key: then nobody takes the place of somebody else's record by naming that person."""
    author = working.facts.on_behalf_of or working.facts.actor.id
    for name in working.collection.key or ():
        if working.collection.fields[name].stamped is Stamped.CREATED_BY and op.value.get(name) != author:
            raise HeldWhole("forbidden", f"{name} is whoever creates the record: it cannot be created for somebody else.")


def _checked(working: Working, field: Field, value: Any) -> tuple[str | None, Any]:
    if field.name in working.blocked:
        return working.blocked[field.name], None
    if value is None:
        if field.optional or field.kind is Kind.JSON:
            return None, None
        return f"{field.name} is not optional: it always has a value.", None
    try:
        value = normalise(value, limits=working.schema.limits, path="/" + field.name)
        return None, field.check(value) if field.check is not None else value
    except HoldfastError as error:
        return error.detail, None


def create_ops(working: Working, op: CreateOp) -> list[Op]:
    """The ops that a create of an existing record comes to: only the fields given count, as `set`; a Text as insertion into its
    default, a Counter as what it adds, a Set as what it includes. Texts in `working.texts` were found identical and are skipped.

    A record that is only appended never changes: it may be created again as it stands (HeldWhole otherwise)."""
    made: list[Op] = []
    append_only = working.collection.append_only
    for name, value in op.value.items():
        field = working.collection.fields.get(name)
        path = "/" + name.replace("~", "~0").replace("/", "~1")
        if append_only and field is not None and _checked(working, field, value) == (None, working.fields[name]):
            continue
        if field is None or field.stamped is not None:
            if field is None:
                working.leave("invalid", SetOp(path, value), waits=True, path=path, message=f"There is no field {name[:64]!r}.", mine=value)
        elif field.kind is Kind.TEXT and isinstance(value, str):
            if name not in working.texts and value != field.default:
                made.append(SpliceOp(path, [(0, 0, value)] if field.default == "" else [(0, len(field.default), value)]))
        elif field.kind is Kind.COUNTER and isinstance(value, int):
            made.append(AddOp(path, value - field.default))
        elif field.kind is Kind.SET and isinstance(value, list) and all(isinstance(item, str) for item in value):
            made.append(IncludeOp(path, value))
        elif not (field.immutable and working.fields.get(name) == value):
            made.append(SetOp(path, value))
    if append_only and made:
        raise HeldWhole("forbidden", NEVER_CHANGED)
    return made
