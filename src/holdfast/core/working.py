"""The state of one decision in the making: what was applied so far, what was not, what the inbox item becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.core.apply import apply_ops
from holdfast.core.entry import Entry, HeldText, Item, Reason, Row, Unapplied, Waiting
from holdfast.core.facts import Context, Facts
from holdfast.core.ops import Op, SpliceOp
from holdfast.core.pointer import overlaps, parse
from holdfast.core.rivals import Rival, place_changes, standing
from holdfast.core.schema import Collection, Kind, Schema
from holdfast.core.waiting import gather

__all__ = ["Working", "place_of", "value_at"]


def place_of(op: Op) -> str:
    """The place an op changes; "" for the whole record."""
    return getattr(op, "path", "")


def value_at(fields: Mapping[str, Any], path: str) -> Any:
    """The value at a place; None where nothing is."""
    value: Any = fields
    for part in parse(path):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


@dataclass(slots=True)
class Working:
    """Mutable, local to one call of `decide`."""

    collection: Collection
    schema: Schema
    facts: Facts
    fields: dict[str, Any]
    row: Row | None
    entries_since: Sequence[Entry]
    context: Context | None
    ops: list[Op] = field(default_factory=list)
    undo: list[Op] = field(default_factory=list)
    unapplied: list[Unapplied] = field(default_factory=list)
    merged: bool = False
    closes: set[str] = field(default_factory=set)                   # places of the open item that this mutation settles
    held_texts: dict[str, list[HeldText]] = field(default_factory=dict)     # Text fields held anew or composed further
    texts: dict[str, list[Waiting]] = field(default_factory=dict)   # waiting lists after own splices
    opened: set[str] = field(default_factory=set)                   # Json fields changed at places inside them
    blocked: Mapping[str, str] = field(default_factory=dict)        # fields that cannot be as this mutation would leave them, and why
    _rivals: list[Rival] | None = None
    _standing: list[Entry] | None = None

    @property
    def standing(self) -> list[Entry]:
        if self._standing is None:
            self._standing = standing(self.entries_since)
        return self._standing

    @property
    def rivals(self) -> list[Rival]:
        if self._rivals is None:
            self._rivals = place_changes(self.standing) if self.entries_since else []
        return self._rivals

    @property
    def order(self) -> tuple[int, str]:
        return self.facts.stamp, self.facts.device_id

    def take(self, op: Op) -> None:
        """Apply one op to the working state."""
        self.fields, undo = apply_ops(self.fields, [op], self.collection)
        self.ops.append(op)
        self.undo[:0] = undo

    def leave(self, reason: Reason, op: Op | None, *, waits: bool = False, **more: Any) -> None:
        self.unapplied.append(Unapplied(reason=reason, op=op, waits=waits, **more))

    def waiting(self, name: str) -> list[Waiting]:
        """What waits in Text field `name`, before the next own splice."""
        if name not in self.texts:
            default = str(self.collection.fields[name].default or "")
            self.texts[name] = gather(self.context, name, self.facts.base, self.entries_since, default)
        return self.texts[name]

    def context_after(self) -> Context | None:
        """The context row once this entry stands: complete up to its seq where it touched a text, else as it was, pruned. Where
        others' entries are newer than base it is kept even if nothing waits: they are in the context, and must not wait again."""
        spliced = any(isinstance(op, SpliceOp) for op in self.ops)
        if not spliced and not self.texts:
            return self._pruned()
        names = [f.name for f in self.collection.fields.values() if f.kind is Kind.TEXT]
        kept = {name: waiting for name in names if (waiting := self.waiting(name))}
        return Context(kept, self.facts.seq) if kept or self.entries_since else None

    def _pruned(self) -> Context | None:
        if self.context is None:
            return None
        seen = self.facts.base or 0
        kept = {name: left for name, all_ in self.context.texts.items() if (left := [other for other in all_ if other.seq > seen])}
        return Context(kept, self.context.through) if kept or seen < self.context.through else None

    def open_part(self, path: str) -> Unapplied | None:
        """The part of the open item that waits at this place (or an overlapping one). A held create or delete is no place."""
        item: Item | None = self.facts.item
        if item is None:
            return None
        for part in item.parts:
            held = part.path if part.path is not None else place_of(part.op) if part.op is not None else ""
            if held and overlaps(held, path):
                return part
        return None
