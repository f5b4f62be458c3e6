"""The inbox item of a device and record: opened, joined and closed by entries, and rebuilt from them.

One open item per device and record. Its parts are what waits, newest value per place; adds are summed, a held create takes the
later edits of its own device into its value, a text is composed (`heldtext`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from holdfast.core.apply import apply_ops, defaults
from holdfast.core.entry import Entry, HeldText, Item, Unapplied
from holdfast.core.errors import HoldfastError
from holdfast.core.ops import AddOp, CreateOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.pointer import contains, overlaps
from holdfast.core.schema import Collection

__all__ = ["fold_into_create", "item_after", "part_place"]


def part_place(part: Unapplied) -> str:
    """The place a part waits at; "" for the whole record."""
    if part.path is not None:
        return part.path
    return getattr(part.op, "path", "")


def item_after(
    item: Item | None, entry: Entry, collection: Collection, *, closes: Iterable[str] = (), texts: dict[str, list[HeldText]] | None = None,
) -> tuple[Item | None, Item | None]:
    """The open item once `entry` stands, and the item it settled: (open, closed). Both None: nothing waits, nothing did."""
    parts = list(item.parts) if item is not None else []
    held_texts = dict(item.texts) if item is not None else {}
    for place in closes:
        parts = [part for part in parts if not part_place(part) or not overlaps(part_place(part), place)]
        held_texts = {name: held for name, held in held_texts.items() if not overlaps("/" + name, place)}
    held_texts |= texts or {}
    for part in entry.unapplied:
        if part.waits:
            parts = _joined(parts, part, entry.seq, collection)
    if not parts and not held_texts:
        return None, item
    joined = any(part.waits for part in entry.unapplied)
    if item is None:
        item = Item(id=str(entry.seq), device_id=entry.device_id, actor_id=entry.actor_id, collection=entry.collection,
                    record_id=entry.record_id, opened=entry.seq, last=entry.seq, base=entry.base, opened_at=entry.committed_at)
    seqs = [*item.seqs, entry.seq] if joined else item.seqs
    after = msgspec.structs.replace(item, parts=parts, texts=held_texts, last=entry.seq if joined else item.last, seqs=seqs)
    return msgspec.structs.replace(after, bytes=len(msgspec.json.encode((after.parts, after.texts)))), None


def _joined(parts: Sequence[Unapplied], part: Unapplied, seq: int, collection: Collection) -> list[Unapplied]:
    place = part_place(part)
    create = next((i for i, other in enumerate(parts) if isinstance(other.op, CreateOp)), None)
    if create is not None and part.op is not None and not isinstance(part.op, CreateOp):
        folded = fold_into_create(parts[create].op, part.op, collection)  # type: ignore[arg-type]
        if folded is not None:
            return [*parts[:create], msgspec.structs.replace(parts[create], op=folded), *parts[create + 1:]]
    same = next((other for other in parts if part_place(other) == place and type(other.op) is type(part.op)), None)
    first = same.held_by if same is not None and same.held_by else seq
    if isinstance(part.op, SpliceOp):
        part = msgspec.structs.replace(part, op=None, path=place)
        same = next((other for other in parts if part_place(other) == place and other.op is None), None)
        first = same.held_by if same is not None else seq
        return [*(other for other in parts if other is not same), msgspec.structs.replace(part, held_by=first)]
    if isinstance(part.op, SetOp | UnsetOp):
        older = [other for other in parts if isinstance(other.op, SetOp | UnsetOp) and contains(place, part_place(other))]
        first = min((other.held_by for other in older), default=seq)
        return [*(other for other in parts if other not in older), msgspec.structs.replace(part, held_by=first)]
    if isinstance(part.op, AddOp) and same is not None:
        summed = AddOp(place, part.op.by + same.op.by)  # type: ignore[union-attr]
        return [*(other for other in parts if other is not same), msgspec.structs.replace(part, op=summed, held_by=first)]
    return [*parts, msgspec.structs.replace(part, held_by=first)]


def fold_into_create(create: CreateOp, op: Op, collection: Collection) -> CreateOp | None:
    """A held create with a later edit of its own device taken in; None where that can't be (the edit is kept beside it)."""
    path: str = getattr(op, "path", "")
    name = path[1:].partition("/")[0]
    if name not in collection.fields:
        return None
    fields: dict[str, Any] = {**defaults(collection), **create.value}
    try:
        after, _ = apply_ops(fields, [op], collection)
    except HoldfastError:   # an edit that does not fit the held value is kept as a part of its own, judged when applied
        return None
    return CreateOp({**create.value, name: after[name]})
