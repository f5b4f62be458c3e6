"""What `holdfast doctor` looks at: a list of checks, each with a name, what it is about, and what it found.

A check is a function of a `Subject`, declared with `@check`. It returns a `Finding`, or raises an error of the tree, which becomes one.
`docs/reference/checks.md` is made from the list (`doctor.CHECKS`); every check is provoked by a test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

from holdfast.cli.place import Place
from holdfast.core.errors import HoldfastError
from holdfast.model.compile import compile_schema
from holdfast.runtime import Runtime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.protocol import Reader
from holdfast.storage.sqlite import SqliteStorage

__all__ = ["Check", "Finding", "State", "Subject", "bad", "check", "examine", "look", "ok", "reading", "skip"]

State = Literal["ok", "look", "bad", "skip"]
Needs = Literal["nothing", "folder", "database"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`ok`: as it should be. `look`: works, but somebody should see to it. `bad`: a promise is broken or will be. `skip`: there was
    nothing to look at, and nothing is known."""

    state: State
    found: str
    to_do: str = ""


def ok(found: str) -> Finding:
    return Finding(state="ok", found=found)


def look(found: str, to_do: str) -> Finding:
    return Finding(state="look", found=found, to_do=to_do)


def bad(found: str, to_do: str) -> Finding:
    return Finding(state="bad", found=found, to_do=to_do)


def skip(found: str) -> Finding:
    return Finding(state="skip", found=found)


def flush_seconds(folder: Path, runtime: Runtime) -> float:
    """How long it takes to write a page to a new file in the folder and flush it. Raises OSError where that is not possible."""
    probe = folder / ".holdfast-probe"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        began = runtime.monotonic()
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)
        return runtime.monotonic() - began
    finally:
        os.close(descriptor)
        probe.unlink()


def file_system_of(folder: Path) -> str:
    """The type of the file system that holds the folder, as the kernel names it; empty where it cannot be told."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    best, kind = -1, ""
    for line in mounts.read_text("utf-8", errors="replace").splitlines():
        _, place, found, *_ = line.split(" ")
        if folder.resolve().is_relative_to(place) and len(place) > best:
            best, kind = len(place), found
    return kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is examined, and the ways to the world that a test replaces."""

    place: Place
    runtime: Runtime
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    library: str = apsw.sqlite_lib_version()
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    file_system: Callable[[Path], str] = file_system_of
    flush_seconds: Callable[[Path, Runtime], float] = flush_seconds
    patience_seconds: float = 5.0                           # how long a process that holds the folder may take to answer

    @property
    def folder(self) -> Path:
        return self.place.folder


@asynccontextmanager
async def reading(subject: Subject) -> AsyncIterator[Reader]:
    """A snapshot of the database under the built-in declarations alone: what every folder has. Raises errors of the storage."""
    storage = SqliteStorage(subject.folder, compile_schema(()), subject.runtime, writer=False)
    await storage.open()
    try:
        async with storage.reader() as reader:
            yield reader
    finally:
        await storage.close()


CheckFunction = Callable[[Subject], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """`about`: one sentence for people."""

    name: str
    about: str
    run: CheckFunction
    needs: Needs


def check(name: str, about: str, *, needs: Needs = "folder") -> Callable[[CheckFunction], Check]:
    """Make a check of a function. One that needs a folder or a database is passed over where there is none."""

    def declare(function: CheckFunction) -> Check:
        return Check(name, about, function, needs)

    return declare


async def examine(one: Check, subject: Subject) -> Finding:
    """Run one check. What it raises is what it found."""
    if one.needs != "nothing" and not subject.folder.is_dir():
        return skip("there is no folder yet")
    if one.needs == "database" and not (subject.folder / DATABASE_NAME).exists():
        return skip("there is no database yet")
    try:
        return await one.run(subject)
    except HoldfastError as error:
        return bad(error.detail, error.hint)
    except OSError as error:
        return bad(f"{error.strerror or type(error).__name__}: {error.filename or subject.folder}",
                   "Give the server's user the rights it needs, or repair the disk.")
