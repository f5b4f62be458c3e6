"""What a `Query` may ask, judged once for every backend: which columns, which operators, which values.

The meaning of a condition, the same on every backend: nothing but `null`, `ne` and `in` ever admits a null (`ne` admits it because
it differs; `in` if the list names it). Text compares by code points. In an order null stands below every value, the id is the
last key, and it runs in the direction of the key before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Collection, Field, Kind
from holdfast.storage.columns import INTEGER_MAX, encoder, in_order, is_text, representation
from holdfast.storage.protocol import Filter, Query

__all__ = ["checked", "column_field", "order_of", "prefix_end", "raise_if_not_text"]

_BOOKKEEPING: Final = {
    "id": Field(name="id", kind=Kind.UUID),
    "rev": Field(name="rev", kind=Kind.INTEGER),
}
IN_VALUES_MAX: Final = 1_000
_OPERATORS: Final = frozenset({"eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "null"})


def column_field(collection: Collection, name: str) -> Field:
    """The field behind a column that may be filtered and sorted by. Raises InvalidValue, with the same words for a column that does
    not exist and for one that may not be asked for."""
    field = collection.fields.get(name) or _BOOKKEEPING.get(name)
    if field is None or not in_order(field):
        raise InvalidValue(f"{collection.name} cannot be filtered or sorted by {name[:64]!r}.", field=name[:64],
                           hint="Use a declared scalar field, `id` or `rev`.")
    return field


def raise_if_not_text(collection: Collection, name: str) -> None:
    """Counting goes by a text column (a reference, a choice). Raises InvalidValue for any other."""
    if name in _BOOKKEEPING or not is_text(column_field(collection, name)):
        raise InvalidValue(f"{collection.name} cannot be counted by {name[:64]!r}.", field=name[:64],
                           hint="Count by a reference or a choice.")


def checked(collection: Collection, query: Query) -> Collection:
    """The collection itself. Raises InvalidValue for an unknown column, an operator that does not fit, or a value of another kind."""
    for condition in query.filters:
        _check_filter(column_field(collection, condition.field), condition)
    order = order_of(query)
    for name, _ in order:
        column_field(collection, name)
    if query.after is not None:
        if len(query.after) != len(order):
            raise InvalidValue("The cursor does not fit this order.", hint="Start again without a cursor.")
        for (name, _), value in zip(order, query.after, strict=True):
            _check_value(column_field(collection, name), value, optional=True)
    return collection


def order_of(query: Query) -> list[tuple[str, bool]]:
    """The full order: the keys asked for and the id."""
    descending = query.sort[-1][1] if query.sort else False
    return [*query.sort, ("id", descending)]


def prefix_end(prefix: str) -> str | None:
    """The least text above every text that starts with `prefix`, by code points; None: there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD800 else last)
        prefix = prefix[:-1]
    return None


def _check_filter(field: Field, condition: Filter) -> None:
    value = condition.value
    if condition.op not in _OPERATORS:
        raise InvalidValue(f"There is no condition {condition.op[:16]!r}.", field=field.name)
    if condition.op == "null":
        if not isinstance(value, bool):
            raise InvalidValue("`null` takes true or false.", field=field.name)
    elif condition.op == "in":
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > IN_VALUES_MAX:
            raise InvalidValue(f"`in` takes a list of at most {IN_VALUES_MAX:,} values.", field=field.name)
        for one in value:
            _check_value(field, one, optional=True)
    elif condition.op == "prefix" and not is_text(field):
        raise InvalidValue("`prefix` works on text alone.", field=field.name)
    else:
        _check_value(field, value, optional=condition.op in ("eq", "ne"))


def _check_value(field: Field, value: Any, *, optional: bool) -> None:
    if value is None:
        if not optional:
            raise InvalidValue("This condition needs a value.", field=field.name)
        return
    kind = field.kind
    if kind is Kind.BOOLEAN:
        fits = isinstance(value, bool)
    elif kind in (Kind.INTEGER, Kind.COUNTER):
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INTEGER_MAX
    elif kind is Kind.NUMBER:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    else:
        fits = isinstance(value, str) and "\0" not in value
    if not fits:
        raise InvalidValue(f"The value does not fit {field.name}, which is of kind {kind.value}.", field=field.name)
    convert = encoder(representation(field))
    if convert is not None:
        convert(value)
