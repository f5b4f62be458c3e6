"""Checks of the machine and the folder: library, rights, space, file system, disk, writer, key."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from holdfast.cli.checkup import Finding, Subject, bad, check, look, ok, reading
from holdfast.core.errors import HoldfastError, StorageFailed, UnsafeSettings
from holdfast.engine.frames import FrameBuffer, Hello, decode_spoken
from holdfast.engine.keeping import KEY_FILE
from holdfast.engine.link import reachable_address
from holdfast.engine.listener import SOCKET_NAME
from holdfast.model.keys import MasterKeys, unwrap
from holdfast.storage.folder import FILE_MODE, FOLDER_MODE, LOCK_NAME
from holdfast.storage.sqlite_connection import raise_if_unsafe_library

__all__ = ["FOLDER_CHECKS", "NETWORK_FILE_SYSTEMS", "holder_of", "writer_pid"]

MIB: Final = 1 << 20
FREE_BYTES_LOOK: Final = 1024 * MIB
FREE_BYTES_BAD: Final = 64 * MIB
FLUSH_SECONDS_LOOK: Final = 0.05
GREETING_SECONDS_MAX: Final = 3.0
RETRY_SECONDS: Final = 0.1

NETWORK_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs",
                                         "fuse.s3fs", "fuse.glusterfs", "virtiofs", "vboxsf", "prl_fs"})
FORGETFUL_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs", "overlay"})


@check("sqlite", "The SQLite library is one that keeps what it has committed.", needs="nothing")
async def library(subject: Subject) -> Finding:
    raise_if_unsafe_library(subject.library)
    return ok(f"SQLite {subject.library}")


@check("folder", "The data folder is there, and only its owner may enter it.", needs="nothing")
async def folder(subject: Subject) -> Finding:
    if not subject.folder.is_dir():
        return bad(f"There is no folder {subject.folder}.", "Check --data; `holdfast serve` makes one.")
    mode = stat.S_IMODE(subject.folder.stat().st_mode)
    if mode & 0o077:
        return bad(f"Others than the owner may enter {subject.folder} (mode {mode:04o}).", f"chmod {FOLDER_MODE:04o} {subject.folder}")
    return ok(f"{subject.folder}, mode {mode:04o}")


@check("files", "Only their owner may read or write the files of the store, and the owner is the server's user.")
async def files(subject: Subject) -> Finding:
    found = sorted(path for path in subject.folder.glob("holdfast.*") if not path.is_dir())
    open_ones = [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_ones:
        names = " ".join(path.name for path in open_ones)
        return bad(f"Others may read {names}.", f"chmod {FILE_MODE:04o} " + " ".join(map(str, open_ones)))
    owner = subject.folder.stat().st_uid
    foreign = [path.name for path in found if path.stat().st_uid != owner]
    if foreign:
        return bad(f"{' '.join(foreign)} belong to another user than the folder.", f"chown them to user {owner}.")
    return ok(f"{len(found)} files, their owner's alone")


@check("space", "There is room on the disk for what people will type.")
async def space(subject: Subject) -> Finding:
    free = subject.free_bytes(subject.folder)
    said = f"{free // MIB:,} MiB free"
    if free < FREE_BYTES_BAD:
        return bad(said, "Free space: when the disk is full nothing more is saved (what was acknowledged is kept).")
    return look(said, "Free space before it runs out.") if free < FREE_BYTES_LOOK else ok(said)


@check("file system", "The folder lies on a local disk: over a network neither locks nor flushes are what they say.")
async def file_system(subject: Subject) -> Finding:
    kind = subject.file_system(subject.folder)
    if kind in NETWORK_FILE_SYSTEMS:
        return bad(f"The folder lies on {kind}, which is no local disk.", "Move the folder to a local disk.")
    if kind in FORGETFUL_FILE_SYSTEMS:
        return look(f"The folder lies on {kind}, which may be gone with the machine or the container.", "Move it to a disk that stays.")
    return ok(kind or "not to be told on this system")


@check("disk", "The folder can be written, and a flush to the disk is quick.")
async def disk(subject: Subject) -> Finding:
    seconds = sorted(subject.flush_seconds(subject.folder, subject.runtime) for _ in range(5))[2]
    said = f"a flush takes {seconds * 1000:.1f} ms"
    if seconds > FLUSH_SECONDS_LOOK:
        return look(said, "Every save waits for one: look what else uses the disk, or take a faster one.")
    return ok(said)


@check("writer", "At most one process writes the folder; if one holds it, it answers.")
async def writer(subject: Subject) -> Finding:
    give_up = subject.runtime.monotonic() + subject.patience_seconds
    while True:
        pid = await writer_pid(subject.folder)
        if pid is not None:
            return ok(f"process {pid} writes, and answers")
        holder = holder_of(subject.folder)
        if holder is None:
            return ok("nobody; the folder is free")
        if subject.runtime.monotonic() > give_up:
            break
        await subject.runtime.sleep(RETRY_SECONDS)      # it may just be starting
    return bad(f"{holder} holds the folder and does not answer on its socket.",
               "If it is a program that embeds the store, all is well. If it is a server that hangs, end that process: what was "
               "acknowledged is kept.")


def holder_of(folder: Path) -> str | None:
    """Who holds the lock, for people; None if nobody does. Asks for a shared lock for a moment."""
    path = folder / LOCK_NAME
    if not path.exists():
        return None
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            written = file.read(32).decode("ascii", "replace").strip()
            return f"Process {written}" if written.isdigit() else "Another process"
    return None


async def writer_pid(folder: Path) -> int | None:
    """The process that answers on the folder's socket; None if none does."""
    try:
        address, descriptor = reachable_address(str(folder), SOCKET_NAME)
    except StorageFailed:
        return None
    try:
        async with asyncio.timeout(GREETING_SECONDS_MAX):
            reader, line = await asyncio.open_unix_connection(address)
            try:
                frames = FrameBuffer()
                while data := await reader.read(4096):
                    for _, body in frames.feed(data):
                        spoken = decode_spoken(body)
                        if isinstance(spoken, Hello):
                            return spoken.pid
            finally:
                line.close()
    except (OSError, TimeoutError, HoldfastError):
        return None
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return None


@check("master key", "The key that opens sensitive values is there, is its owner's alone, and opens every organisation's key.",
       needs="database")
async def master_key(subject: Subject) -> Finding:
    masters, source, mode = _masters(subject)
    async with reading(subject) as reader:
        tenants = await reader.tenants()
    if masters is None:
        sealed = [one.tenant_id for one in tenants if one.wrapped_key]
        if sealed:
            return bad(f"There is no master key, and {len(sealed)} organisations have a key that it wraps.",
                       "Give the key that was used (HOLDFAST_MASTER_KEY, HOLDFAST_MASTER_KEY_FILE or master.key in the folder): without it "
                       "sensitive values cannot be read by anybody.")
        return ok("none, and nothing is sealed")
    if mode & 0o077:
        return bad(f"Others may read {source} (mode {mode:04o}).", f"chmod {FILE_MODE:04o} {source}")
    for one in tenants:
        if one.wrapped_key:
            unwrap(one.wrapped_key, one.tenant_id, masters)
    if source == str(subject.folder / KEY_FILE):
        return ok(f"{source}; whoever copies the folder has the key too")
    return ok(source)


def _masters(subject: Subject) -> tuple[MasterKeys | None, str, int]:
    """The keys, where they come from, and the mode of that file. Makes nothing, unlike opening a store. Raises UnsafeSettings."""
    given = subject.environment.get("HOLDFAST_MASTER_KEY_FILE", "")
    found = MasterKeys.from_environment(subject.environment, lambda path: Path(path).read_text("utf-8"))
    if found is not None:
        return found, given or "HOLDFAST_MASTER_KEY", stat.S_IMODE(Path(given).stat().st_mode) if given else 0
    path = subject.folder / KEY_FILE
    if not path.exists():
        return None, str(path), 0
    try:
        return MasterKeys.parse(path.read_text("utf-8"), source=str(path)), str(path), stat.S_IMODE(path.stat().st_mode)
    except UnicodeDecodeError:
        raise UnsafeSettings(f"What stands in {path} is no master key.") from None


FOLDER_CHECKS: Final = (library, folder, files, space, file_system, disk, writer, master_key)
