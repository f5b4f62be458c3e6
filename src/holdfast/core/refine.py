"""A `set` on Text, Counter or Set becomes the finer op, against what the device saw: the state at its base plus its own
earlier changes since."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from holdfast.core import text
from holdfast.core.apply import apply_ops
from holdfast.core.entry import Entry
from holdfast.core.errors import Malformed
from holdfast.core.ops import AddOp, CreateOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind
from holdfast.core.working import Working

__all__ = ["FINER", "finer_ops", "needs_view", "view"]

FINER = frozenset({Kind.TEXT, Kind.COUNTER, Kind.SET})


def needs_view(ops: list[Op], collection: Collection) -> bool:
    """Whether one of `ops` has to be refined."""
    for op in ops:
        if isinstance(op, SetOp | UnsetOp):
            field = collection.fields.get(op.path[1:])
            if field is not None and field.kind in FINER:
                return True
    return False


def view(working: Working, field: Field, before: Sequence[Op]) -> Any:
    """The field's value as the device saw it; `before` are the ops of the same mutation that come earlier, as sent."""
    if not working.entries_since:
        return working.fields[field.name]
    own = sorted(working.facts.own_since, key=lambda entry: entry.seq)
    path = "/" + field.name
    value = field.default if working.row is None else working.row.fields[field.name]
    for entry in sorted([*working.entries_since, *own], key=lambda entry: entry.seq, reverse=True):
        value = _run(value, entry.undo, path, field, working.collection)
        if any(isinstance(op, CreateOp) for op in entry.ops):
            value = field.default
    for entry in own:
        value = _run(value, _sent(entry), path, field, working.collection)
    return _run(value, before, path, field, working.collection)


def _sent(entry: Entry) -> list[Op]:
    return entry.ops if entry.sent is None else entry.sent


def _run(value: Any, ops: Sequence[Op], path: str, field: Field, collection: Collection) -> Any:
    """The value after `ops`. What does not fit was held, or will be: nobody has typed upon it."""
    fields = {field.name: value}
    for op in ops:
        if isinstance(op, CreateOp):
            given = op.value.get(field.name, field.default)
        elif getattr(op, "path", None) != path:
            continue
        elif isinstance(op, SetOp | UnsetOp):
            given = getattr(op, "value", field.default)
        else:
            with suppress(Malformed):
                fields, _ = apply_ops(fields, [op], collection)
            continue
        if _fits(given, field):
            fields[field.name] = given
    return fields[field.name]


def _fits(value: Any, field: Field) -> bool:
    if field.kind is Kind.SET:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str if field.kind is Kind.TEXT else int) and not isinstance(value, bool)


def finer_ops(field: Field, seen: Any, wanted: Any) -> list[Op]:
    """The finer ops that turn `seen` into `wanted` (a checked value of the field)."""
    path = "/" + field.name
    if field.kind is Kind.TEXT:
        return [SpliceOp(path, text.diff(seen, wanted))] if seen != wanted else []
    if field.kind is Kind.COUNTER:
        return [AddOp(path, wanted - seen)] if wanted != seen else []
    more = [item for item in wanted if item not in seen]
    fewer = [item for item in seen if item not in wanted]
    return [*([IncludeOp(path, more)] if more else []), *([ExcludeOp(path, fewer)] if fewer else [])]
