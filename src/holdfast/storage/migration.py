"""Bring a database up to the declarations: the fixed tables by numbered revisions, the collections' tables by what Alembic finds missing.

Only ever adds. A field that is no longer declared keeps its column; a column whose values stand otherwise now (a text that became an
amount) is set aside under another name and a new one takes its place; the rows of a raised contract pass through its upcasters. All of
it is one transaction: it happens whole, or not at all, and a power cut in the middle leaves the old database.

This module loads SQLAlchemy and Alembic, which nothing else of storage does: `sqlite.py` imports it only when there is something to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import orjson
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.operations.ops import MigrateOperation, ModifyTableOps
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import StaticPool

from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError, StorageConstraint, StorageCorrupt
from holdfast.core.schema import Collection, Schema
from holdfast.storage import dbapi
from holdfast.storage.columns import decoder
from holdfast.storage.layout import Table, describe, fingerprint, quoted, tables_of
from holdfast.storage.metadata import FIXED, metadata_of
from holdfast.storage.row_codec import RowCodec
from holdfast.storage.sqlite import Upcaster
from holdfast.storage.standing import REVISION_TABLE, Layout, raise_if_unconverted, stored_layout

__all__ = ["REVISIONS_FOLDER", "compare", "connected", "migrate"]

REVISIONS_FOLDER: Final = Path(__file__).parent / "revisions"
_ROWS_AT_ONCE: Final = 500


def migrate(connection: apsw.Connection, schema: Schema, upcast: Upcaster | None) -> None:
    """Bring the database behind `connection` up. Raises DeclarationError for a change that needs a contract or an upcaster,
    InvalidValue from an upcaster, StorageConstraint for a new unique that records break; then nothing has changed."""
    connection.pragma("foreign_keys", False)      # tables may be rebuilt; everything is checked before the commit
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _migrate(connection, schema, upcast)
            _raise_if_dangling(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    finally:
        connection.pragma("foreign_keys", True)


def _migrate(connection: apsw.Connection, schema: Schema, upcast: Upcaster | None) -> None:
    try:
        with connected(connection) as tools:
            _revise_fixed(tools)
            stored = stored_layout(connection)
            raise_if_unconverted(stored, schema)
            aside = _set_aside(connection, stored, schema)
            _add_missing(tools, schema)
    except sa.exc.DBAPIError as error:
        raise (error.orig or error) from error
    for table in tables_of(schema).values():
        before = stored.get(table.name)
        if before is not None:
            if before["contract"] < table.contract:
                _upcast_rows(connection, table, schema, before, aside.get(table.name, {}), upcast)
            _fill_copied(connection, table, schema.collections[table.name], before)
    _store_layout(connection, schema, stored, aside)


def connected(connection: apsw.Connection) -> sa.Connection:
    """SQLAlchemy on this connection, within whatever transaction it is in."""
    engine = sa.create_engine("sqlite://", module=dbapi, creator=lambda: dbapi.Connection(connection), poolclass=StaticPool)
    return engine.connect()


def _revise_fixed(tools: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(REVISIONS_FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)

    def to_head(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(config, script, fn=to_head) as environment:
        environment.configure(connection=tools, version_table=REVISION_TABLE)
        environment.run_migrations()


# -- collections' tables ------------------------------------------------------------------------------------------------------


def compare(tools: sa.Connection, schema: Schema) -> list[MigrateOperation]:
    """What is missing in the database, as Alembic's operations. What is there and not declared stays, but for indexes."""
    def include(_object: Any, name: str | None, kind: str, reflected: bool, compared_to: Any) -> bool:
        if kind == "table" and name is not None and name.startswith(FIXED):
            return False
        return not (reflected and compared_to is None and kind != "index")

    context = MigrationContext.configure(tools, opts={
        "version_table": REVISION_TABLE, "include_object": include, "compare_type": False, "compare_server_default": False})
    upgrade = produce_migrations(context, metadata_of(schema)).upgrade_ops
    return list(upgrade.ops) if upgrade is not None else []


def _add_missing(tools: sa.Connection, schema: Schema) -> None:
    operations = Operations(MigrationContext.configure(tools))
    for operation in compare(tools, schema):
        try:
            if isinstance(operation, ModifyTableOps):
                # Batch: SQLite cannot add a foreign key to a table; Alembic then builds the table anew beside it.
                with operations.batch_alter_table(operation.table_name) as batch:
                    for part in operation.ops:
                        batch.invoke(part)
            else:
                operations.invoke(operation)
        except sa.exc.DBAPIError as error:
            if not isinstance(error.orig, apsw.ConstraintError):
                raise
            name = getattr(operation, "table_name", "a table")
            raise StorageConstraint(f"Records of {name} hold one value of a field that is declared unique now; nothing was changed.",
                                    hint="Change one of them first, or declare the field without `unique`.") from error


def _set_aside(connection: apsw.Connection, stored: Layout, schema: Schema) -> dict[str, dict[str, str]]:
    """Rename columns whose place a column of another representation takes: {table: {name: new name}}."""
    aside: dict[str, dict[str, str]] = {}
    for table in tables_of(schema).values():
        before = stored.get(table.name)
        for column in (*table.fields, *table.copied) if before is not None else ():
            if before is not None and before["columns"].get(column.name, column.representation) != column.representation:
                new = _free_name(f"_{column.name}_{before['contract']}", before["columns"])
                connection.execute(f"ALTER TABLE {quoted(table.name)} RENAME COLUMN {quoted(column.name)} TO {quoted(new)}")
                aside.setdefault(table.name, {})[column.name] = new
    return aside


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


# -- rows ---------------------------------------------------------------------------------------------------------------------


def _upcast_rows(connection: apsw.Connection, table: Table, schema: Schema, before: Layout, aside: dict[str, str],
                 upcast: Upcaster | None) -> None:
    collection = schema.collections[table.name]
    codec = RowCodec(collection, table)
    names = [column.name for column in table.fields]
    assignments = ", ".join(f"{quoted(name)} = ?" for name in [*names, "contract"])
    update = f'UPDATE {quoted(table.name)} SET {assignments} WHERE "tenant_id" = ? AND "id" = ?'
    for tenant, row in _old_rows(connection, table, before, aside):
        if upcast is None:
            raise DeclarationError(f"{table.name} has rows of contract {row.contract}; the store was given nothing to upcast them with.")
        made = upcast(tenant, row, collection)
        connection.execute(update, [*codec.encode(made, lambda text: 0)[:len(names)], made.contract, tenant, row.id])


def _old_rows(connection: apsw.Connection, table: Table, before: Layout, aside: dict[str, str]) -> Iterator[tuple[str, Row]]:
    """The rows of an older contract as it had declared them."""
    fields = [(name, decoder(before["columns"][name])) for name in before["fields"]]
    columns = ", ".join(quoted(name) for name in ("tenant_id", "id", "contract", *(aside.get(name, name) for name, _ in fields)))
    last = ("", "")
    while True:
        rows = connection.execute(
            f'SELECT {columns} FROM {quoted(table.name)} WHERE ("tenant_id", "id") > (?, ?) AND "contract" < ? '
            f'ORDER BY "tenant_id", "id" LIMIT {_ROWS_AT_ONCE}', (*last, table.contract)).fetchall()
        if not rows:
            return
        for tenant, record_id, contract, *values in rows:
            found = {name: value if value is None or decode is None else decode(value)
                     for (name, decode), value in zip(fields, values, strict=True)}
            yield str(tenant), Row(collection=table.name, id=str(record_id), fields=found, contract=int(contract or 1))
        last = (str(rows[-1][0]), str(rows[-1][1]))


def _fill_copied(connection: apsw.Connection, table: Table, collection: Collection, before: Layout) -> None:
    """Copied columns that are new take their parents' values. Parents' tables come first in a schema without circles; where one copies
    from a copied column of its own parent, that one is filled by then."""
    for copied in collection.copied:
        if copied.column not in before["columns"]:
            connection.execute(
                f"UPDATE {quoted(table.name)} AS child SET {quoted(copied.column)} = (SELECT parent.{quoted(copied.source)} "
                f"FROM {quoted(copied.parent)} AS parent WHERE parent.tenant_id = child.tenant_id "
                f"AND parent.id = child.{quoted(copied.ref_field)})")


def _store_layout(connection: apsw.Connection, schema: Schema, stored: Layout, aside: dict[str, dict[str, str]]) -> None:
    """The layout as it is now, with the columns and collections that are no longer declared."""
    layout = {**stored, **describe(schema)}
    for name, before in stored.items():
        renamed = aside.get(name, {})
        kept = {renamed.get(column, column): kind for column, kind in before["columns"].items()}
        layout[name] = {**layout[name], "columns": {**kept, **layout[name]["columns"]}}
    for key, value in (("layout", orjson.dumps(layout).decode()), ("fingerprint", fingerprint(schema)), ("schema", schema.digest)):
        connection.execute("INSERT INTO hf_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                           (key, value))


def _raise_if_dangling(connection: apsw.Connection) -> None:
    dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
    if dangling is not None:
        raise StorageCorrupt(f"A row of {dangling[0]} refers to a record of {dangling[2]} that is not there; nothing was changed.")
