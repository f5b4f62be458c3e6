"""Restore: the difference to an old version, deliberately written onto what stands now, in the finest ops there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.entry import Row
from holdfast.core.ops import Op, SetOp, UnsetOp
from holdfast.core.pointer import overlaps
from holdfast.core.refine import FINER, finer_ops
from holdfast.core.schema import Collection, Field, Kind

__all__ = ["difference", "plan"]


def plan(row: Row, then: Mapping[str, Any], paths: Sequence[str] | None, collection: Collection) -> list[Op]:
    """The ops that bring `row` back to the field values `then`; `paths` limits it to those places. Stamped and immutable fields
    stay as they are."""
    made: list[Op] = []
    for field in collection.fields.values():
        if field.stamped is None and not field.immutable and field.name in then:
            made.extend(difference(field, row.fields[field.name], then[field.name]))
    if paths is None:
        return made
    return [op for op in made if any(overlaps(getattr(op, "path", ""), path) for path in paths)]


def difference(field: Field, now: Any, then: Any) -> list[Op]:
    """The ops that turn the field's value `now` into `then`: key by key inside objects."""
    if now == then and type(now) is type(then):
        return []
    if field.kind in FINER:
        return finer_ops(field, now, then)
    path = "/" + field.name
    if field.kind is Kind.JSON and isinstance(now, dict) and isinstance(then, dict):
        return list(_object_difference(path, now, then))
    return [UnsetOp(path) if then is None and field.optional else SetOp(path, then)]


def _object_difference(path: str, now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterable[Op]:
    for key in [*now, *(key for key in then if key not in now)]:
        place = path + "/" + key.replace("~", "~0").replace("/", "~1")
        if key not in then:
            yield UnsetOp(place)
        elif key not in now:
            yield SetOp(place, then[key])
        elif isinstance(now[key], dict) and isinstance(then[key], dict):
            yield from _object_difference(place, now[key], then[key])
        elif now[key] != then[key] or type(now[key]) is not type(then[key]):
            yield SetOp(place, then[key])
