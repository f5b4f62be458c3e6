"""A `Query` as SQL: one page of a collection, by its keys and not by an offset, within an access rule. Says what `conditions` says.

SQLite puts NULL below every value and compares text by its bytes, which in UTF-8 is the order of code points: both are what the
protocol wants, so nothing needs to be said about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.schema import Collection
from holdfast.storage.columns import SqlValue, encoder, representation
from holdfast.storage.conditions import column_field, order_of, prefix_end
from holdfast.storage.layout import Table, quoted
from holdfast.storage.protocol import Filter, Query
from holdfast.storage.rules_sql import FALSE, TRUE, Condition, rule_condition

__all__ = ["counts_sql", "page_sql"]

_COMPARISONS: Final = {"eq": "IS", "ne": "IS NOT", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def page_sql(columns: str, tenant: str, query: Query, collection: Collection, table: Table) -> Condition:
    """The statement that selects `columns` of the page's rows, and its bindings."""
    conditions = _conditions(tenant, query, collection, table)
    order = order_of(query)
    if query.after is not None:
        conditions.append(_stands_after(order, query.after, collection))
    where, values = _all(conditions)
    by = ", ".join(f"{quoted(name)}{' DESC' if descending else ''}" for name, descending in order)
    return f"SELECT {columns} FROM {quoted(table.name)} WHERE {where} ORDER BY {by} LIMIT ?", (*values, query.limit)


def counts_sql(tenant: str, query: Query, by: str, collection: Collection, table: Table) -> Condition:
    """The statement that selects (value of `by`, rows with it)."""
    where, values = _all([*_conditions(tenant, query, collection, table), (f"{quoted(by)} IS NOT NULL", ())])
    return f"SELECT {quoted(by)}, count(*) FROM {quoted(table.name)} WHERE {where} GROUP BY {quoted(by)}", values


def _all(conditions: Sequence[Condition]) -> Condition:
    return " AND ".join(sql for sql, _ in conditions), tuple(value for _, values in conditions for value in values)


def _conditions(tenant: str, query: Query, collection: Collection, table: Table) -> list[Condition]:
    found: list[Condition] = [('"tenant_id" = ?', (tenant,))]
    rule = rule_condition(query.rule, query.actor, table)
    if rule[0] != TRUE:
        found.append(rule)
    if query.only_deleted:
        found.append(('"deleted" = 1', ()))
    elif not query.include_deleted:
        found.append(('"deleted" = 0', ()))
    found.extend(_condition(one, collection) for one in query.filters)
    return found


def _condition(condition: Filter, collection: Collection) -> Condition:
    name, op = quoted(condition.field), condition.op
    if op == "null":
        return f"{name} IS {'' if condition.value else 'NOT '}NULL", ()
    if op == "in":
        return _in(name, [_column_value(collection, condition.field, one) for one in condition.value])
    value = _column_value(collection, condition.field, condition.value)
    if op == "prefix":
        end = prefix_end(condition.value)
        return (f"{name} >= ?", (value,)) if end is None else (f"({name} >= ? AND {name} < ?)", (value, end))
    return f"{name} {_COMPARISONS[op]} ?", (value,)


def _in(name: str, values: list[SqlValue]) -> Condition:
    known = tuple(value for value in values if value is not None)
    parts = [f"{name} IN ({', '.join('?' * len(known))})"] if known else []
    if len(known) < len(values):
        parts.append(f"{name} IS NULL")
    return f"({' OR '.join(parts)})" if parts else FALSE, known


def _column_value(collection: Collection, name: str, value: Any) -> SqlValue:
    encode = encoder(representation(column_field(collection, name)))
    found: SqlValue = value if value is None or encode is None else encode(value)
    return found


def _stands_after(order: Sequence[tuple[str, bool]], after: Sequence[Any], collection: Collection) -> Condition:
    """Rows that stand after the key `after`: later in the first column, or equal in it and later in the second, and so on."""
    alternatives: list[Condition] = []
    equal: list[Condition] = []
    for (name, descending), bound in zip(order, after, strict=True):
        value = _column_value(collection, name, bound)
        later = _later(quoted(name), value, descending)
        if later is not None:
            alternatives.append(_all([*equal, later]))
        equal.append((f"{quoted(name)} IS ?", (value,)))
    sql = " OR ".join(f"({sql})" for sql, _ in alternatives)
    values = tuple(value for _, values in alternatives for value in values)
    first, descending = order[0]
    bound = _column_value(collection, first, after[0])
    if len(order) > 1 and bound is not None and not descending:
        # Follows from the rest; said apart, an index on the first column can start at it.
        return f"{quoted(first)} >= ? AND ({sql})", (bound, *values)
    return (f"({sql})", values) if alternatives else (FALSE, ())


def _later(name: str, value: SqlValue, descending: bool) -> Condition | None:
    if value is None:
        return None if descending else (f"{name} IS NOT NULL", ())
    return (f"({name} < ? OR {name} IS NULL)", (value,)) if descending else (f"{name} > ?", (value,))
