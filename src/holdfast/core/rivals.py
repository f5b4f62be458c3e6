"""Rivals: others' concurrent changes of one place, and which of them stand.

Concurrent means: by another device, newer than the mutation's base, and not cancelled (an entry and the entry that reverts it
cancel). Two paths are the same place if one is the other or an ancestor of it, by whole segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from holdfast.core.entry import Entry
from holdfast.core.ops import CreateOp, ExcludeOp, IncludeOp, SetOp, UnsetOp

__all__ = ["Rival", "others_included", "place_changes", "reverting_fully", "standing"]


class Rival(NamedTuple):
    """One standing change of a place. Newer means: greater (stamp, device)."""

    path: str
    op: SetOp | UnsetOp
    order: tuple[int, str]
    seq: int


def reverting_fully(entry: Entry) -> int | None:
    """The seq of the entry that `entry` cancels, if it took all of it back."""
    return entry.reverts if entry.reverts is not None and not entry.unapplied else None


def standing(entries: Sequence[Entry]) -> list[Entry]:
    """`entries` (rising) without cancelled pairs. Newest first, so that a redo brings back what an undo took away."""
    if not any(entry.reverts for entry in entries):
        return list(entries)
    here = {entry.seq for entry in entries}
    gone: set[int] = set()
    for entry in reversed(entries):
        reverted = reverting_fully(entry)
        if entry.seq not in gone and reverted in here and reverted not in gone:
            gone |= {entry.seq, reverted}
    return [entry for entry in entries if entry.seq not in gone]


def place_changes(entries: Iterable[Entry]) -> list[Rival]:
    """What standing entries set and unset; the fields that a create gave count as sets. What was only written back after a
    wider set does not count again: it competes where it was made."""
    found: list[Rival] = []
    for entry in entries:
        order = (entry.stamp, entry.device_id)
        for op in entry.ops:
            if isinstance(op, SetOp | UnsetOp):
                if not op.restated:
                    found.append(Rival(op.path, op, order, entry.seq))
            elif isinstance(op, CreateOp):
                found.extend(Rival("/" + name, SetOp("/" + name, value), order, entry.seq) for name, value in op.value.items())
    return found


def others_included(entries: Iterable[Entry], path: str) -> dict[str, int]:
    """Items of the Set at `path` that standing entries included last: item -> seq. Include wins over a concurrent exclude."""
    found: dict[str, int] = {}
    for entry in entries:
        for op in entry.ops:
            items: Iterable[Any] = ()
            if isinstance(op, IncludeOp) and op.path == path:
                items = op.items
            elif isinstance(op, CreateOp):
                items = op.value.get(path[1:]) or ()
            for item in items:
                found[item] = entry.seq
            if isinstance(op, ExcludeOp) and op.path == path:
                for item in op.items:
                    found.pop(item, None)
    return found
