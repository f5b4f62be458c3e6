"""Storage on PostgreSQL: a pool of connections, each of which carries one transaction at a time and nothing beyond it.

Nothing is kept in a session (settings are the transaction's, statements name the schema), so a pooler in transaction mode may stand in
between; `prepared=False` then leaves prepared statements out.

A connection that met an error of its own is closed, not put back; the next one is made anew, to whichever of the hosts in the address takes
writes (`target_session_attrs=read-write`). A commit whose answer was lost has an unknown outcome, like any lost reply: done again, its
mutations are found by their ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from holdfast.core.errors import StorageFailed, StorageOutdated, UnsafeSettings
from holdfast.core.schema import Schema
from holdfast.storage.postgres.batch import PostgresBatch, PostgresReader
from holdfast.storage.postgres.errors import DRIVER_ERRORS, connecting, is_lost, translated, world_error
from holdfast.storage.postgres.link import Link
from holdfast.storage.postgres.names import SCHEMA
from holdfast.storage.postgres.roles import raise_if_unprotected
from holdfast.storage.postgres.row_codec import codecs_of
from holdfast.storage.postgres.standing import standing_of
from holdfast.storage.protocol import Batch, Reader

__all__ = ["CONNECTIONS_MAX", "OLDEST_VERSION", "PostgresStorage"]

OLDEST_VERSION: Final = 15
CONNECTIONS_MAX: Final = 10
STATEMENTS_KEPT: Final = 200
ANSWER_TIMEOUT_S: Final = 30.0
"""A statement, or the wait for a connection, that takes longer has failed: a save that waits must never hang."""

CLOSE_TIMEOUT_S: Final = 5.0
"""Transactions that are still open then are cut off."""

_BEGIN_BATCH: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_BEGIN_READER: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_PROMISES: Final = {"fsync": "on", "full_page_writes": "on"}
_WEAK_COMMITS: Final = frozenset({"off"})
_SIZES: Final = """
    SELECT c.relname::text, c.relkind::text, pg_catalog.pg_table_size(c.oid), pg_catalog.pg_indexes_size(c.oid)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'"""


class PostgresStorage:
    """`url`: as libpq reads it, with one or several hosts. `prepared=False`: for poolers that do not keep prepared statements."""

    def __init__(self, url: str, schema: Schema, *, connections_max: int = CONNECTIONS_MAX, prepared: bool = True) -> None:
        self.schema = schema
        self._url = url
        self._connections_max = connections_max
        self._prepared = prepared
        self._codecs = codecs_of(schema)
        self._pool: Any = None

    # -- open and close -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises UnsafeSettings (server too old, a setting or a role that breaks a promise, no way in), StorageOutdated, StorageNewer,
        StorageFailed."""
        with connecting():
            self._pool = await asyncpg.create_pool(
                self._url, min_size=1, max_size=self._connections_max, command_timeout=ANSWER_TIMEOUT_S, reset=_nothing,
                statement_cache_size=STATEMENTS_KEPT if self._prepared else 0)
        try:
            async with self._connection("opening") as connection:
                with translated("opening"):
                    await _raise_if_unsafe(connection)
                    await raise_if_unprotected(connection)
                    standing = await standing_of(connection, self.schema)
        except BaseException:
            await self.close()
            raise
        if standing.todo:
            await self.close()
            todo = "; ".join(standing.todo[:10])
            raise StorageOutdated(f"The database was made for other declarations, or for none. To do: {todo}.")

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @asynccontextmanager
    async def _connection(self, doing: str) -> AsyncIterator[Any]:
        """One connection of the pool. What ends in the middle of something takes its connection with it."""
        pool = self._pool
        if pool is None:
            raise StorageFailed("The store is closed.")
        try:
            connection = await pool.acquire(timeout=ANSWER_TIMEOUT_S)
        except DRIVER_ERRORS as error:
            raise world_error(error, doing) from error
        try:
            yield connection
        finally:
            with suppress(*DRIVER_ERRORS):      # one that was lost has left the pool by itself
                if not connection.is_closed() and connection.is_in_transaction():
                    connection.terminate()
                await pool.release(connection)

    @asynccontextmanager
    async def _transaction(self, begin: str, doing: str) -> AsyncIterator[Link]:
        async with self._connection(doing) as connection:
            link = Link(connection, doing)
            await link.run(begin)
            try:
                yield link
                await link.run("COMMIT")
            except BaseException as error:
                with suppress(*DRIVER_ERRORS):
                    # Cancelled perhaps in the middle of a statement, or lost: nobody knows what state it is in.
                    if is_lost(error) or not isinstance(error, Exception):
                        connection.terminate()
                    else:
                        await connection.execute("ROLLBACK")
                raise

    # -- writing and reading ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def batch(self, tenants: Sequence[str]) -> AsyncIterator[Batch]:
        async with self._transaction(_BEGIN_BATCH, "writing a batch") as link:
            batch = PostgresBatch(link, self.schema, self._codecs, tenants)
            await batch.lock()
            yield batch
            await batch.finish()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        async with self._transaction(_BEGIN_READER, "reading") as link:
            await link.act("")                      # the snapshot is of the first statement
            yield PostgresReader(link, self.schema, self._codecs)

    async def maintain(self) -> None:
        """The server does that itself (autovacuum)."""

    async def sizes(self) -> Mapping[str, int]:
        """Bytes by part; `file` is all of it, `wal` is not known here."""
        async with self._connection("measuring") as connection:
            with translated("measuring"):
                rows = await connection.fetch(_SIZES, SCHEMA)
        found = {"log": 0, "tables": 0, "indexes": 0, "file": 0, "wal": 0}
        for name, _, table_bytes, index_bytes in rows:
            found["log" if name == "hf_log" else "tables"] += table_bytes
            found["indexes"] += index_bytes
            found["file"] += table_bytes + index_bytes
        return found


async def _nothing(_connection: Any) -> None:
    """There is nothing in a session that would have to be reset."""


async def _raise_if_unsafe(connection: Any) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_VERSION:
        raise UnsafeSettings(f"This is PostgreSQL {version.major}.", hint=f"Holdfast needs PostgreSQL {OLDEST_VERSION} or later.")
    rows = await connection.fetch("SELECT name::text, setting::text FROM pg_catalog.pg_settings WHERE name = ANY($1::text[])",
                                  [*_PROMISES, "synchronous_commit", "server_encoding"])
    settings = dict(tuple(row) for row in rows)
    for name, wanted in _PROMISES.items():
        if settings[name] != wanted:
            raise UnsafeSettings(f"The database runs with {name} = {settings[name]}: an acknowledged save could be lost.")
    if settings["synchronous_commit"] in _WEAK_COMMITS:
        raise UnsafeSettings("The database runs with synchronous_commit = off: an acknowledged save could be lost.")
    if settings["server_encoding"] != "UTF8":
        raise UnsafeSettings(f"The database's encoding is {settings['server_encoding']}; Holdfast needs UTF8.")
