"""Facts about a data folder, for `holdfast doctor`: each function looks at one thing and says what it found; nothing is changed.

The functions that open the database read it through a connection of their own, so they also work beside a running server.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from holdfast.core.schema import Schema
from holdfast.runtime import Runtime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.sqlite_connection import VERSION_MIN, connect_reader, connect_writer
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.standing import standing_of

__all__ = ["Finding", "check_disk", "check_integrity", "check_library", "check_modes", "check_settings", "check_standing",
           "fdatasync_rate", "table_sizes"]

FREE_BYTES_MIN: Final = 256 << 20
"""Below this there is soon no room for the write-ahead log and a checkpoint."""
_BLOCK_BYTES: Final = 4096


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check: its name, whether all is well, what was seen, and what to do if not."""

    check: str
    well: bool
    seen: str
    hint: str = ""


def check_library() -> Finding:
    """The SQLite library: new enough, and the only one in this process."""
    version = apsw.sqlite_lib_version()
    others = sorted({"_sqlite3", "pysqlite3"} & sys.modules.keys())
    new_enough = tuple(map(int, version.split("."))) >= VERSION_MIN
    seen = f"SQLite {version}" + (f"; also loaded: {', '.join(others)}" if others else "")
    return Finding(check="library", well=new_enough and not others, seen=seen,
                   hint="" if new_enough and not others else
                   f"Use SQLite {'.'.join(map(str, VERSION_MIN))} or newer, and no second SQLite library on the same file: "
                   "closing a file in one releases the locks of the other.")


def check_settings(folder: Path, runtime: Runtime) -> Finding:
    """What a writer's connection really uses. Only where no server runs: it takes the file as a writer would."""
    with translated(f"checking {folder}"), closing(connect_writer(folder / DATABASE_NAME, runtime.sqlite_vfs())) as connection:
        journal, synchronous, page = (connection.pragma(name) for name in ("journal_mode", "synchronous", "page_size"))
    names = ("OFF", "NORMAL", "FULL", "EXTRA")
    well = journal == "wal" and synchronous >= 2
    return Finding(check="settings", well=well, seen=f"journal {journal}, synchronous {names[synchronous]}, pages of {page} bytes",
                   hint="" if well else "Acknowledged saves could be lost: put the folder on a local disk.")


def check_integrity(folder: Path, runtime: Runtime) -> Finding:
    """SQLite's own full check: every page, every index against its table, every foreign key. Reads the whole file."""
    with _reading(folder, runtime) as connection:
        try:
            problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            problems = [] if problems == ["ok"] else problems
            problems += [f"{row[0]}: row {row[1]} refers to a missing row of {row[2]}" for row in
                         connection.execute("PRAGMA foreign_key_check").fetchall()[:20]]
        except (apsw.CorruptError, apsw.NotADBError) as error:
            problems = [f"the check itself failed: {type(error).__name__}"]
    return Finding(check="integrity", well=not problems, seen="; ".join(problems) or "every page and index fits",
                   hint="Stop the server, keep a copy of the folder, and restore the latest verified backup." if problems else "")


def check_standing(folder: Path, schema: Schema, runtime: Runtime) -> Finding:
    """Whether the tables are those that the declarations want. Raises StorageNewer."""
    with _reading(folder, runtime) as connection:
        todo = standing_of(connection, schema).todo
    return Finding(check="tables", well=not todo, seen="; ".join(todo) or "as declared", hint="Run `holdfast migrate`." if todo else "")


def check_disk(folder: Path) -> Finding:
    """Free space where the folder lies."""
    with translated(f"measuring the disk of {folder}"):
        found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    well = free >= FREE_BYTES_MIN
    return Finding(check="disk", well=well, seen=f"{free >> 20:,} MiB free",
                   hint="" if well else "Free space: with none left saves are refused, and what was acknowledged is kept.")


def check_modes(folder: Path) -> Finding:
    """Nobody but the owner may read or write the folder and its files."""
    with translated(f"looking at {folder}"):
        open_to_others = [path.name or str(path) for path in (folder, *sorted(folder.iterdir()))
                          if stat.S_IMODE(path.lstat().st_mode) & 0o077 and not path.is_symlink()]
    return Finding(check="modes", well=not open_to_others, seen=", ".join(open_to_others) or "for the owner alone",
                   hint="chmod go-rwx them: the log holds everything that was written." if open_to_others else "")


def table_sizes(folder: Path, runtime: Runtime) -> dict[str, tuple[int, int]]:
    """Table or index -> (bytes of its pages, bytes of them in use), largest first. Reads the whole file."""
    with _reading(folder, runtime) as connection:
        rows = connection.execute("SELECT name, sum(pgsize), sum(pgsize - unused) FROM dbstat GROUP BY name ORDER BY 2 DESC").fetchall()
    return {str(name): (int(size or 0), int(used or 0)) for name, size, used in rows}


def fdatasync_rate(folder: Path, runtime: Runtime, *, seconds: float = 1.0) -> float:
    """How many appends of 4 KiB the disk below `folder` makes durable in a second: what bounds lone saves. Print it beside every
    figure of durable work, because it moves with everything else that uses the disk."""
    with translated(f"measuring the disk of {folder}"):
        path = folder / f".fdatasync-{os.getpid()}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            block, count, began = bytes(_BLOCK_BYTES), 0, runtime.monotonic()
            while runtime.monotonic() < began + seconds:
                os.write(descriptor, block)
                os.fdatasync(descriptor)
                count += 1
            return count / (runtime.monotonic() - began)
        finally:
            os.close(descriptor)
            path.unlink()


@contextmanager
def _reading(folder: Path, runtime: Runtime) -> Iterator[apsw.Connection]:
    with translated(f"reading {folder}"), closing(connect_reader(folder / DATABASE_NAME, runtime.sqlite_vfs())) as connection:
        yield connection
