"""From what a program did to a typed record to the smallest ops that say so: texts as splices, counters as sums, sets by item, Json place
by
place. The finer the op, the less it can conflict with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.core import pointer, text
from holdfast.core.errors import InvalidValue, LimitExceeded
from holdfast.core.limits import Limits
from holdfast.core.ops import AddOp, Edit, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind
from holdfast.core.values import same

__all__ = ["moved_edits", "ops_of", "raise_on_rules", "text_ops"]

PLACES_MAX: Final = 100
"""A Json value that differs in more places is set as a whole."""


def ops_of(collection: Collection, given: Mapping[str, Any], stood: Mapping[str, Any], now: Mapping[str, Any], limits: Limits) -> list[Op]:
    """The ops for a record whose fields were read as `stood`, are to be `given`, and stand as `now` in the view. Texts are carried over
    what happened between. Raises LimitExceeded."""
    ops: list[Op] = []
    for name, value in given.items():
        field = collection.fields[name]
        path, before = "/" + name, stood.get(name)
        if field.kind is Kind.TEXT:
            ops += text_ops(path, before or "", value or "", now.get(name) or "", limits)
        elif field.kind is Kind.COUNTER:
            by = (value or 0) - (before or 0)
            ops += [AddOp(path, by)] if by else []
        elif field.kind is Kind.SET:
            ops += _set_ops(path, before or [], value or [])
        elif field.kind is Kind.JSON and isinstance(value, dict) and isinstance(before, dict):
            places = _places(path, before, value)
            ops += places if len(places) <= PLACES_MAX else [SetOp(path, value)]
        elif not same(value, before):
            ops.append(_plain(field, path, value))
    return ops


def _plain(field: Field, path: str, value: Any) -> Op:
    return UnsetOp(path) if value is None and field.optional else SetOp(path, value)


def _set_ops(path: str, before: Sequence[str], after: Sequence[str]) -> list[Op]:
    more = [item for item in after if item not in before]
    fewer = [item for item in before if item not in after]
    return [*([IncludeOp(path, more)] if more else []), *([ExcludeOp(path, fewer)] if fewer else [])]


def _places(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Op]:
    """Key by key; no recursion, values are as deep as their limits."""
    found: list[Op] = []
    stack: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [(path, before, after)]
    while stack:
        at, old, new = stack.pop()
        for key in sorted({*old, *new}):
            place = pointer.join(at, key)
            if key not in new:
                found.append(UnsetOp(place))
            elif key not in old:
                found.append(SetOp(place, new[key]))
            elif isinstance(old[key], dict) and isinstance(new[key], dict) and old[key] and new[key]:
                stack.append((place, old[key], new[key]))
            elif not same(old[key], new[key]):
                found.append(SetOp(place, new[key]))
    return found


def text_ops(path: str, before: str, after: str, now: str, limits: Limits) -> list[Op]:
    """The splice that turns `before` into `after`, on the text as it stands `now`."""
    if before == after:
        return []
    edits = moved_edits(text.diff(before, after), before, now)
    if len(after) > limits.text_code_points_max and len(after) > len(before):
        raise LimitExceeded(f"{path[1:]} holds at most {limits.text_code_points_max:,} characters.", field=path[1:], hint="Split the text.")
    return [SpliceOp(path, edits)] if edits else []


def moved_edits(edits: Sequence[Edit], before: str, now: str) -> list[Edit]:
    """`edits` of the text `before`, on what became of it meanwhile."""
    if before == now:
        return list(edits)
    meanwhile = text.from_edits(text.diff(before, now))
    return text.to_edits(text.transform(meanwhile, text.from_edits(edits), True)[1])


def raise_on_rules(collection: Collection, fields: Mapping[str, Any]) -> None:
    """Raise InvalidValue where the record's own rules do not allow these fields beside each other."""
    problems = [] if collection.check is None else collection.check(fields)
    if problems:
        name, message = problems[0]
        raise InvalidValue(message, field=name)
