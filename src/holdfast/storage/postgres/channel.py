"""NOTIFY between the servers on one database: one connection of its own, on which one listens and sends.

It needs a session: behind a pooler in transaction mode nothing would ever arrive, so its address is that of the database itself. On a
distributed server it reaches those who are connected to the same node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import asyncpg

from holdfast.core.errors import StorageFailed
from holdfast.storage.postgres.errors import DRIVER_ERRORS, connecting, translated

__all__ = ["NotifyChannel"]

_NAME: Final = "holdfast"
_TIMEOUT_S: Final = 10.0


class NotifyChannel:
    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    async def open(self, heard: Callable[[str], None]) -> None:
        """Raises UnsafeSettings or a WorldError."""
        await self.close()
        with connecting():
            self._connection = await asyncpg.connect(self._url, statement_cache_size=0, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)
        with translated("listening for other servers"):
            await self._connection.add_listener(_NAME, lambda _connection, _pid, _channel, text: heard(text))

    async def send(self, text: str) -> None:
        with translated("telling other servers"):
            await self._there().execute("SELECT pg_catalog.pg_notify($1, $2)", _NAME, text)

    async def check(self) -> None:
        with translated("listening for other servers"):
            await self._there().execute("SELECT 1")

    def _there(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            raise StorageFailed("The connection for hints between servers was lost.")
        return self._connection

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=_TIMEOUT_S)
            except DRIVER_ERRORS:       # lost in the middle of something
                connection.terminate()
