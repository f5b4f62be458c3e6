"""A witness inside the process that writes: it tells, in a file that the test maps into its memory, whether a COMMIT is under way, and can
stop the process for good at any step that the COMMIT takes on the disk: before it, after it, or in the middle of a write. There the test
kills it. (A stopped process is killed where it stands; nothing of it runs on.)

Installed by importing it with HOLDFAST_TEST_WITNESS set to the file's path, before SQLite opens anything.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any, Literal

import apsw

__all__ = ["VARIABLE", "Mark", "Moment", "install"]

VARIABLE = "HOLDFAST_TEST_WITNESS"
Moment = Literal["before", "half", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "half", "after")
_FORMAT = struct.Struct("=qqqqqqq")


class Mark:
    """The shared file: seven numbers. `stop_at` counts the steps of COMMITs from the process's start, 0 means never; `full`: no file
    may grow."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_FORMAT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)

    def _number(place: int) -> Any:  # type: ignore[misc]
        at = place * 8

        def get(self: Mark) -> int:
            return int.from_bytes(self._map[at:at + 8], "little")

        def put(self: Mark, value: int) -> None:
            self._map[at:at + 8] = value.to_bytes(8, "little")

        return property(get, put)

    in_commit = _number(0)
    commits = _number(1)
    steps = _number(2)
    stopped = _number(3)
    stop_at = _number(4)
    moment = _number(5)
    full = _number(6)

    def clear(self) -> None:
        self._map[:] = bytes(_FORMAT.size)


def stop_here(mark: Mark) -> None:
    mark.stopped = 1
    while True:
        time.sleep(60)


class _File(apsw.VFSFile):
    """A real file. Steps count only while a COMMIT is under way."""

    def __init__(self, mark: Mark, name: Any, flags: list[int]) -> None:
        self._mark = mark
        super().__init__("unix", name, flags)

    def _is_here(self) -> Moment | None:
        mark = self._mark
        if not mark.in_commit:
            return None
        mark.steps += 1
        return MOMENTS[mark.moment] if mark.steps == mark.stop_at else None

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._mark.full and offset + len(data) > self.xFileSize():
            raise apsw.FullError("the disk is full")
        moment = self._is_here()
        if moment == "before":
            stop_here(self._mark)
        if moment == "half":
            super().xWrite(bytes(data)[:len(data) // 2], offset)
            stop_here(self._mark)
        super().xWrite(data, offset)
        if moment == "after":
            stop_here(self._mark)

    def xSync(self, flags: int) -> None:
        moment = self._is_here()
        if moment in ("before", "half"):
            stop_here(self._mark)
        super().xSync(flags)
        if moment == "after":
            stop_here(self._mark)


class _Files(apsw.VFS):
    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        super().__init__("holdfast-witness", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._mark, name, flags)


_kept: list[Any] = []


def install(path: str) -> None:
    mark = Mark(Path(path))
    _kept.append(_Files(mark))

    def told(event: dict[str, Any]) -> None:
        if event["code"] == apsw.SQLITE_TRACE_STMT and event["sql"] == "COMMIT":
            mark.commits += 1
            mark.in_commit = 1
        elif event["code"] == apsw.SQLITE_TRACE_PROFILE and event["sql"] == "COMMIT":
            mark.in_commit = 0

    def watch(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE, told)

    apsw.connection_hooks.append(watch)


if os.environ.get(VARIABLE):
    install(os.environ[VARIABLE])
