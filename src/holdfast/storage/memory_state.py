"""What the memory backend holds. Every value is kept as bytes, so that nobody can change a stored fact by keeping a reference, and a
value that a real backend could not store fails here too.

A state is never changed once it is committed: a batch works on a copy that shares what it does not touch, and a reader keeps the
state that stood when it opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from holdfast.core.digest import FIRST
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.facts import Context, Key
from holdfast.core.schema import Collection, Field, Schema
from holdfast.storage.columns import decoder, encoder, representation
from holdfast.storage.protocol import Account, Credential, Device, Head, Seal, Tenant

__all__ = ["CODECS", "Log", "State", "stored_row", "unique_values"]

ContextKey = tuple[str, str, str]


class Codec:
    """One type as bytes and back."""

    def __init__(self, kind: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._encoder = msgspec.msgpack.Encoder()

    def dump(self, value: Any) -> bytes:
        return self._encoder.encode(value)

    def load(self, stored: bytes) -> Any:
        return self._decoder.decode(stored)


CODECS: Final[Mapping[type, Codec]] = {
    kind: Codec(kind) for kind in (Entry, Row, Item, Context, Device, Account, Tenant, Credential, object)
}


@dataclass
class Log:
    """One tenant's log and its views."""

    head: Head
    entries: dict[int, bytes] = field(default_factory=dict)
    seals: dict[int, Seal] = field(default_factory=dict)
    by_mutation: dict[tuple[str, str], int] = field(default_factory=dict)
    by_record: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    rows: dict[Key, bytes] = field(default_factory=dict)
    contexts: dict[ContextKey, bytes] = field(default_factory=dict)
    items: dict[str, bytes] = field(default_factory=dict)
    devices: dict[str, bytes] = field(default_factory=dict)
    settings: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Log:
        return Log(self.head, dict(self.entries), dict(self.seals), dict(self.by_mutation), dict(self.by_record), dict(self.rows),
                   dict(self.contexts), dict(self.items), dict(self.devices), dict(self.settings))

    def entry(self, seq: int) -> Entry:
        found: Entry = CODECS[Entry].load(self.entries[seq])
        return found

    def row(self, key: Key) -> Row | None:
        stored = self.rows.get(key)
        return None if stored is None else CODECS[Row].load(stored)

    def open_items(self) -> Iterator[Item]:
        """Rising by the seq that opened them."""
        yield from sorted((CODECS[Item].load(stored) for stored in self.items.values()), key=lambda item: item.opened)


@dataclass
class State:
    logs: dict[str, Log] = field(default_factory=dict)
    tenants: dict[str, bytes] = field(default_factory=dict)
    accounts: dict[str, bytes] = field(default_factory=dict)
    credentials: dict[str, bytes] = field(default_factory=dict)
    attempts: dict[str, tuple[int, int, int]] = field(default_factory=dict)      # key -> (started, ends, count)

    def copy(self) -> State:
        return replace(self, logs=dict(self.logs), tenants=dict(self.tenants), accounts=dict(self.accounts),
                       credentials=dict(self.credentials), attempts=dict(self.attempts))

    def log(self, tenant: str) -> Log:
        return self.logs.get(tenant) or Log(Head(tenant_id=tenant, seq=0, digest=FIRST))


def stored_row(row: Row, schema: Schema) -> Row:
    """`row` as it comes back from a database: all declared columns and no others, each as canonical JSON value."""
    collection = schema.collections[row.collection]
    fields = {name: _stored(declared, row.fields.get(name, declared.default)) for name, declared in collection.fields.items()}
    copied = {one.column: row.copied.get(one.column) for one in collection.copied}
    return msgspec.structs.replace(row, fields=fields, copied=copied)


def _stored(declared: Field, value: Any) -> Any:
    if value is None:
        return None
    encode, decode = encoder(representation(declared)), decoder(representation(declared))
    column = value if encode is None else encode(value)
    return column if decode is None else decode(column)


def unique_values(collection: Collection, fields: tuple[str, ...], row: Row) -> tuple[Any, ...] | None:
    """What a unique index holds for the row; None: a null among them never collides."""
    values = tuple(row.fields[name] for name in fields)
    return None if None in values else values
