"""Each check of the doctor's sees what it is there to see, and changes nothing (P1 Kept)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import apsw
import pytest

from holdfast.core.errors import StorageFailed
from holdfast.core.schema import Collection, Schema
from holdfast.runtime import RealRuntime
from holdfast.storage import doctor, open_storage
from holdfast.testing.storage.samples import SCHEMA, Log, task

RUNTIME = RealRuntime()


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A store with some entries, closed."""
    storage = await open_storage(tmp_path / "data", SCHEMA, RUNTIME, writer=True)
    log = Log()
    for _ in range(80):
        log.add(extra={"filler": "x" * 200})
    await log.save(storage, rows=[task("r")])
    await storage.close()
    return tmp_path / "data"


def test_a_sound_store_passes_every_check(folder: Path) -> None:
    checks = [doctor.check_settings(folder, RUNTIME), doctor.check_integrity(folder, RUNTIME),
              doctor.check_standing(folder, SCHEMA, RUNTIME), doctor.check_modes(folder), doctor.check_disk(folder)]
    assert [(one.check, one.well, one.hint) for one in checks] == [
        (name, True, "") for name in ("settings", "integrity", "tables", "modes", "disk")]
    assert checks[0].seen == "journal wal, synchronous FULL, pages of 4096 bytes"


async def test_the_checks_that_read_work_beside_a_writer(folder: Path) -> None:
    storage = await open_storage(folder, SCHEMA, RUNTIME, writer=True)
    assert doctor.check_integrity(folder, RUNTIME).well and doctor.check_standing(folder, SCHEMA, RUNTIME).well
    log, table = doctor.table_sizes(folder, RUNTIME)["hf_log"], doctor.table_sizes(folder, RUNTIME)["tasks"]
    assert log[0] >= log[1] > 80 * 200 and table[1] > 0
    await storage.close()


def test_a_second_sqlite_library_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sqlite3", "pysqlite3"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert doctor.check_library().well
    monkeypatch.setitem(sys.modules, "_sqlite3", ModuleType("_sqlite3"))
    found = doctor.check_library()
    assert not found.well and "_sqlite3" in found.seen and "locks" in found.hint


def test_an_old_library_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
    found = doctor.check_library()
    assert not found.well and "3.40.1" in found.seen and "3.51.3" in found.hint


def _damage(folder: Path, name: str) -> None:
    connection = apsw.Connection(str(folder / "holdfast.db"))
    page = connection.execute("SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (name,)).fetchall()[0][0]
    connection.close()
    with (folder / "holdfast.db").open("r+b") as file:
        file.seek((int(page) - 1) * 4096 + 2)
        file.write(b"\xff" * 6)


def test_a_damaged_page_is_found(folder: Path) -> None:
    _damage(folder, "hf_log")
    found = doctor.check_integrity(folder, RUNTIME)
    assert not found.well and found.seen and "backup" in found.hint


def test_a_row_without_its_parent_is_found(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "holdfast.db"))
    connection.execute("UPDATE tasks SET project = 'nowhere'")
    connection.close()
    found = doctor.check_integrity(folder, RUNTIME)
    assert not found.well and "tasks" in found.seen and "projects" in found.seen


def test_an_index_that_lacks_a_row_is_found(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "holdfast.db"))
    connection.execute("DROP INDEX ix_hf_log_record")
    connection.execute("CREATE INDEX ix_hf_log_record ON hf_log (record_no) WHERE seq > 5")
    connection.pragma("writable_schema", True)
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' WHERE seq > 5', '') WHERE name = 'ix_hf_log_record'")
    connection.pragma("writable_schema", False)
    connection.close()
    found = doctor.check_integrity(folder, RUNTIME)
    assert not found.well and "ix_hf_log_record" in found.seen


def test_other_declarations_are_seen(folder: Path) -> None:
    wanted = Schema(collections={**SCHEMA.collections, "more": Collection(name="more", fields={})})
    found = doctor.check_standing(folder, wanted, RUNTIME)
    assert not found.well and found.seen == "create the table more" and "migrate" in found.hint


def test_files_that_others_can_read_are_seen(folder: Path) -> None:
    (folder / "holdfast.db").chmod(0o644)
    found = doctor.check_modes(folder)
    assert not found.well and found.seen == "holdfast.db" and "chmod" in found.hint


def test_a_disk_that_is_nearly_full_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(folder)
    assert "MiB free" in doctor.check_disk(folder).seen
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((real.f_bsize, 4096, *([1_000] * 8))))
    found = doctor.check_disk(folder)
    assert not found.well and found.seen == "3 MiB free"


@pytest.mark.parametrize("check", [
    lambda folder: doctor.check_integrity(folder, RUNTIME), lambda folder: doctor.check_standing(folder, SCHEMA, RUNTIME),
    lambda folder: doctor.table_sizes(folder, RUNTIME), lambda folder: doctor.check_disk(folder / "deeper"),
    lambda folder: doctor.check_modes(folder / "deeper")])
def test_a_folder_that_is_not_there_is_said(tmp_path: Path, check: Callable[[Path], object]) -> None:
    with pytest.raises(StorageFailed):
        check(tmp_path)


def test_the_rate_of_the_disk_is_measured_and_nothing_is_left(tmp_path: Path) -> None:
    assert doctor.fdatasync_rate(tmp_path, RUNTIME, seconds=0.02) > 0
    assert list(tmp_path.iterdir()) == []
