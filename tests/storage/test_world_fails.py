"""A full disk, a read-only file, a lock that is held, a damaged file, I/O errors: each is a clear error, keeps what was acknowledged,
and is over when its cause is over, without anybody opening the store anew (P1 Kept)."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import pytest

from holdfast.core.errors import (
    StorageConstraint,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
    UnsafeSettings,
    WorldError,
)
from holdfast.runtime import RealRuntime
from holdfast.storage import open_storage
from holdfast.storage.sqlite import SqliteStorage
from holdfast.storage.sqlite_connection import raise_if_unsafe_library
from holdfast.storage.sqlite_errors import CLASSES, world_error
from holdfast.testing.disk import SimulatedDisk, SimulatedFile, Survival
from holdfast.testing.storage.samples import SCHEMA, TENANT, Log, task
from tests.storage.on_disk import OnDisk, boot

# Mistakes of this program, never of the world: they pass as they are.
OUR_MISTAKES = {"BindingsError", "ConnectionClosedError", "ConnectionNotClosedError", "CursorClosedError", "ExecutionCompleteError",
                "ForkingViolationError", "IncompleteExecutionError", "InvalidContextError", "MismatchError", "MisuseError", "NoFTS5Error",
                "RangeError", "SQLError", "ThreadingViolationError", "AuthError", "ExecTraceAbort"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def machine(folder: Path) -> Iterator[tuple[SimulatedDisk, SqliteStorage]]:
    with boot(folder, {}) as (disk, storage):
        yield disk, storage


async def save(storage: SqliteStorage, log: Log, size: int = 10) -> None:
    """One save; the log forgets an entry that was not committed, as the committer does."""
    head = log.head
    log.add(extra={"filler": "x" * size})
    try:
        await log.save(storage, rows=[task("r", rank=log.head.seq)])
    except WorldError:
        log.head = head
        log.pending.clear()
        raise


async def saved(storage: SqliteStorage) -> int:
    async with storage.reader() as reader:
        return len(await reader.entries(TENANT, after=0, limit=10_000))


async def save_until(storage: SqliteStorage, log: Log, kind: type[WorldError], size: int) -> None:
    for _ in range(2_000):
        try:
            await save(storage, log, size)
        except kind:
            return
    raise AssertionError(f"{kind.__name__} never came")


# -- full -------------------------------------------------------------------------------------------------------------------------


async def test_a_full_disk_keeps_what_was_acknowledged_and_saving_goes_on_when_there_is_room(
        machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    disk.capacity_bytes = disk.used_bytes() + 300_000
    await save_until(storage, log, StorageFull, 5_000)
    acknowledged = log.head.seq
    assert acknowledged > 2 and await saved(storage) == acknowledged
    with pytest.raises(StorageFull, match="disk is full"):
        await save(storage, log, 50_000)
    disk.capacity_bytes = None
    await save(storage, log, 50_000)
    assert await saved(storage) == acknowledged + 1
    await storage.close()


async def test_a_full_disk_is_met_in_any_write_of_a_commit_or_a_checkpoint(folder: Path) -> None:
    """Room for so many bytes more, for every number in steps: wherever it ends, nothing acknowledged is lost and nothing is half there."""
    for room in range(0, 60_000, 2_500):
        with boot(folder, {}) as (disk, storage):
            await storage.open()
            log = Log()
            for _ in range(3):
                await save(storage, log, 3_000)
            disk.capacity_bytes = disk.used_bytes() + room
            for _ in range(8):
                try:
                    await save(storage, log, 3_000)
                except StorageFull:
                    await storage.maintain()
            acknowledged = log.head.seq
            disk.capacity_bytes = None
            await save(storage, log, 3_000)
            assert await saved(storage) == acknowledged + 1, room
            await storage.close()
        with boot(folder, {name: bytes(held.seen) for name, held in disk.files.items()}) as (disk, storage):
            await storage.open()
            assert await saved(storage) == acknowledged + 1
            await storage.close()


async def test_a_real_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    storage = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    assert isinstance(storage, SqliteStorage)
    log = Log()
    await save(storage, log)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        await save_until(storage, log, StorageFull, 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    acknowledged = log.head.seq
    assert await saved(storage) == acknowledged
    await save(storage, log, 200_000)
    assert await saved(storage) == acknowledged + 1
    await storage.close()


# -- read-only --------------------------------------------------------------------------------------------------------------------


async def test_a_file_that_becomes_read_only_still_answers_and_saves_again_when_it_can(
        machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    await save(storage, log)
    disk.read_only = True
    for _ in range(3):
        with pytest.raises(StorageReadOnly, match="cannot be written"):
            await save(storage, log)
    assert await saved(storage) == 1
    disk.read_only = False
    await save(storage, log)
    assert await saved(storage) == 2
    await storage.close()


async def test_a_store_opened_for_reading_does_not_write(tmp_path: Path) -> None:
    writer = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    reader = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=False)
    with pytest.raises(StorageReadOnly):
        async with reader.batch([TENANT]):
            pass
    await reader.close()
    await writer.close()


async def test_reading_where_there_is_no_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="no database"):
        await open_storage(tmp_path, SCHEMA, RealRuntime(), writer=False)


# -- locked -----------------------------------------------------------------------------------------------------------------------

HOLDER = """
    import asyncio, sys
    from holdfast.runtime import RealRuntime
    from holdfast.storage import open_storage
    from holdfast.testing.storage.samples import SCHEMA

    async def hold():
        await open_storage(sys.argv[1], SCHEMA, RealRuntime(), writer=True)
        print("held", flush=True)
        sys.stdin.read()

    asyncio.run(hold())
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process writes there."""
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLDER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        yield holder


async def test_a_second_writer_is_told_who_holds_the_folder_and_gets_it_when_that_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with held_elsewhere(folder) as holder:
        with pytest.raises(StorageLocked, match=f"process {holder.pid}"):
            await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
        readers = await open_storage(folder, SCHEMA, RealRuntime(), writer=False)
        await readers.close()
        holder.kill()
    storage = await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
    await storage.close()


async def test_a_second_writer_in_one_process_is_refused_too(tmp_path: Path) -> None:
    first = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    with pytest.raises(StorageLocked):
        await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    await first.close()
    second = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    await second.close()


async def test_a_foreign_program_that_holds_the_write_lock_is_waited_for_and_then_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.storage.sqlite_connection.BUSY_TIMEOUT_MS", 20)
    storage = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    assert isinstance(storage, SqliteStorage)
    log, foreign = Log(), apsw.Connection(str(tmp_path / "data" / "holdfast.db"))
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageLocked, match="in use"):
        await save(storage, log)
    foreign.execute("ROLLBACK")
    await save(storage, log)
    foreign.close()
    await storage.close()


async def test_a_batch_within_a_batch_is_refused_at_once(tmp_path: Path) -> None:
    storage = await open_storage(tmp_path / "data", SCHEMA, RealRuntime(), writer=True)
    async with storage.batch([TENANT]):
        with pytest.raises(StorageLocked):
            async with storage.batch([TENANT]):
                pass
    async with storage.batch([TENANT]):
        pass
    await storage.close()


# -- damaged ----------------------------------------------------------------------------------------------------------------------


async def _pages_of_the_log(storage: SqliteStorage) -> list[int]:
    """Numbers of pages that hold entries."""
    connection = apsw.Connection(str(storage.path), vfs=storage._runtime.sqlite_vfs())
    pages = [int(row[0]) for row in connection.execute("SELECT pageno FROM dbstat WHERE name = 'hf_log' AND pagetype = 'leaf'")]
    connection.close()
    return pages


async def test_a_damaged_page_is_an_error_of_its_own_and_is_over_when_the_page_is_whole_again(
        machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    for _ in range(60):
        await save(storage, log, 300)
    await storage.close()
    await storage.open()
    name = str(storage.path)
    page = (await _pages_of_the_log(storage))[1]
    damage = [((page - 1) * 4096 + offset, 0xFF) for offset in range(8)]
    for offset, mask in damage:
        disk.flip(name, offset, mask)
    storage._drop_writer()      # as a machine that starts anew would: nothing of the page in memory
    with pytest.raises(StorageCorrupt, match="damaged") as caught:
        await saved(storage)
    assert "doctor" in caught.value.hint
    for offset, mask in damage:
        disk.flip(name, offset, mask)
    assert await saved(storage) == 60
    await save(storage, log)
    assert await saved(storage) == 61
    await storage.close()


async def test_a_damaged_file_is_not_opened(machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    for _ in range(60):
        await save(storage, log, 300)
    await storage.close()
    for offset in range(4096, 8192, 7):
        disk.flip(str(storage.path), offset)
    with pytest.raises(StorageCorrupt):
        await storage.open()


async def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "holdfast.db").write_bytes(b"Dear Sir or Madam, " * 500)
    with pytest.raises(StorageCorrupt):
        await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
    assert (folder / "holdfast.db").read_bytes() == b"Dear Sir or Madam, " * 500


# -- I/O errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("verb", ["write", "sync"])
async def test_a_disk_that_fails_for_a_while(machine: tuple[SimulatedDisk, SqliteStorage], verb: str, times: int) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    await save(storage, log)
    disk.failing.add(verb)
    for _ in range(times):
        with pytest.raises(StorageFailed):
            await save(storage, log)
    disk.failing.clear()
    async with storage.batch([TENANT]) as batch:
        # What failed while it was committed may stand or not; whoever writes on begins at the head that stands.
        log.head = await batch.head(TENANT)
    await save(storage, log)
    assert await saved(storage) == log.head.seq >= 2
    await storage.close()


async def test_a_commit_that_could_not_be_synced_is_not_there(machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    log = Log()
    await save(storage, log)
    disk.failing.add("sync")
    with pytest.raises(StorageFailed):
        await save(storage, log)
    disk.failing.clear()
    assert await saved(storage) == 1
    await storage.close()


class ForgetfulDisk(SimulatedDisk):
    """What Linux does: an fsync that fails forgets what it could not write; the next one finds nothing to do and succeeds."""

    def sync(self, name: str, held: SimulatedFile, *, folder_too: bool) -> None:
        if "sync" in self.failing:
            held.pending.clear()
        super().sync(name, held, folder_too=folder_too)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_fsync_that_fails_leaves_no_hole_before_later_saves(folder: Path, times: int) -> None:
    disk = ForgetfulDisk(folder, random.Random(0))
    storage = SqliteStorage(folder, SCHEMA, OnDisk(disk), writer=True)
    await storage.open()
    log = Log()
    await save(storage, log)
    disk.failing.add("sync")
    for _ in range(times):
        with pytest.raises(StorageFailed):
            await save(storage, log)
    disk.failing.clear()
    for _ in range(4):
        async with storage.batch([TENANT]) as batch:
            log.head = await batch.head(TENANT)
        await save(storage, log)
    files = disk.after_power_cut(Survival(), random.Random(1))
    with suppress(WorldError):
        await storage.close()
    disk.unregister()
    with boot(folder, files) as (_, again):
        await again.open()
        assert await saved(again) == log.head.seq
        await again.close()


async def test_reads_that_fail_for_a_while(machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    disk, storage = machine
    await storage.open()
    await save(storage, Log())
    disk.failing.add("read")
    with pytest.raises(WorldError):
        await saved(storage)
    disk.failing.clear()
    assert await saved(storage) == 1
    await storage.close()


async def test_a_checkpoint_that_fails_is_no_ones_error(machine: tuple[SimulatedDisk, SqliteStorage], monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("holdfast.storage.sqlite.CHECKPOINT_PAGES_MAX", 1)
    disk, storage = machine
    await storage.open()
    log = Log()
    await save(storage, log)
    room = disk.used_bytes()
    for _ in range(20):
        await save(storage, log, 3_000)
    disk.capacity_bytes = room
    await storage.maintain()
    disk.capacity_bytes = None
    await save(storage, log)
    assert await saved(storage) == 22
    await storage.close()


# -- the table --------------------------------------------------------------------------------------------------------------------


def test_every_error_of_the_driver_is_in_the_table_or_is_our_mistake() -> None:
    known = {kind.__name__ for kind in CLASSES}
    errors = {name for name in dir(apsw) if isinstance(getattr(apsw, name), type) and issubclass(getattr(apsw, name), apsw.Error)}
    assert errors - {"Error"} == known | OUR_MISTAKES
    assert not known & OUR_MISTAKES


@pytest.mark.parametrize(("number", "kind"), [
    (errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EFBIG, StorageFull), (errno.EROFS, StorageReadOnly),
    (errno.EACCES, StorageReadOnly), (errno.EIO, StorageFailed), (errno.EMFILE, StorageFailed)])
def test_an_io_error_is_what_the_system_says_it_is(number: int, kind: type[WorldError]) -> None:
    for error in (world_error(apsw.IOError("secret value"), "saving", number), world_error(OSError(number, "secret value"), "saving")):
        assert type(error) is kind
        assert "saving" in error.detail and "secret" not in str(error)
    assert type(world_error(apsw.ConstraintError("UNIQUE: secret"), "saving")) is StorageConstraint
    assert world_error(ValueError(), "saving") is None


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_a_library_that_can_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(UnsafeSettings, match=version):
        raise_if_unsafe_library(version)
    raise_if_unsafe_library("3.51.3")
    raise_if_unsafe_library("3.54.1")


async def test_a_file_system_without_a_write_ahead_log_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    connection = apsw.Connection(str(folder / "holdfast.db"))
    connection.pragma("locking_mode", "exclusive")
    connection.execute("CREATE TABLE held (x)")
    connection.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("holdfast.storage.sqlite_connection.BUSY_TIMEOUT_MS", 1)
    with pytest.raises((UnsafeSettings, StorageLocked)):
        await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
    connection.execute("ROLLBACK")
    connection.close()


async def test_what_fails_in_somebody_elses_code_is_not_storages_error(machine: tuple[SimulatedDisk, SqliteStorage]) -> None:
    _, storage = machine
    await storage.open()
    for opened in (storage.reader(), storage.batch([TENANT])):
        with pytest.raises(ConnectionResetError):
            async with opened:
                raise ConnectionResetError(errno.ECONNRESET, "the socket is gone")
    await save(storage, Log())
    await storage.close()


def test_there_is_one_sqlite_library_in_the_process(tmp_path: Path) -> None:
    """Two of them on one file lose each other's locks."""
    program = """
        import asyncio, sys
        from holdfast.runtime import RealRuntime
        from holdfast.storage import open_storage
        from holdfast.testing.storage.samples import SCHEMA

        async def go():
            storage = await open_storage(sys.argv[1], SCHEMA, RealRuntime(), writer=True)
            await storage.close()

        asyncio.run(go())
        print(sorted({"_sqlite3", "sqlite3", "pysqlite3", "aiosqlite"} & sys.modules.keys()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "data")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_store_that_is_current_loads_no_tool_that_migrates(tmp_path: Path) -> None:
    """An idle server is small: SQLAlchemy and Alembic weigh more than all of storage."""
    program = """
        import asyncio, sys
        from holdfast.runtime import RealRuntime
        from holdfast.storage import open_storage
        from holdfast.testing.storage.samples import SCHEMA

        async def go():
            storage = await open_storage(sys.argv[1], SCHEMA, RealRuntime(), writer=True)
            await storage.close()

        asyncio.run(go())
        print(sorted({"sqlalchemy", "alembic"} & sys.modules.keys()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "data")]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert (first, second) == ("['alembic', 'sqlalchemy']\n", "[]\n")


async def test_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    storage = await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
    assert isinstance(storage, SqliteStorage)
    await save(storage, Log())
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes == {"data": 0o700, "holdfast.db": 0o600, "holdfast.db-wal": 0o600, "holdfast.db-shm": 0o600, "holdfast.lock": 0o600}
    await storage.close()
    assert {name for name in os.listdir(folder) if name != "holdfast.lock"} == {"holdfast.db"}
