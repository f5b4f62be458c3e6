"""Connections to one SQLite file: how they are opened, and what is refused at the door.

Why these settings.
- `synchronous=FULL`: every commit is fsynced before it returns (`tests/storage/test_power_cuts.py` cuts the power at every step).
- `journal_mode=WAL`, checkpoints by the writer alone (`wal_autocheckpoint=0` everywhere: `sqlite.py` says when).
- `secure_delete=FAST`: freed bytes of a page are overwritten, so that what was erased is not left beside what stands.
- no memory-mapped reading: an I/O error would be a SIGBUS instead of an error.
- stable query plans (QPSG): without it a statement with a join is prepared anew for every binding, in case a value would make another
  plan better (measured: 16 µs instead of 2.4 for a look-up in the log).
- `trusted_schema=OFF`, `cell_size_check=ON`: a damaged or foreign file is found at the first page that lies.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from holdfast.core.errors import StorageCorrupt, StorageFailed, UnsafeSettings
from holdfast.storage.folder import FILE_MODE, sync_folder

__all__ = ["PAGE_BYTES", "VERSION_MIN", "close_quietly", "connect_reader", "connect_writer", "raise_if_unsafe_library"]

VERSION_MIN: Final = (3, 51, 3)
"""Versions 3.7.0 to 3.51.2 can lose committed transactions when a checkpoint races a write (the WAL-reset bug)."""

PAGE_BYTES: Final = 4096
WRITER_CACHE_KIB: Final = 32_768
READER_CACHE_KIB: Final = 8_192
BUSY_TIMEOUT_MS: Final = 2_000
WAL_KEPT_BYTES: Final = 64 << 20
STATEMENTS_MAX: Final = 512
GLANCE_BYTES_MAX: Final = 32 << 20
"""Up to this size a file is checked whole when it is opened (a fraction of a second)."""


def raise_if_unsafe_library(version: str = apsw.sqlite_lib_version()) -> None:
    """Raises UnsafeSettings if the SQLite library is too old to keep what it acknowledges."""
    if tuple(int(part) for part in version.split(".")[:3]) < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        raise UnsafeSettings(f"SQLite {version} can lose committed changes when a checkpoint races a write.",
                             hint=f"Install an `apsw` that brings SQLite {wanted} or newer.")


def connect_writer(path: Path, vfs: str | None) -> apsw.Connection:
    """The one connection that writes. Creates the file, for its owner alone. Raises apsw.Error, UnsafeSettings, StorageCorrupt."""
    if vfs is None and not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        sync_folder(path.parent)
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, vfs, STATEMENTS_MAX)
    try:
        _set_up(connection, WRITER_CACHE_KIB)
        connection.pragma("page_size", PAGE_BYTES)
        connection.pragma("synchronous", "FULL")
        if connection.pragma("journal_mode") != "wal":
            connection.pragma("journal_mode", "wal")
        connection.pragma("journal_size_limit", WAL_KEPT_BYTES)
        connection.pragma("foreign_keys", True)
        connection.pragma("secure_delete", "FAST")
        _raise_if_unsafe(connection)
        _raise_if_damaged(connection)
    except BaseException:
        close_quietly(connection)
        raise
    return connection


def connect_reader(path: Path, vfs: str | None) -> apsw.Connection:
    """A connection that only reads, and neither checkpoints nor cleans up. Raises apsw.Error, StorageFailed if there is no file."""
    if vfs is None and not path.exists():
        raise StorageFailed(f"There is no database in {path.parent}.", hint="Run `holdfast migrate`, or check the path.")
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY, vfs, STATEMENTS_MAX)
    try:
        _set_up(connection, READER_CACHE_KIB)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.pragma("query_only", True)
    except BaseException:
        close_quietly(connection)
        raise
    return connection


def close_quietly(connection: apsw.Connection) -> None:
    """Close, whatever the disk says: what is committed stands in the write-ahead log or in the file, and the next one to open finds it."""
    with suppress(apsw.Error):
        connection.close(True)


def _set_up(connection: apsw.Connection, cache_kib: int) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.wal_autocheckpoint(0)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("cell_size_check", True)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("cache_size", -cache_kib)


def _raise_if_unsafe(connection: apsw.Connection) -> None:
    journal, synchronous = connection.pragma("journal_mode"), connection.pragma("synchronous")
    if journal != "wal":
        raise UnsafeSettings(f"The file system does not allow a write-ahead log (journal mode is {journal!r}).",
                             hint="Put the data folder on a local disk: network file systems cannot keep what is acknowledged.")
    if synchronous < 2:
        raise UnsafeSettings("SQLite does not sync every commit.", hint="Leave `synchronous` at FULL or above.")


def _raise_if_damaged(connection: apsw.Connection) -> None:
    """A glance: the header, the list of tables, and a small file as a whole."""
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    if connection.pragma("page_count") * connection.pragma("page_size") <= GLANCE_BYTES_MAX:
        verdict = connection.pragma("quick_check")
        if verdict != "ok":
            raise StorageCorrupt("The database file is damaged: its pages do not fit together.")
