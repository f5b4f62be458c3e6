"""Resolving declared access rules to the plain rules of `core.access`, which read one row and the actor, nothing else.

What `via` needs of the other record becomes a hidden column of the child (`Copied`), named `via_{ref field}__{column}`, kept equal by the
engine in the same transaction. This is transitive: if the parent's rule reads one of its own hidden columns, the child copies that one
(`via_session__via_workshop__facilitator_id`), and a parent gets a hidden column it does not read itself if a child needs it.

`via("x")` alone means the parent's rule of the same direction: its read rule in a read rule, its create rule in a create rule, and where
the parent has none for creating or deleting, its write rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, TypeAlias

from holdfast.core.access import And, Everyone, Nobody, Or, Own, Role, Rule
from holdfast.core.schema import Copied, Field, Kind, Stamped
from holdfast.model.access import Access, AllOf, AnyOf, Everybody, HasRole, NoMember, Owned, Through
from holdfast.model.access import tenant as every_member
from holdfast.model.declaration import Declaration, mistake

__all__ = ["Direction", "Judged", "Visibility"]

Direction: TypeAlias = Literal["read", "write", "create", "delete"]

COLUMN_CHARACTERS_MAX: Final = 60
_HOLDS_AN_ID: Final = frozenset({Kind.STRING, Kind.UUID, Kind.REF})


@dataclass(frozen=True, slots=True)
class Judged:
    """What resolving needs to know of a record class. Refs of `fields` are settled: `ref` is a collection."""

    record: str
    collection: str
    declaration: Declaration
    fields: Mapping[str, Field]


class Visibility:
    """All classes of one schema. Ask for `rule`s first, then for the hidden columns they came to need."""

    def __init__(self, classes: Mapping[str, Judged]) -> None:
        self._classes = classes
        self._columns: dict[str, dict[str, Copied]] = {collection: {} for collection in classes}
        self._rules: dict[tuple[str, Direction], Rule] = {}
        self._asked: list[tuple[str, Direction]] = []

    def rule(self, collection: str, direction: Direction) -> Rule:
        """The plain rule. Raises DeclarationError, also for rules that lead back to themselves."""
        asked = (collection, direction)
        if asked in self._rules:
            return self._rules[asked]
        judged = self._classes[collection]
        if direction in ("create", "delete") and getattr(judged.declaration, direction) is None:
            return self.rule(collection, "write")
        if asked in self._asked:
            way = " -> ".join(self._classes[one].record for one, _ in [*self._asked[self._asked.index(asked):], asked])
            raise mistake(judged.record, None, f"its {direction} rule leads back to itself: {way}.",
                          "Say in one of them whom the rule admits: via(\"parent\", own(\"…\")).")
        self._asked.append(asked)
        resolved = self._resolve(judged, _declared(judged.declaration, direction), direction)
        self._asked.pop()
        self._rules[asked] = resolved
        return resolved

    def copied(self, collection: str) -> tuple[Copied, ...]:
        """The hidden columns of a collection, by name."""
        return tuple(column for _, column in sorted(self._columns[collection].items()))

    def _resolve(self, judged: Judged, rule: Access, direction: Direction) -> Rule:
        if isinstance(rule, Everybody):
            return Everyone()
        if isinstance(rule, NoMember):
            return Nobody()
        if isinstance(rule, HasRole):
            return Role(rule.roles)
        if isinstance(rule, Owned):
            return Own(_owner_column(judged, rule))
        if isinstance(rule, AllOf):
            return _all_of([self._resolve(judged, part, direction) for part in rule.parts])
        if isinstance(rule, AnyOf):
            return _any_of([self._resolve(judged, part, direction) for part in rule.parts])
        if isinstance(rule, Through):
            return self._through(judged, rule, direction)
        raise mistake(judged.record, None, f"{type(rule).__name__} is no access rule.", "Use tenant, own, role(...), via(...).")

    def _through(self, judged: Judged, rule: Through, direction: Direction) -> Rule:
        parent = self._classes[_parent(judged, rule.ref)]
        there = self.rule(parent.collection, direction) if rule.rule is None else self._resolve(parent, rule.rule, direction)
        return self._lifted(judged, rule.ref, parent, there)

    def _lifted(self, child: Judged, ref: str, parent: Judged, rule: Rule) -> Rule:
        """The parent's rule as the child's row can judge it."""
        if isinstance(rule, Own):
            return Own(self._column(child, ref, parent, rule.column))
        if isinstance(rule, And):
            return And(tuple(self._lifted(child, ref, parent, part) for part in rule.parts))
        if isinstance(rule, Or):
            return Or(tuple(self._lifted(child, ref, parent, part) for part in rule.parts))
        return rule

    def _column(self, child: Judged, ref: str, parent: Judged, source: str) -> str:
        if source == "id":
            return ref
        name = _column_name(ref, source)
        self._columns[child.collection][name] = Copied(column=name, ref_field=ref, parent=parent.collection, source=source)
        return name


def _declared(declaration: Declaration, direction: Direction) -> Access:
    """The rule of a direction as the class says it: its own, else `access`, else every member."""
    said: Access | None = getattr(declaration, direction)
    if said is not None:
        return said
    return every_member if declaration.access is None else declaration.access


def _owner_column(judged: Judged, rule: Owned) -> str:
    if rule.field == "id":
        return "id"
    if rule.field is None:
        creators = [field.name for field in judged.fields.values() if field.stamped is Stamped.CREATED_BY]
        if len(creators) != 1:
            raise mistake(judged.record, None, "`own` alone means who created the record, but it has "
                          + ("several CreatedBy fields." if creators else "no CreatedBy field."),
                          "Declare one `created_by: CreatedBy`, or name the field: own(\"…\").")
        return creators[0]
    field = judged.fields.get(rule.field)
    if field is None:
        raise mistake(judged.record, rule.field, "own(...) names a field that does not exist.", _suggest(judged, rule.field))
    if field.kind not in _HOLDS_AN_ID or field.sensitive:
        raise mistake(judged.record, rule.field, "own(...) needs a field that holds a member's id in plain.",
                      "Use CreatedBy, Ref[Member], str or UUID.")
    return rule.field


def _parent(judged: Judged, ref: str) -> str:
    field = judged.fields.get(ref)
    if field is None:
        raise mistake(judged.record, ref, "via(...) names a field that does not exist.", _suggest(judged, ref))
    if field.ref is None:
        raise mistake(judged.record, ref, f"via(...) leads over a Ref field; this is a {field.kind.value}.", "Declare it as Ref[…].")
    return field.ref


def _suggest(judged: Judged, name: str) -> str:
    close = get_close_matches(name, [*judged.fields, *(one.removesuffix("_id") for one in judged.fields)], n=1)
    near = next((one for one in judged.fields if close and one in (close[0], close[0] + "_id")), None)
    return f"Did you mean {near!r}?" if near else f"It has {', '.join(judged.fields) or 'no fields'}."


def _column_name(ref: str, source: str) -> str:
    """`via_session__participant_id`; PostgreSQL cuts names at 63 bytes, so a longer one ends in a digest of itself."""
    name = f"via_{ref}__{source}"
    if len(name) <= COLUMN_CHARACTERS_MAX:
        return name
    return f"{name[: COLUMN_CHARACTERS_MAX - 11]}_{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _all_of(parts: list[Rule]) -> Rule:
    """`a & b` without what changes nothing: one that admits everyone is left out, one that admits nobody is the whole."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
    kept = list(dict.fromkeys(part for part in flat if not isinstance(part, Everyone)))
    if any(isinstance(part, Nobody) for part in kept):
        return Nobody()
    return Everyone() if not kept else kept[0] if len(kept) == 1 else And(tuple(kept))


def _any_of(parts: list[Rule]) -> Rule:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
    kept = list(dict.fromkeys(part for part in flat if not isinstance(part, Nobody)))
    if any(isinstance(part, Everyone) for part in kept):
        return Everyone()
    return Nobody() if not kept else kept[0] if len(kept) == 1 else Or(tuple(kept))
