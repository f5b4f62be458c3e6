"""PEP 249 over `apsw`, as far as SQLAlchemy and Alembic need it to migrate: one SQLite library in the process, for tools too.

A connection here never begins or ends a transaction by itself: the migration that owns the `apsw` connection does, around all of it,
so that a migration happens whole or not at all. `commit` and `rollback` are therefore empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

__all__ = ["Connection", "Cursor", "DatabaseError", "Error", "apilevel", "paramstyle", "sqlite_version", "sqlite_version_info",
           "threadsafety"]

apilevel: Final = "2.0"
threadsafety: Final = 1
paramstyle: Final = "qmark"
sqlite_version: Final = apsw.sqlite_lib_version()
sqlite_version_info: Final = tuple(int(part) for part in sqlite_version.split("."))

Error = apsw.Error
Warning = apsw.Error
InterfaceError = apsw.MisuseError
DatabaseError = apsw.Error
DataError = apsw.MismatchError
OperationalError = apsw.Error
IntegrityError = apsw.ConstraintError
InternalError = apsw.InternalError
ProgrammingError = apsw.SQLError
NotSupportedError = apsw.SQLError
Binary = bytes


class Cursor:
    arraysize = 1
    lastrowid: int | None = None
    rowcount = -1

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: list[tuple[Any, ...]] | None = None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        cursor = self._connection.cursor()
        names: list[str] = []

        def note(_cursor: apsw.Cursor, statement: str, bindings: Any) -> bool:
            names[:] = [column[0] for column in _cursor.get_description()]
            return True

        cursor.exec_trace = note
        self._rows = list(cursor.execute(sql, tuple(parameters)))
        self.description = [(name, None, None, None, None, None, None) for name in names] or None
        self.lastrowid, self.rowcount = self._connection.last_insert_rowid(), self._connection.changes()
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> Cursor:
        for one in parameters:
            self.execute(sql, one)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        some, self._rows = self._rows[:size], self._rows[size:]
        return some

    def fetchall(self) -> list[tuple[Any, ...]]:
        some, self._rows = self._rows, []
        return some

    def close(self) -> None:
        self._rows = []


class Connection:
    isolation_level: str | None = None

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def cursor(self) -> Cursor:
        return Cursor(self._connection)

    def create_function(self, name: str, arguments: int, function: Any, *, deterministic: bool = False) -> None:
        self._connection.create_scalar_function(name, function, arguments, deterministic=deterministic)

    def commit(self) -> None:
        """The owner of the transaction commits."""

    def rollback(self) -> None:
        """The owner of the transaction rolls back."""

    def close(self) -> None:
        """The owner of the connection closes it."""
