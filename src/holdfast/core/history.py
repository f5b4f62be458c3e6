"""A record's past, read from the log: as it stood at any time, why a value is there, what two versions differ in.

Nothing is stored for this: every entry bears the exact inverse of what it applied, so the past is the present walked back. Entries
come newest first and may be a lazy iterator: no more is read than needed. They are in the present contract (upcast when read).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from holdfast.core import alignment, pointer, text
from holdfast.core.apply import apply_ops
from holdfast.core.entry import Entry, EntryKind, Outcome, Row, Unapplied
from holdfast.core.errors import NotFound
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, Edit, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind, Stamped
from holdfast.core.stamping import iso
from holdfast.core.values import same

__all__ = ["FieldDiff", "Hunk", "PlaceDiff", "Provenance", "Rule", "diff", "rewind", "why"]


# -- as it stood -----------------------------------------------------------------------------------------------------------


class _State(NamedTuple):
    fields: Mapping[str, Any]
    deleted: bool


def rewind(row: Row, entries_newest_first: Iterable[Entry], to_seq: int, collection: Collection) -> Row | None:
    """The record as it stood after entry `to_seq`; None if it did not exist then.

    `row` is a state of the record and the entries (all of that record) reach from it back to `to_seq` at least; newer ones than the row
    are passed over. If they reach back to the last change at or before `to_seq`, the row's bookkeeping (rev, last, stamp, stamped
    fields) is that of then; else `to_seq` stands for rev and last, and stamped fields stay as they are now. Copied columns stay as
    they are now. Raises NotFound if the payload of an entry on the way has been erased.
    """
    state = _State(row.fields, row.deleted)
    entries = iter(entries_newest_first)
    last: Entry | None = None
    for entry in entries:
        if entry.seq <= to_seq:
            last = entry
            break
        if row.last and entry.seq > row.last:
            continue
        before = _before(entry, state, collection)
        if before is None:
            return None
        state = before
    past = Row(collection=row.collection, id=row.id, fields=dict(state.fields), copied=row.copied, contract=row.contract,
               deleted=state.deleted, rev=to_seq, last=to_seq)
    return past if last is None else _kept_book(past, last, entries, collection)


def _before(entry: Entry, state: _State, collection: Collection) -> _State | None:
    """The state before `entry`; None: the record did not exist."""
    if entry.erased:
        raise NotFound("What this change held has been erased, so the record cannot be shown as it stood before it", seq=entry.seq,
                       hint="Choose a later version.")
    if any(isinstance(op, CreateOp) for op in entry.ops):
        return None
    if entry.kind == "access" or not entry.undo:
        return state
    deleted = state.deleted
    ops: list[Op] = []
    for op in entry.undo:
        if isinstance(op, DeleteOp | UndeleteOp):
            deleted = isinstance(op, DeleteOp)
        else:
            ops.append(op)
    return _State(apply_ops(state.fields, ops, collection)[0], deleted)


def _kept_book(past: Row, last: Entry, older: Iterator[Entry], collection: Collection) -> Row:
    """Fill in what the row remembers about its entries: `last` is the newest one then, `older` those before it."""
    past.last, past.last_prefix = last.seq, last.digest[:8]
    past.last_device, past.last_mutation = last.device_id, last.mutation_id
    past.stamp = max(last.stamp, last.top)
    changed = _last_change(past, last, older, collection)
    if changed is not None:
        past.rev = changed.seq
        for field in collection.fields.values():
            if field.stamped is Stamped.UPDATED_AT:
                past.fields[field.name] = iso(changed.committed_at)
            elif field.stamped is Stamped.UPDATED_BY:
                past.fields[field.name] = changed.on_behalf_of or changed.actor_id
    return past


def _last_change(past: Row, last: Entry, older: Iterator[Entry], collection: Collection) -> Entry | None:
    """The newest entry that changed the record."""
    state = _State(past.fields, past.deleted)
    entry: Entry | None = last
    while entry is not None:
        if entry.erased:
            return None
        before = _before(entry, state, collection)
        if before is None or before.deleted is not state.deleted or before.fields != state.fields:
            return entry
        entry = next(older, None)
    return None


# -- why a value is there --------------------------------------------------------------------------------------------------

Rule = Literal["create", "default", "set", "latest", "ask", "text", "sum", "union", "delete", "undelete"]
"""How the last change of a place came to stand: given by the create, the field's default, by its field's merge rule (`set` where the
collection is not given), typed into a text, added to a counter, put into or taken out of a set, or the record's own flag."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last entry that touched a place. `replaced` is the value before (None also where there was none), known only to the entry's
    own inverse; `inverse` are the ops that take it back. `place` is where the op stands: the path asked for, around or inside it."""

    path: str
    place: str
    seq: int
    committed_at: int
    stamp: int
    actor_id: str
    device_id: str
    mutation_id: str
    rule: Rule
    op: Op
    on_behalf_of: str | None = None
    kind: EntryKind = "change"
    outcome: Outcome = "applied"
    reverts: int | None = None
    replaced: Any = None
    inverse: list[Op] = []
    unapplied: list[Unapplied] = []     # what lost against it, or waits, at this place
    erased_since: list[int] = []        # newer entries whose payload is gone: they may have touched the place


def why(entries_newest_first: Iterable[Entry], path: str, collection: Collection | None = None) -> Provenance | None:
    """Where the value at `path` ("" for the record itself) comes from; None if no entry has touched it. Raises Malformed for what is no
    pointer."""
    pointer.parse(path)
    erased: list[int] = []
    for entry in entries_newest_first:
        if entry.erased:
            erased.append(entry.seq)
        elif entry.kind != "access":
            op = next((op for op in reversed(entry.ops) if _touches(op, path)), None)
            if op is not None:
                return _provenance(entry, op, path, collection, erased)
    return None


def _touches(op: Op, path: str) -> bool:
    if isinstance(op, CreateOp):
        return True
    if isinstance(op, DeleteOp | UndeleteOp):
        return not path
    return pointer.overlaps(op.path, path)


def _provenance(entry: Entry, op: Op, path: str, collection: Collection | None, erased: list[int]) -> Provenance:
    inverse = [undo for undo in entry.undo if _touches(undo, path)]
    return Provenance(
        path=path, place=getattr(op, "path", ""), seq=entry.seq, committed_at=entry.committed_at, stamp=entry.stamp,
        actor_id=entry.actor_id, device_id=entry.device_id, mutation_id=entry.mutation_id, rule=_rule(op, path, collection), op=op,
        on_behalf_of=entry.on_behalf_of, kind=entry.kind, outcome=entry.outcome, reverts=entry.reverts,
        replaced=_replaced(inverse, path), inverse=inverse,
        unapplied=[part for part in entry.unapplied if _concerns(part, path)], erased_since=erased,
    )


def _concerns(part: Unapplied, path: str) -> bool:
    place = part.path if part.path is not None else getattr(part.op, "path", "")
    return pointer.overlaps(place, path)


def _rule(op: Op, path: str, collection: Collection | None) -> Rule:
    if isinstance(op, CreateOp):
        return "create" if not path or pointer.first(path) in op.value else "default"
    if isinstance(op, SetOp | UnsetOp):
        field = collection.fields.get(pointer.first(op.path)) if collection is not None else None
        return "set" if field is None else "ask" if field.merge.value == "ask" else "latest"
    return _RULES[type(op)]


_RULES: dict[type, Rule] = {SpliceOp: "text", AddOp: "sum", IncludeOp: "union", ExcludeOp: "union", DeleteOp: "delete",
                            UndeleteOp: "undelete"}


def _replaced(inverse: Sequence[Op], path: str) -> Any:
    """The value that the inverse puts back at `path`, or at the place inside it. Of several the last one counts: it is the oldest."""
    for op in reversed(inverse):
        if isinstance(op, SetOp):
            value = op.value
            for segment in pointer.parse(path[len(op.path):]) if len(path) > len(op.path) else ():
                value = value.get(segment) if isinstance(value, dict) else None
            return value
    return None


# -- what differs ----------------------------------------------------------------------------------------------------------


class Hunk(msgspec.Struct, frozen=True):
    """Whole words that differ: at `at` in the old text and `now_at` in the new one, in code points."""

    at: int
    now_at: int
    removed: str
    added: str


class PlaceDiff(msgspec.Struct, frozen=True):
    """One place inside a Json field. A key that was added has no `before` (null), one that was removed no `after`."""

    path: str
    change: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


class FieldDiff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What differs in one field. `before` and `after` hold the values but of Text, which has `edits` (code points, one after another) and
    `hunks` instead. `field` "" with kind "deleted" is the record's own flag. Sensitive values come as they were given."""

    field: str
    kind: str
    before: Any = None
    after: Any = None
    edits: list[Edit] = []
    hunks: list[Hunk] = []
    places: list[PlaceDiff] = []
    included: list[str] = []
    excluded: list[str] = []
    by: int = 0
    sensitive: bool = False


def diff(then: Row | None, now: Row | None, collection: Collection) -> list[FieldDiff]:
    """What changed from `then` to `now` (None: the record did not exist), in the order the fields are declared."""
    found: list[FieldDiff] = []
    for field in collection.fields.values():
        before = None if then is None else then.fields.get(field.name)
        after = None if now is None else now.fields.get(field.name)
        if not same(before, after):
            found.append(_field_diff(field, before, after))
    was_deleted, is_deleted = then is not None and then.deleted, now is not None and now.deleted
    if was_deleted is not is_deleted:
        found.append(FieldDiff(field="", kind="deleted", before=was_deleted, after=is_deleted))
    return found


def _field_diff(field: Field, before: Any, after: Any) -> FieldDiff:
    made = FieldDiff(field=field.name, kind=field.kind.value, before=before, after=after, sensitive=field.sensitive)
    if field.kind is Kind.TEXT and isinstance(before, str | None) and isinstance(after, str | None):
        old, new = before or "", after or ""
        hunks = [Hunk(*hunk) for hunk in alignment.words(old, new)]
        return msgspec.structs.replace(made, before=None, after=None, edits=text.diff(old, new), hunks=hunks)
    if field.kind is Kind.JSON:
        return msgspec.structs.replace(made, places=list(_places("/" + field.name, before, after)))
    if field.kind is Kind.COUNTER and isinstance(before, int | None) and isinstance(after, int | None):
        return msgspec.structs.replace(made, by=(after or 0) - (before or 0))
    if field.kind is Kind.SET and isinstance(before, list | None) and isinstance(after, list | None):
        had, has = set(before or ()), set(after or ())
        return msgspec.structs.replace(made, included=sorted(has - had), excluded=sorted(had - has))
    return made


def _places(path: str, before: Any, after: Any) -> Iterator[PlaceDiff]:
    """Key by key where both sides are objects; an array is one value. No recursion: values are as deep as their limits."""
    stack: list[tuple[str, Any, Any]] = [(path, before, after)]
    while stack:
        at, old, new = stack.pop()
        if not isinstance(old, dict) or not isinstance(new, dict):
            yield PlaceDiff(at, "changed", old, new)
            continue
        inner: list[tuple[str, Any, Any]] = []
        for key in sorted({*old, *new}):
            place = pointer.join(at, key)
            if key not in new:
                yield PlaceDiff(place, "removed", before=old[key])
            elif key not in old:
                yield PlaceDiff(place, "added", after=new[key])
            elif not same(old[key], new[key]):
                inner.append((place, old[key], new[key]))
        stack.extend(reversed(inner))
