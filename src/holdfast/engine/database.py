"""A store on a database server: opened, and brought up to its declarations. Any number of processes may hold the same one open."""

from __future__ import annotations

import importlib
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from holdfast.core.entry import Row
from holdfast.core.errors import InvalidValue, UnsafeSettings
from holdfast.core.schema import Collection
from holdfast.engine.commit import Commit
from holdfast.engine.feed import Feed
from holdfast.engine.hints import Hints
from holdfast.engine.keeping import Declarations, Writable, give_keys
from holdfast.engine.lanes import Lanes
from holdfast.engine.secrecy import Keyring, Secrecy
from holdfast.model.keys import MasterKeys
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Tenant
from holdfast.storage.standing import Standing

__all__ = ["distribute_database", "is_address", "migrate_database", "open_database", "standing_at_address"]

WRITERS_MAX: Final = 6
"""Batches written at once by one process; the rest of the pool is for readers."""
_BACKENDS: Final = {"postgresql": "holdfast.storage.postgres", "postgres": "holdfast.storage.postgres"}


def is_address(place: str) -> bool:
    """Whether this names a database server, and not a folder."""
    return "://" in place


def _backend(url: str, module: str = "") -> Any:
    """The backend's package, which loads its driver: only who uses it pays for it. Raises InvalidValue."""
    kind = url.partition("://")[0]
    if kind not in _BACKENDS:
        raise InvalidValue(f"There is no storage for {kind[:32]}:// addresses.", field="database",
                           hint="Name a data folder, or a database as postgresql://user@host/name.")
    return importlib.import_module(_BACKENDS[kind] + module)


def _keyring(declarations: Declarations, runtime: Runtime, given: str | None) -> Keyring:
    """The master key is never made up here, or lost with a process: it comes from whoever starts it. Raises UnsafeSettings."""
    masters = MasterKeys.parse(given) if given is not None else MasterKeys.from_environment(
        os.environ, lambda path: Path(path).read_text("utf-8"))
    keyring = Keyring(declarations.schema, masters, runtime)
    if keyring.needed and masters is None:
        raise UnsafeSettings("The declarations have sensitive fields, and there is no master key.",
                             hint="Give it in HOLDFAST_MASTER_KEY or HOLDFAST_MASTER_KEY_FILE; `holdfast keys create` makes one.")
    return keyring


async def open_database(stack: AsyncExitStack, url: str, declarations: Declarations, runtime: Runtime, feed: Feed,
                        master_keys: str | None) -> tuple[Writable, Lanes]:
    """Storage, keys and the way to write. Raises UnsafeSettings (no master key, a server or a role that breaks a promise), StorageOutdated
    (`holdfast migrate` first), StorageNewer, InvalidValue (the address) and other errors of the storage."""
    backend = _backend(url)
    errors = _backend(url, ".errors")
    keyring = _keyring(declarations, runtime, master_keys)
    schema = declarations.schema
    storage = backend.PostgresStorage(url, schema)
    await storage.open()
    stack.push_async_callback(storage.close)
    if keyring.needed:
        await give_keys(storage, keyring, runtime)
    commits = [Commit(storage, schema=schema, keyring=keyring, runtime=runtime, limits=schema.limits) for _ in range(WRITERS_MAX)]
    hints = Hints(_backend(url, ".channel").NotifyChannel(url), feed, storage, runtime)
    await hints.start()
    stack.push_async_callback(hints.close)
    lanes = Lanes(commits, runtime=runtime, limits=schema.limits, may_again=errors.is_transient, on_grown=hints.grown)
    stack.push_async_callback(lanes.close)
    return Writable(storage, keyring), lanes


async def migrate_database(url: str, declarations: Declarations, runtime: Runtime, master_keys: str | None = None) -> tuple[str, ...]:
    """Bring the database up to the declarations, under a role that may; what was done. Raises what the storage's migration raises."""
    migration = _backend(url, ".migration")
    secrecies: dict[str, Secrecy] = {}

    def upcast(tenant: Tenant, row: Row, collection: Collection) -> Row:
        secrecy = secrecies.get(tenant.tenant_id)
        if secrecy is None:
            secrecy = secrecies[tenant.tenant_id] = _keyring(declarations, runtime, master_keys).secrecy(tenant)
        return secrecy.close_row(secrecy.open_row(row))

    done: tuple[str, ...] = await migration.migrate(url, declarations.schema, upcast)
    return done


async def standing_at_address(url: str, declarations: Declarations) -> Standing:
    """How the database stands to the declarations. Raises StorageNewer and other errors of the storage."""
    found: Standing = await _backend(url, ".standing").standing_at(url, declarations.schema)
    return found


async def distribute_database(url: str, declarations: Declarations, *, dry_run: bool) -> list[str]:
    """The statements that distribute the tables; run, unless this is a dry run. Raises what they raise."""
    backend = _backend(url, ".distribute")
    if dry_run:
        return list(backend.distribution(declarations.schema, backend.database_name(url)))
    done: list[str] = await backend.distribute(url, declarations.schema)
    return done
