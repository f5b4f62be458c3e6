"""Undo and redo: the inverse of one entry, rebased over all that came after it but cancelled pairs, whoever made them.

`Text` and `Counter` inverses always apply, `Set` by item; a `set` place that was changed since is left out and named. Undo of
create is delete, only if nobody changed the record since; undo of delete is undelete.

An edit that was undone and redone stands by its redo, and that is what a further undo takes back: what the redo did, which may be less than
the edit did, since others changed things in between. (Taken back from the edit itself, a character that two had deleted came twice.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.core import text
from holdfast.core.entry import Entry, Row, TextChange, Unapplied
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.plan import Plan
from holdfast.core.pointer import overlaps
from holdfast.core.rivals import place_changes, reverting_fully, standing
from holdfast.core.schema import Collection
from holdfast.core.waiting import change_of, stands_left
from holdfast.core.working import value_at

__all__ = ["choose", "in_force", "plan", "taken_back_by"]

EDITS = ("change", "restore")
"""Kinds of entries that a person made as an edit: what undo takes back unless told, and what voids a redo."""


def choose(newest_first: Iterable[Entry], device_id: str, *, redo: bool = False) -> Entry | None:
    """The entry that undo (or redo) takes by default: the device's newest edit of the record not yet undone; for redo its newest
    undo, unless the device has made a newer edit. `newest_first` are the record's entries."""
    reverted: set[int] = set()
    for entry in newest_first:
        if entry.reverts is not None and entry.seq not in reverted:
            reverted.add(entry.reverts)
        mine = entry.device_id == device_id or entry.extra.get("device") == device_id
        if not mine or entry.seq in reverted:
            continue
        if entry.kind in EDITS and entry.undo:
            return None if redo else entry
        if entry.kind == "undo" and redo:
            return entry
    return None


def taken_back_by(target: Entry, later: Sequence[Entry]) -> Entry | None:
    """The entry among `later` (all newer ones of the record, rising) that took `target` back and stands. Taking it back once more would
    count a Counter's inverse twice."""
    gone: set[int] = set()
    for entry in reversed(later):
        if entry.reverts is not None and entry.seq not in gone:
            if entry.reverts == target.seq:
                return entry
            gone.add(entry.reverts)
    return None


def in_force(target: Entry, later: Sequence[Entry]) -> Entry:
    """What `target` stands by: its newest redo, if undone and redone, else itself. `later`: all newer ones of the record, rising."""
    reverting = {entry.reverts: entry for entry in later if entry.reverts is not None}
    stands = target
    while (undone := reverting.get(stands.seq)) is not None and (redone := reverting.get(undone.seq)) is not None:
        stands = redone
    return stands


def plan(row: Row, target: Entry, later: Sequence[Entry], collection: Collection) -> Plan:
    """How to take `target` back; `later` are all newer entries of the record, rising."""
    left = standing(later)
    first = target.ops[0] if target.ops else None
    if isinstance(first, CreateOp):
        changed = next((entry for entry in left if entry.undo), None)
        if changed is not None:
            return Plan([], [Unapplied(reason="left_out", op=DeleteOp(), seq=changed.seq, message="The record was changed since.")])
        return Plan([] if row.deleted else [DeleteOp()])
    if isinstance(first, DeleteOp | UndeleteOp):
        wanted = [op for op in target.undo if isinstance(op, UndeleteOp if row.deleted else DeleteOp)]
        return Plan(list(wanted))
    ops: list[Op] = []
    unapplied: list[Unapplied] = []
    rivals = place_changes(left)
    for op in target.undo:
        if isinstance(op, SetOp | UnsetOp):
            rival = None if isinstance(op, UnsetOp) and op.if_empty else next((r for r in rivals if overlaps(r.path, op.path)), None)
            if rival is None:
                ops.append(op)
            else:
                unapplied.append(Unapplied(reason="left_out", op=op, path=op.path, mine=getattr(op, "value", None),
                                           theirs=value_at(row.fields, op.path), seq=rival.seq))
        elif isinstance(op, AddOp):
            ops.append(op)
        elif isinstance(op, IncludeOp | ExcludeOp):
            _set_items(op, left, ops, unapplied)
    ops.extend(_texts(target, later, collection))
    return Plan(ops, unapplied)


def _set_items(op: IncludeOp | ExcludeOp, left: Sequence[Entry], ops: list[Op], unapplied: list[Unapplied]) -> None:
    touched = {item: entry.seq for entry in left for other in entry.ops
               if isinstance(other, IncludeOp | ExcludeOp) and other.path == op.path for item in other.items}
    free = [item for item in op.items if item not in touched]
    rest = [item for item in op.items if item in touched]
    if free:
        ops.append(type(op)(op.path, free))
    if rest:
        unapplied.append(Unapplied(reason="left_out", op=type(op)(op.path, rest), path=op.path, seq=max(touched[item] for item in rest)))


def _texts(target: Entry, later: Sequence[Entry], collection: Collection) -> list[Op]:
    """The inverse of each spliced text, carried over what came after."""
    made: list[Op] = []
    for path in dict.fromkeys(op.path for op in target.undo if isinstance(op, SpliceOp)):
        name = path[1:]
        inverse = change_of(target.undo, name)
        default = str(collection.fields[name].default or "")
        for device, change in _without_pairs(later, name, default):
            _, inverse = text.transform(change, inverse, stands_left(device, target.device_id, other_is_older=False))
        if inverse:
            made.append(SpliceOp(path, text.to_edits(inverse)))
    return made


def _without_pairs(later: Sequence[Entry], name: str, default: str) -> list[tuple[str, TextChange]]:
    """The changes of one text by `later` entries, cancelled pairs taken out: what stands between is carried past the inverse."""
    changes = [(entry, change_of(entry.ops, name, default)) for entry in later]
    for reverted, reverting in _pairs(later):
        at = next((i for i, (entry, _) in enumerate(changes) if entry.seq == reverted), None)
        to = next((i for i, (entry, _) in enumerate(changes) if entry.seq == reverting), None)
        if at is None or to is None:
            continue
        device = changes[at][0].device_id
        inverse = text.invert_shape(changes[at][1])
        between: list[tuple[Entry, TextChange]] = []
        for entry, change in changes[at + 1:to]:
            carried, inverse = text.transform(change, inverse, stands_left(entry.device_id, device, other_is_older=False))
            between.append((entry, carried))
        changes[at:to + 1] = between
    return [(entry.device_id, change) for entry, change in changes if change]


def _pairs(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """(reverted, reverting) seqs that cancel, innermost first."""
    here = {entry.seq for entry in entries}
    gone: set[int] = set()
    found: list[tuple[int, int]] = []
    for entry in reversed(entries):
        reverted = reverting_fully(entry)
        if entry.seq not in gone and reverted in here and reverted not in gone:
            gone |= {entry.seq, reverted}
            found.append((reverted, entry.seq))
    return sorted(found, key=lambda pair: pair[1] - pair[0])
