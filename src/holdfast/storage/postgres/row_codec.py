"""Rows of one collection's table, read and written: the SQL of the hot path, made once from the layout.

Writing is one statement for any number of rows: an array of text per column, unnested beside the tenant's head. The head's row is the
anchor that tells a distributed server on which of its nodes all of it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.entry import Row
from holdfast.core.schema import Collection, Schema
from holdfast.storage.layout import Column, Table, quoted, table_of
from holdfast.storage.postgres.columns import cast_of, decoder, selected, to_text
from holdfast.storage.postgres.names import qualified

__all__ = ["BOOKKEEPING", "RowCodec", "anchored", "codecs_of", "columns_of"]

BOOKKEEPING: Final = (
    Column("contract", "integer", False, 1),
    Column("deleted", "boolean", False, 0),
    Column("rev", "integer", False, 0),
    Column("last", "integer", False, 0),
    Column("last_prefix", "text", False, ""),
    Column("last_device", "text", False, ""),
    Column("last_mutation", "text", False, ""),
    Column("last_foreign", "integer", False, 0),
    Column("stamp", "integer", False, 0),
)
"""What `Row` holds besides fields and copied columns, under the same names and in that order."""


def columns_of(table: Table) -> tuple[Column, ...]:
    """Of a collection's table, in order."""
    return (Column("tenant_id", "text", False), Column("id", "text", False), *table.fields, *table.copied, *BOOKKEEPING)


def anchored(casts: Sequence[str]) -> tuple[str, str]:
    """What an INSERT … SELECT of one text array per column selects (with `casts`), and from where: parameter 1 is the tenant, the arrays
    follow."""
    names = [f"x{at}" for at in range(len(casts))]
    arrays = ", ".join(f"${at + 2}::text[]" for at in range(len(casts)))
    return (", ".join(["k.tenant_id", *(f"{cast.format(f'x.{name}')}" for name, cast in zip(names, casts, strict=True))]),
            f"{qualified('hf_heads')} AS k CROSS JOIN unnest({arrays}) AS x({', '.join(names)}) WHERE k.tenant_id = $1")


class RowCodec:
    def __init__(self, collection: Collection, table: Table) -> None:
        self.collection = collection
        self.table = table
        self._name = collection.name
        given = [*table.fields, *table.copied]
        self._fields = len(table.fields)
        self._names = [column.name for column in given]
        self._defaults = [(column.name, collection.fields[column.name].default) for column in table.fields]
        self._copied_names = [column.name for column in table.copied]
        self._encoded = [(at, turn) for at, column in enumerate(given) if (turn := to_text(column.representation)) is not None]
        self._decoded = [(at, turn) for at, column in enumerate(given) if (turn := decoder(column.representation)) is not None]
        written = (*given, *BOOKKEEPING)
        places = [column.name for column in written]
        uniques = sorted({name for unique in collection.unique for name in unique.fields})
        self.uniques = [places.index(name) for name in uniques]         # places among the encoded values
        self._unique_fields = [(name, to_text(table_column.representation)) for name in uniques
                               if (table_column := table.column(name)) is not None]
        self.columns = ", ".join(["\"id\"", *(selected(quoted(one.name), one.representation) for one in written)])
        self._write_sql(written, uniques)

    def _write_sql(self, written: Sequence[Column], uniques: Sequence[str]) -> None:
        name = qualified(self.table.name)
        self.select = f'SELECT {self.columns} FROM {name} WHERE "tenant_id" = $1 AND "id" = ANY($2::text[])'
        names = [quoted(column.name) for column in written]
        taken, source = anchored(["{}", *("{}" + cast_of(column.representation) for column in written)])
        changed = ", ".join(f"{one} = excluded.{one}" for one in names)
        self.upsert = (f'INSERT INTO {name} ("tenant_id", "id", {", ".join(names)}) SELECT {taken} FROM {source} '
                       f'ON CONFLICT ("tenant_id", "id") DO UPDATE SET {changed}')
        self.release = (f"UPDATE {name} SET {', '.join(f'{quoted(one)} = NULL' for one in uniques)} "
                        f'WHERE "tenant_id" = $1 AND "id" = ANY($2::text[])')

    def decode(self, raw: Any) -> Row:
        """The row of `columns`."""
        record_id, *values, contract, deleted, rev, last, prefix, device, mutation, foreign, stamp = raw
        for at, turn in self._decoded:
            value = values[at]
            if value is not None:
                values[at] = turn(value)
        end = self._fields
        return Row(collection=self._name, id=record_id, fields=dict(zip(self._names, values[:end], strict=False)),
                   copied=dict(zip(self._copied_names, values[end:], strict=True)), contract=contract, deleted=deleted, rev=rev, last=last,
                   last_prefix=prefix, last_device=device, last_mutation=mutation, last_foreign=foreign, stamp=stamp)

    def encode(self, row: Row) -> list[str | None]:
        """The texts of `columns` but the id."""
        given = row.fields
        values: list[Any] = [given.get(name, default) for name, default in self._defaults]
        values += [row.copied.get(name) for name in self._copied_names]
        for at, turn in self._encoded:
            value = values[at]
            if value is not None:
                values[at] = turn(value)
        return [*values, str(row.contract), "true" if row.deleted else "false", str(row.rev), str(row.last), row.last_prefix,
                row.last_device, row.last_mutation, str(row.last_foreign), str(row.stamp)]

    def unique_values(self, row: Row) -> tuple[str | None, ...]:
        """The values that stand in unique indexes, as `encode` has them."""
        found: list[str | None] = []
        for name, turn in self._unique_fields:
            value = row.fields.get(name)
            found.append(value if value is None or turn is None else turn(value))
        return tuple(found)


def codecs_of(schema: Schema) -> dict[str, RowCodec]:
    return {name: RowCodec(collection, table_of(collection, schema)) for name, collection in schema.collections.items()}


