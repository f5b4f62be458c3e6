"""Access rules as data: what may be read and written, judged from the row and the actor, nothing else.

A rule is a small tree. `model/` makes it from the public constructors and resolves `via` to the child's own copied columns,
so that what arrives here (and in `storage/`, which compiles the same tree to SQL) reads one row. The three forms of a rule
(`allows` here, SQL filter, row-level-security policy) are tested to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Actor", "All", "And", "Everyone", "Nobody", "Or", "Own", "Role", "Rule", "allows"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, within one tenant. `roles` are the member's roles as they stand at the moment of judging."""

    id: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Everyone:
    """Every member of the tenant."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """No member: only the server itself (its own collections, append-only pasts)."""


@dataclass(frozen=True, slots=True)
class Own:
    """The column holds the actor's id. A copied column (see `Copied` in schema) is a column like any other."""

    column: str


@dataclass(frozen=True, slots=True)
class Role:
    """The actor has one of the roles."""

    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Rule, ...]


Rule: TypeAlias = Everyone | Nobody | Own | Role | And | Or
All = Everyone()


def allows(rule: Rule, row: Mapping[str, Any], actor: Actor) -> bool:
    """Whether `rule` admits `actor` to the record whose columns (fields and copied columns) are `row`."""
    if isinstance(rule, Everyone):
        return True
    if isinstance(rule, Own):
        return row.get(rule.column) == actor.id
    if isinstance(rule, Role):
        return not rule.roles.isdisjoint(actor.roles)
    if isinstance(rule, And):
        return all(allows(part, row, actor) for part in rule.parts)
    if isinstance(rule, Or):
        return any(allows(part, row, actor) for part in rule.parts)
    return False
