"""Each check of `holdfast doctor` is provoked once. Defends P1 (kept): what would break it is seen before it does."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from holdfast.cli.checkup import Check, Finding, Subject, examine
from holdfast.cli.doctor import CHECKS, diagnosis
from holdfast.cli.place import Place
from holdfast.model.keys import new_master_key
from holdfast.runtime import RealRuntime, Runtime
from holdfast.server.settings import Settings
from holdfast.storage.folder import DATABASE_NAME, LOCK_NAME
from tests.cli.calling import APP, Folder, running_server


class ClockAt(RealRuntime):
    """A clock that stands."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self._stands_at = now_ms

    def now_ms(self) -> int:
        return self._stands_at


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data").found()


def subject_of(folder: Folder) -> Subject:
    return Subject(place=Place(Settings(data=str(folder.path), app=(folder.app,))), runtime=RealRuntime(), environment={},
                   patience_seconds=0.1)


def named(name: str) -> Check:
    return next(one for one in CHECKS if one.name == name)


def finding(name: str, subject: Subject) -> Finding:
    return asyncio.run(examine(named(name), subject))


def sql(folder: Folder, statement: str) -> None:
    """Change the file from outside, as only an accident or an attacker would."""
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    connection.execute(statement)
    connection.close()


def damage(folder: Folder) -> None:
    path = folder.path / DATABASE_NAME
    content = bytearray(path.read_bytes())
    for page in range(3, len(content) // 4096):
        content[page * 4096:page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)


def no_flush(folder: Path, runtime: Runtime) -> float:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))


def sized(folder: Folder, name: str, size: int) -> None:
    with (folder.path / name).open("ab") as file:
        file.truncate(size)


@contextmanager
def held(folder: Folder) -> Iterator[None]:
    """The lock, by something that has no socket."""
    with (folder.path / LOCK_NAME).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"4711\n")
        file.flush()
        yield


Case = tuple[str, Callable[[Folder], object], Callable[[Subject], Subject], Callable[[Folder], AbstractContextManager[None]], str, str]


def same(subject: Subject) -> Subject:
    return subject


def free(folder: Folder) -> AbstractContextManager[None]:
    return nullcontext()


def as_is(folder: Folder) -> None:
    return None


CASES: dict[str, Case] = {
    "an SQLite that can lose commits": ("sqlite", as_is, lambda one: replace(one, library="3.40.1"), free, "bad", "3.40.1"),
    "no folder": ("folder", as_is, lambda one: replace(one, place=Place(Settings(data="nowhere-at-all"))), free, "bad", "no folder"),
    "a folder that others may enter": ("folder", lambda f: f.path.chmod(0o755), same, free, "bad", "0755"),
    "a file that others may read": ("files", lambda f: (f.path / DATABASE_NAME).chmod(0o644), same, free, "bad", "holdfast.db"),
    "a disk that is nearly full": ("space", as_is, lambda one: replace(one, free_bytes=lambda _: 500 << 20), free, "look", "500 MiB"),
    "a disk that is full": ("space", as_is, lambda one: replace(one, free_bytes=lambda _: 0), free, "bad", "0 MiB"),
    "a network file system": ("file system", as_is, lambda one: replace(one, file_system=lambda _: "nfs4"), free, "bad", "nfs4"),
    "a file system in memory": ("file system", as_is, lambda one: replace(one, file_system=lambda _: "tmpfs"), free, "look", "tmpfs"),
    "a read-only disk": ("disk", as_is, lambda one: replace(one, flush_seconds=no_flush), free, "bad", "Read-only file system"),
    "a slow disk": ("disk", as_is, lambda one: replace(one, flush_seconds=lambda *_: 0.2), free, "look", "200.0 ms"),
    "a writer that does not answer": ("writer", as_is, same, held, "bad", "Process 4711"),
    "a master key that is gone": ("master key", lambda f: (f.path / "master.key").unlink(), same, free, "bad", "no master key"),
    "a master key that others may read": ("master key", lambda f: (f.path / "master.key").chmod(0o640), same, free, "bad", "0640"),
    "a master key that is none": ("master key", lambda f: (f.path / "master.key").write_bytes(b"\xff\xfe"), same, free, "bad",
                                  "no master key"),
    "another master key": ("master key", lambda f: (f.path / "master.key").write_text(new_master_key(os.urandom)), same, free, "bad", ""),
    "a journal mode that was changed": ("journal", lambda f: sql(f, "PRAGMA journal_mode=delete"), same, free, "bad", "'delete'"),
    "a write-ahead log that only grows": ("journal", lambda f: sized(f, f"{DATABASE_NAME}-wal", 300 << 20), same, free, "look", "300 MiB"),
    "damaged pages": ("integrity", damage, same, free, "bad", "damaged"),
    "a declaration that was not migrated": ("declarations", as_is, lambda one: replace(one, place=Place(replace(one.place.settings, app=(
        "tests.cli.tasks",)))), free, "look", "create the table tasks"),
    "a collection that nobody declares": ("declarations", as_is, lambda one: replace(one, place=Place(replace(one.place.settings, app=(
        "tests.cli.nothing",)))), free, "look", "notes"),
    "a newer database": ("declarations", lambda f: sql(f, "UPDATE hf_revision SET version_num = '9999'"), same, free, "bad", "9999"),
    "a gap in the log": ("log", lambda f: sql(f, "DELETE FROM hf_log"), same, free, "bad", "acme: the head says 1"),
    "a head of another log": ("log", lambda f: sql(f, "UPDATE hf_heads SET digest = zeroblob(32)"), same, free, "bad", "digest"),
    "a record newer than the log": ("tables", lambda f: sql(f, "UPDATE members SET last = 99"), same, free, "bad",
                                    "1 records of members in acme"),
    "a clock that was never set": ("clock", as_is, lambda one: replace(one, runtime=ClockAt(1_000)), free, "bad", "never set"),
    "a clock that went back": ("clock", as_is, lambda one: replace(one, runtime=ClockAt(RealRuntime().now_ms() - 600_000)), free, "bad",
                               "in the future"),
    "an organisation without an owner": ("owners", lambda f: f.run("tenant", "create", "beta"), same, free, "look", "beta"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_check_sees(case: Case, folder: Folder) -> None:
    name, provoke, changed, while_, state, said = case
    folder.run("migrate")
    provoke(folder)
    with while_(folder):
        found = finding(name, changed(subject_of(folder)))
    assert found.state == state, found
    assert said in found.found
    assert found.to_do, "what to do is said"


def test_every_check_is_provoked() -> None:
    assert {case[0] for case in CASES.values()} == {one.name for one in CHECKS}


def test_all_is_in_order_in_a_folder_that_was_just_made(folder: Folder) -> None:
    folder.run("migrate")
    facts = folder.facts("doctor")
    assert facts["healthy"]
    assert [one for one in facts["checks"] if one["state"] == "bad"] == []
    assert facts["sizes"]["log"] > 0


def test_a_server_that_holds_the_folder_is_in_order(folder: Folder) -> None:
    with running_server(folder.path, "--app", APP):
        facts = folder.facts("doctor")
    assert "writes, and answers" in next(one["found"] for one in facts["checks"] if one["check"] == "writer")
    assert facts["healthy"]


def test_a_folder_without_a_database_is_told_as_such(tmp_path: Path) -> None:
    empty = Folder(tmp_path)
    tmp_path.chmod(0o700)
    facts = asyncio.run(diagnosis(subject_of(empty)))
    assert facts["healthy"] and facts["sizes"] == {}


def test_something_bad_is_exit_code_1_with_what_to_do(folder: Folder) -> None:
    (folder.path / DATABASE_NAME).chmod(0o666)
    done = folder.result("doctor")
    assert done.exit_code == 1
    assert "chmod 0600" in done.stdout
    assert json.loads(folder.result("doctor", "--json").stdout)["healthy"] is False


def test_a_damaged_file_is_told_without_a_traceback(folder: Folder) -> None:
    (folder.path / DATABASE_NAME).write_bytes(b"not a database" * 1000)
    done = folder.result("doctor")
    assert done.exit_code == 1
    assert "BAD" in done.stdout and "Traceback" not in done.output


def test_where_there_is_no_database_nothing_is_called_in_order(tmp_path: Path) -> None:
    """The wrong folder, say: what was not looked at is not said to be well."""
    empty = Folder(tmp_path / "empty")
    empty.path.mkdir(mode=0o700)
    states = {one["check"]: one["state"] for one in empty.facts("doctor")["checks"]}
    assert (states["folder"], states["integrity"], states["log"], states["tables"]) == ("ok", "skip", "skip", "skip")
    assert "All is in order" not in empty.run("doctor")
