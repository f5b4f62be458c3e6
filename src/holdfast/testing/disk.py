"""A disk written in Python, for SQLite: it remembers what was synced and what was not, and can lose power at any step.

Theory. Every file has what its last sync made durable, and the writes since. Programs read what was written; a power cut keeps
what was synced and of the rest whatever the `Survival` says: nothing, everything, whole writes in any order, single sectors, or
half a sector. A file whose name was never synced may be gone; a deleted one may be back. That is what POSIX allows, and more than
real disks do to us: the order between files is lost too. Names become durable as SQLite's own VFS for Unix makes them: when a new
journal or write-ahead log is synced for the first time, and when a deletion asks for it.

Steps. Every call that changes the disk (open of a new file, write, truncate, sync, delete) is one step. `cut_power_at(n)` makes
step n the one that does not return: a write may still reach the platter, a sync has not happened. From then on every call fails.

Rules of the file. Locks and the WAL's shared memory are the system's own, on empty files in `folder`, because SQLite gives
Python no hook for shared memory; nothing of them outlives a power cut. All randomness comes from the `random.Random` given.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

__all__ = ["SECTOR_BYTES", "SimulatedDisk", "SimulatedFile", "Survival"]

SECTOR_BYTES: Final = 512
_JOURNALS: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
_names: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What of the unsynced a power cut keeps. Shares are probabilities from 0 to 1."""

    writes: float = 0.0             # a write since the last sync reached the disk (whole, unless torn)
    torn: float = 0.0               # of those that did: only some of its sectors, the last of them cut anywhere
    names: float = 0.5              # an unsynced directory entry (of a new or a deleted file) stands


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class _Truncate:
    size: int


@dataclass(slots=True)
class SimulatedFile:
    """`seen` is what programs read; `durable` with any part of `pending` is what a power cut leaves."""

    durable: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Truncate] = field(default_factory=list)
    name_synced: bool = False

    def change(self, change: _Write | _Truncate) -> None:
        _apply(self.seen, change)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def after_power_cut(self, survival: Survival, rng: random.Random) -> bytes:
        content = bytearray(self.durable)
        for change in self.pending:
            if rng.random() < survival.writes:
                for part in _torn(change, rng) if rng.random() < survival.torn else [change]:
                    _apply(content, part)
        return bytes(content)


def _apply(content: bytearray, change: _Write | _Truncate) -> None:
    if isinstance(change, _Truncate):
        del content[change.size:]
        content.extend(bytes(max(0, change.size - len(content))))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset:change.offset + len(change.content)] = change.content


def _torn(change: _Write | _Truncate, rng: random.Random) -> list[_Write | _Truncate]:
    """Some sectors of a write, in the order of the disk, the last of them cut at a random byte."""
    if isinstance(change, _Truncate):
        return [change]
    end = change.offset + len(change.content)
    starts = [change.offset, *range((change.offset // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES)]
    sectors = [_Write(start, change.content[start - change.offset:stop - change.offset])
               for start, stop in zip(starts, [*starts[1:], end], strict=True)]
    kept = [sector for sector in sectors if rng.random() < 0.5]
    if kept:
        last = kept[-1]
        kept[-1] = _Write(last.offset, last.content[:rng.randint(0, len(last.content))])
    return list(kept)


class _Handle(apsw.VFSFile):
    """One opening of a simulated file. Locks and shared memory go to the empty file of the same name in the disk's folder."""

    def __init__(self, disk: SimulatedDisk, name: str, held: SimulatedFile, flags: list[int]) -> None:
        self._disk = disk
        self._name = name
        self._file = held
        self._syncs_folder = not held.name_synced and bool(flags[0] & _JOURNALS)
        super().__init__("unix", name, [flags[0] | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE, flags[1]])

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.read(self._name)
        content = bytes(self._file.seen[offset:offset + amount])
        return content

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.write(self._name, self._file, bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.truncate(self._name, self._file, newsize)

    def xSync(self, flags: int) -> None:
        self._disk.sync(self._name, self._file, folder_too=self._syncs_folder)
        self._syncs_folder = False

    def xFileSize(self) -> int:
        return len(self._file.seen)

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)


class SimulatedDisk(apsw.VFS):
    """A disk on which SQLite can open any path below `folder` (a real, empty folder for locks). Register it by making it; give
    `name` to `Runtime.sqlite_vfs`. Faults are switched by its public fields at any time."""

    def __init__(self, folder: Path, rng: random.Random, *, files: dict[str, bytes] | None = None,
                 now_ms: Callable[[], int] = lambda: 0) -> None:
        self.name = f"holdfast-disk-{next(_names)}"
        self.folder = folder
        self.files: dict[str, SimulatedFile] = {}
        self.deleted: dict[str, SimulatedFile] = {}     # removed, and the removal not synced
        self.steps = 0
        self.log: list[tuple[str, str, int]] = []       # (verb, file name, bytes), one per step
        self.power = True
        self.read_only = False
        self.capacity_bytes: int | None = None
        self.failing: set[str] = set()                  # verbs that fail with an I/O error: "read", "write", "sync", "truncate", "delete"
        self._rng = rng
        self._now_ms = now_ms
        self._cut_at: int | None = None
        for name, content in (files or {}).items():
            self.files[name] = SimulatedFile(durable=bytearray(content), seen=bytearray(content), name_synced=True)
        super().__init__(self.name, "unix")

    # -- faults -------------------------------------------------------------------------------------------------------

    def cut_power_at(self, step: int | None) -> None:
        """Lose power when step number `step` (counted from the making of the disk) is asked for; None: never."""
        self._cut_at = step

    def after_power_cut(self, survival: Survival, rng: random.Random) -> dict[str, bytes]:
        """What the next boot finds. The disk itself stays as it is, so that one history can be cut in many ways."""
        found: dict[str, bytes] = {}
        for name, held in self.files.items():
            if held.name_synced or rng.random() < survival.names:
                found[name] = held.after_power_cut(survival, rng)
        for name, held in self.deleted.items():
            if name not in found and held.name_synced and rng.random() < survival.names:
                found[name] = held.after_power_cut(survival, rng)
        return found

    def flip(self, name: str, offset: int, mask: int = 0xFF) -> None:
        """Damage one byte, as seen and as durable: a rotten sector."""
        held = self.files[name]
        for content in (held.seen, held.durable):
            if offset < len(content):
                content[offset] ^= mask

    def _step(self, verb: str, name: str, size: int = 0) -> bool:
        """Count a step. True if this is the one during which power is lost."""
        self._raise_if_dead(verb)
        if self.read_only:
            raise apsw.ReadOnlyError(f"{os.path.basename(name)} is read-only")
        self.steps += 1
        self.log.append((verb, os.path.basename(name), size))
        if self.steps == self._cut_at:
            self.power = False
            return True
        return False

    def _raise_if_dead(self, verb: str) -> None:
        if not self.power:
            raise apsw.IOError("the power is gone")
        if verb in self.failing:
            raise apsw.IOError(f"{verb} fails")

    # -- what files ask -----------------------------------------------------------------------------------------------

    def read(self, name: str) -> None:
        self._raise_if_dead("read")

    def write(self, name: str, held: SimulatedFile, content: bytes, offset: int) -> None:
        lost = self._step("write", name, len(content))
        growth = max(0, offset + len(content) - len(held.seen))
        if self.capacity_bytes is not None and self.used_bytes() + growth > self.capacity_bytes:
            raise apsw.FullError("the disk is full")
        held.change(_Write(offset, content))
        if lost:
            raise apsw.IOError("the power is gone")

    def truncate(self, name: str, held: SimulatedFile, size: int) -> None:
        lost = self._step("truncate", name, size)
        held.change(_Truncate(size))
        if lost:
            raise apsw.IOError("the power is gone")

    def sync(self, name: str, held: SimulatedFile, *, folder_too: bool) -> None:
        if self._step("sync", name):
            raise apsw.IOError("the power is gone")
        held.sync()
        if folder_too:
            self.sync_folder()

    def sync_folder(self) -> None:
        """All names are durable, those of deleted files are gone for good."""
        self.deleted.clear()
        for held in self.files.values():
            held.name_synced = True

    def used_bytes(self) -> int:
        return sum(len(held.seen) for held in self.files.values())

    # -- the VFS ------------------------------------------------------------------------------------------------------

    def xFullPathname(self, name: str) -> str:
        return os.path.abspath(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return apsw.VFSFile("unix", None, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._raise_if_dead("open")
        if path not in self.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(f"{os.path.basename(path)} does not exist")
            if self._step("create", path):
                raise apsw.IOError("the power is gone")
            self.files[path] = SimulatedFile()
        handle = _Handle(self, path, self.files[path], flags)
        if self.read_only:
            flags[1] = (flags[1] & ~apsw.SQLITE_OPEN_READWRITE) | apsw.SQLITE_OPEN_READONLY
        return handle

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if filename not in self.files:
            raise apsw.IOError("no such file")
        lost = self._step("delete", filename)
        self.deleted[filename] = self.files.pop(filename)
        Path(filename).unlink(missing_ok=True)
        if lost:
            raise apsw.IOError("the power is gone")
        if syncdir:
            self.sync_folder()

    def xAccess(self, pathname: str, flags: int) -> bool:
        self._raise_if_dead("access")
        return pathname in self.files and not (flags == apsw.SQLITE_ACCESS_READWRITE and self.read_only)

    def xRandomness(self, numbytes: int) -> bytes:
        return self._rng.randbytes(numbytes)

    def xSleep(self, microseconds: int) -> int:
        return microseconds

    def xCurrentTimeInt64(self) -> int:
        """Milliseconds since noon of 24 November 4714 BC, as SQLite counts."""
        return 210_866_760_000_000 + self._now_ms()
