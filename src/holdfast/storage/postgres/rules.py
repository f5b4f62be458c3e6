"""An access rule in its two forms for PostgreSQL: a condition with parameters for one actor (`rule_condition`), and a policy's expression,
which reads the actor from the transaction's settings (`policy_condition`). Neither has a sub-select. Tested to agree with
`core.access.allows`, which is the third form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.core.access import Actor, And, Everyone, Or, Own, Role, Rule
from holdfast.core.errors import DeclarationError
from holdfast.storage.layout import Table, quoted
from holdfast.storage.postgres.binding import Binder
from holdfast.storage.postgres.names import ROLE_SEPARATOR, SERVER

__all__ = ["ACTOR_SETTING", "AS_SERVER", "FALSE", "ROLES_SETTING", "TENANT_SETTING", "TRUE", "literal", "policy_condition",
           "rule_condition"]

TRUE: Final = "true"
FALSE: Final = "false"

TENANT_SETTING: Final = "current_setting('holdfast.tenant', true)"
ACTOR_SETTING: Final = "current_setting('holdfast.actor', true)"
ROLES_SETTING: Final = "current_setting('holdfast.roles', true)"
_ACTOR: Final = "\0actor"
"""Stands for the actor's parameter until it is known whether the condition needs one."""
AS_SERVER: Final = f"{ROLES_SETTING} = '{SERVER}'"


def literal(text: str) -> str:
    """An SQL constant."""
    doubled = text.replace("'", "''")
    return f"E'{doubled.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{doubled}'"


def rule_condition(rule: Rule, actor: Actor, table: Table, binder: Binder) -> str:
    """What depends on the actor alone is decided here: `TRUE` and `FALSE` come out alone, never inside another condition."""
    sql = _compiled(rule, lambda roles: TRUE if not roles.isdisjoint(actor.roles) else FALSE,
                    lambda column: _own(column, table, _ACTOR))
    return sql.replace(_ACTOR, binder.bind(actor.id)) if _ACTOR in sql else sql


def policy_condition(rule: Rule, table: Table) -> str:
    """The same for whoever the transaction works for. An actor without an id owns nothing."""
    return _compiled(rule, _has_role, lambda column: _own(column, table, f"nullif({ACTOR_SETTING}, '')"))


def _compiled(rule: Rule, role: Callable[[frozenset[str]], str], own: Callable[[str], str]) -> str:
    if isinstance(rule, Everyone):
        return TRUE
    if isinstance(rule, Role):
        return role(rule.roles)
    if isinstance(rule, Own):
        return own(rule.column)
    if isinstance(rule, And):
        return _joined(" AND ", TRUE, FALSE, [_compiled(part, role, own) for part in rule.parts])
    if isinstance(rule, Or):
        return _joined(" OR ", FALSE, TRUE, [_compiled(part, role, own) for part in rule.parts])
    return FALSE


def _joined(word: str, neutral: str, decisive: str, parts: list[str]) -> str:
    if decisive in parts:
        return decisive
    rest = [part for part in parts if part != neutral]
    if len(rest) < 2:
        return rest[0] if rest else neutral
    return f"({word.join(rest)})"


def _has_role(roles: frozenset[str]) -> str:
    if any(ROLE_SEPARATOR in role for role in roles):
        raise DeclarationError("A role's name cannot hold the character U+001F on PostgreSQL.")
    parts = [f"position({literal(ROLE_SEPARATOR + role + ROLE_SEPARATOR)} in {ROLES_SETTING}) > 0" for role in sorted(roles)]
    return _joined(" OR ", FALSE, TRUE, parts)


def _own(name: str, table: Table, actor: str) -> str:
    """A column that holds no text can equal an id in no other way than as the JSON text it may hold, or the amount."""
    column = next((one for one in (*table.fields, *table.copied) if one.name == name), None)
    if name == "id":
        return f'"id" = {actor}'
    if column is None:
        return FALSE
    kind = column.representation
    if kind == "text":
        return f"{quoted(name)} = {actor}"
    if kind == "json":
        return f"{quoted(name)} = to_jsonb({actor}::text)"
    if kind.startswith("money"):
        return f"{_amount(quoted(name), int(kind.partition(':')[2]))} = {actor}"
    return FALSE


def _amount(name: str, scale: int) -> str:
    """Minor units as the text that stands for them: an id is compared with that."""
    if not scale:
        return f"{name}::text"
    return (f"(CASE WHEN {name} < 0 THEN '-' ELSE '' END || (abs({name}) / {10 ** scale})::text || '.' || "
            f"lpad((abs({name}) % {10 ** scale})::text, {scale}, '0'))")
