"""What a store is opened with: declarations, keys, storage. Shared by the store in its own process and by the writer in its."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError, UnsafeSettings
from holdfast.core.limits import Limits
from holdfast.core.schema import Collection, Schema
from holdfast.engine.app import App, loaded_apps
from holdfast.engine.secrecy import Keyring, Secrecy
from holdfast.model.compile import compile_schema
from holdfast.model.keys import MasterKeys, new_master_key, new_tenant_keys
from holdfast.model.record import Record
from holdfast.runtime import Runtime
from holdfast.storage.drive import run_sync
from holdfast.storage.memory import MemoryStorage
from holdfast.storage.protocol import Storage
from holdfast.storage.sqlite import SqliteStorage

__all__ = ["Declarations", "Writable", "give_keys", "imported_place", "master_keys_for", "opened_for_reading", "opened_for_writing"]

KEY_FILE: Final = "master.key"


@dataclass(frozen=True)
class Declarations:
    """Record classes and applications, compiled to one schema."""

    records: tuple[type[Record], ...]
    apps: tuple[App, ...]
    schema: Schema

    @classmethod
    def of(cls, records: Iterable[type[Record]], apps: Iterable[App | str], limits: Limits | None) -> Declarations:
        """Raises DeclarationError."""
        loaded = loaded_apps(apps)
        own = tuple(records)
        classes = list(dict.fromkeys([*own, *(record for app in loaded for record in app.records)]))
        return cls(own, loaded, compile_schema(classes, limits=limits))

    @classmethod
    def imported(cls, records: Sequence[str], apps: Sequence[str], limits: Limits) -> Declarations:
        """From places as `imported_place` gives them. Raises DeclarationError."""
        found = []
        for place in records:
            module, _, name = place.partition(":")
            value = getattr(importlib.import_module(module), name, None)
            if not isinstance(value, type) or not issubclass(value, Record):
                raise DeclarationError(f"{place} is no record class.")
            found.append(value)
        return cls.of(found, apps, limits)


def imported_place(cls: type[Record]) -> str:
    """Where another process finds the class. Raises DeclarationError for one that cannot be imported."""
    if cls.__module__ == "__main__" or "." in cls.__qualname__:
        raise DeclarationError(f"{cls.__name__} cannot be imported by the writer's process.",
                               hint="Declare it at the top of a module of its own, or use mode=\"embedded\".")
    return f"{cls.__module__}:{cls.__name__}"


@dataclass(frozen=True)
class Writable:
    storage: Storage
    keyring: Keyring


def master_keys_for(folder: str | None, given: str | None, runtime: Runtime) -> MasterKeys:
    """The master keys: those given, those of the environment, or those of a file in the data folder, which is made when it is missing
    (then a copy of the folder holds the key too: for real secrets give the key from elsewhere). Raises UnsafeSettings."""
    if given is not None:
        return MasterKeys.parse(given)
    found = MasterKeys.from_environment(os.environ, lambda path: Path(path).read_text("utf-8"))
    if found is not None:
        return found
    if folder is None:
        return MasterKeys.parse(new_master_key(runtime.random_bytes))
    path = Path(folder) / KEY_FILE
    if not path.exists():
        _write_key(path, new_master_key(runtime.random_bytes))
    try:
        return MasterKeys.parse(path.read_text("utf-8"), source=str(path))
    except OSError as error:
        raise UnsafeSettings(f"The master key {path} cannot be read ({type(error).__name__}).") from error


def _write_key(path: Path, key: str) -> None:
    """Durable before anything is sealed with it. Made under another name first: a half-written key would be worse than none."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, key.encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def opened_for_writing(folder: str | None, declarations: Declarations, runtime: Runtime, master_keys: str | None, *,
                             migrate: bool = True) -> Writable:
    """The one writer of a folder (None: memory), every organisation with a key if the declarations need one. `migrate`: bring a
    database that was made for older declarations up to these, else that is StorageOutdated. Raises StorageLocked, StorageNewer,
    StorageCorrupt, UnsafeSettings and other errors of the storage."""
    schema = declarations.schema
    upcaster = _Upcaster(lambda: Keyring(schema, master_keys_for(folder, master_keys, runtime), runtime))
    storage: Storage = MemoryStorage(schema) if folder is None else SqliteStorage(
        Path(folder), schema, runtime, writer=True, migrate=migrate, upcast=upcaster)
    upcaster.storage = storage
    await storage.open()
    try:
        keyring = upcaster.keyring
        if keyring.needed:
            await give_keys(storage, keyring, runtime)
    except BaseException:
        await storage.close()
        raise
    return Writable(storage, keyring)


class _Upcaster:
    """Reads a row of an older contract under the present one, while a database is brought up; sensitive values are opened for it."""

    def __init__(self, keyring: Callable[[], Keyring]) -> None:
        self._keyring = keyring
        self._secrecies: dict[str, Secrecy] = {}
        self.storage: Storage | None = None

    @cached_property
    def keyring(self) -> Keyring:
        """Made when it is first needed: then the folder is there."""
        return self._keyring()

    def __call__(self, tenant_id: str, row: Row, collection: Collection) -> Row:
        secrecy = self._secrecies.get(tenant_id)
        if secrecy is None:
            secrecy = self._secrecies[tenant_id] = run_sync(self._secrecy(tenant_id))
        return secrecy.close_row(secrecy.open_row(row))

    async def _secrecy(self, tenant_id: str) -> Secrecy:
        assert self.storage is not None
        async with self.storage.reader() as reader:
            tenant = await reader.tenant(tenant_id)
        assert tenant is not None, "rows belong to an organisation"
        return self.keyring.secrecy(tenant)


async def give_keys(storage: Storage, keyring: Keyring, runtime: Runtime) -> None:
    """Organisations made before anything was sensitive have no key yet."""
    masters = keyring.masters
    assert masters is not None
    async with storage.reader() as reader:
        without = [tenant for tenant in await reader.tenants() if not tenant.wrapped_key]
    for tenant in without:
        tenant.wrapped_key = new_tenant_keys(tenant.tenant_id, masters, runtime.random_bytes)
        async with storage.batch([tenant.tenant_id]) as batch:
            await batch.put_tenant(tenant)


async def opened_for_reading(folder: str, declarations: Declarations, runtime: Runtime, master_keys: str | None) -> Writable:
    """Beside a writer in another process: its reads alone."""
    storage = SqliteStorage(Path(folder), declarations.schema, runtime, writer=False)
    await storage.open()
    return Writable(storage, Keyring(declarations.schema, master_keys_for(folder, master_keys, runtime), runtime))
