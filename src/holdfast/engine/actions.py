"""Running an action: it reads at one moment outside the lock, queues its changes, and is committed whole if what it read is still so;
otherwise it runs again, five times at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, overload

import msgspec
from pydantic import ValidationError

from holdfast.core.entry import Mutation
from holdfast.core.errors import Conflict, Forbidden, InvalidValue, NotFound
from holdfast.core.identity import natural_id, pseudo_device
from holdfast.core.ops import DeleteOp, Op
from holdfast.core.schema import Collection, Schema
from holdfast.engine.api import Filter, ListQuery, RecordView
from holdfast.engine.intake import create_op, ops_of_fields, with_author
from holdfast.engine.listing import list_records
from holdfast.engine.sight import Sight
from holdfast.engine.views import record_view
from holdfast.engine.work import ListRead, Read
from holdfast.model.checks import explain
from holdfast.model.record import Record
from holdfast.model.typed import changed_fields, collection_of, from_fields, to_fields
from holdfast.runtime import Runtime

__all__ = ["PROMISE", "Context", "Queued", "json_fields", "kept_promises"]

R = TypeVar("R", bound=Record)
Mutations: TypeAlias = list[Mutation]
Reads: TypeAlias = list[Read]
ListReads: TypeAlias = list[ListRead]
Keys: TypeAlias = list[tuple[str, str]]

PROMISE: Final = "$promised"
FIRST_OUTCOME: Final = "first_outcome"
_PROMISED: Final = frozenset({"record", "rev", "outcome", "receipt", "position", "seq", "mutation_id"})
LIST_MAX: Final = 1_000


class Queued:
    """A change that is queued. `id` is known; the rest are promises, to be used in the reply and nowhere else."""

    def __init__(self, place: int, record_id: str) -> None:
        self._place = place
        self.id = record_id

    def _promise(self, *path: str) -> Any:
        return {PROMISE: [self._place, *path]}

    @property
    def record(self) -> Any:
        """The record as it stands after the change, as a record view."""
        return self._promise("record")

    def value(self, *path: str) -> Any:
        """A place in that view: `value("fields", "title")`, `value("position")`."""
        return self._promise("record", *path)

    @property
    def first_outcome(self) -> Any:
        """What the change came to at first: there is such a member in the answer of a repeated call alone."""
        return self._promise(FIRST_OUTCOME)

    @property
    def rev(self) -> Any:
        return self._promise("rev")

    @property
    def outcome(self) -> Any:
        return self._promise("outcome")

    @property
    def receipt(self) -> Any:
        return self._promise("receipt")

    @property
    def position(self) -> Any:
        return self._promise("position")


def kept_promises(reply: Any, results: Sequence[Mapping[str, Any]]) -> Any:
    """The reply with every promise filled in from the results of the queued changes (null: there is no such thing; a first outcome that
    is none is left out of its object)."""
    if isinstance(reply, dict):
        if len(reply) == 1 and PROMISE in reply:
            place, *path = reply[PROMISE]
            found: Any = results[place]
            for name in path:
                found = found.get(name) if isinstance(found, Mapping) else None
            return found
        return {key: kept for key, value in reply.items()
                if (kept := kept_promises(value, results)) is not None or not _is_first_outcome(value)}
    if isinstance(reply, list | tuple):
        return [kept_promises(value, results) for value in reply]
    return reply


def _is_first_outcome(value: Any) -> bool:
    return isinstance(value, dict) and PROMISE in value and value[PROMISE][-1] == FIRST_OUTCOME


class Context:
    """What an action works with. Reads are judged by the caller's rights (and the roles the action grants) at one moment; queued changes
    by the same, at the commit. A record class gives typed records, a collection's name gives record views."""

    def __init__(self, sight: Sight, runtime: Runtime) -> None:
        self._sight = sight
        self._runtime = runtime
        self._limits = sight.schema.limits
        self._reads: dict[tuple[str, str], int] = {}
        self._lists: dict[str, int] = {}
        self._listed: dict[tuple[str, str], None] = {}
        self._mutations: list[Mutation] = []
        self._head = 0

    @property
    def tenant_id(self) -> str:
        return self._sight.tenant_id

    @property
    def actor_id(self) -> str:
        return self._sight.actor.id

    @property
    def roles(self) -> frozenset[str]:
        return self._sight.actor.roles

    @property
    def now_ms(self) -> int:
        return self._runtime.now_ms()

    def uuid7(self) -> str:
        return self._runtime.uuid7()

    # -- reading ----------------------------------------------------------------------------------------------------------

    @overload
    async def get(self, kind: type[R], record_id: str) -> R: ...
    @overload
    async def get(self, kind: str, record_id: str) -> RecordView: ...
    async def get(self, kind: type[R] | str, record_id: str) -> R | RecordView:
        """Raises NotFound for what does not exist, is hidden, or was deleted."""
        found = await self.find(kind, record_id)
        if found is None:
            raise NotFound("There is no such record.")
        return found

    @overload
    async def find(self, kind: type[R], record_id: str) -> R | None: ...
    @overload
    async def find(self, kind: str, record_id: str) -> RecordView | None: ...
    async def find(self, kind: type[R] | str, record_id: str) -> R | RecordView | None:
        """The record, or None."""
        key = (_name(kind), record_id)
        self._sight.collection(key[0])
        row = (await self._sight.all_rows([key])).get(key)
        self._reads[key] = 0 if row is None else row.rev
        if row is None or row.deleted or not self._sight.may_read(row):
            return None
        typed: R | RecordView = _typed(kind, record_view(row))
        return typed

    @overload
    async def list(self, kind: type[R], *, sort: Sequence[str] = (), limit: int = 50, **equal: Any) -> list[R]: ...
    @overload
    async def list(self, kind: str, *, sort: Sequence[str] = (), limit: int = 50, **equal: Any) -> list[RecordView]: ...
    async def list(self, kind: type[R] | str, *, sort: Sequence[str] = (), limit: int = 50, **equal: Any) -> list[R] | list[RecordView]:
        """Records whose fields equal the given values; `sort` names fields, a minus before one turns its order round."""
        name = _name(kind)
        if not self._head:
            self._head = (await self._sight.reader.head(self._sight.tenant_id)).seq
        self._lists[name] = self._head
        found: list[Any] = []
        cursor: str | None = None
        filters = tuple(Filter(field, "null", True) if value is None else Filter(field, "eq", value) for field, value in equal.items())
        order = tuple((field.removeprefix("-"), field.startswith("-")) for field in sort)
        while len(found) < min(limit, LIST_MAX):
            query = ListQuery(filters=filters, sort=order, cursor=cursor, limit=min(limit, LIST_MAX) - len(found))
            page = await list_records(self._sight, name, query, self._limits)
            found.extend(_typed(kind, view) for view in page.records)
            self._listed.update(dict.fromkeys((name, view["id"]) for view in page.records))
            cursor = page.cursor
            if cursor is None:
                break
        return found

    async def first(self, kind: type[R], *, sort: Sequence[str] = (), **equal: Any) -> R | None:
        """The first record whose fields equal the given values, or None."""
        found = await self.list(kind, sort=sort, limit=1, **equal)
        return found[0] if found else None

    async def last_own_position(self, kind: type[Record] | str, record_id: str) -> str | None:
        """The position of the newest entry about a record that the caller made by this way (REST and actions; a device that pushes is not
        this way, it knows its own bases): the version it saw when it saved last. None: no such entry, or the record is not to be seen."""
        key = (_name(kind), record_id)
        row = (await self._sight.all_rows([key])).get(key)
        if row is None or not self._sight.may_read(row):
            return None
        mine = await self._sight.reader.record_entries(self._sight.tenant_id, key, device=pseudo_device(self._sight.actor.id),
                                                       descending=True, limit=1)
        return f"{mine[0].seq}.{mine[0].digest[:8]}" if mine else None

    # -- queueing ---------------------------------------------------------------------------------------------------------

    def create(self, record: Record | str, fields: Mapping[str, Any] | None = None, *, record_id: str | None = None) -> Queued:
        """Queue a new record: `ctx.create(Note(title="…"))` or `ctx.create("notes", {"title": "…"})`."""
        if isinstance(record, Record):
            collection, given = self._sight.collection(collection_of(type(record))), to_fields(record)
            record_id = record_id or record._id
        else:
            collection, given = self._sight.collection(record), dict(fields or {})
        given = {**with_author(collection, given, self._sight.actor.id)}
        return self._queue(collection, record_id or self._new_id(collection, given), [create_op(given, self._limits)])

    def change(self, record: Record | tuple[str, str], *, base: str | None = None, **fields: Any) -> Queued:
        """Queue a change: of the fields given, or of what was assigned to a typed record since it was read. `base`: the position it was
        made on, if not what stands; then it is merged with what came after."""
        name, record_id = _key(record)
        collection = self._sight.collection(name)
        given = fields
        if isinstance(record, Record):
            given = {**changed_fields(record), **json_fields(record, fields)}
        if not given:
            raise InvalidValue("A change changes at least one field.")
        return self._queue(collection, record_id, ops_of_fields(collection, given, self._limits), base=base)

    def delete(self, record: Record | tuple[str, str]) -> Queued:
        name, record_id = _key(record)
        return self._queue(self._sight.collection(name), record_id, [DeleteOp()])

    def _new_id(self, collection: Collection, fields: Mapping[str, Any]) -> str:
        if collection.key is None:
            return self._runtime.uuid7()
        return natural_id(collection.name, [fields.get(name) for name in collection.key])

    def _queue(self, collection: Collection, record_id: str, ops: Sequence[Op], base: str | None = None) -> Queued:
        self._mutations.append(Mutation(mutation_id=self._runtime.uuid7(), collection=collection.name, record_id=record_id, ops=list(ops),
                                        contract=collection.contract, base=base))
        return Queued(len(self._mutations) - 1, record_id)

    # -- what it came to ----------------------------------------------------------------------------------------------------

    @property
    def mutations(self) -> Mutations:
        return self._mutations

    @property
    def reads(self) -> Reads:
        return [Read(*key, rev) for key, rev in self._reads.items()]

    @property
    def listed(self) -> Keys:
        return list(self._listed)

    @property
    def lists(self) -> ListReads:
        return [ListRead(name, seq) for name, seq in self._lists.items()]


def reply_as_json(reply: Any) -> Any:
    """A reply as JSON values: records become their views. Raises InvalidValue for what has no JSON form."""
    try:
        return msgspec.to_builtins(reply, enc_hook=_record_as_json, str_keys=True)
    except (TypeError, NotImplementedError) as error:
        raise InvalidValue(f"The action's reply has no JSON form: {error}.") from None


def _record_as_json(value: Any) -> Any:
    if isinstance(value, Record):
        fields = {**(value._stood or {}), **to_fields(value)}
        return {"collection": collection_of(type(value)), "id": value._id, "rev": value.rev, "position": value.position,
                "deleted": value.deleted, "fields": fields}
    raise NotImplementedError(type(value).__name__)


def raise_if_not_for(roles: frozenset[str], only_for: frozenset[str] | None) -> None:
    if only_for is not None and only_for.isdisjoint(roles):
        raise Forbidden("You may not call this action.")


def raise_if_of_record(error: ValidationError, schema: Schema) -> None:
    """Raise InvalidValue, naming the field, if a record class refused the values that an action gave it."""
    collection = next((one for one in schema.collections.values() if one.record == error.title), None)
    if collection is None:
        return
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    field = collection.fields.get(name)
    raise InvalidValue(explain(name, first, field is not None and field.sensitive), field=f"/{name}" if name else None) from None


def is_read_changed(error: Conflict) -> bool:
    """Whether the conflict says: run the action again."""
    return bool(error.extra.get("read_changed"))


def _name(kind: type[Record] | str) -> str:
    return kind if isinstance(kind, str) else collection_of(kind)


def _typed(kind: Any, view: RecordView) -> Any:
    return view if isinstance(kind, str) else from_fields(kind, view)


def _key(record: Record | tuple[str, str]) -> tuple[str, str]:
    return (collection_of(type(record)), record.id) if isinstance(record, Record) else record


def json_fields(record: Record, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Python values of a typed record's fields as canonical JSON. Raises InvalidValue, naming the field."""
    copy = record.model_copy()
    known = type(record).model_fields
    for name, value in fields.items():
        if name not in known:
            raise InvalidValue(f"{type(record).__name__} has no field {name!r}.", field=name)
        setattr(copy, name, value)
    changed = changed_fields(copy)
    return {name: changed[name] for name in fields if name in changed}
