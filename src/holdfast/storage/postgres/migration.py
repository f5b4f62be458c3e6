"""Bring a PostgreSQL database up to the declarations: roles, the fixed tables by numbered revisions (Alembic's, as SQL), the collections'
tables by what the layout noted in the database lacks, and the policies.

As on SQLite it only ever adds: a field that is no longer declared keeps its column, a column whose values stand otherwise now is set aside
under another name, rows of a raised contract pass through its upcasters. All of it is one transaction: whole, or not at all.

Whoever connects needs to be a superuser the first time (roles are made), the migrator's role after that.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from holdfast.core.entry import Row
from holdfast.core.errors import StorageConstraint
from holdfast.core.schema import Collection, Schema
from holdfast.storage.layout import Table, describe, fingerprint, quoted, tables_of
from holdfast.storage.postgres.ddl import Drawn, drawn, indexes_of
from holdfast.storage.postgres.errors import connecting, translated
from holdfast.storage.postgres.manifest import FIXED
from holdfast.storage.postgres.names import OWNER_ROLE, SCHEMA, qualified
from holdfast.storage.postgres.policies import digests, fixed_statements, statements
from holdfast.storage.postgres.roles import missing_roles, role_statements
from holdfast.storage.postgres.standing import meta, outdated_policies, revision_of, standing_of
from holdfast.storage.postgres.upcasting import upcast_rows
from holdfast.storage.protocol import Tenant
from holdfast.storage.standing import Layout, raise_if_unconverted

__all__ = ["RowUpcaster", "migrate"]

RowUpcaster = Callable[[Tenant, Row, Collection], Row]
"""Reads a tenant's row of an older contract under the present one. Raises InvalidValue."""

_REVISIONS_FOLDER: Final = Path(__file__).parent / "revisions"
_ONE_AT_A_TIME: Final = 0x686F6C64      # "hold": one migration at a time; the data's own correctness rests on no such lock


async def migrate(url: str, schema: Schema, upcast: RowUpcaster | None = None) -> tuple[str, ...]:
    """What was done, for people; nothing: the database was current. Raises UnsafeSettings (the address lets nobody in), DeclarationError
    for a change that needs a contract or an upcaster, StorageConstraint for a new unique that records break, StorageNewer, StorageFailed
    (a right is missing); then nothing has changed."""
    with connecting():
        connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        with translated("migrating"):
            async with connection.transaction():
                return await _Migration(connection, schema, upcast).run()
    finally:
        await connection.close()


class _Migration:
    def __init__(self, connection: Any, schema: Schema, upcast: RowUpcaster | None) -> None:
        self._connection = connection
        self._schema = schema
        self._upcast = upcast

    async def run(self) -> tuple[str, ...]:
        connection, schema = self._connection, self._schema
        await connection.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({_ONE_AT_A_TIME})")
        await self._make_roles()
        standing = await standing_of(connection, schema)
        if not standing.todo:
            return ()
        if standing.revision is None:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {OWNER_ROLE}")
        await connection.execute(f"SET LOCAL ROLE {OWNER_ROLE}")
        await self._revise_fixed()
        text = await meta(connection, "layout")
        stored: Layout = {} if text is None else orjson.loads(text)
        raise_if_unconverted(stored, schema)
        aside = await self._draw(stored)
        await self._write_policies()
        await connection.execute("RESET ROLE")      # rows are rewritten past the policies
        for table in tables_of(schema).values():
            if table.name in stored:
                await self._bring_rows_up(table, stored[table.name], aside.get(table.name, {}))
        await self._note(stored, aside)
        return standing.todo

    async def _make_roles(self) -> None:
        missing = await missing_roles(self._connection)
        if not missing:
            return
        for role, statement in role_statements():
            if role in missing or not role:
                await self._connection.execute(statement)

    async def _revise_fixed(self) -> None:
        now = await revision_of(self._connection)
        script = _revisions_since(now)
        if script:
            await self._connection.execute(script)

    async def _draw(self, stored: Layout) -> dict[str, dict[str, str]]:
        """Tables, columns, indexes and foreign keys that are missing. Columns set aside: {table: {name: new name}}."""
        aside: dict[str, dict[str, str]] = {}
        tables = drawn(self._schema)
        for name, table in tables.items():
            steps = table.create() if name not in stored else [*_set_aside(table, stored[name], aside), *_missing(table, stored[name])]
            for step in steps:
                await self._step(name, step)
        for name, table in tables.items():
            known = [column for column, _ in stored[name]["references"]] if name in stored else []
            for reference in table.table.references:
                if reference.column not in known:
                    await self._step(name, table.refer(reference.column))
        return aside

    async def _step(self, table: str, statement: str) -> None:
        try:
            await self._connection.execute(statement)
        except asyncpg.UniqueViolationError as error:
            raise StorageConstraint(f"Records of {table} hold one value of a field that is declared unique now; nothing was changed.",
                                    hint="Change one of them first, or declare the field without `unique`.") from error

    async def _write_policies(self) -> None:
        """Of the tables whose policies are not those declared. What other applications declared stays as it is."""
        connection = self._connection
        for name in await outdated_policies(connection, self._schema):
            tables = [name] if name else list(FIXED)
            for table, policy in await connection.fetch("SELECT tablename::text, policyname::text FROM pg_catalog.pg_policies "
                                                        "WHERE schemaname = $1 AND tablename = ANY($2::text[])", SCHEMA, tables):
                await connection.execute(f"DROP POLICY {quoted(policy)} ON {qualified(table)}")
            for statement in statements(self._schema, name) if name else fixed_statements():
                await connection.execute(statement)

    async def _bring_rows_up(self, table: Table, before: Layout, aside: dict[str, str]) -> None:
        collection = self._schema.collections[table.name]
        if before["contract"] < table.contract:
            await upcast_rows(self._connection, collection, table, before, aside, self._upcast)
        for copied in collection.copied:
            if copied.column not in before["columns"]:
                await self._connection.execute(
                    f"UPDATE {qualified(table.name)} AS child SET {quoted(copied.column)} = parent.{quoted(copied.source)} "
                    f"FROM {qualified(copied.parent)} AS parent WHERE parent.tenant_id = child.tenant_id "
                    f"AND parent.id = child.{quoted(copied.ref_field)}")

    async def _note(self, stored: Layout, aside: dict[str, dict[str, str]]) -> None:
        """The layout as it is now, with the columns and collections that are no longer declared."""
        layout = {**stored, **describe(self._schema)}
        for name, before in stored.items():
            renamed = aside.get(name, {})
            kept = {renamed.get(column, column): kind for column, kind in before["columns"].items()}
            layout[name] = {**layout[name], "columns": {**kept, **layout[name]["columns"]}}
        text = await meta(self._connection, "policies")
        policies = {**({} if text is None else orjson.loads(text)), **digests(self._schema)}
        for key, value in (("layout", orjson.dumps(layout).decode()), ("fingerprint", fingerprint(self._schema)),
                           ("schema", self._schema.digest), ("policies", orjson.dumps(policies).decode())):
            await self._connection.execute(f"INSERT INTO {qualified('hf_meta')} (name, value) VALUES ($1, $2) "
                                           "ON CONFLICT (name) DO UPDATE SET value = excluded.value", key, value)


def _revisions_since(revision: str | None) -> str:
    """The SQL of all revisions after this one, with their note in the version table; empty: there are none."""
    config = Config()
    config.set_main_option("script_location", str(_REVISIONS_FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    if revision == script.get_current_head():
        return ""
    written = io.StringIO()

    def to_head(now: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", now)

    with EnvironmentContext(config, script, fn=to_head, as_sql=True, starting_rev=revision) as environment:
        environment.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, version_table="hf_revision",
                              version_table_schema=SCHEMA, output_buffer=written)
        environment.run_migrations()
    return written.getvalue()


def _missing(table: Drawn, before: Layout) -> Iterator[str]:
    declared = {index.name: index for index in indexes_of(table.table)}
    yield from (table.add_column(column.name) for column in (*table.table.fields, *table.table.copied)
                if before["columns"].get(column.name) != column.representation)
    told = sorted([index.name, *index.columns] for index in table.table.indexes)
    for index in before["indexes"]:
        if index not in told:
            yield table.drop_index(index[0])
    for index in told:
        if index not in before["indexes"] and index[0] in declared:
            yield table.create_index(index[0])


def _set_aside(table: Drawn, before: Layout, aside: dict[str, dict[str, str]]) -> Iterator[str]:
    """Renames columns whose place a column of another representation takes, and notes it in `aside`."""
    for column in (*table.table.fields, *table.table.copied):
        if before["columns"].get(column.name, column.representation) != column.representation:
            new = _free_name(f"_{column.name}_{before['contract']}", before["columns"])
            aside.setdefault(table.table.name, {})[column.name] = new
            yield table.rename_column(column.name, new)


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
