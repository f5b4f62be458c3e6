"""A store on a simulated disk, whose faults come and go."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.runtime import RealRuntime
from holdfast.storage.sqlite import SqliteStorage
from holdfast.testing.disk import SimulatedDisk
from holdfast.testing.storage.samples import SCHEMA

__all__ = ["OnDisk", "boot"]


class OnDisk(RealRuntime):
    """The world, with a simulated disk."""

    def __init__(self, disk: SimulatedDisk) -> None:
        super().__init__()
        self._disk = disk

    def sqlite_vfs(self) -> str:
        return self._disk.name


@contextmanager
def boot(folder: Path, files: dict[str, bytes], seed: int = 0) -> Iterator[tuple[SimulatedDisk, SqliteStorage]]:
    """A machine that starts with these files; the store is not opened yet."""
    for left_over in folder.glob("*"):
        left_over.unlink()
    disk = SimulatedDisk(folder, random.Random(seed), files=files)
    try:
        yield disk, SqliteStorage(folder, SCHEMA, OnDisk(disk), writer=True)
    finally:
        disk.unregister()
