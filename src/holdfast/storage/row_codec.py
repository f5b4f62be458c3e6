"""Rows of one collection's table, read and written: the SQL of the hot path, made once from the layout.

Two statements write. `upsert` writes every column. `update` leaves out the columns that stand in an index or a foreign key: for rows in
which they did not change, the index pages stay untouched, and a page is what a commit costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec

from holdfast.core.entry import Row
from holdfast.core.schema import Collection, Schema
from holdfast.storage.columns import SqlValue, decoder, encoder
from holdfast.storage.compact import packed_id, unpacked_id
from holdfast.storage.layout import BOOKKEEPING, Column, Table, quoted, table_of

__all__ = ["RowCodec", "codecs_of"]

_WRITERS_OWN: Final = frozenset({"last_device", "last_mutation", "last_foreign", "stamp"})
"""What nobody but the writer asks for."""

_KEY: Final = '"tenant_id" = ? AND "id" = ?'


class _Slot(msgspec.Struct, frozen=True):
    """A column with what turns its values; `default` is the JSON value of a field that a row does not give."""

    name: str
    encode: Callable[[Any], SqlValue] | None
    decode: Callable[[Any], Any] | None
    default: Any = None


def _several(places: list[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The values at these places, as a tuple also where there is one or none."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


def _slot(column: Column, default: Any = None) -> _Slot:
    return _Slot(column.name, encoder(column.representation), decoder(column.representation), default)


def _object_reader(slots: Sequence[_Slot], first: int) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """A function that makes the object of these columns from a row in which they stand from place `first` on. Written out as one
    expression, `{'title': row[1], 'j': None if row[2] is None else turn2(row[2])}`: it takes half the time of a loop over the columns, and
    a resume reads fifty rows."""
    turns = {f"turn{place}": slot.decode for place, slot in enumerate(slots, first) if slot.decode is not None}
    parts = [f"{slot.name!r}: row[{place}]" if slot.decode is None
             else f"{slot.name!r}: None if row[{place}] is None else turn{place}(row[{place}])" for place, slot in enumerate(slots, first)]
    made: Callable[[tuple[Any, ...]], dict[str, Any]] = eval(f"lambda row: {{{', '.join(parts)}}}", turns)
    return made


class RowCodec:
    def __init__(self, collection: Collection, table: Table) -> None:
        self.collection = collection
        self.table = table
        self._fields = tuple(_slot(column, collection.fields[column.name].default) for column in table.fields)
        self._copied = tuple(_slot(column) for column in table.copied)
        self._defaults = tuple((slot.name, slot.default) for slot in self._fields)
        self._encoded = tuple((place, slot.encode) for place, slot in enumerate((*self._fields, *self._copied)) if slot.encode is not None)
        self._copied_names = tuple(slot.name for slot in self._copied)
        self._name = collection.name
        self._fields_of = _object_reader(self._fields, 1)
        self._copied_of = _object_reader(self._copied, 1 + len(self._fields))
        self._bookkeeping_at = 1 + len(self._fields) + len(self._copied)
        written = [column.name for column in (*table.fields, *table.copied, *BOOKKEEPING)]
        indexed = {name for index in table.indexes for name in index.columns} | {reference.column for reference in table.references}
        light = [place for place, name in enumerate(written) if name not in indexed]
        heavy = [place for place, name in enumerate(written) if name in indexed]
        self.light = itemgetter(*light)                                 # of encoded values: those that `update` writes
        self.heavy = _several(heavy)                                    # of encoded values: those that stand in indexes
        self.indexed = _several([1 + place for place in heavy])         # the same of a row as selected
        self.has_uniques = any(index.unique for index in table.indexes)
        self.columns = ", ".join(quoted(name) for name in ("id", *written))
        self.shown_columns = ", ".join(quoted(name) for name in ("id", *written) if name not in _WRITERS_OWN)
        name = quoted(table.name)
        self.select = f"SELECT {self.columns} FROM {name} WHERE {_KEY}"
        places, taken = ", ".join("?" * (2 + len(written))), ", ".join(f"{quoted(one)} = excluded.{quoted(one)}" for one in written)
        self.upsert = (f'INSERT INTO {name} ("tenant_id", {self.columns}) VALUES ({places}) '
                       f'ON CONFLICT ("tenant_id", "id") DO UPDATE SET {taken}')
        self.update = f"UPDATE {name} SET {', '.join(f'{quoted(written[place])} = ?' for place in light)} WHERE {_KEY}"
        self.delete = f"DELETE FROM {name} WHERE {_KEY}"

    def decode(self, raw: tuple[Any, ...], label: Callable[[int], str]) -> Row:
        """The row of `columns`. `label`: the text of a number."""
        contract, deleted, rev, last, prefix, device, mutation, foreign, stamp = raw[self._bookkeeping_at:]
        return Row(collection=self._name, id=raw[0], fields=self._fields_of(raw), copied=self._copied_of(raw), contract=contract,
                   deleted=bool(deleted), rev=rev, last=last, last_prefix="" if prefix is None else f"{prefix:08x}",
                   last_device="" if device is None else label(device), last_mutation="" if mutation is None else unpacked_id(mutation),
                   last_foreign=foreign, stamp=stamp)

    def decode_shown(self, raw: tuple[Any, ...]) -> Row:
        """The row of `shown_columns`, without what only the writer asks for."""
        contract, deleted, rev, last, prefix = raw[self._bookkeeping_at:]
        return Row(collection=self._name, id=raw[0], fields=self._fields_of(raw), copied=self._copied_of(raw), contract=contract,
                   deleted=bool(deleted), rev=rev, last=last, last_prefix="" if prefix is None else f"{prefix:08x}")

    def encode(self, row: Row, number: Callable[[str], int]) -> list[SqlValue]:
        """The values of `columns` but the id. `number`: the number of a text."""
        given: Mapping[str, Any] = row.fields
        values: list[Any] = [given.get(name, default) for name, default in self._defaults]
        if self._copied_names:
            values += [row.copied.get(name) for name in self._copied_names]
        for place, turn in self._encoded:
            value = values[place]
            if value is not None:
                values[place] = turn(value)
        values += (
            row.contract, 1 if row.deleted else 0, row.rev, row.last, int(row.last_prefix, 16) if row.last_prefix else None,
            number(row.last_device) if row.last_device else None, packed_id(row.last_mutation) if row.last_mutation else None,
            row.last_foreign, row.stamp,
        )
        return values


def codecs_of(schema: Schema) -> dict[str, RowCodec]:
    return {name: RowCodec(collection, table_of(collection, schema)) for name, collection in schema.collections.items()}
