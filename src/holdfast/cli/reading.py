"""A store that only reads: beside a running server as well as alone, without the folder's lock, without changing anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast.cli.place import Place
from holdfast.core.errors import InvalidValue, StorageFailed, StorageReadOnly
from holdfast.engine.feed import Feed
from holdfast.engine.keeping import opened_for_reading
from holdfast.engine.store import Store
from holdfast.engine.work import Answer, Work
from holdfast.runtime import RealRuntime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.protocol import Reader, Storage
from holdfast.storage.sqlite_connection import connect_reader
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.standing import stored_layout

__all__ = ["Watched", "raise_if_undeclared", "reading_store", "undeclared"]


class _NoGate:
    """Lets nothing through: this store reads."""

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Answer:
        raise StorageReadOnly("This store was opened for reading.")

    async def close(self) -> None:
        return None


@asynccontextmanager
async def reading_store(place: Place, *, on_read: Callable[[int], None] | None = None) -> AsyncIterator[Store]:
    """`on_read` hears how many entries or rows each read brought. Raises StorageFailed (no database), StorageOutdated, StorageNewer,
    StorageCorrupt, InvalidValue (the folder holds collections that the applications do not declare)."""
    declarations = place.declarations()
    if not (place.folder / DATABASE_NAME).exists():
        raise StorageFailed(f"There is no database in {place.folder}.",
                            hint="Check --data; `holdfast serve` and `holdfast migrate` make one.")
    raise_if_undeclared(place.folder, set(declarations.schema.collections))
    readable = await opened_for_reading(str(place.folder), declarations, RealRuntime(), None)
    storage = readable.storage if on_read is None else Watched(readable.storage, on_read)
    try:
        yield Store(storage, _NoGate(), Feed(), schema=declarations.schema, keyring=readable.keyring, runtime=RealRuntime(),
                    apps=declarations.apps)
    finally:
        await readable.storage.close()


def undeclared(folder: Path, declared: set[str]) -> list[str]:
    """Collections that the database has and `declared` has not."""
    path = folder / DATABASE_NAME
    with translated(f"opening {path}"):
        connection = connect_reader(path, None)
        try:
            return sorted(set(stored_layout(connection)) - declared) if connection.table_exists("main", "hf_meta") else []
        finally:
            connection.close(True)


def raise_if_undeclared(folder: Path, declared: set[str]) -> None:
    """Raises InvalidValue: what is not declared cannot be judged."""
    missing = undeclared(folder, declared)
    if missing:
        raise InvalidValue(f"The folder holds collections that are not declared here: {', '.join(missing[:10])}.", field="app",
                           hint="Name the application that declares them with --app.")


class Watched:
    """A storage whose reads are counted, for a progress bar. Everything else goes through."""

    def __init__(self, storage: Storage, on_read: Callable[[int], None]) -> None:
        self._storage = storage
        self._on_read = on_read
        self.schema = storage.schema

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        async with self._storage.reader() as reader:
            yield _WatchedReader(reader, self._on_read)


class _WatchedReader:
    def __init__(self, reader: Reader, on_read: Callable[[int], None]) -> None:
        self._reader = reader
        self._on_read = on_read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def entries(self, *args: Any, **kwargs: Any) -> Any:
        found = await self._reader.entries(*args, **kwargs)
        self._on_read(len(found))
        return found

    async def page(self, *args: Any, **kwargs: Any) -> Any:
        found = await self._reader.page(*args, **kwargs)
        self._on_read(len(found))
        return found
