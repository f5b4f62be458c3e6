"""What every part of a SQLite reader stands on: one connection, the numbers of names, the codecs of the schema's tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apsw

from holdfast.core.schema import Schema
from holdfast.storage.numbering import Numbers
from holdfast.storage.row_codec import RowCodec

__all__ = ["SqliteBase"]


class SqliteBase:
    """Reads on one connection, within the transaction that stands open on it."""

    def __init__(self, connection: apsw.Connection, numbers: Numbers, schema: Schema, codecs: dict[str, RowCodec]) -> None:
        self.connection = connection
        self.numbers = numbers
        self.schema = schema
        self.codecs = codecs

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self.connection.execute(sql, values).fetchone()
        return found

    def each(self, sql: str, values: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows of one prepared statement run for each of `values`, in their order."""
        return self.connection.executemany(sql, values).fetchall()
