"""Where the small door keeps documents: five calls, four backends. One more is a class with these five methods.

Documents are bytes under a name of 1 to 200 characters. `save` replaces the whole document, durably where the backend can.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, unquote

import apsw

from holdfast.client.replica_file import sync_folder, world_error
from holdfast.client.transport import Transport, Unreachable
from holdfast.client.web import WebTransport
from holdfast.client.wire import TokenSource, Wire
from holdfast.core.errors import (
    InvalidValue,
    NotFound,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
    WorldError,
)
from holdfast.core.identity import natural_id
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["Backend", "FileBackend", "MemoryBackend", "SQLiteBackend", "ServerBackend"]

T = TypeVar("T")

Names: TypeAlias = list[str]
Rows: TypeAlias = list[Any]

NAME_CHARACTERS_MAX: Final = 200
FILE_NAME_BYTES_MAX: Final = 235            # of 255: a suffix follows


class Backend(Protocol):
    """The five calls. They raise errors of the tree: WorldErrors for what may pass, CallerErrors for what will not."""

    async def save(self, name: str, content: bytes) -> None: ...
    async def load(self, name: str) -> bytes | None:
        """None: there is no such document."""

    async def exists(self, name: str) -> bool: ...
    async def delete(self, name: str) -> None:
        """Deleting what is not there is no error."""

    async def list(self) -> Names:
        """All names, sorted."""


def raise_on_name(name: str) -> None:
    """Raises InvalidValue."""
    if not name or len(name) > NAME_CHARACTERS_MAX or "\0" in name:
        raise InvalidValue(f"A document's name has 1 to {NAME_CHARACTERS_MAX} characters.", field="name")


_TROUBLES: Final[dict[type[WorldError], tuple[str, str]]] = {
    StorageFull: ("The disk is full", "Free space on the disk."),
    StorageReadOnly: ("{place} cannot be written", "Make it writable for this user, or choose another place."),
    StorageLocked: ("Another process keeps {place} locked", "Close the program that holds it."),
    StorageCorrupt: ("{place} is damaged, or is something else", "Move it away, or choose another place."),
}


def _told(error: Exception, doing: str, place: Path, system_errno: int = 0) -> WorldError:
    """What the disk raised, as an error of the tree that names the place."""
    found = world_error(error, doing, system_errno)
    kind = StorageFailed if found is None else type(found)
    words, hint = _TROUBLES.get(kind, ("{place} could not be read or written", "Look at the disk."))
    return kind(f"{words.format(place=place)}, while {doing}.", hint=hint)


class MemoryBackend:
    """For tests and for what may be lost."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}

    async def save(self, name: str, content: bytes) -> None:
        self.documents[name] = content

    async def load(self, name: str) -> bytes | None:
        return self.documents.get(name)

    async def exists(self, name: str) -> bool:
        return name in self.documents

    async def delete(self, name: str) -> None:
        self.documents.pop(name, None)

    async def list(self) -> Names:
        return sorted(self.documents)


class FileBackend:
    """One file per document in a folder: written beside, synced, then put in place, so that a crash leaves the old or the new one."""

    def __init__(self, folder: str | os.PathLike[str], *, runtime: Runtime | None = None) -> None:
        self._folder = Path(folder)
        self._runtime = runtime or RealRuntime()

    async def save(self, name: str, content: bytes) -> None:
        await self._run("saving a document", lambda: self._write(self._path(name), content))

    async def load(self, name: str) -> bytes | None:
        path = self._path(name)
        return await self._run("loading a document", lambda: path.read_bytes() if path.exists() else None)

    async def exists(self, name: str) -> bool:
        return await self._run("looking for a document", self._path(name).exists)

    async def delete(self, name: str) -> None:
        await self._run("deleting a document", lambda: self._path(name).unlink(missing_ok=True))

    async def list(self) -> Names:
        return await self._run("listing documents", lambda: sorted(
            unquote(path.name.removesuffix(".json")) for path in self._folder.glob("*.json")) if self._folder.is_dir() else [])

    def _path(self, name: str) -> Path:
        file = quote(name, safe=" ").replace(".", "%2E")
        if len(file) > FILE_NAME_BYTES_MAX:
            raise InvalidValue("This name is too long for a file's.", field="name", hint="Choose a shorter one, or another backend.")
        return self._folder / (file + ".json")

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_suffix(f".{self._runtime.random_bytes(4).hex()}.new")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            sync_folder(self._folder)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    async def _run(self, doing: str, work: Callable[[], T]) -> T:
        try:
            return await self._runtime.blocking(work)
        except OSError as error:
            raise _told(error, doing, self._folder) from error


class SQLiteBackend:
    """One SQLite file for all documents, every save synced."""

    def __init__(self, path: str | os.PathLike[str], *, runtime: Runtime | None = None) -> None:
        self._path = Path(path)
        self._runtime = runtime or RealRuntime()
        self._connection: apsw.Connection | None = None

    async def save(self, name: str, content: bytes) -> None:
        self._run("saving a document", "INSERT INTO documents VALUES(?, ?) ON CONFLICT DO UPDATE SET content = excluded.content",
                  (name, content))

    async def load(self, name: str) -> bytes | None:
        found = self._run("loading a document", "SELECT content FROM documents WHERE name = ?", (name,))
        return None if not found else bytes(found[0][0])

    async def exists(self, name: str) -> bool:
        return bool(self._run("looking for a document", "SELECT 1 FROM documents WHERE name = ?", (name,)))

    async def delete(self, name: str) -> None:
        self._run("deleting a document", "DELETE FROM documents WHERE name = ?", (name,))

    async def list(self) -> Names:
        return [name for (name,) in self._run("listing documents", "SELECT name FROM documents ORDER BY name", ())]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, doing: str, sql: str, values: tuple[Any, ...]) -> Rows:
        try:
            if self._connection is None:
                self._connection = self._opened()
            return self._connection.execute(sql, values).fetchall()
        except apsw.Error as error:
            number = self._connection.system_errno if self._connection is not None else 0
            raise _told(error, doing, self._path, number) from error

    def _opened(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, self._runtime.sqlite_vfs())
        connection.set_busy_timeout(2_000)
        connection.pragma("synchronous", "EXTRA")
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE IF NOT EXISTS documents(name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID")
        return connection


class ServerBackend:
    """Documents as records of one collection of a Holdfast server: with history, search and everything else that records have. A save
    replaces the document; who wants what two devices did merged takes a replica.

    The collection has a natural key of one field, the name, and a Text field for the content (200,000 characters):

        class Document(Record, collection="documents", key=("name",), access=tenant):
            name: str
            content: Text = ""
    """

    def __init__(self, url: str | None = None, *, token: TokenSource, collection: str = "documents", name_field: str = "name",
                 content_field: str = "content", transport: Transport | None = None, runtime: Runtime | None = None) -> None:
        if transport is None:
            if url is None:
                raise InvalidValue("A server needs an address.", field="url")
            transport = WebTransport(url)
        self._wire = Wire(transport, token)
        self._collection, self._name, self._content = collection, name_field, content_field
        self._runtime = runtime or RealRuntime()

    async def save(self, name: str, content: bytes) -> None:
        path = f"/v1/records/{self._collection}/{self._id(name)}"
        try:
            await self._call("PATCH", path, {"fields": {self._content: content.decode()}})
        except NotFound:
            await self._create(path, {self._name: name, self._content: content.decode()})

    async def _create(self, path: str, fields: dict[str, str]) -> None:
        """Make the document; one that was deleted before comes back with the new content."""
        try:
            await self._call("POST", f"{path}/undelete")
        except NotFound:
            await self._call("POST", f"/v1/records/{self._collection}", {"fields": fields})
        else:
            await self._call("PATCH", path, {"fields": {self._content: fields[self._content]}})

    async def load(self, name: str) -> bytes | None:
        try:
            record = await self._call("GET", f"/v1/records/{self._collection}/{self._id(name)}")
        except NotFound:
            return None
        return str(record["fields"][self._content]).encode()

    async def exists(self, name: str) -> bool:
        return await self.load(name) is not None

    async def delete(self, name: str) -> None:
        try:
            await self._call("DELETE", f"/v1/records/{self._collection}/{self._id(name)}")
        except NotFound:
            return

    async def list(self) -> Names:
        names: Names = []
        cursor: str | None = None
        while True:
            page = await self._call("GET", f"/v1/records/{self._collection}",
                                    query={"limit": "200", **({"cursor": cursor} if cursor else {})})
            names += [record["fields"][self._name] for record in page["records"]]
            cursor = page["cursor"]
            if cursor is None:
                return sorted(names)

    async def close(self) -> None:
        await self._wire.close()

    def _id(self, name: str) -> str:
        return natural_id(self._collection, [name])

    async def _call(self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None) -> Any:
        key = self._runtime.uuid7() if method != "GET" else None
        try:
            return await self._wire.call(method, path, body=body, query=query, idempotency_key=key)
        except Unreachable as error:
            raise WorldError(str(error), hint="Try again when there is a network.") from error

