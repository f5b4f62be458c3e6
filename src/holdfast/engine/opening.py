"""`open_store`: the one obvious way in.

    async with open_store("data", records=[Note]) as store:
        me = await store.member("acme", "ada@example.org")

| mode | who writes |
|---|---|
| `embedded` (default) | this process, in a thread while the event loop goes on; without a folder: memory, in place |
| `inline` | this process, in place (the simulation) |
| `process` | a process of its own, started and supervised here (`holdfast serve`) |
| `attached` | the server that holds the folder, through its socket |
| `auto` | this process, or, if a server holds the folder, that server (the command line) |

A database server (`postgresql://…`) is written by every process that has it open, whatever the mode; its tables are made beforehand
(`holdfast migrate`).

`listen=True` opens the socket for others (the command line) where this process writes itself.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from holdfast.core.errors import InvalidValue, StorageLocked
from holdfast.core.limits import Limits
from holdfast.engine.app import App
from holdfast.engine.commit import Commit
from holdfast.engine.committer import Committer, Gate
from holdfast.engine.database import is_address, open_database
from holdfast.engine.feed import Feed
from holdfast.engine.keeping import Declarations, Writable, imported_place, opened_for_reading, opened_for_writing
from holdfast.engine.link import Link
from holdfast.engine.listener import SOCKET_NAME, Listener
from holdfast.engine.store import Store
from holdfast.engine.writer import Opening
from holdfast.engine.writer_process import WriterProcess
from holdfast.model.record import Record
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["Mode", "open_store"]

Mode = Literal["embedded", "inline", "process", "attached", "auto"]


@asynccontextmanager
async def open_store(
    path: str | os.PathLike[str] | None = None, *, records: Iterable[type[Record]] = (), apps: Iterable[App | str] = (),
    limits: Limits | None = None, runtime: Runtime | None = None, mode: Mode = "embedded", master_keys: str | None = None,
    listen: bool = False,
) -> AsyncIterator[Store]:
    """Open the store in the folder `path` (made when missing; an address: on that database; None: in memory, gone at the end) for these
    record classes and applications (or their modules' names). `master_keys`: for sensitive fields, else from HOLDFAST_MASTER_KEY,
    HOLDFAST_MASTER_KEY_FILE or `master.key` in the folder.

    Raises DeclarationError, StorageLocked (another process writes the folder), StorageNewer, StorageCorrupt, UnsafeSettings and other
    errors of the storage. At the end what waits is written, and nothing is left running.
    """
    runtime = runtime or RealRuntime()
    folder = None if path is None else os.fspath(path)
    opener = _Opener(folder, Declarations.of(records, tuple(apps), limits), runtime, master_keys,
                     [one for one in apps if isinstance(one, str)])
    async with AsyncExitStack() as stack:
        yield await opener.open(stack, mode, listen=listen)


class _Opener:
    def __init__(self, folder: str | None, declarations: Declarations, runtime: Runtime, master_keys: str | None,
                 app_names: list[str]) -> None:
        self.database = folder if folder is not None and is_address(folder) else None
        self.folder = None if folder is None or self.database else str(Path(folder).absolute())
        self.declarations = declarations
        self.runtime = runtime
        self.master_keys = master_keys
        self.app_names = app_names
        self.feed = Feed()

    async def open(self, stack: AsyncExitStack, mode: Mode, *, listen: bool) -> Store:
        if self.database is not None:
            writable, lanes = await open_database(stack, self.database, self.declarations, self.runtime, self.feed, self.master_keys)
            return self._store(stack, writable, lanes)
        if mode in ("embedded", "inline"):
            return await self._own(stack, in_thread=mode == "embedded" and self.folder is not None, listen=listen)
        folder = self.folder
        if folder is None:
            raise InvalidValue(f"mode={mode!r} needs a folder.")
        if mode == "process":
            return await self._process(stack, folder)
        if mode == "attached":
            return await self._attached(stack, folder)
        try:
            return await self._own(stack, in_thread=True, listen=listen)
        except StorageLocked:
            return await self._attached(stack, folder)

    async def _own(self, stack: AsyncExitStack, *, in_thread: bool, listen: bool) -> Store:
        writable = await opened_for_writing(self.folder, self.declarations, self.runtime, self.master_keys)
        stack.push_async_callback(writable.storage.close)
        schema = self.declarations.schema
        commit = Commit(writable.storage, schema=schema, keyring=writable.keyring, runtime=self.runtime, limits=schema.limits)
        listener = Listener(self.folder, schema) if listen and self.folder is not None else None

        def on_grown(tenant_id: str, seq: int) -> None:
            self.feed.publish(tenant_id, seq)
            if listener is not None:
                listener.on_grown(tenant_id, seq)

        committer = Committer(commit, runtime=self.runtime, limits=schema.limits, in_thread=in_thread, on_grown=on_grown,
                              on_answered=None if listener is None else listener.on_answered)
        committer.start()
        stack.push_async_callback(committer.close)
        if listener is not None:
            await listener.start(committer)
            stack.push_async_callback(listener.close)
        return self._store(stack, writable, committer)

    async def _process(self, stack: AsyncExitStack, folder: str) -> Store:
        """The writer first: it makes the folder, the tables and the keys that are read here."""
        declarations = self.declarations
        named = {app.name for app in Declarations.of((), self.app_names, None).apps}
        if any(app.name not in named for app in declarations.apps):
            raise InvalidValue("mode='process' takes applications by their module's name, so that the writer's process can import them.")
        opening = Opening(folder=folder, records=[imported_place(cls) for cls in declarations.records],
                          apps=self.app_names,
                          limits=dataclasses.asdict(declarations.schema.limits), master_keys=self.master_keys or "")
        process = WriterProcess(opening, self.runtime)
        stack.push_async_callback(process.end)
        await process.ensure()
        store = await self._linked(stack, folder, process)
        store.writer_process = process
        return store

    async def _attached(self, stack: AsyncExitStack, folder: str) -> Store:
        return await self._linked(stack, folder, None)

    async def _linked(self, stack: AsyncExitStack, folder: str, process: WriterProcess | None) -> Store:
        schema = self.declarations.schema
        link = Link(folder, SOCKET_NAME, schema_digest=schema.digest, runtime=self.runtime, limits=schema.limits,
                    on_grown=self.feed.publish,
                    before_connecting=None if process is None else process.ensure)
        stack.push_async_callback(link.close)
        await link.start()
        writable = await opened_for_reading(folder, self.declarations, self.runtime, self.master_keys)
        stack.push_async_callback(writable.storage.close)
        return self._store(stack, writable, link)

    def _store(self, stack: AsyncExitStack, writable: Writable, gate: Gate) -> Store:
        stack.callback(self.feed.close)
        return Store(writable.storage, gate, self.feed, schema=self.declarations.schema, keyring=writable.keyring, runtime=self.runtime,
                     apps=self.declarations.apps)
