"""Which tables and columns a schema's collections have, as plain facts: the SQL of the hot path, the SQLAlchemy tables and the check at
opening are all made from this, so they cannot differ.

Rules. A collection's table bears its name, its primary key is `(tenant_id, id)`, and every unique index and every foreign key carries
`tenant_id`. A field's column may be NULL, whatever is declared: null is judged by the core, and a column whose field is no longer
declared must not stand in the way of new rows. A field's default is the column's too: rows that stood before get it. Foreign keys are
checked at commit: parent and child may come in one batch. A deleted record keeps its row, and with it its unique values, so that
undeleting never collides.

The fixed tables (`hf_…`) are made by numbered revisions; `REVISIONS` names those this version knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import orjson

from holdfast.core.access import And, Or, Own, Rule
from holdfast.core.errors import DeclarationError
from holdfast.core.schema import Collection, Schema
from holdfast.storage.columns import SqlValue, encoder, representation, sql_type

__all__ = ["BOOKKEEPING", "HEAD_REVISION", "REVISIONS", "Column", "Index", "Reference", "Table", "describe", "fingerprint", "quoted",
           "table_of", "tables_of"]

REVISIONS: Final = ("0001",)
HEAD_REVISION: Final = REVISIONS[-1]

MEMBERS: Final = "members"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    representation: str
    nullable: bool = True
    default: SqlValue = None

    @property
    def type(self) -> str:
        return "BLOB" if self.representation == "bytes" else sql_type(self.representation)


BOOKKEEPING: Final = (
    Column("contract", "integer", False, 1),
    Column("deleted", "boolean", False, 0),
    Column("rev", "integer", False, 0),
    Column("last", "integer", False, 0),
    Column("last_prefix", "integer"),
    Column("last_device", "integer"),
    Column("last_mutation", "bytes"),
    Column("last_foreign", "integer", False, 0),
    Column("stamp", "integer", False, 0),
)
"""What `Row` holds besides fields and copied columns, under the same names. `last_device` is a number in `hf_labels`,
`last_prefix` the eight hex digits as a number, `last_mutation` a UUID's 16 bytes (any other id as text)."""


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key `(tenant_id, column)` to `(tenant_id, id)` of `target`."""

    name: str
    column: str
    target: str


@dataclass(frozen=True, slots=True)
class Table:
    """A collection's table. `columns` is in the order of the table: tenant_id, id, fields, copied columns, bookkeeping."""

    name: str
    contract: int
    fields: tuple[Column, ...]
    copied: tuple[Column, ...]
    indexes: tuple[Index, ...]
    references: tuple[Reference, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("tenant_id", "text", False), Column("id", "text", False), *self.fields, *self.copied, *BOOKKEEPING)

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def tables_of(schema: Schema) -> dict[str, Table]:
    """All collections' tables by name, parents before children where there is no circle."""
    found: dict[str, Table] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name not in begun:
            begun.add(name)
            table = table_of(schema.collections[name], schema)
            for reference in table.references:
                visit(reference.target)
            found[name] = table

    for name in schema.collections:
        visit(name)
    return found


def table_of(collection: Collection, schema: Schema) -> Table:
    """The table of one collection. Raises DeclarationError for names that SQL cannot keep apart."""
    fields = tuple(_field_columns(collection))
    copied = tuple(Column(one.column, _source_representation(one.parent, one.source, schema)) for one in collection.copied)
    table = Table(name=collection.name, contract=collection.contract, fields=fields, copied=copied,
                  indexes=tuple(_indexes(collection, {column.name: column for column in (*fields, *copied)})),
                  references=tuple(Reference(f"fk_{collection.name}_{field.name}", field.name, field.ref)
                                   for field in collection.fields.values() if field.ref is not None))
    names = [column.name.lower() for column in table.columns]
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"{collection.name}: two columns would be called {name!r}.", field=name)
    if collection.name.lower().startswith(("hf_", "sqlite_", "pg_")):
        raise DeclarationError(f"A collection cannot be called {collection.name!r}: names beginning so belong to the database.")
    return table


def _field_columns(collection: Collection) -> Iterator[Column]:
    for field in collection.fields.values():
        name = representation(field)
        default = None if field.sensitive else field.default
        encode = encoder(name)
        yield Column(field.name, name, default=default if default is None or encode is None else encode(default))


def _source_representation(collection: str, column: str, schema: Schema) -> str:
    """Of the field, or the copied column, that a copied column is kept equal to."""
    if column == "id":
        return "text"
    parent = schema.collections[collection]
    if column in parent.fields:
        return representation(parent.fields[column])
    above = next((one for one in parent.copied if one.column == column), None)
    if above is None:
        raise DeclarationError(f"{collection} has no column {column!r} to copy from.", field=column)
    return _source_representation(above.parent, above.source, schema)


def _indexes(collection: Collection, columns: dict[str, Column]) -> Iterator[Index]:
    """Unique ones as declared; others as declared, for references (children of a parent) and for what `own` reads. Those end with the id,
    in whose order pages are read: without it SQLite walks the whole organisation in that order to find a session's fifty records."""
    name = collection.name
    for unique in collection.unique:
        yield Index(f"uq_{name}_{unique.name}", ("tenant_id", *unique.fields), unique=True)
    wanted = [*collection.indexes,
              *((field.name,) for field in collection.fields.values() if field.ref is not None),
              *((column,) for column in sorted(set(_owned(collection.read))))]
    for parts in dict.fromkeys(wanted):
        if all(part in columns and columns[part].representation != "json" for part in parts):
            yield Index(f"ix_{name}_{'_'.join(parts)}", ("tenant_id", *parts, "id"))
    if name == MEMBERS:
        yield Index("ix_members_id", ("id",))


def _owned(rule: Rule) -> Iterator[str]:
    if isinstance(rule, Own):
        yield rule.column
    elif isinstance(rule, And | Or):
        for part in rule.parts:
            yield from _owned(part)


def describe(schema: Schema) -> dict[str, Any]:
    """The layout as JSON, kept in the database beside the tables: what a later version reads to know how old columns stand."""
    return {name: {
        "contract": table.contract,
        "columns": {column.name: column.representation for column in (*table.fields, *table.copied)},
        "fields": [column.name for column in table.fields],
        "indexes": sorted([index.name, *index.columns] for index in table.indexes),
        "references": sorted([reference.column, reference.target] for reference in table.references),
    } for name, table in tables_of(schema).items()}


def fingerprint(schema: Schema) -> str:
    """Differs exactly when `describe` does."""
    return hashlib.sha256(orjson.dumps(describe(schema), option=orjson.OPT_SORT_KEYS)).hexdigest()


@cache
def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
