"""Storage on SQLite: one writer per data folder, readers beside it, in this process or another.

Checkpoints are the writer's alone, and never inside a COMMIT that somebody waits for: `maintain` does them when there is nothing else
to do, and the beginning of a batch when the write-ahead log has grown to `CHECKPOINT_PAGES_MAX` all the same.

After an error the store recovers by itself when the cause is gone. A writer's connection that met an I/O error is kept once, rolled
back: it alone knows which frames of the write-ahead log were not committed, and the next commit writes over them. Where that does not
help, it is dropped and a fresh one is opened, and before that one writes, all of the log is copied into the database: an fsync that
failed may have left a hole in the log that no later fsync fills, and whatever came after the hole would be lost with the next power
cut. A batch that failed while committing has an unknown outcome, like any lost reply: sent again, it takes effect once.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from holdfast.core.entry import Row
from holdfast.core.errors import (
    StorageConstraint,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageOutdated,
    StorageReadOnly,
    WorldError,
)
from holdfast.core.schema import Collection, Schema
from holdfast.runtime import Runtime
from holdfast.storage.folder import DATABASE_NAME, FolderLock, make_folder
from holdfast.storage.numbering import NewNumbers, Numbers, Remembered
from holdfast.storage.protocol import Batch, Reader
from holdfast.storage.row_codec import codecs_of
from holdfast.storage.sqlite_batch import SqliteBatch, SqliteReader
from holdfast.storage.sqlite_connection import BUSY_TIMEOUT_MS, close_quietly, connect_reader, connect_writer, raise_if_unsafe_library
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.sqlite_remains import CLEARED_AT_ONCE_BYTES_MAX, clear_remains
from holdfast.storage.standing import Standing, standing_of

__all__ = ["CHECKPOINT_PAGES_MAX", "SqliteStorage", "Upcaster"]

log: Final = logging.getLogger("holdfast.storage")

CHECKPOINT_PAGES_MAX: Final = 16_000
"""Pages in the write-ahead log from which the next batch waits for a checkpoint (63 MiB; some 20 to 30 ms). A page that changed often is
copied once: at 4,000 pages checkpoints took twice the time in all."""
CHECKPOINT_PAGES_IDLE: Final = 1_000
READERS_KEPT_MAX: Final = 4

Upcaster = Callable[[str, Row, Collection], Row]
"""Reads a tenant's row of an older contract under the present one. Raises InvalidValue."""

_HARMLESS: Final = (StorageConstraint, StorageLocked, StorageFull)
"""After these the connection is as good as before."""


class SqliteStorage:
    """`writer=False`: readers alone; another process writes. `migrate`: bring an older database up when opening."""

    def __init__(self, folder: Path, schema: Schema, runtime: Runtime, *, writer: bool, migrate: bool = False,
                 upcast: Upcaster | None = None) -> None:
        self.schema = schema
        self.path = folder / DATABASE_NAME
        self._folder = folder
        self._runtime = runtime
        self._may_write = writer
        self._migrate = migrate
        self._upcast = upcast
        self._codecs = codecs_of(schema)
        self._lock = FolderLock(folder)
        self._writer: apsw.Connection | None = None
        self._remembered = Remembered()
        self._readers: deque[apsw.Connection] = deque()
        self._mutex = threading.Lock()
        self._batch_thread: int | None = None
        self._wal_pages = 0
        self._checkpoint_at = CHECKPOINT_PAGES_MAX
        self._remains = False           # bytes of what was erased may still be in the file
        self._failed_before = False     # the last batch met an I/O error
        self._suspect = False           # the write-ahead log may have a hole: empty it before anything is added

    # -- open and close -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        raise_if_unsafe_library()
        if not self._may_write:
            await self._look()
            return
        make_folder(self._folder)
        self._lock.take()
        try:
            self._suspect = True        # who knows how the process before this one ended
            connection = self._connect_writer()
            self._bring_up(connection)
            self._clear_remains(connection, size_bytes_max=None)
        except BaseException:
            self._drop_writer()
            self._lock.release()
            raise

    async def _look(self) -> None:
        """A reader's check at opening."""
        with translated(f"opening {self.path}"):
            connection = connect_reader(self.path, self._runtime.sqlite_vfs())
            try:
                self._raise_if_outdated(standing_of(connection, self.schema))
            finally:
                close_quietly(connection)

    def _bring_up(self, connection: apsw.Connection) -> None:
        with translated(f"opening {self.path}", connection=connection):
            standing = standing_of(connection, self.schema)
        if standing.empty or (standing.todo and self._migrate):
            # The tools that migrate weigh more than all the rest of the store: a store that is current never loads them.
            migration = importlib.import_module("holdfast.storage.migration")
            with translated(f"migrating {self.path}", connection=connection):
                migration.migrate(connection, self.schema, self._upcast)
        else:
            self._raise_if_outdated(standing)

    def _raise_if_outdated(self, standing: Standing) -> None:
        if standing.todo:
            todo = "; ".join(standing.todo[:10])
            raise StorageOutdated(f"The database in {self._folder} was made for other declarations. To do: {todo}.")

    async def close(self) -> None:
        """Leaves one file: what is in the write-ahead log goes into the database, if it can."""
        while self._readers:
            close_quietly(self._readers.pop())
        if self._writer is not None:
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if self._writer is not None:
            close_quietly(self._writer)
            self._writer = None
        self._lock.release()

    # -- connections --------------------------------------------------------------------------------------------------

    def _connect_writer(self) -> apsw.Connection:
        if self._writer is None:
            with translated("opening the database"):
                self._writer = connect_writer(self.path, self._runtime.sqlite_vfs())
            self._writer.set_wal_hook(self._note_wal)
        if self._suspect:
            self._empty_wal(self._writer)
        return self._writer

    def _empty_wal(self, connection: apsw.Connection) -> None:
        """Raises the WorldError that stands in the way. A full disk does not: then nothing can be added to the log either."""
        try:
            with translated("opening the database", self._after_error, connection):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except StorageFull as error:
            log.warning("The write-ahead log could not be copied into the database: %s", error.detail)
            return
        self._suspect = False

    def _note_wal(self, connection: apsw.Connection, name: str, pages: int) -> int:
        self._wal_pages = pages
        return int(apsw.SQLITE_OK)

    def _drop_writer(self) -> None:
        connection, self._writer = self._writer, None
        self._remembered = Remembered()      # what was read may never have been committed, or be another file's
        if connection is not None:
            with suppress(apsw.Error):
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            close_quietly(connection)

    def _after_error(self, error: WorldError) -> None:
        if isinstance(error, _HARMLESS):
            return
        log.warning("Storage failed: %s", error.detail)
        if self._failed_before or type(error) is not StorageFailed:
            self._drop_writer()
            self._suspect = True
        self._failed_before = True

    # -- writing ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def batch(self, tenants: Sequence[str]) -> AsyncIterator[Batch]:
        if not self._may_write:
            raise StorageReadOnly("This store was opened for reading.", hint="Write through the process that writes the data folder.")
        self._enter()
        try:
            connection = self._connect_writer()
            if self._wal_pages >= self._checkpoint_at:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                connection = self._connect_writer()
            with translated("beginning a batch", self._after_error, connection):
                connection.execute("BEGIN IMMEDIATE")
            new = NewNumbers(connection, self._remembered)
            batch = SqliteBatch(connection, new, self.schema, self._codecs, tenants)
            with translated("writing a batch", self._after_error, connection, foreign=True):
                try:
                    yield batch
                    connection.execute("COMMIT")
                except BaseException:
                    self._roll_back(connection)
                    self._remembered.doubt()
                    raise
            new.keep()
            self._failed_before = False
            if batch.erased_any:
                self._clear_remains(connection, size_bytes_max=CLEARED_AT_ONCE_BYTES_MAX)
        finally:
            self._leave()

    def _enter(self) -> None:
        """One batch at a time. A second one from another thread waits a while; from the same thread it never could be let in."""
        me = threading.get_ident()
        if self._batch_thread == me or not self._mutex.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise StorageLocked("Another batch is open.", hint="One batch is open at a time; try again when it is done.")
        self._batch_thread = me

    def _leave(self) -> None:
        self._batch_thread = None
        self._mutex.release()

    def _roll_back(self, connection: apsw.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._drop_writer()

    # -- checkpoints --------------------------------------------------------------------------------------------------

    async def maintain(self) -> None:
        """Work that can wait until nothing else does: a checkpoint. Cheap when there is none; never raises."""
        if self._writer is None or (self._wal_pages < CHECKPOINT_PAGES_IDLE and not self._remains):
            return
        with suppress(StorageLocked):       # a batch is open: then there is something else to do
            self._enter()
            try:
                self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                if self._remains and self._writer is not None:
                    self._clear_remains(self._writer, size_bytes_max=CLEARED_AT_ONCE_BYTES_MAX)
            finally:
                self._leave()

    def _checkpoint(self, mode: int) -> None:
        """Copy the write-ahead log into the database. Nothing is lost if it fails: it is tried again when the log has grown on."""
        connection = self._connect_writer()
        pages, copied = self._wal_pages, 0
        try:
            with translated("checkpointing", self._after_error, connection):
                pages, copied = connection.wal_checkpoint(mode=mode)
        except StorageLocked:
            pass        # a reader still needs what the log holds
        except WorldError as error:
            log.warning("A checkpoint failed; what was acknowledged stands in the write-ahead log: %s", error.detail)
        if copied >= pages:
            self._wal_pages, self._checkpoint_at = 0, CHECKPOINT_PAGES_MAX
        else:
            self._wal_pages, self._checkpoint_at = pages, pages + CHECKPOINT_PAGES_MAX

    def _clear_remains(self, connection: apsw.Connection, *, size_bytes_max: int | None) -> None:
        """After an erasing batch, and at opening: the bytes of what was erased. A failure leaves them for the next time."""
        try:
            with translated("clearing what was erased from the file", self._after_error, connection):
                self._remains = not clear_remains(connection, size_bytes_max)
        except WorldError as error:
            self._remains = True
            log.warning("Bytes of what was erased may still be in the file: %s", error.detail)

    # -- reading ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        with translated("opening a reader"):
            connection = self._take_reader()
        broken: list[WorldError] = []
        try:
            with translated("reading", broken.append, connection, foreign=True):
                connection.execute("BEGIN")
                connection.execute("SELECT seq FROM hf_heads LIMIT 1").fetchall()      # the snapshot begins with the first read
                yield SqliteReader(connection, Numbers(connection, self._remembered), self.schema, self._codecs)
        finally:
            self._put_back(connection, sound=not broken)

    def _take_reader(self) -> apsw.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            return connect_reader(self.path, self._runtime.sqlite_vfs())

    def _put_back(self, connection: apsw.Connection, *, sound: bool) -> None:
        if sound and len(self._readers) < READERS_KEPT_MAX:
            with suppress(apsw.Error):
                connection.execute("ROLLBACK")
                self._readers.append(connection)
                return
        close_quietly(connection)

    async def sizes(self) -> Mapping[str, int]:
        """Bytes by part. Reads every page of the file: for people and benchmarks, not for every request."""
        with translated("measuring"):
            connection = self._take_reader()
            try:
                parts = connection.execute("SELECT s.name, m.tbl_name, m.type, sum(s.pgsize) FROM dbstat AS s "
                                           "LEFT JOIN sqlite_schema AS m ON m.name = s.name GROUP BY s.name").fetchall()
                file = connection.pragma("page_count") * connection.pragma("page_size")
            finally:
                close_quietly(connection)
        found = {"log": 0, "tables": 0, "indexes": 0, "file": file, "wal": self._wal_bytes()}
        for name, table, kind, size in parts:
            found[_part(str(name), str(table or ""), str(kind or ""))] += size
        return found

    def _wal_bytes(self) -> int:
        wal = self.path.with_name(self.path.name + "-wal")
        return wal.stat().st_size if wal.exists() else 0


_LOG_TABLES: Final = frozenset({"hf_log", "hf_records", "hf_labels", "hf_requests", "hf_heads", "hf_erased"})


def _part(name: str, table: str, kind: str) -> str:
    if table in _LOG_TABLES:
        return "log"
    return "indexes" if kind == "index" else "tables"
