"""Applying ops to a record's fields, and their exact inverse.

Rules: nothing given is mutated; objects are copied along the path that changes, everything else is shared. The inverse is a list of
ops in the order to be applied: applying it to the result gives the fields back, whatever they were. `decide` has judged values before:
here an op only has to fit its field's kind.

- `set` in a place whose parents are missing makes them, and its inverse removes the leaf, then each parent it made if that is empty
  by then (`if_empty`), so that what somebody else has put there since stays. A parent that is no object becomes one, and the inverse
  puts back what it was. A Json field that is null as a whole counts as missing.
- At the top a field always holds a value: `unset` of an optional field (or any Json field) makes it null.
- A set stays sorted by code points; a counter stays within ±(2^53 - 1), and the inverse takes back what was really added.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from holdfast.core import pointer, text
from holdfast.core.errors import Malformed
from holdfast.core.ops import AddOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind

__all__ = ["COUNTER_MAX", "apply_ops", "default_of", "defaults"]

COUNTER_MAX = (1 << 53) - 1

_FINER = {Kind.TEXT: "splice", Kind.COUNTER: "add", Kind.SET: "include and exclude"}
_EMPTY: dict[Kind, Any] = {Kind.TEXT: "", Kind.COUNTER: 0, Kind.SET: []}

_Fields = dict[str, Any]
_Owned = dict[int, _Fields]
"""Objects made by this call, by identity: they may be changed in place. (They are kept alive here, so that an id is never reused.)"""


def defaults(collection: Collection) -> dict[str, Any]:
    """The fields of a record of which nothing is given. The caller's own: nothing in it is shared with the declaration."""
    return {name: default_of(field) for name, field in collection.fields.items()}


def default_of(field: Field) -> Any:
    """The value of a field that is not given: its default, else "" (Text), 0 (Counter), [] (Set) or null."""
    value = _EMPTY.get(field.kind) if field.default is None else field.default
    if field.kind is Kind.SET:
        return sorted(set(value or ()))
    return deepcopy(value) if isinstance(value, dict | list) else value


def apply_ops(fields: Mapping[str, Any], ops: Sequence[Op], collection: Collection) -> tuple[dict[str, Any], list[Op]]:
    """(fields after `ops`, which apply in order; their exact inverse, in the order to be applied).

    Raises Malformed for an op that does not fit its field: unknown field, another kind, a place inside what has none, an edit past
    the end of the text. Then nothing was changed. `create`, `delete` and `undelete` concern the record and are not applied here.
    """
    after = dict(fields)
    owned: _Owned = {}
    inverses: list[list[Op]] = []
    for op in ops:
        step = _STEPS.get(type(op))
        if step is None:
            raise Malformed("create, delete and undelete change the record, not its fields", hint="Send each alone in its mutation.")
        inverses.append(step(after, op, collection.fields, owned))
    if len(inverses) == 1:
        return after, inverses[0]
    inverses.reverse()
    return after, [op for inverse in inverses for op in inverse]


def _field(path: str, declared: Mapping[str, Field]) -> Field:
    name = pointer.first(path)
    field = declared.get(name)
    if field is None:
        raise Malformed(f"There is no field {name[:80]!r}", field=path[:200], hint="See the collection's schema for its fields.")
    return field


def _whole_field(path: str, declared: Mapping[str, Field], kind: Kind, verb: str) -> str:
    """The name of the field that `path` names, which must be of this kind."""
    field = declared.get(path[1:]) if path.startswith("/") else None
    if field is None:
        field = _field(path, declared)
        raise Malformed(f"{field.name} has no places inside it for {verb}", field=path[:200], hint="Name the field itself.")
    if field.kind is not kind:
        raise Malformed(f"{verb} is for {kind.value} fields; {field.name} is {field.kind.value}", field=path,
                        hint=f"Use {_FINER.get(field.kind, 'set')} here.")
    return field.name


def _unfit(field: Field, verb: str, path: str) -> Malformed:
    return Malformed(f"{verb} is not for {field.kind.value} fields such as {field.name}", field=path[:200],
                     hint=f"Use {_FINER[field.kind]} here.")


# -- set and unset ---------------------------------------------------------------------------------------------------------


def _set(fields: _Fields, op: SetOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    path = op.path
    field = declared.get(path[1:]) if path.startswith("/") else None
    if field is None:
        return _set_inside(fields, path, op.value, _inside(path, declared), owned)
    if field.kind in _FINER:
        raise _unfit(field, "set", path)
    before = fields.get(field.name)
    fields[field.name] = op.value
    return [SetOp(path, before)]


def _inside(path: str, declared: Mapping[str, Field]) -> Sequence[str]:
    """The segments of a place inside a Json field."""
    field = _field(path, declared)
    if field.kind is not Kind.JSON:
        raise Malformed(f"{field.name} is {field.kind.value} and has no places inside it", field=path[:200], hint="Name the field itself.")
    return pointer.parse(path)


def _own(value: _Fields, owned: _Owned) -> _Fields:
    """`value` to be changed in place: itself if this call made it, else a copy."""
    if id(value) in owned:
        return value
    copy = dict(value)
    owned[id(copy)] = copy
    return copy


def _set_inside(fields: _Fields, path: str, value: Any, segments: Sequence[str], owned: _Owned) -> list[Op]:
    last = len(segments) - 1
    node = fields
    for depth, segment in enumerate(segments[:-1]):
        child = node.get(segment)
        if isinstance(child, dict):
            node[segment] = child = _own(child, owned)
            node = child
            continue
        missing = segment not in node or (depth == 0 and child is None)
        for made in reversed(segments[depth + 1:]):
            value = {made: value}
        node[segment] = value
        if not missing:
            return [SetOp(pointer.render(segments[:depth + 1]), child)]
        parents = [UnsetOp(pointer.render(segments[:end]), if_empty=True) for end in range(last, depth, -1)]
        return [UnsetOp(path), *parents]
    leaf = segments[last]
    inverse: Op = SetOp(path, node[leaf]) if leaf in node else UnsetOp(path)
    node[leaf] = value
    return [inverse]


def _unset(fields: _Fields, op: UnsetOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    path = op.path
    field = declared.get(path[1:]) if path.startswith("/") else None
    if field is None:
        return _unset_inside(fields, op, _inside(path, declared), owned)
    if field.kind in _FINER:
        raise _unfit(field, "unset", path)
    if not field.optional and field.kind is not Kind.JSON:
        raise Malformed(f"{field.name} is not optional: it always has a value", field=path, hint="Set another value instead.")
    before = fields.get(field.name)
    if before is None or (op.if_empty and before != {}):
        return []
    fields[field.name] = None
    return [SetOp(path, before)]


def _unset_inside(fields: _Fields, op: UnsetOp, segments: Sequence[str], owned: _Owned) -> list[Op]:
    found: Any = fields
    for segment in segments:
        if not isinstance(found, dict) or segment not in found:
            return []
        found = found[segment]
    if op.if_empty and found != {}:
        return []
    node = fields
    for segment in segments[:-1]:
        node[segment] = _own(node[segment], owned)
        node = node[segment]
    del node[segments[-1]]
    return [SetOp(op.path, found)]


# -- text, counters, sets --------------------------------------------------------------------------------------------------


def _splice(fields: _Fields, op: SpliceOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    name = _whole_field(op.path, declared, Kind.TEXT, "splice")
    current: str = fields[name]
    edits = op.edits
    if len(edits) == 1:
        at, deleted, inserted = edits[0]
        end = at + deleted
        if 0 <= at <= end <= len(current) and (deleted or inserted):
            fields[name] = current[:at] + inserted + current[end:]
            return [SpliceOp(op.path, [(at, len(inserted), current[at:end])])]
    change = text.from_edits(edits)
    if not change:
        return []
    if not text.fits(change, len(current)):
        raise Malformed(f"An edit lies outside of the text, which has {len(current)} code points", field=op.path,
                        hint="Count offsets in Unicode code points, on the text as the edits before have left it.")
    fields[name] = text.apply(current, change)
    return [SpliceOp(op.path, text.to_edits(text.invert(current, change)))]


def _add(fields: _Fields, op: AddOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    name = _whole_field(op.path, declared, Kind.COUNTER, "add")
    before: int = fields[name]
    after = max(-COUNTER_MAX, min(COUNTER_MAX, before + op.by))
    if after == before:
        return []
    fields[name] = after
    return [AddOp(op.path, before - after)]


def _items(op: IncludeOp | ExcludeOp) -> list[str]:
    if not all(isinstance(item, str) for item in op.items):
        raise Malformed("The items of a set are strings", field=op.path, hint="Send numbers as strings.")
    return sorted(set(op.items))


def _include(fields: _Fields, op: IncludeOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    name = _whole_field(op.path, declared, Kind.SET, "include")
    held: list[str] = fields[name]
    added = [item for item in _items(op) if not _holds(held, item)]
    if not added:
        return []
    fields[name] = sorted([*held, *added])
    return [ExcludeOp(op.path, added)]


def _exclude(fields: _Fields, op: ExcludeOp, declared: Mapping[str, Field], owned: _Owned) -> list[Op]:
    name = _whole_field(op.path, declared, Kind.SET, "exclude")
    held: list[str] = fields[name]
    removed = [item for item in _items(op) if _holds(held, item)]
    if not removed:
        return []
    gone = set(removed)
    fields[name] = [item for item in held if item not in gone]
    return [IncludeOp(op.path, removed)]


def _holds(held: list[str], item: str) -> bool:
    at = bisect_left(held, item)
    return at < len(held) and held[at] == item


_STEPS: dict[type, Callable[..., list[Op]]] = {
    SetOp: _set, UnsetOp: _unset, SpliceOp: _splice, AddOp: _add, IncludeOp: _include, ExcludeOp: _exclude,
}
