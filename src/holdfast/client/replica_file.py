"""The replica's file: how it is opened, its tables, one transaction, and what its errors are.

Why these settings. WAL and EXTRA (in WAL mode FULL, and one fsync more before there is a WAL): a commit that returned is on the disk.
Several processes may open the file: each transaction that writes begins IMMEDIATE, so that what it has read cannot change before it
commits. The file holds a person's work in plain and is therefore readable by its owner alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from holdfast.core.errors import (
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageNewer,
    StorageReadOnly,
    UnsafeSettings,
    WorldError,
)

__all__ = ["FORMAT", "ReplicaFile", "sync_folder", "world_error"]

FORMAT: Final = 1
APPLICATION_ID: Final = 0x48464452
VERSION_MIN: Final = (3, 51, 3)
BUSY_TIMEOUT_MS: Final = 5_000
BUSY_AGAIN_MS: Final = 50
"""A process that keeps the file locked for longer than the one is waited for no longer than the other, until it lets go."""
CACHE_KIB: Final = 16_384
WAL_KEPT_BYTES: Final = 16 << 20
WAL_PAGES_MAX: Final = 2_000
"""A checkpoint then. Twice SQLite's own number: a page that changes again and again is written to the file half as often."""
GLANCE_BYTES_MAX: Final = 4 << 20

TABLES: Final = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE records(
  collection TEXT NOT NULL, id TEXT NOT NULL, last INTEGER NOT NULL, prefix TEXT NOT NULL, rev INTEGER NOT NULL,
  deleted INTEGER NOT NULL, contract INTEGER NOT NULL, stamp INTEGER NOT NULL, sweep INTEGER NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY(collection, id)) STRICT, WITHOUT ROWID;
CREATE TABLE outbox(
  row INTEGER PRIMARY KEY AUTOINCREMENT, mutation_id TEXT NOT NULL, collection TEXT NOT NULL, record_id TEXT NOT NULL,
  state TEXT NOT NULL, made TEXT NOT NULL, answer TEXT) STRICT;
CREATE TABLE kept(
  seq INTEGER PRIMARY KEY, collection TEXT NOT NULL, record_id TEXT NOT NULL, own INTEGER NOT NULL, at INTEGER NOT NULL,
  entry TEXT NOT NULL, sent TEXT) STRICT;
CREATE INDEX kept_of_record ON kept(collection, record_id, seq);
CREATE TABLE contexts(collection TEXT NOT NULL, id TEXT NOT NULL, context TEXT NOT NULL, PRIMARY KEY(collection, id)) STRICT, WITHOUT ROWID;
CREATE TABLE lines(collection TEXT NOT NULL, id TEXT NOT NULL, mutation_id TEXT NOT NULL, device_id TEXT NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(collection, id)) STRICT, WITHOUT ROWID;
CREATE TABLE receipts(mutation_id TEXT PRIMARY KEY, collection TEXT NOT NULL, record_id TEXT NOT NULL, seq INTEGER NOT NULL,
  outcome TEXT NOT NULL, inbox_id TEXT, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE wanted(collection TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY(collection, id)) STRICT, WITHOUT ROWID;
"""

_CLASSES: Final[dict[type[apsw.Error], tuple[type[WorldError], str]]] = {
    apsw.FullError: (StorageFull, "The disk is full"),
    apsw.ReadOnlyError: (StorageReadOnly, "The replica's file cannot be written"),
    apsw.PermissionsError: (StorageReadOnly, "The replica's file cannot be written"),
    apsw.BusyError: (StorageLocked, "Another process keeps the replica's file locked"),
    apsw.LockedError: (StorageLocked, "Another process keeps the replica's file locked"),
    apsw.ProtocolError: (StorageLocked, "Another process keeps the replica's file locked"),
    apsw.CorruptError: (StorageCorrupt, "The replica's file is damaged"),
    apsw.NotADBError: (StorageCorrupt, "This file is no replica"),
    apsw.FormatError: (StorageCorrupt, "This file is no replica"),
}
_ERRNOS: Final[dict[int, tuple[type[WorldError], str]]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), (StorageFull, "The disk is full")),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), (StorageReadOnly, "The replica's file cannot be written")),
}
_HINTS: Final[dict[type[WorldError], str]] = {
    StorageFull: "Free space on the disk; what is unsent is sent at once and written as soon as that is possible.",
    StorageReadOnly: "Make the file and its folder writable for this user.",
    StorageLocked: "Close the program that holds it; several may have it open, none for long.",
    StorageCorrupt: "Run `holdfast replica export FILE` to get out what is unsent, then move the file away and open a new one.",
    StorageFailed: "Look at the disk; what is unsent is sent at once.",
}


def world_error(error: BaseException, doing: str, system_errno: int = 0) -> WorldError | None:
    """The error of the tree for what SQLite or the system raised while `doing`; None for a mistake of the program. SQLite's own text
    stays out: it can quote values."""
    if isinstance(error, OSError):
        found = _ERRNOS.get(error.errno or 0, (StorageFailed, "The replica's file could not be opened"))
    elif isinstance(error, apsw.Error):
        named = next((ours for theirs, ours in _CLASSES.items() if isinstance(error, theirs)), None)
        if named is None and isinstance(error, apsw.SQLError | apsw.BindingsError | apsw.MisuseError | apsw.ThreadingViolationError):
            return None
        found = named or _ERRNOS.get(system_errno) or (StorageFailed, "The replica's file could not be read or written")
    else:
        return None
    kind, words = found
    return kind(f"{words}, while {doing}.", hint=_HINTS[kind])


class ReplicaFile:
    """One connection to the file. Not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str], vfs: str | None = None) -> None:
        self.path = Path(path)
        self._vfs = vfs
        self._connection: apsw.Connection | None = None
        self._seen_version = 0
        self._waited = False
        self.is_new = False

    # -- opening ----------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the file, made if there is none. Raises StorageNewer, StorageCorrupt, StorageReadOnly, StorageFull and others."""
        if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")[:3]) < VERSION_MIN:
            raise UnsafeSettings("This SQLite can lose committed changes when a checkpoint races a write.", hint="Install a newer apsw.")
        with self.translated("opening it"):
            if self._vfs is None and not self.path.exists():
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                sync_folder(self.path.parent)
            connection = apsw.Connection(str(self.path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, self._vfs)
            self._connection = connection
            try:
                self._set_up(connection)
            except BaseException:
                self.close()
                raise

    def _set_up(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.pragma("cell_size_check", True)
        connection.pragma("temp_store", "MEMORY")
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("synchronous", "EXTRA")
        self._raise_on_foreign(connection)          # before anything of the file is touched
        if connection.readonly("main"):             # SQLite has opened it all the same, and would stay so when the permission is back
            raise StorageReadOnly("The replica's file cannot be written, while opening it.", hint=_HINTS[StorageReadOnly])
        if connection.pragma("journal_mode") != "wal" and connection.pragma("journal_mode", "wal") != "wal":
            raise UnsafeSettings("The file system does not allow a write-ahead log.", hint="Put the replica on a local disk.")
        connection.pragma("journal_size_limit", WAL_KEPT_BYTES)
        connection.set_wal_hook(_checkpoint_now_and_then)
        self._prepare(connection)
        size_bytes = connection.pragma("page_count") * connection.pragma("page_size")
        if size_bytes <= GLANCE_BYTES_MAX and connection.pragma("quick_check") != "ok":
            raise StorageCorrupt("The replica's file is damaged: its pages do not fit together.", hint=_HINTS[StorageCorrupt])
        self._seen_version = connection.pragma("data_version")

    def _prepare(self, connection: apsw.Connection) -> None:
        """Make the tables, if they are not there."""
        with self.writing("opening it"):
            if self._raise_on_foreign(connection):
                connection.execute(TABLES)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}")
                self.is_new = True

    def _raise_on_foreign(self, connection: apsw.Connection) -> bool:
        """Refuse a file of somebody else or of a newer Holdfast; whether it is a new one."""
        application, version = connection.pragma("application_id"), connection.pragma("user_version")
        if version == 0 and application == 0:
            if connection.execute("SELECT count(*) FROM sqlite_schema").get:
                raise StorageCorrupt("This file is a database, but no replica.", hint="Choose another path.")
            return True
        if application != APPLICATION_ID:
            raise StorageCorrupt("This file is a database, but no replica.", hint="Choose another path.")
        if version > FORMAT:
            raise StorageNewer(f"This replica was written by a newer Holdfast (format {version}, this one knows {FORMAT}).",
                               hint="Upgrade Holdfast; nothing was touched, and what is unsent is still there.")
        return False

    def close(self) -> None:
        """Never raises for a disk that fails: what was committed is committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except apsw.Error:
                connection.close(True)

    # -- using ------------------------------------------------------------------------------------------------------------

    @property
    def connection(self) -> apsw.Connection:
        if self._connection is None:
            raise StorageFailed("The replica is closed.", hint="Open it again.")
        return self._connection

    @property
    def in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    @contextmanager
    def writing(self, doing: str) -> Iterator[apsw.Connection]:
        """One durable transaction: committed and synced when the block ends, undone if it raises. Inside another it is a part of that.
        Raises WorldErrors."""
        connection = self.connection
        if self.in_transaction:
            yield connection
            return
        with self.translated(doing):
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _begin(self, connection: apsw.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            connection.set_busy_timeout(BUSY_AGAIN_MS)
            self._waited = True
            raise
        if self._waited:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._waited = False

    @contextmanager
    def reading(self, doing: str) -> Iterator[apsw.Connection]:
        """Reads of one moment. Raises WorldErrors."""
        connection = self.connection
        with self.translated(doing):
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if self.in_transaction:             # an error of the disk ends it by itself
                    connection.execute("ROLLBACK")

    def wipe(self) -> None:
        """Leave nothing in the file of what was deleted from it. Raises WorldErrors; where another process is just reading, the rest of the
        log goes when that is done."""
        with self.translated("emptying it"):
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def others_wrote(self) -> bool:
        """Whether another process has written since this was last asked."""
        with self.translated("looking for changes"):
            version = self.connection.pragma("data_version")
        wrote: bool = version != self._seen_version
        self._seen_version = version
        return wrote

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (apsw.Error, OSError) as error:
            found = world_error(error, doing, self._connection.system_errno if self._connection is not None else 0)
            if found is None:
                raise
            raise found from error



def _checkpoint_now_and_then(connection: apsw.Connection, schema: str, pages: int) -> int:
    """After a commit. A checkpoint that fails takes nothing back: what was committed stands in the write-ahead log."""
    if pages >= WAL_PAGES_MAX:
        with suppress(apsw.Error):
            connection.wal_checkpoint(schema)
    return apsw.SQLITE_OK


def sync_folder(folder: Path) -> None:
    """Make the file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
