"""Sensitive values of one tenant, sealed wherever the server stores them and opened when they are loaded: rows, what entries applied,
undid, were sent as and left unapplied, inbox items, actions' replies. Everything between loading and storing works on plain values.

Each value is bound to tenant, collection, record and path, so that a sealed value moved elsewhere does not open. Old contracts are
read here too: what is opened is upcast to the present contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.core.entry import Entry, Item, Row, Unapplied
from holdfast.core.ops import CreateOp, Op, SetOp
from holdfast.core.schema import Collection, Schema
from holdfast.model.contracts import upcast_entry, upcast_row
from holdfast.model.keys import Cipher

__all__ = ["Secrecy", "is_sealed"]

Turn = Callable[[Any, str], Any]
"""(value, path) -> value: seals or opens, for one record."""

REPLY_COLLECTION = "$actions"


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and "$sealed" in value


class Secrecy:
    """`cipher` None: nothing of the schema is sensitive, and this only upcasts."""

    def __init__(self, schema: Schema, cipher: Cipher | None) -> None:
        self._collections = schema.collections
        self._cipher = cipher
        self._sensitive = {
            name: names for name, collection in schema.collections.items()
            if (names := frozenset(field.name for field in collection.fields.values() if field.sensitive))
        } if cipher is not None else {}

    # -- rows -----------------------------------------------------------------------------------------------------------

    def open_row(self, row: Row) -> Row:
        if row.collection in self._sensitive:
            row = self._turned_row(row, self._opener(row.collection, row.id))
        collection = self._collections[row.collection]
        return row if row.contract == collection.contract else upcast_row(row, collection)

    def close_row(self, row: Row) -> Row:
        if row.collection not in self._sensitive:
            return row
        return self._turned_row(row, self._sealer(row.collection, row.id))

    def _turned_row(self, row: Row, turn: Turn) -> Row:
        sensitive = self._sensitive[row.collection]
        fields = {name: turn(value, "/" + name) if name in sensitive else value for name, value in row.fields.items()}
        return msgspec.structs.replace(row, fields=fields)

    # -- entries --------------------------------------------------------------------------------------------------------

    def open_entry(self, entry: Entry) -> Entry:
        """Plain and under the present contract."""
        collection = self._collections.get(entry.collection)
        if entry.erased:
            return entry
        if entry.kind == "action" and self._cipher is not None:
            return self._turned_reply(entry, self._opener(REPLY_COLLECTION, entry.mutation_id))
        if entry.collection in self._sensitive:
            entry = self._turned_entry(entry, self._opener(entry.collection, entry.record_id))
        return entry if collection is None or entry.contract == collection.contract else upcast_entry(entry, collection)

    def close_entry(self, entry: Entry) -> Entry:
        if entry.kind == "action" and self._cipher is not None:
            return self._turned_reply(entry, self._sealer(REPLY_COLLECTION, entry.mutation_id))
        if entry.collection not in self._sensitive:
            return entry
        return self._turned_entry(entry, self._sealer(entry.collection, entry.record_id))

    def _turned_reply(self, entry: Entry, turn: Turn) -> Entry:
        return msgspec.structs.replace(entry, extra={**entry.extra, "reply": turn(entry.extra["reply"], "/reply")})

    def _turned_entry(self, entry: Entry, turn: Turn) -> Entry:
        sensitive = self._sensitive[entry.collection]
        return msgspec.structs.replace(
            entry, sent=None if entry.sent is None else [_turned_op(op, sensitive, turn) for op in entry.sent],
            ops=[_turned_op(op, sensitive, turn) for op in entry.ops], undo=[_turned_op(op, sensitive, turn) for op in entry.undo],
            unapplied=[_turned_part(part, sensitive, turn) for part in entry.unapplied])

    # -- inbox items ------------------------------------------------------------------------------------------------------

    def open_item(self, item: Item) -> Item:
        if item.collection not in self._sensitive:
            return item
        return self._turned_item(item, self._opener(item.collection, item.record_id))

    def close_item(self, item: Item) -> Item:
        if item.collection not in self._sensitive:
            return item
        return self._turned_item(item, self._sealer(item.collection, item.record_id))

    def _turned_item(self, item: Item, turn: Turn) -> Item:
        sensitive = self._sensitive[item.collection]
        return msgspec.structs.replace(item, parts=[_turned_part(part, sensitive, turn) for part in item.parts])

    # -- values -----------------------------------------------------------------------------------------------------------

    def _sealer(self, collection: str, record_id: str) -> Turn:
        cipher = self._cipher
        assert cipher is not None
        return lambda value, path: None if value is None else cipher.seal(value, collection=collection, record_id=record_id, path=path)

    def _opener(self, collection: str, record_id: str) -> Turn:
        cipher = self._cipher
        assert cipher is not None
        return lambda value, path: cipher.open(value, collection=collection, record_id=record_id, path=path) if is_sealed(value) else value

    def collection(self, name: str) -> Collection | None:
        return self._collections.get(name)


def _turned_op(op: Op, sensitive: frozenset[str], turn: Turn) -> Op:
    if isinstance(op, CreateOp):
        if sensitive.isdisjoint(op.value):
            return op
        return CreateOp({name: turn(value, "/" + name) if name in sensitive else value for name, value in op.value.items()})
    if isinstance(op, SetOp) and _is_sensitive(op.path, sensitive):
        return SetOp(op.path, turn(op.value, op.path), op.restated)
    return op


def _turned_part(part: Unapplied, sensitive: frozenset[str], turn: Turn) -> Unapplied:
    op = None if part.op is None else _turned_op(part.op, sensitive, turn)
    path = part.path if part.path is not None else getattr(part.op, "path", None)
    if path is None or not _is_sensitive(path, sensitive):
        return part if op is part.op else msgspec.structs.replace(part, op=op)
    return msgspec.structs.replace(part, op=op, mine=turn(part.mine, path), theirs=turn(part.theirs, path), base_value=turn(part.base_value, path))


def _is_sensitive(path: str, sensitive: frozenset[str]) -> bool:
    return path[1:].partition("/")[0] in sensitive
