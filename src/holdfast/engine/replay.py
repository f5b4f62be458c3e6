"""The log replayed: what a record, and the inbox, must be if every entry since the first is folded in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.core.apply import apply_ops, defaults
from holdfast.core.entry import Entry, HeldText, Item, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.items import item_after, part_place
from holdfast.core.ops import CreateOp, DeleteOp, SpliceOp, UndeleteOp
from holdfast.core.pointer import overlaps
from holdfast.core.schema import Collection, Schema, Stamped
from holdfast.core.stamping import iso
from holdfast.engine.erasing import emptied
from holdfast.engine.secrecy import Secrecy

__all__ = ["Replayed", "open_items", "replayed"]


@dataclass(slots=True)
class Replayed:
    """A record as its entries make it. `uncertain`: an erased entry, or one of an older contract, is among them."""

    fields: dict[str, Any] = field(default_factory=dict)
    deleted: bool = False
    rev: int = 0
    last: int = 0
    last_prefix: str = ""
    last_device: str = ""
    last_mutation: str = ""
    last_foreign: int = 0
    uncertain: bool = False


def replayed(entries: Sequence[Entry], collection: Collection) -> Replayed | None:
    """Fold the entries of one record, plain and under the present contract, rising; None if none of them made it."""
    state: Replayed | None = None
    for entry in entries:
        state = _after(state, entry, collection)
    return state


def _after(state: Replayed | None, entry: Entry, collection: Collection) -> Replayed | None:
    created = next((op for op in entry.ops if isinstance(op, CreateOp)), None)
    if created is not None:
        # Applied as such, it made the record: an erased entry before it had waited for a decision.
        state = Replayed(fields={**defaults(collection), **created.value})
        _changed(state, entry, collection, fresh=True)
        _keep_book(state, entry)
        return state
    if state is None:
        if not entry.erased:
            return None
        state = Replayed(fields=defaults(collection))
    if entry.erased or entry.kind == "erase":
        _erase(state, entry, collection)
    else:
        _apply(state, entry, collection)
    _keep_book(state, entry)
    return state


def _apply(state: Replayed, entry: Entry, collection: Collection) -> None:
    fields, deleted = state.fields, state.deleted
    plain = []
    for op in entry.ops:
        if isinstance(op, DeleteOp | UndeleteOp):
            deleted = isinstance(op, DeleteOp)
        else:
            plain.append(op)
    if plain:
        try:
            fields, _ = apply_ops(fields, plain, collection)
        except HoldfastError:
            # What an erased entry made is not here to be changed; such a record's values are not compared.
            if not state.uncertain:
                raise
    moved = deleted is not state.deleted or (bool(entry.undo) and fields != state.fields)
    state.fields, state.deleted = fields, deleted
    if moved:
        _changed(state, entry, collection, fresh=False)


def _changed(state: Replayed, entry: Entry, collection: Collection, *, fresh: bool) -> None:
    state.rev = entry.seq
    who, when = entry.on_behalf_of or entry.actor_id, iso(entry.committed_at)
    for one in collection.fields.values():
        if one.stamped is Stamped.UPDATED_BY or (fresh and one.stamped is Stamped.CREATED_BY):
            state.fields[one.name] = who
        elif one.stamped is Stamped.UPDATED_AT or (fresh and one.stamped is Stamped.CREATED_AT):
            state.fields[one.name] = when


def _erase(state: Replayed, entry: Entry, collection: Collection) -> None:
    """What an erased entry did is not known; an erasure of the whole record says how it stands."""
    if entry.erased:
        state.uncertain = True
    elif entry.extra.get("whole"):
        state.deleted, state.rev = True, entry.seq
        row = Row(collection=collection.name, id=entry.record_id, fields=state.fields)
        state.fields = emptied(row, collection).fields


def _keep_book(state: Replayed, entry: Entry) -> None:
    state.last_foreign = state.last_foreign if state.last_device == entry.device_id else state.last
    state.last, state.last_prefix = entry.seq, entry.digest[:8]
    state.last_device, state.last_mutation = entry.device_id, entry.mutation_id


# -- the inbox -------------------------------------------------------------------------------------------------------------


async def open_items(log: AsyncIterator[Entry], schema: Schema, secrecy: Secrecy) -> dict[str, Item]:
    """The open items that the log makes: id -> item. Held texts are named, not composed."""
    items: dict[tuple[str, str, str], Item] = {}
    async for stored in log:
        if stored.collection not in schema.collections:
            continue
        entry = secrecy.open_entry(stored)
        if entry.kind == "change":
            _held(items, entry, schema.collections[entry.collection])
        if entry.kind in ("resolve", "redecide"):
            _settled(items, entry)
        if entry.kind == "erase":
            _erased(items, entry)
    return {item.id: item for item in items.values()}


def _held(items: dict[tuple[str, str, str], Item], entry: Entry, collection: Collection) -> None:
    line = (entry.device_id, entry.collection, entry.record_id)
    waits = any(part.waits for part in entry.unapplied)
    closes = entry.extra.get("closes", ())
    if not waits and not closes:
        return
    held = [part for part in entry.unapplied if part.waits and isinstance(part.op, SpliceOp)]
    texts: dict[str, list[HeldText]] = {part_place(part)[1:]: [] for part in held}
    item, _ = item_after(items.get(line), entry, collection, closes=closes, texts=texts)
    if item is None:
        items.pop(line, None)
    else:
        items[line] = item


def _all_settled(item: Item, entry: Entry) -> bool:
    """Also if some of its entries are erased by now, or this one's own content."""
    return set(item.seqs) <= set(entry.resolves)


def _erased(items: dict[tuple[str, str, str], Item], entry: Entry) -> None:
    """What goes on waiting after an erasure is what it says: what came before may be erased itself, and replayed only in part."""
    waits = {device_id: (seqs, assigned_to) for device_id, seqs, assigned_to in entry.extra.get("waits", ())}
    for line in [line for line in items if line[1:] == (entry.collection, entry.record_id)]:
        if line[0] not in waits:
            del items[line]
            continue
        seqs, assigned_to = waits[line[0]]
        parts = [part for part in items[line].parts if part.held_by in seqs]
        items[line] = msgspec.structs.replace(items[line], id=str(seqs[0]), seqs=list(seqs), parts=parts, assigned_to=assigned_to)


def _settled(items: dict[tuple[str, str, str], Item], entry: Entry) -> None:
    """An entry names the item it settles, and either all of its held entries or the places that wait no more (what was decided again
    because a record arrived: all that waited for one)."""
    line = next((line for line, item in items.items() if item.id == entry.extra.get("item") or _all_settled(item, entry)), None)
    if line is None:
        return
    item = items[line]
    if _all_settled(item, entry):
        del items[line]
        return
    closes = entry.extra.get("closes", ())
    if closes and entry.kind == "redecide":
        items[line] = msgspec.structs.replace(item, parts=[part for part in item.parts if part.reason != "missing_ref"])
    elif closes:
        parts = [part for part in item.parts if not any(place == part_place(part) or overlaps(part_place(part), place) for place in closes)]
        items[line] = msgspec.structs.replace(item, parts=parts)
    if entry.extra.get("how") == "assign":
        items[line] = msgspec.structs.replace(items[line], assigned_to=entry.extra.get("assign"))
