"""The PostgreSQL of a test run: one cluster per process, started by the first test that needs it, with a database for each test file."""

from __future__ import annotations

import atexit
import os
from functools import cache

import asyncpg

from holdfast.core.schema import Schema
from holdfast.storage.postgres import PostgresStorage
from holdfast.storage.postgres.migration import migrate
from holdfast.storage.postgres.names import APP_ROLE, SCHEMA
from holdfast.testing.postgres import ADDRESS_VARIABLE, NamedServer, PostgresServer

__all__ = ["Place", "server"]


@cache
def server() -> PostgresServer | NamedServer:
    """Raises NoPostgres where there is none: then the tests fail, and say what to install."""
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        return NamedServer(address)
    made = PostgresServer()
    atexit.register(made.end)
    made.start()
    return made


class Place:
    """A database under a name of the test file's, with the addresses of those who come to it."""

    def __init__(self, name: str) -> None:
        self.name = f"holdfast_{name}_{os.getpid()}"

    @property
    def admin(self) -> str:
        return server().url(self.name)

    @property
    def app(self) -> str:
        return server().url(self.name, APP_ROLE)

    async def make(self, schema: Schema) -> None:
        """A new database, with the tables of this schema."""
        await server().make_database(self.name)
        await migrate(self.admin, schema)

    async def empty(self) -> None:
        """No row in any table, the layout's apart."""
        connection = await asyncpg.connect(self.admin)
        try:
            rows = await connection.fetch("SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = $1 "
                                          "AND tablename <> ALL(ARRAY['hf_meta', 'hf_revision'])", SCHEMA)
            names = ", ".join(f'{SCHEMA}."{row[0]}"' for row in rows)
            await connection.execute(f"TRUNCATE {names}")
        finally:
            await connection.close()

    def storage(self, schema: Schema, **options: object) -> PostgresStorage:
        return PostgresStorage(self.app, schema, **options)  # type: ignore[arg-type]
