"""Pages of records: filters, sorting, keyset cursors, children and counts; always within the rule of each collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.core.entry import Row
from holdfast.core.errors import InvalidValue, LimitExceeded, Malformed
from holdfast.core.limits import Limits
from holdfast.core.schema import Collection, Field, Kind
from holdfast.engine.api import ListQuery, Page, RecordView
from holdfast.engine.paging import Cursor, fingerprint
from holdfast.engine.sight import Sight
from holdfast.engine.views import record_view
from holdfast.storage.protocol import Filter, Query

__all__ = ["CHILDREN_MAX", "include_children", "list_records", "raise_on_query"]

CHILDREN_MAX = 1_000
"""Children that come along with one page; more of them have a list of their own."""

FILTERS_MAX = 50
IN_VALUES_MAX = 500
COUNT: Final = ":count"

_PLAIN = frozenset(Kind) - {Kind.JSON, Kind.SET}
_TEXTUAL = frozenset({Kind.STRING, Kind.TEXT, Kind.CHOICE, Kind.UUID, Kind.REF, Kind.DATE, Kind.DATETIME})
_BOOKKEEPING = {"id": Kind.STRING, "rev": Kind.INTEGER}
_PYTHON: Mapping[Kind, tuple[type, ...]] = {Kind.INTEGER: (int,), Kind.COUNTER: (int,), Kind.NUMBER: (int, float), Kind.BOOLEAN: (bool,)}


async def list_records(sight: Sight, collection_name: str, query: ListQuery, limits: Limits) -> Page:
    """Raises NotFound (no such collection), InvalidValue, Malformed (the cursor)."""
    collection = sight.collection(collection_name)
    raise_on_query(collection, query)
    names = [name for name, _ in query.sort]
    made_for = fingerprint(collection_name, query.filters, query.sort, query.include_deleted)
    after = None if query.cursor is None else Cursor.read(made_for, query.cursor, len(names) + 1)
    if after is not None:
        _raise_on_values(collection, names, after)
    limit = max(1, min(query.limit, limits.page_records_max))
    rows = await sight.reader.page(sight.tenant_id, Query(
        collection=collection_name, rule=collection.read, actor=sight.actor, filters=query.filters, sort=query.sort, after=after,
        limit=limit + 1, include_deleted=query.include_deleted, bookkeeping=False))
    opened = [sight.secrecy.open_row(row) for row in rows[:limit]]
    records = [record_view(row) for row in opened]
    await include_children(sight, collection, records, query.include)
    cursor = Cursor.write(made_for, [*(_value(opened[-1], name) for name in names), opened[-1].id]) if len(rows) > limit else None
    return Page(records=records, cursor=cursor)


def _value(row: Row, name: str) -> Any:
    return row.rev if name == "rev" else row.id if name == "id" else row.fields[name]


def raise_on_query(collection: Collection, query: ListQuery) -> None:
    """Only plain fields that are not sensitive can be asked for, with values of their kind. Raises InvalidValue."""
    if len(query.filters) > FILTERS_MAX or len(query.sort) > FILTERS_MAX:
        raise InvalidValue(f"At most {FILTERS_MAX} filters and sort fields.")
    for name, _ in query.sort:
        _kind(collection, name)
    for one in query.filters:
        kind = _kind(collection, one.field)
        if one.op == "null":
            values, kind = [one.value], Kind.BOOLEAN
        elif one.op == "in":
            if not isinstance(one.value, list) or len(one.value) > IN_VALUES_MAX:
                raise InvalidValue(f"`in` takes a list of at most {IN_VALUES_MAX} values.", field=one.field)
            values = one.value
        else:
            values = [one.value]
        if one.op == "prefix" and kind not in _TEXTUAL:
            raise InvalidValue("A prefix is for text.", field=one.field)
        for value in values:
            _raise_on_value(collection.fields.get(one.field), kind, one.field, value, is_prefix=one.op == "prefix")


def _kind(collection: Collection, name: str) -> Kind:
    field = collection.fields.get(name)
    kind = _BOOKKEEPING.get(name) if field is None else field.kind
    if kind is None or kind not in _PLAIN or (field is not None and field.sensitive):
        raise InvalidValue(f"{collection.name} cannot be filtered or sorted by {name[:60]!r}.", field=name[:60])
    return kind


def _raise_on_value(field: Field | None, kind: Kind, name: str, value: Any, *, is_prefix: bool = False) -> None:
    wanted = _PYTHON.get(kind, (str,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not Kind.BOOLEAN):
        raise InvalidValue(f"{name} is of kind {kind.value}: compare it with such a value.", field=name)
    if kind is Kind.MONEY and field is not None and field.check is not None and not is_prefix:
        field.check(value)


def _raise_on_values(collection: Collection, names: Sequence[str], after: Sequence[Any]) -> None:
    for name, value in zip(names, after, strict=False):
        if value is not None:
            try:
                _raise_on_value(collection.fields.get(name), _kind(collection, name), name, value)
            except InvalidValue:
                raise Malformed("This cursor was not made by this query.", field="cursor", hint="Start again without a cursor.") from None


# -- children --------------------------------------------------------------------------------------------------------------


async def include_children(sight: Sight, parent: Collection, records: Sequence[RecordView], names: Sequence[str]) -> None:
    """Put the children that the caller may see into `record["children"][name]`, or their number into `record["counts"][name]`.
    Raises InvalidValue for a name that is no child, LimitExceeded if there are too many to come along."""
    ids = [record["id"] for record in records]
    for name in names:
        child, field = _child(sight, parent, name.removesuffix(COUNT))
        query = Query(collection=child.name, rule=child.read, actor=sight.actor, filters=(Filter(field.name, "in", ids),),
                      limit=CHILDREN_MAX + 1, bookkeeping=False)
        if name.endswith(COUNT):
            counts = await sight.reader.counts(sight.tenant_id, query, field.name) if ids else {}
            for record in records:
                record.setdefault("counts", {})[child.name] = counts.get(record["id"], 0)
            continue
        rows = await sight.reader.page(sight.tenant_id, query) if ids else []
        if len(rows) > CHILDREN_MAX:
            raise LimitExceeded(f"More than {CHILDREN_MAX:,} {child.name} would come along.", field="include",
                                hint=f"Ask for fewer records, or list {child.name} by {field.name}.")
        by_parent: dict[str, list[RecordView]] = {}
        for row in rows:
            by_parent.setdefault(row.fields[field.name], []).append(record_view(sight.secrecy.open_row(row)))
        for record in records:
            record.setdefault("children", {})[child.name] = by_parent.get(record["id"], [])


def _child(sight: Sight, parent: Collection, name: str) -> tuple[Collection, Field]:
    for child, field in sight.schema.children(parent.name):
        if child.name == name:
            return child, field
    known = sorted({child.name for child, _ in sight.schema.children(parent.name)})
    raise InvalidValue(f"{name[:60]!r} is no child of {parent.name}.", field="include", hint=f"Children: {', '.join(known) or 'none'}.")
