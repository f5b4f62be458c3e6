"""`GET /v1/records/{collection}`: from the query string to a `ListQuery`.

`?field=value` and `?field__gte=value` (eq, ne, lt, lte, gt, gte, in, prefix, null). A field whose name is also a parameter's
(`sort`, `limit`, …) is reached as `sort__eq=`. Sensitive fields cannot be asked for, not even whether they are empty: an answer
would tell something about their value.
"""

from __future__ import annotations

import re
from typing import Any

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Collection, Field, Kind
from holdfast.engine.api import Filter, ListQuery
from holdfast.server.calls import Call

__all__ = ["filtered_fields", "included", "list_query"]

_OPERATORS = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "null")
_FILTERED = frozenset((Kind.STRING, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME, Kind.CHOICE, Kind.UUID, Kind.REF,
                       Kind.MONEY, Kind.COUNTER, Kind.TEXT))
_BOOKKEEPING = {"id": Field(name="id", kind=Kind.UUID), "rev": Field(name="rev", kind=Kind.INTEGER)}
_WHOLE = re.compile(r"-?[0-9]{1,16}")
_FILTERS_MAX = 20


def list_query(call: Call) -> ListQuery:
    """The query that the call's parameters ask for. Raises InvalidValue with the name of the parameter."""
    collection = call.collection
    if len(call.filters) > _FILTERS_MAX:
        raise InvalidValue(f"At most {_FILTERS_MAX} conditions at once.", hint="Filter further on your side.")
    return ListQuery(
        filters=tuple(_filter(collection, name, value) for name, value in call.filters),
        sort=tuple(_sort(collection, name) for name in call.values["sort"] or ()),
        cursor=call.values["cursor"],
        limit=min(call.values["limit"], call.store.schema.limits.page_records_max),
        include=included(call, collection),
        include_deleted=call.values["include_deleted"],
    )


def included(call: Call, collection: Collection) -> tuple[str, ...]:
    """Child collections, or `child:count`. Raises InvalidValue."""
    children = {child.name for child, _ in call.store.schema.children(collection.name)}
    for name in call.values["include"] or ():
        if name.removesuffix(":count") not in children:
            raise InvalidValue(f"{name[:60]!r} is no child of {collection.name}.", field="include",
                               hint=f"Children: {', '.join(sorted(children)) or 'none'}; add :count for their number.")
    return tuple(call.values["include"] or ())


def _filter(collection: Collection, name: str, value: str) -> Filter:
    field_name, _, operator = name.partition("__")
    operator = operator or "eq"
    field = _field(collection, field_name)
    if field is None:
        raise InvalidValue(f"{collection.name} cannot be filtered by {field_name[:60]!r}.", field=name[:60],
                           hint=f"Fields: {', '.join(one.name for one in filtered_fields(collection))}.")
    if operator not in _OPERATORS:
        raise InvalidValue(f"There is no comparison {operator[:20]!r}.", field=name[:60], hint=f"Use one of {', '.join(_OPERATORS)}.")
    if operator == "null":
        if value not in ("true", "false", "1", "0"):
            raise InvalidValue(f"{name} is true or false.", field=name)
        return Filter(field_name, "null", value in ("true", "1"))
    if operator == "prefix" and field.kind not in (Kind.STRING, Kind.CHOICE, Kind.TEXT):
        raise InvalidValue("Only text has a prefix.", field=name)
    if operator == "in":
        return Filter(field_name, "in", [_value(field, name, part) for part in value.split(",") if part])
    return Filter(field_name, _operator(operator), value if operator == "prefix" else _value(field, name, value))


def _operator(name: str) -> Any:
    return name


def filtered_fields(collection: Collection) -> list[Field]:
    """The fields that may be filtered and sorted by."""
    declared = [field for field in collection.fields.values() if field.kind in _FILTERED and not field.sensitive]
    return [*_BOOKKEEPING.values(), *declared]


def _field(collection: Collection, name: str) -> Field | None:
    field = collection.fields.get(name) or _BOOKKEEPING.get(name)
    return None if field is None or field.sensitive or field.kind not in _FILTERED else field


def _sort(collection: Collection, name: str) -> tuple[str, bool]:
    bare, descending = name.removeprefix("-"), name.startswith("-")
    if _field(collection, bare) is None:
        known = ", ".join(field.name for field in filtered_fields(collection))
        raise InvalidValue(f"{collection.name} cannot be sorted by {bare[:60]!r}.", field="sort",
                           hint=f"Fields: {known}; a minus before the name turns the order round.")
    return bare, descending


def _value(field: Field, name: str, text: str) -> Any:
    """The canonical JSON value that `text` stands for, in a field of this kind."""
    if field.kind in (Kind.INTEGER, Kind.COUNTER):
        if not _WHOLE.fullmatch(text):
            raise InvalidValue(f"{name} compares with a whole number.", field=name)
        return int(text)
    if field.kind is Kind.NUMBER:
        return _number(name, text)
    if field.kind is Kind.BOOLEAN:
        if text not in ("true", "false", "1", "0"):
            raise InvalidValue(f"{name} compares with true or false.", field=name)
        return text in ("true", "1")
    if field.check is not None:
        try:
            return field.check(text)
        except InvalidValue as error:
            raise InvalidValue(error.detail, field=name, hint=error.hint) from None
    return text


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InvalidValue(f"{name} compares with a number.", field=name) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise InvalidValue(f"{name} compares with a finite number.", field=name)
    return int(number) if number.is_integer() and abs(number) <= 2**53 - 1 else number
