"""A `Query` as SQL: one page of a collection, by its keys and not by an offset, within an access rule. Says what `conditions` says.

PostgreSQL puts NULL above every value unless told otherwise, and compares text as the column's collation does ("C": by code points).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.schema import Collection
from holdfast.storage.columns import representation
from holdfast.storage.conditions import column_field, order_of, prefix_end
from holdfast.storage.layout import Table, quoted
from holdfast.storage.postgres.binding import Binder
from holdfast.storage.postgres.columns import cast_of, to_text, to_value
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.rules import FALSE, TRUE, rule_condition
from holdfast.storage.protocol import Filter, Query

__all__ = ["counts_sql", "page_sql"]

_COMPARISONS: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

Statement = tuple[str, list[Any]]


def page_sql(columns: str, tenant: str, query: Query, collection: Collection, table: Table) -> Statement:
    """The statement that selects `columns` of the page's rows, and its parameters."""
    binder = Binder(tenant)
    conditions = _conditions(query, collection, table, binder)
    order = order_of(query)
    if query.after is not None:
        conditions.extend(_stands_after(order, query.after, collection, binder))
    by = ", ".join(f"{quoted(name)} {'DESC NULLS LAST' if descending else 'ASC NULLS FIRST'}" for name, descending in order)
    where, limit = " AND ".join(conditions), binder.bind(query.limit)
    return f"SELECT {columns} FROM {qualified(table.name)} WHERE {where} ORDER BY {by} LIMIT {limit}", binder.values


def counts_sql(tenant: str, query: Query, by: str, collection: Collection, table: Table) -> Statement:
    """The statement that selects (value of `by`, rows with it)."""
    binder = Binder(tenant)
    where = " AND ".join([*_conditions(query, collection, table, binder), f"{quoted(by)} IS NOT NULL"])
    return f"SELECT {quoted(by)}, count(*) FROM {qualified(table.name)} WHERE {where} GROUP BY {quoted(by)}", binder.values


def _conditions(query: Query, collection: Collection, table: Table, binder: Binder) -> list[str]:
    found = ['"tenant_id" = $1']
    rule = rule_condition(query.rule, query.actor, table, binder)
    if rule != TRUE:
        found.append(rule)
    if query.only_deleted:
        found.append('"deleted"')
    elif not query.include_deleted:
        found.append('NOT "deleted"')
    found.extend(_condition(one, collection, binder) for one in query.filters)
    return found


def _condition(condition: Filter, collection: Collection, binder: Binder) -> str:
    name, op, wanted = quoted(condition.field), condition.op, condition.value
    if op == "null":
        return f"{name} IS {'' if wanted else 'NOT '}NULL"
    if op == "in":
        return _in(condition.field, wanted, collection, binder)
    if op == "prefix":
        end = prefix_end(wanted)
        low = f"{name} >= {binder.bind(wanted)}"
        return low if end is None else f"({low} AND {name} < {binder.bind(end)})"
    value = _value(collection, condition.field, wanted)
    if op == "eq":
        return f"{name} IS NULL" if value is None else f"{name} = {binder.bind(value)}"
    if op == "ne":
        return f"{name} IS NOT NULL" if value is None else f"({name} <> {binder.bind(value)} OR {name} IS NULL)"
    return f"{name} {_COMPARISONS[op]} {binder.bind(value)}"


def _in(field: str, wanted: Sequence[Any], collection: Collection, binder: Binder) -> str:
    kind = representation(column_field(collection, field))
    turn = to_text(kind)
    known = [value if turn is None else turn(value) for value in wanted if value is not None]
    parts = [f"{quoted(field)} = ANY({binder.bind_texts(known, cast_of(kind))})"] if known else []
    if len(known) < len(wanted):
        parts.append(f"{quoted(field)} IS NULL")
    return f"({' OR '.join(parts)})" if parts else FALSE


def _value(collection: Collection, name: str, value: Any) -> Any:
    turn = to_value(representation(column_field(collection, name)))
    return value if value is None or turn is None else turn(value)


def _stands_after(order: Sequence[tuple[str, bool]], after: Sequence[Any], collection: Collection, binder: Binder) -> list[str]:
    """Rows that stand after the key `after`: later in the first column, or equal in it and later in the second, and so on."""
    alternatives: list[str] = []
    equal: list[str] = []
    for (name, descending), bound in zip(order, after, strict=True):
        value = _value(collection, name, bound)
        place = None if value is None else binder.bind(value)
        later = _later(quoted(name), place, descending)
        if later is not None:
            alternatives.append(" AND ".join([*equal, later]))
        equal.append(f"{quoted(name)} IS NULL" if place is None else f"{quoted(name)} = {place}")
    if not alternatives:
        return [FALSE]
    found = [f"({' OR '.join(f'({one})' for one in alternatives)})"]
    first, descending = order[0]
    if len(order) > 1 and after[0] is not None and not descending:
        # Follows from the rest; said apart, an index on the first column can start at it.
        found.append(f"{quoted(first)} >= {binder.bind(_value(collection, first, after[0]))}")
    return found


def _later(name: str, place: str | None, descending: bool) -> str | None:
    if place is None:
        return None if descending else f"{name} IS NOT NULL"
    return f"({name} < {place} OR {name} IS NULL)" if descending else f"{name} > {place}"
