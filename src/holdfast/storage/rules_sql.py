"""An access rule as an SQL condition over a collection's own columns: the second of its three forms (`core.access.allows` is the first, a
row-level-security policy the third). Tested to agree with the first on random rules, rows and actors.

What depends on the actor alone is decided here, so what is left compares columns with the actor's id. A column that does not hold text
can equal an id in no other way than its representation allows: SQLite would otherwise convert, and find 5 equal to "5".
"""

from __future__ import annotations

from typing import Final

import orjson

from holdfast.core.access import Actor, And, Everyone, Or, Own, Role, Rule
from holdfast.core.errors import InvalidValue
from holdfast.storage.columns import SqlValue, encoder
from holdfast.storage.layout import Table, quoted

__all__ = ["FALSE", "TRUE", "Condition", "rule_condition"]

Condition = tuple[str, tuple[SqlValue, ...]]

TRUE: Final = "1"
FALSE: Final = "0"


def rule_condition(rule: Rule, actor: Actor, table: Table) -> Condition:
    """(SQL, its bindings). `TRUE` and `FALSE` come out alone, never inside another condition."""
    if isinstance(rule, Everyone):
        return TRUE, ()
    if isinstance(rule, Role):
        return (TRUE if not rule.roles.isdisjoint(actor.roles) else FALSE), ()
    if isinstance(rule, Own):
        return _own(rule.column, actor, table)
    if isinstance(rule, And):
        return _joined(" AND ", TRUE, FALSE, [rule_condition(part, actor, table) for part in rule.parts])
    if isinstance(rule, Or):
        return _joined(" OR ", FALSE, TRUE, [rule_condition(part, actor, table) for part in rule.parts])
    return FALSE, ()


def _joined(word: str, neutral: str, decisive: str, parts: list[Condition]) -> Condition:
    """`decisive` among the parts decides; `neutral` ones change nothing."""
    if any(sql == decisive for sql, _ in parts):
        return decisive, ()
    rest = [part for part in parts if part[0] != neutral]
    if not rest:
        return neutral, ()
    if len(rest) == 1:
        return rest[0]
    return f"({word.join(sql for sql, _ in rest)})", tuple(value for _, values in rest for value in values)


def _own(name: str, actor: Actor, table: Table) -> Condition:
    column = next((one for one in (*table.fields, *table.copied) if one.name == name), None)
    if name == "id":
        return '"id" = ?', (actor.id,)
    if column is None:
        return FALSE, ()
    kind = column.representation
    if kind == "text":
        return f"{quoted(name)} = ?", (actor.id,)
    if kind == "json":
        return f"{quoted(name)} = ?", (orjson.dumps(actor.id).decode(),)
    encode = encoder(kind) if kind.startswith("money") else None
    if encode is None:
        return FALSE, ()
    try:
        return f"{quoted(name)} = ?", (encode(actor.id),)
    except InvalidValue:
        return FALSE, ()
