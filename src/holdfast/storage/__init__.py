"""Storage: one protocol, a backend on SQLite, and one in memory that is its reference."""

from __future__ import annotations

from pathlib import Path

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Schema
from holdfast.runtime import Runtime
from holdfast.storage.memory import MemoryStorage
from holdfast.storage.protocol import Storage
from holdfast.storage.sqlite import SqliteStorage, Upcaster

__all__ = ["open_storage"]


async def open_storage(path_or_url: str | Path, schema: Schema, runtime: Runtime, *, writer: bool, migrate: bool = False,
                       upcast: Upcaster | None = None) -> Storage:
    """The storage of a data folder (a path), or one that forgets everything (`memory:`), opened.

    `writer=False`: readers alone, while another process writes. An empty folder gets its tables; an older database is brought up if
    `migrate` is set, with `upcast` (tenant, row, collection) for rows of older contracts, and refused otherwise.

    Raises StorageLocked (another process writes there), StorageOutdated, StorageNewer, StorageCorrupt, UnsafeSettings, InvalidValue
    (an address of no kind known here) and the other WorldErrors of storage.
    """
    place = str(path_or_url)
    storage: Storage
    if place == "memory:":
        storage = MemoryStorage(schema)
    elif "://" in place:
        raise InvalidValue(f"There is no storage for {place.partition('://')[0]}:// addresses.", hint="Name a data folder.")
    else:
        storage = SqliteStorage(Path(place), schema, runtime, writer=writer, migrate=migrate, upcast=upcast)
    await storage.open()
    return storage
