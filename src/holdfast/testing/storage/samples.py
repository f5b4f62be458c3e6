"""What the conformance suite writes: a schema with a field of every kind, and a log that seals its entries as the engine does."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final

from holdfast.core import digest
from holdfast.core.access import Actor, And, Everyone, Or, Own, Role
from holdfast.core.entry import Entry, Row
from holdfast.core.ops import SetOp
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema, Unique
from holdfast.storage.protocol import Head, Query, Storage, Writes

__all__ = ["ANYONE", "SCHEMA", "TENANT", "Log", "a_page", "an_id", "project", "query", "raising", "task", "turn"]

TENANT: Final = "acme"
ANYONE: Final = Actor("nobody")

_PROJECT_FIELDS: Final = (
    Field(name="title", kind=Kind.STRING, default=""),
    Field(name="owner_id", kind=Kind.UUID, optional=True),
)

_TASK_FIELDS: Final = (
    Field(name="project", kind=Kind.REF, ref="projects", optional=True),
    Field(name="code", kind=Kind.STRING, optional=True),
    Field(name="rank", kind=Kind.INTEGER, optional=True),
    Field(name="weight", kind=Kind.NUMBER, optional=True),
    Field(name="done", kind=Kind.BOOLEAN, default=False),
    Field(name="due", kind=Kind.DATE, optional=True),
    Field(name="seen_at", kind=Kind.DATETIME, optional=True),
    Field(name="status", kind=Kind.CHOICE, choices=("open", "closed"), default="open"),
    Field(name="assignee", kind=Kind.UUID, optional=True),
    Field(name="cost", kind=Kind.MONEY, optional=True),
    Field(name="rate", kind=Kind.MONEY, scale=0, optional=True),
    Field(name="details", kind=Kind.JSON, default={}),
    Field(name="notes", kind=Kind.TEXT, default=""),
    Field(name="views", kind=Kind.COUNTER, default=0),
    Field(name="tags", kind=Kind.SET, default=[]),
    Field(name="phone", kind=Kind.STRING, optional=True, sensitive=True),
)


def _by_name(fields: Sequence[Field]) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


SCHEMA: Final = Schema(digest="sample", collections={
    "members": Collection(name="members", fields=_by_name([
        Field(name="email", kind=Kind.STRING, optional=True), Field(name="roles", kind=Kind.SET, default=[])]),
        unique=(Unique(name="email", fields=("email",)),)),
    "projects": Collection(name="projects", fields=_by_name(_PROJECT_FIELDS), read=Or((Own("owner_id"), Role(frozenset({"boss"}))))),
    "tasks": Collection(
        name="tasks", fields=_by_name(_TASK_FIELDS), unique=(Unique(name="code", fields=("code",)),),
        copied=(Copied(column="via_project__owner_id", ref_field="project", parent="projects", source="owner_id"),),
        read=Or((Own("assignee"), And((Role(frozenset({"boss"})), Everyone())), Own("via_project__owner_id"))),
        indexes=(("status", "rank"),)),
})


def an_id(name: object) -> str:
    """A UUID that stands for `name`."""
    text = hashlib.sha256(str(name).encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-8{text[17:20]}-{text[20:32]}"


def task(name: object, /, **fields: Any) -> Row:
    """A task with the defaults of all other fields."""
    full = {field.name: field.default for field in _TASK_FIELDS}
    return Row(collection="tasks", id=an_id(name), fields=full | fields, copied={"via_project__owner_id": None})


def project(name: object, /, **fields: Any) -> Row:
    full = {field.name: field.default for field in _PROJECT_FIELDS}
    return Row(collection="projects", id=an_id(name), fields=full | fields)


def query(collection: str = "tasks", **options: Any) -> Query:
    """A query that shows everything, unless `options` say otherwise."""
    return Query(**{"collection": collection, "rule": Everyone(), "actor": ANYONE, "limit": 1000, **options})


class Log:
    """One tenant's log as its writer knows it: numbers and seals entries, and writes them with their views."""

    def __init__(self, tenant: str = TENANT) -> None:
        self.tenant = tenant
        self.head = Head(tenant, 0, digest.FIRST)
        self.pending: list[Entry] = []
        self.salts: dict[int, bytes] = {}

    def add(self, record: str = "r", /, **fields: Any) -> Entry:
        """The next entry: by default a change of the title of task `record`."""
        seq = self.head.seq + 1
        entry = Entry(**{
            "tenant_id": self.tenant, "seq": seq, "committed_at": 1_790_000_000_000 + seq, "stamp": (1_790_000_000_000 + seq) << 16,
            "actor_id": an_id("me"), "device_id": "device-1", "mutation_id": an_id(("mutation", self.tenant, seq)), "collection": "tasks",
            "record_id": an_id(record), "ops": [SetOp("/code", f"c{seq}")], "undo": [SetOp("/code", None)], **fields})
        salt = hashlib.sha256(f"{self.tenant} {seq}".encode()).digest()[:16]
        sealed = digest.seal(entry, self.head.digest, salt, digest.payload(entry))
        self.head = Head(self.tenant, seq, sealed.digest)
        self.pending.append(sealed)
        self.salts[seq] = salt
        return sealed

    def writes(self, **views: Any) -> Writes:
        """Everything added since the last call."""
        entries, self.pending = self.pending, []
        return Writes(head=self.head, entries=entries, salts={entry.seq: self.salts[entry.seq] for entry in entries}, **views)

    async def save(self, storage: Storage, **views: Any) -> None:
        """Commit everything added since, in a batch of its own."""
        async with storage.batch([self.tenant]) as batch:
            await batch.write(self.writes(**views))

    async def save_rows(self, storage: Storage, *rows: Row) -> None:
        """Rows alone, without entries: for what reads rows."""
        await self.save(storage, rows=list(rows))


async def a_page(storage: Storage, asked: Query, tenant: str = TENANT) -> list[str]:
    """The ids of one page."""
    async with storage.reader() as reader:
        return [row.id for row in await reader.page(tenant, asked)]


def raising(kind: type[BaseException]) -> AbstractContextManager[None, bool]:
    """`with raising(StorageConstraint): …` fails unless the block raises it."""
    return _Raising(kind)


class _Raising(AbstractContextManager[None, bool]):
    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        assert kind is not None, f"{self._kind.__name__} was not raised"
        return issubclass(kind, self._kind)


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def turn() -> None:
    """Let the other tasks of the event loop run once."""
    await _Turn()
