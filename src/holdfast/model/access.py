"""The algebra in which a record says who may do what with it. `visibility` resolves it to the plain rules of `core.access`.

    access=tenant                                   every member of the organisation
    access=own                                      who created the record (its one `CreatedBy` field)
    access=own("participant_id")                    whose id stands in that field
    access=role("estimator", "owner")               who has one of the roles
    access=via("project")                           who may do the same with the record that `project` refers to
    read=own("participant_id") | via("workshop_id", own("facilitator_id"))

`access=` is for reading and writing both; `read=`, `write=`, `create=`, `delete=` each for one. Creating and deleting follow `write`
where nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.errors import DeclarationError

__all__ = ["Access", "AllOf", "AnyOf", "Everybody", "HasRole", "NoMember", "Owned", "Through", "nobody", "own", "role", "tenant", "via"]


class Access:
    """A rule: who may. Rules combine with `&` (both) and `|` (either)."""

    __slots__ = ()

    def __and__(self, other: Access) -> Access:
        return AllOf((self, _rule(other)))

    def __or__(self, other: Access) -> Access:
        return AnyOf((self, _rule(other)))

    def __bool__(self) -> bool:
        raise DeclarationError("Access rules combine with `&` and `|`.", hint="`and`, `or` and `not` would silently drop a part.")


def _rule(value: object) -> Access:
    if not isinstance(value, Access):
        raise DeclarationError(f"An access rule combines with access rules, not with {type(value).__name__}.",
                               hint="Use tenant, own, role(...), via(...).")
    return value


@dataclass(frozen=True, slots=True)
class Everybody(Access):
    """Every member of the tenant."""


@dataclass(frozen=True, slots=True)
class NoMember(Access):
    """No member: only the server itself."""


@dataclass(frozen=True, slots=True)
class Owned(Access):
    """The member whose id stands in `field`; without one, the creator of the record."""

    field: str | None = None

    def __call__(self, field: str) -> Owned:
        if not isinstance(field, str) or not field:
            raise DeclarationError("own(...) takes the name of the field that holds the member's id.")
        return Owned(field)


@dataclass(frozen=True, slots=True)
class HasRole(Access):
    """Members with one of the roles."""

    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Through(Access):
    """Who may do the same with the record that `ref` refers to; with `rule`: whom that rule admits to the record referred to."""

    ref: str
    rule: Access | None = None


@dataclass(frozen=True, slots=True)
class AllOf(Access):
    parts: tuple[Access, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Access):
    parts: tuple[Access, ...]


tenant = Everybody()
nobody = NoMember()
own = Owned()


def role(*roles: str) -> Access:
    """Members with one of `roles`. Raises DeclarationError without any, or for what is no text."""
    if not roles or not all(isinstance(one, str) and one for one in roles):
        raise DeclarationError("role(...) takes one or several names of roles.", hint='For example role("owner", "admin").')
    return HasRole(frozenset(roles))


def via(ref: str, rule: Access | None = None) -> Access:
    """Who may do the same with the record that the field `ref` refers to; with `rule`, that rule is judged on it instead.

    What the rule reads of the other record is copied into hidden columns and kept equal, so that judging reads one row."""
    if not isinstance(ref, str) or not ref:
        raise DeclarationError("via(...) takes the name of a Ref field.")
    return Through(ref, None if rule is None else _rule(rule))
