"""The statements that turn the schema into distributed and reference tables of Citus, parents first (`manifest`). Nothing of the schema has
to change for that: `tests/postgres/test_catalogue.py` holds it to the rules.

They are run by a superuser, or by the migrator's role: row-level security is forced, and whoever moves existing rows must stand past it.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import asyncpg

from holdfast.core.errors import InvalidValue, StorageOutdated
from holdfast.core.schema import Schema
from holdfast.storage.layout import quoted
from holdfast.storage.postgres.errors import connecting, translated
from holdfast.storage.postgres.manifest import ANCHOR, tables_in_order
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.rules import literal
from holdfast.storage.postgres.standing import standing_of

__all__ = ["database_name", "distribute", "distribution"]


def distribution(schema: Schema, database: str) -> Iterator[str]:
    """The statements, in order, each a transaction of its own. `database`: its name."""
    # What a transaction is set to work for must reach the nodes where its rows lie.
    yield f"ALTER DATABASE {quoted(database)} SET citus.propagate_set_commands = 'local'"
    kinds = tables_in_order(schema)
    for name, kind in kinds.items():
        if kind == "reference":
            yield f"SELECT create_reference_table({literal(qualified(name))})"
    for name, kind in kinds.items():
        if kind == "tenant":
            beside = "" if name == ANCHOR else f", colocate_with => {literal(qualified(ANCHOR))}"
            yield f"SELECT create_distributed_table({literal(qualified(name))}, 'tenant_id'{beside})"


def database_name(url: str) -> str:
    """Of an address; where it names none, it is called like the user."""
    parts = urlsplit(url)
    return unquote(parts.path.strip("/") or parts.username or "postgres")


async def distribute(url: str, schema: Schema) -> list[str]:
    """Run them; what was run. Raises InvalidValue where there is no Citus, StorageOutdated for a database that must be migrated first."""
    with connecting():
        connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        with translated("distributing"):
            if not await connection.fetchval("SELECT count(*) FROM pg_catalog.pg_extension WHERE extname = 'citus'"):
                raise InvalidValue("This database has no Citus.", hint="Install it on every node and run CREATE EXTENSION citus.")
            if (await standing_of(connection, schema)).todo:
                raise StorageOutdated("The database was made for other declarations, or for none.")
            done = list(distribution(schema, await connection.fetchval("SELECT pg_catalog.current_database()::text")))
            for statement in done:
                await connection.execute(statement)
            return done
    finally:
        await connection.close()
