"""Sealing the sensitive places of what is stored, and opening them again: rows, ops, what was not applied, inbox items, entries, and
replies of actions.

Rules of this file:
- The engine works on plain values; it seals just before it writes and opens just after it reads. A backend sees sealed ones alone.
- A collection without sensitive fields costs a look-up: everything is returned as it came.
- Nothing is changed in place. Null stays null.
- A place inside a sensitive `Json` hides its path too, since keys may tell as much as values: `/secret/phones/home` is stored as
  `/secret/$sealed.v1.1.…`.
- A place that became sensitive by a later declaration still holds plain values in old entries: those are passed as they are.
- Under an older contract the fields are found by the names they had then (`contracts.names_at`). A row that a migration brought under a
  new name keeps what was sealed under the old one, so opening tries the older names of the field too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from holdfast.core.entry import Entry, Item, Row, Unapplied
from holdfast.core.errors import StorageCorrupt
from holdfast.core.ops import CreateOp, Op, SetOp, UnsetOp
from holdfast.core.schema import Collection, Schema
from holdfast.model.cipher import SEALED, Cipher, is_sealed
from holdfast.model.contracts import names_at

__all__ = ["Sealing", "older_names", "sensitive_names"]

_HIDDEN: Final = "/" + SEALED + "."
_Fields: TypeAlias = dict[str, Any]
_Parts: TypeAlias = list[Unapplied]

_VALUES: Final = ("mine", "theirs", "base_value")


def sensitive_names(collection: Collection, contract: int | None = None) -> frozenset[str]:
    """The sensitive fields, by the names they had under `contract` (None: the present one)."""
    now = frozenset(name for name, field in collection.fields.items() if field.sensitive)
    if not now or contract is None or contract == collection.contract:
        return now
    return frozenset(old for old, name in names_at(contract, collection).items() if name in now)


def older_names(collection: Collection) -> dict[str, tuple[str, ...]]:
    """What each sensitive field was called under older contracts, where it was called otherwise."""
    found: dict[str, list[str]] = {name: [] for name in sensitive_names(collection)}
    for contract in range(1, collection.contract if found else 1):
        for old, name in names_at(contract, collection).items():
            if name in found and old != name and old not in found[name]:
                found[name].append(old)
    return {name: tuple(olds) for name, olds in found.items() if olds}


class Sealing:
    """Seals and opens what is stored under one schema, with the cipher of the tenant whose it is. Opening raises StorageCorrupt for what
    was altered or moved."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names: dict[tuple[str, int], frozenset[str]] = {}
        self._older = {name: older for name, collection in schema.collections.items() if (older := older_names(collection))}
        self.needed = any(sensitive_names(collection) for collection in schema.collections.values())
        """Whether any collection has a sensitive field; if not, no tenant needs a cipher."""

    def seal_fields(self, cipher: Cipher, collection: str, record_id: str, fields: _Fields, contract: int | None = None) -> _Fields:
        """A record's JSON fields, whole or in part."""
        names = self._sensitive(collection, contract)
        return _fields(_Seal(cipher, collection, record_id, names), fields) if names else fields

    def open_fields(self, cipher: Cipher, collection: str, record_id: str, fields: _Fields, contract: int | None = None) -> _Fields:
        names = self._sensitive(collection, contract)
        return _fields(_Open(cipher, collection, record_id, names, self._older.get(collection)), fields) if names else fields

    def seal_row(self, cipher: Cipher, row: Row) -> Row:
        fields = self.seal_fields(cipher, row.collection, row.id, row.fields, row.contract)
        return row if fields is row.fields else msgspec.structs.replace(row, fields=fields)

    def open_row(self, cipher: Cipher, row: Row) -> Row:
        fields = self.open_fields(cipher, row.collection, row.id, row.fields, row.contract)
        return row if fields is row.fields else msgspec.structs.replace(row, fields=fields)

    def seal_ops(self, cipher: Cipher, collection: str, record_id: str, ops: list[Op], contract: int | None = None) -> list[Op]:
        names = self._sensitive(collection, contract)
        return _ops(_Seal(cipher, collection, record_id, names), ops) if names else ops

    def open_ops(self, cipher: Cipher, collection: str, record_id: str, ops: list[Op], contract: int | None = None) -> list[Op]:
        names = self._sensitive(collection, contract)
        return _ops(_Open(cipher, collection, record_id, names), ops) if names else ops

    def seal_unapplied(self, cipher: Cipher, collection: str, record_id: str, parts: _Parts, contract: int | None = None) -> _Parts:
        names = self._sensitive(collection, contract)
        return _parts(_Seal(cipher, collection, record_id, names), parts) if names else parts

    def open_unapplied(self, cipher: Cipher, collection: str, record_id: str, parts: _Parts, contract: int | None = None) -> _Parts:
        names = self._sensitive(collection, contract)
        return _parts(_Open(cipher, collection, record_id, names), parts) if names else parts

    def seal_item(self, cipher: Cipher, item: Item) -> Item:
        """An inbox item. Its held texts are of `Text` fields, which are never sensitive."""
        parts = self.seal_unapplied(cipher, item.collection, item.record_id, item.parts)
        return item if parts is item.parts else msgspec.structs.replace(item, parts=parts)

    def open_item(self, cipher: Cipher, item: Item) -> Item:
        parts = self.open_unapplied(cipher, item.collection, item.record_id, item.parts)
        return item if parts is item.parts else msgspec.structs.replace(item, parts=parts)

    def seal_entry(self, cipher: Cipher, entry: Entry) -> Entry:
        """An entry as it is stored and hashed: the sensitive places of `sent`, `ops`, `undo` and `unapplied`, and an action's reply,
        which is sealed whole, for it may show values of any record."""
        if self.needed and entry.kind == "action" and "reply" in entry.extra:
            return _with_reply(entry, cipher.seal(entry.extra["reply"], "", entry.mutation_id, _reply_path(entry)))
        names = self._sensitive(entry.collection, entry.contract)
        return _entry(_Seal(cipher, entry.collection, entry.record_id, names), entry) if names else entry

    def open_entry(self, cipher: Cipher, entry: Entry) -> Entry:
        if self.needed and entry.kind == "action" and is_sealed(entry.extra.get("reply")):
            return _with_reply(entry, cipher.open(entry.extra["reply"], "", entry.mutation_id, _reply_path(entry)))
        names = self._sensitive(entry.collection, entry.contract)
        return _entry(_Open(cipher, entry.collection, entry.record_id, names), entry) if names else entry

    def _sensitive(self, collection: str, contract: int | None) -> frozenset[str]:
        declared = self._schema.collections.get(collection)
        if not self.needed or declared is None:
            return frozenset()
        asked = (collection, declared.contract if contract is None else contract)
        names = self._names.get(asked)
        if names is None:
            names = self._names[asked] = sensitive_names(declared, asked[1])
        return names


# -- hands -----------------------------------------------------------------------------------------------------------------


class _Hand:
    """One of the two directions, at one record: `names` are its sensitive fields."""

    def __init__(self, cipher: Cipher, collection: str, record_id: str, names: frozenset[str],
                 older: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.cipher, self.collection, self.record_id, self.names, self.older = cipher, collection, record_id, names, older or {}

    def holds(self, path: str) -> bool:
        """Whether the place lies in a sensitive field."""
        return path[1:].split("/", 1)[0] in self.names

    def value(self, plain_path: str, value: Any) -> Any:
        raise NotImplementedError

    def path(self, path: str) -> tuple[str, str]:
        """(the path in plain, the path as it shall stand)"""
        raise NotImplementedError


class _Seal(_Hand):
    def value(self, plain_path: str, value: Any) -> Any:
        return None if value is None else self.cipher.seal(value, self.collection, self.record_id, plain_path)

    def path(self, path: str) -> tuple[str, str]:
        field, inside = _split(path)
        return path, path if not inside else field + _HIDDEN + self.cipher.seal_text(inside, self.collection, self.record_id, field)


class _Open(_Hand):
    def value(self, plain_path: str, value: Any) -> Any:
        if not is_sealed(value):
            return value
        try:
            return self.cipher.open(value, self.collection, self.record_id, plain_path)
        except StorageCorrupt:
            field, inside = _split(plain_path)
            for name in self.older.get(field[1:], ()):
                with contextlib.suppress(StorageCorrupt):
                    return self.cipher.open(value, self.collection, self.record_id, f"/{name}{inside}")
            raise

    def path(self, path: str) -> tuple[str, str]:
        field, inside = _split(path)
        if inside.startswith(_HIDDEN):
            path = field + str(self.cipher.open_text(inside.removeprefix(_HIDDEN), self.collection, self.record_id, field))
        return path, path


def _split(path: str) -> tuple[str, str]:
    """"/secret/phones/home" -> ("/secret", "/phones/home")"""
    end = path.find("/", 1)
    return (path, "") if end < 0 else (path[:end], path[end:])


def _fields(hand: _Hand, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: hand.value("/" + name, value) if name in hand.names else value for name, value in fields.items()}


def _ops(hand: _Hand, ops: list[Op]) -> list[Op]:
    return [_op(hand, op) for op in ops]


def _op(hand: _Hand, op: Op) -> Op:
    if isinstance(op, CreateOp):
        return CreateOp(_fields(hand, op.value))
    if not isinstance(op, SetOp | UnsetOp) or not hand.holds(op.path):
        return op
    plain, made = hand.path(op.path)
    if isinstance(op, UnsetOp):
        return msgspec.structs.replace(op, path=made)
    return msgspec.structs.replace(op, path=made, value=hand.value(plain, op.value))


def _parts(hand: _Hand, parts: list[Unapplied]) -> list[Unapplied]:
    return [_part(hand, part) for part in parts]


def _part(hand: _Hand, part: Unapplied) -> Unapplied:
    """`path` or else the op's own path says the place of the values; without either they are fields of the whole record."""
    changes: dict[str, Any] = {}
    place = part.path if part.path is not None else getattr(part.op, "path", "")
    if part.op is not None:
        changes["op"] = _op(hand, part.op)
    if place and hand.holds(place):
        place, made = hand.path(place)
        if part.path is not None:
            changes["path"] = made
        changes.update({name: hand.value(place, getattr(part, name)) for name in _VALUES})
    elif not place:
        changes.update({name: _fields(hand, value) for name in _VALUES if isinstance(value := getattr(part, name), dict)})
    return msgspec.structs.replace(part, **changes)


def _entry(hand: _Hand, entry: Entry) -> Entry:
    return msgspec.structs.replace(
        entry, ops=_ops(hand, entry.ops), undo=_ops(hand, entry.undo), sent=None if entry.sent is None else _ops(hand, entry.sent),
        unapplied=_parts(hand, entry.unapplied),
    )


def _with_reply(entry: Entry, reply: Any) -> Entry:
    return msgspec.structs.replace(entry, extra={**entry.extra, "reply": reply})


def _reply_path(entry: Entry) -> str:
    return "/reply/" + entry.device_id
