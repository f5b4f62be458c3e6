"""The collections' tables as SQLAlchemy declares them for PostgreSQL, and the statements that make or change them."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateIndex, CreateTable, DDLElement

from holdfast.core.schema import Schema
from holdfast.storage.layout import Column, Index, Table, tables_of
from holdfast.storage.postgres.columns import to_text
from holdfast.storage.postgres.names import SCHEMA, index_name, qualified, raise_if_too_long
from holdfast.storage.postgres.row_codec import columns_of

__all__ = ["Drawn", "drawn", "indexes_of", "metadata_of"]

_TYPES: Final[dict[str, Any]] = {
    "text": sa.Text(collation="C"), "integer": sa.BigInteger(), "number": sa.Double(), "boolean": sa.Boolean(),
    "json": postgresql.JSONB(), "money": sa.BigInteger()}
_DIALECT: Final = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]      # no doubled percent signs
_FILL_PERCENT: Final = 85
"""Room in each page for the next version of its rows: an update that changes no index then stays in its page."""


class Drawn:
    """The statements of one collection's table."""

    def __init__(self, table: Table, made: sa.Table) -> None:
        self.table = table
        self._made = made

    def create(self) -> list[str]:
        """The table without its foreign keys, and its indexes."""
        return [_sql(CreateTable(self._made, include_foreign_key_constraints=[])), *(_sql(CreateIndex(index)) for index in self._indexes())]

    def _indexes(self) -> list[sa.Index]:
        return sorted(self._made.indexes, key=lambda index: str(index.name))

    def add_column(self, name: str) -> str:
        return f"ALTER TABLE {qualified(self.table.name)} ADD COLUMN {_sql(CreateColumn(self._made.c[name]))}"

    def rename_column(self, old: str, new: str) -> str:
        quote = _DIALECT.identifier_preparer.quote
        return f"ALTER TABLE {qualified(self.table.name)} RENAME COLUMN {quote(old)} TO {quote(new)}"

    def create_index(self, name: str) -> str:
        return next(_sql(CreateIndex(index)) for index in self._made.indexes if index.name == index_name(name))

    def drop_index(self, name: str) -> str:
        return f"DROP INDEX IF EXISTS {SCHEMA}.{_DIALECT.identifier_preparer.quote(index_name(name))}"

    def refer(self, column: str) -> str:
        """The foreign key of a column."""
        return next(_sql(AddConstraint(key)) for key in self._made.foreign_key_constraints if key.column_keys[1] == column)


def metadata_of(schema: Schema) -> sa.MetaData:
    """The collections' tables of a store of this schema. Raises DeclarationError for names that are too long."""
    metadata = sa.MetaData(schema=SCHEMA)
    for table in tables_of(schema).values():
        _table(table, metadata)
    return metadata


def drawn(schema: Schema) -> dict[str, Drawn]:
    metadata = metadata_of(schema)
    return {name: Drawn(table, metadata.tables[f"{SCHEMA}.{name}"]) for name, table in tables_of(schema).items()}


def indexes_of(table: Table) -> tuple[Index, ...]:
    """Those that begin with the tenant: what another would be for is a table of the directory here."""
    return tuple(index for index in table.indexes if index.columns[0] == "tenant_id")


def _table(table: Table, metadata: sa.MetaData) -> None:
    for name in (table.name, *(column.name for column in columns_of(table))):
        raise_if_too_long(name)
    made = sa.Table(
        table.name, metadata, *(_column(column) for column in columns_of(table)),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=index_name(f"pk_{table.name}")),
        sa.CheckConstraint("tenant_id <> ''", name=index_name(f"ck_{table.name}_tenant")),
        *(sa.ForeignKeyConstraint(["tenant_id", reference.column], [f"{SCHEMA}.{reference.target}.{name}" for name in ("tenant_id", "id")],
                                  name=index_name(reference.name), deferrable=True, initially="DEFERRED")
          for reference in table.references),
        postgresql_with={"fillfactor": _FILL_PERCENT})
    for index in indexes_of(table):
        columns = [made.c[name] if index.unique or name in ("tenant_id", "id") else made.c[name].nulls_first() for name in index.columns]
        sa.Index(index_name(index.name), *columns, unique=index.unique)


def _column(column: Column) -> sa.Column[Any]:
    return sa.Column(column.name, _TYPES[column.representation.partition(":")[0]], nullable=column.nullable,
                     server_default=_default(column))


def _default(column: Column) -> str | None:
    """The column's default as text, which PostgreSQL reads as the column's type. `layout` has it as SQLite stores it."""
    value = column.default
    if value is None or isinstance(value, str):
        return value
    if column.representation == "boolean":
        return "true" if value else "false"
    turn = to_text(column.representation)
    return str(value) if turn is None or column.representation.startswith("money") else turn(value)


def _sql(element: DDLElement | CreateColumn) -> str:
    return str(element.compile(dialect=_DIALECT)).strip()
