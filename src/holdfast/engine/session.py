"""Typed work as one member, for those who embed the store: record classes in, record classes out.

    me = await store.member("acme", "ada@example.org")
    note = await me.create(Note(title="Groceries"))
    note.body = "Milk"
    note = await me.save(note)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from holdfast.core.errors import Held
from holdfast.core.messages import Result
from holdfast.engine.actions import json_fields
from holdfast.engine.api import Caller, Filter, ListQuery, Resolution
from holdfast.engine.views import plain
from holdfast.model.record import Record
from holdfast.model.typed import changed_fields, collection_of, from_fields, to_fields

if TYPE_CHECKING:
    from holdfast.engine.store import Store

__all__ = ["MemberSession"]

R = TypeVar("R", bound=Record)
Views: TypeAlias = list[dict[str, Any]]

PAGE = 200
OPERATORS = ("ne", "lt", "lte", "gt", "gte", "in", "prefix", "null")


class MemberSession:
    """What one member may do. Every call is judged anew; nothing is cached."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self.store = store
        self.caller = caller

    @property
    def actor_id(self) -> str:
        return self.caller.actor_id

    # -- records ----------------------------------------------------------------------------------------------------------

    async def create(self, record: R, *, mutation_id: str | None = None) -> R:
        """Keep a new record; returns it as it was kept. With a natural key, and if it exists, it is merged. Raises InvalidValue, Forbidden,
        Conflict (a unique value is taken), Held."""
        kind = type(record)
        if record._id is None:
            collection = self.store.schema.collections[collection_of(kind)]
            record = record.with_id(self.store.new_record_id(self.caller, collection, to_fields(record), mutation_id))
        result = await self.store.create(self.caller, collection_of(kind), to_fields(record), record_id=record.id, mutation_id=mutation_id)
        return _kept(kind, result, record)

    async def change(self, record: R, *, base: str | None = None, mutation_id: str | None = None, **fields: Any) -> R:
        """Change the fields given, on the version of `record` in hand: what others did since is merged. Returns the record as it stands;
        `record` itself stays as it was. Raises InvalidValue, Forbidden, NotFound, Held (a question: both values are in the inbox)."""
        return await self._changed(record, json_fields(record, fields), base, mutation_id)

    async def save(self, record: R, *, mutation_id: str | None = None) -> R:
        """Keep what was assigned to `record` since it was read; see `change`. Nothing assigned: nothing is written."""
        return await self._changed(record, changed_fields(record), None, mutation_id)

    async def _changed(self, record: R, fields: Mapping[str, Any], base: str | None, mutation_id: str | None) -> R:
        kind = type(record)
        if not fields:
            return await self.get(kind, record.id, include_deleted=True)
        result = await self.store.change(self.caller, collection_of(kind), record.id, fields=fields, base=base or record.position,
                                         mutation_id=mutation_id)
        return _kept(kind, result, record)

    async def delete(self, record: Record) -> None:
        """It can be undeleted. Raises Forbidden, NotFound."""
        await self.store.delete(self.caller, collection_of(type(record)), record.id)

    async def undelete(self, record: R) -> R:
        return _kept(type(record), await self.store.undelete(self.caller, collection_of(type(record)), record.id), record)

    async def get(self, kind: type[R], id: str, *, include_deleted: bool = False) -> R:
        """Raises NotFound, for what does not exist and for what you may not see."""
        return from_fields(kind, await self.store.get(self.caller, collection_of(kind), id, include_deleted=include_deleted))

    async def list(self, kind: type[R], *, sort: Sequence[str] = (), limit: int = 50, include_deleted: bool = False,
                   **where: Any) -> list[R]:
        """Records by the values of their fields: `list(Note, title="Groceries", rev__gt=10, sort=["-created_at"])`."""
        found: list[R] = []
        async for record in self.each(kind, sort=sort, include_deleted=include_deleted, **where):
            found.append(record)
            if len(found) >= limit:
                break
        return found

    async def each(self, kind: type[R], *, sort: Sequence[str] = (), include_deleted: bool = False, **where: Any) -> AsyncIterator[R]:
        """All such records, page by page."""
        cursor: str | None = None
        order = tuple((name.removeprefix("-"), name.startswith("-")) for name in sort)
        filters = tuple(_filter(name, value) for name, value in where.items())
        while True:
            query = ListQuery(filters=filters, sort=order, cursor=cursor, limit=PAGE, include_deleted=include_deleted)
            page = await self.store.list(self.caller, collection_of(kind), query)
            for view in page.records:
                yield from_fields(kind, view)
            cursor = page.cursor
            if cursor is None:
                return

    # -- the past -----------------------------------------------------------------------------------------------------------

    async def history(self, record: Record) -> Views:
        """All entries about the record, newest first: who changed what, when, and the names of versions."""
        found: Views = []
        cursor: str | None = None
        while True:
            page = await self.store.history(self.caller, collection_of(type(record)), record.id, cursor=cursor, limit=PAGE)
            found.extend(page["entries"])
            cursor = page["cursor"]
            if cursor is None:
                return found

    async def at(self, record: R, rev: int) -> R:
        """The record as it stood at `rev`."""
        return from_fields(type(record), await self.store.at(self.caller, collection_of(type(record)), record.id, rev))

    async def diff(self, record: Record, *, since: int, to: int | None = None) -> dict[str, Any]:
        return await self.store.diff(self.caller, collection_of(type(record)), record.id, frm=since, to=to)

    async def why(self, record: Record, field: str) -> dict[str, Any]:
        """Where the value of a field (or of a place in it, as `field/inside`) comes from."""
        return await self.store.why(self.caller, collection_of(type(record)), record.id, "/" + field)

    async def undo(self, record: R) -> R:
        """Take back the newest change that was made of the record by this API as this member. Raises Conflict (nothing to undo)."""
        return _kept(type(record), await self.store.undo(self.caller, collection_of(type(record)), record.id), record)

    async def redo(self, record: R) -> R:
        return _kept(type(record), await self.store.redo(self.caller, collection_of(type(record)), record.id), record)

    async def restore(self, record: R, rev: int, *, fields: Sequence[str] | None = None) -> R:
        """Bring back what the record (or some of its fields) held at `rev`, as a new change."""
        paths = None if fields is None else ["/" + name for name in fields]
        return _kept(type(record), await self.store.restore(self.caller, collection_of(type(record)), record.id, rev, paths=paths), record)

    async def name_version(self, record: Record, name: str, *, rev: int | None = None) -> None:
        await self.store.name_version(self.caller, collection_of(type(record)), record.id, record.rev if rev is None else rev, name)

    async def erase(self, record: Record, *, reason: str, seqs: Sequence[int] | None = None) -> None:
        """Erase what the record's entries (or those chosen) held, for good; without chosen ones its present state too. Owners and operators
        only. `reason` is kept. Raises Forbidden, NotFound, InvalidValue."""
        await self.store.erase(self.caller, collection_of(type(record)), record.id, seqs=seqs, reason=reason)

    # -- what waits, what is called -----------------------------------------------------------------------------------------

    async def inbox(self) -> Views:
        """What waits for this member's decision, oldest first."""
        found: Views = []
        cursor: str | None = None
        while True:
            page = await self.store.inbox(self.caller, cursor=cursor, limit=PAGE)
            found.extend(page["items"])
            cursor = page["cursor"]
            if cursor is None:
                return found

    async def apply(self, item_id: str) -> None:
        """Apply what waits, over what stands. Raises what a change raises; then it waits on."""
        await self.store.resolve(self.caller, item_id, Resolution(how="apply"))

    async def discard(self, item_id: str, reason: str = "") -> None:
        await self.store.resolve(self.caller, item_id, Resolution(how="discard", reason=reason))

    async def settle(self, item_id: str, values: Mapping[str, Any]) -> None:
        """Put these values (path -> JSON value) in place of both that are in question."""
        await self.store.resolve(self.caller, item_id, Resolution(how="value", values=dict(values)))

    async def call(self, action: str, *, mutation_id: str | None = None, **arguments: Any) -> Any:
        """Call an action ("workshop.save") and return its reply."""
        answer = await self.store.action(self.caller, action, arguments, mutation_id=mutation_id or self.store.runtime.uuid7())
        return answer["reply"]


def _kept(kind: type[R], result: Result, record: R) -> R:
    """The record as it stands; as it was given, if the member may no longer see what it has become."""
    if result.receipt == "held":
        raise Held("Somebody else changed this too: both values are kept in the inbox.", inbox_id=result.inbox_id, result=plain(result))
    return record.model_copy(deep=True) if result.record is None else from_fields(kind, result.record)


def _filter(name: str, value: Any) -> Filter:
    field, _, operator = name.rpartition("__")
    if not field or operator not in OPERATORS:
        return Filter(name, "null", True) if value is None else Filter(name, "eq", _plain(value))
    made: Any = operator
    return Filter(field, made, [_plain(one) for one in value] if operator == "in" else _plain(value))


def _plain(value: Any) -> Any:
    return value.id if isinstance(value, Record) else plain(value)
