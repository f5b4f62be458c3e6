"""The data folder: one directory that one process writes. Its lock is a `flock` on `holdfast.lock`, which the system releases when the
process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfast.core.errors import StorageLocked
from holdfast.storage.sqlite_errors import translated

__all__ = ["DATABASE_NAME", "FILE_MODE", "FOLDER_MODE", "LOCK_NAME", "FolderLock", "make_folder", "sync_folder"]

DATABASE_NAME: Final = "holdfast.db"
LOCK_NAME: Final = "holdfast.lock"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def make_folder(folder: Path) -> None:
    """Create the data folder, for its owner alone, and make its name durable."""
    with translated(f"creating the data folder {folder}"):
        if not folder.is_dir():
            folder.mkdir(mode=FOLDER_MODE, parents=True)
            sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: without it a new file's content can survive a power cut and its name not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """Held by the one process that writes a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises StorageLocked, naming the process that holds it where it is known."""
        with translated(f"taking the lock of {self._path.parent}"):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
                os.close(descriptor)
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise StorageLocked(f"The data folder {self._path.parent} is held by {who}.") from None
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            with suppress(OSError):     # a full disk: the lock holds without our number in it
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None
