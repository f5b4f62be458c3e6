"""What the engine needs to know of a collection beyond its declaration, worked out once."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.core.access import And, Everyone, Or, Own, Rule
from holdfast.core.refine import FINER
from holdfast.core.schema import Collection, Kind, Schema
from holdfast.model.builtin import MEMBERS

__all__ = ["Traits", "own_columns"]


def own_columns(rule: Rule) -> Iterator[str]:
    """The columns a rule reads: a change of one can change who sees the record."""
    if isinstance(rule, Own):
        yield rule.column
    elif isinstance(rule, And | Or):
        for part in rule.parts:
            yield from own_columns(part)


class Traits:
    """What a collection may need loaded, worked out once."""

    def __init__(self, collection: Collection, schema: Schema) -> None:
        kinds = {one.kind for one in collection.fields.values()}
        self.has_texts = Kind.TEXT in kinds
        self.looks_up = Kind.REF in kinds or bool(collection.unique)
        self.finer_paths = frozenset("/" + one.name for one in collection.fields.values() if one.kind in FINER)
        self.read_by_all = isinstance(collection.read, Everyone)
        self.copied_from = frozenset(
            copied.source for child in schema.collections.values() for copied in child.copied if copied.parent == collection.name)
        self.referred_to = any(one.ref == collection.name for other in schema.collections.values() for one in other.fields.values())
        self.stands_alone = not (self.looks_up or self.copied_from or self.referred_to or collection.name == MEMBERS)
        """Whether a change of one record concerns no other."""
        self.ruled_by = tuple(own_columns(collection.read))
        copied_through = {one.column: one.ref_field for one in collection.copied}
        self.ruling_fields = frozenset(copied_through.get(column, column) for column in self.ruled_by)
