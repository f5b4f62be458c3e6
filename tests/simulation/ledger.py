"""The server's log, read and folded by rules of its own: what an auditor with the log and a pencil comes to.

Nothing of `core/` is used but the form of an entry: not the applying of ops, not the merging, not the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from holdfast import Store
from holdfast.core.entry import Entry
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp

__all__ = ["Folded", "Ledger", "letters_of", "strings_of"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "notes": {"title": "", "price": None, "body": "", "tags": [], "views": 0, "extra": {}},
    "diaries": {"body": ""},
}
ENTRIES_MAX = 100_000


def strings_of(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings_of(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from strings_of(one)


def letters_of(ops: Iterable[Op]) -> set[str]:
    """Every character that these ops bring."""
    found: set[str] = set()
    for op in ops:
        for text in strings_of(op.edits if isinstance(op, SpliceOp) else getattr(op, "value", "")):
            found.update(text)
    return found


@dataclass(slots=True)
class Folded:
    """A record as the log says it stands."""

    fields: dict[str, Any]
    deleted: bool = False


@dataclass(slots=True)
class Ledger:
    """One tenant's entries, rising, and what waits in its inbox as the log's entries say it."""

    entries: list[Entry]
    by_mutation: dict[str, list[Entry]] = field(default_factory=dict)

    @classmethod
    async def read(cls, store: Store, tenant: str) -> Ledger:
        async with store.storage.reader() as reader:
            entries = await reader.entries(tenant, after=0, limit=ENTRIES_MAX)
        ledger = cls(entries)
        for entry in entries:
            if entry.kind == "change":
                ledger.by_mutation.setdefault(entry.mutation_id, []).append(entry)
        return ledger

    def sent(self) -> Iterator[tuple[Entry, Op]]:
        """Every op as a device sent it."""
        for entry in self.entries:
            for op in entry.ops if entry.sent is None else entry.sent:
                yield entry, op

    def letters_sent(self) -> set[str]:
        return letters_of(op for _, op in self.sent())

    def letters_not_applied(self) -> set[str]:
        """What was sent and not applied with its own entry: it waits, or waited."""
        found: set[str] = set()
        for entry in self.entries:
            if entry.unapplied or entry.outcome == "held":
                found |= letters_of(entry.ops if entry.sent is None else entry.sent)
        return found

    def strings(self) -> set[str]:
        """Every text that stands anywhere in the log."""
        found: set[str] = set()
        for entry, op in self.sent():
            found.update(strings_of(getattr(op, "value", None)))
            found.update(getattr(op, "items", ()))
            for part in entry.unapplied:
                found.update(strings_of([part.mine, part.theirs]))
        return found

    def fold(self) -> dict[tuple[str, str], Folded]:
        records: dict[tuple[str, str], Folded] = {}
        for entry in self.entries:
            if entry.collection not in DEFAULTS:
                continue
            key = (entry.collection, entry.record_id)
            for op in entry.ops:
                record = records.get(key)
                if record is None:
                    if not isinstance(op, CreateOp):
                        raise AssertionError(f"entry {entry.seq} changes a record that was never made")
                    records[key] = Folded({**DEFAULTS[entry.collection], **op.value})
                else:
                    _apply(record, op)
        return records


def _apply(record: Folded, op: Op) -> None:
    if isinstance(op, DeleteOp | UndeleteOp | CreateOp):
        record.deleted = isinstance(op, DeleteOp)
        return
    names = op.path[1:].split("/")
    place = record.fields
    for name in names[:-1]:
        inner = place.get(name)
        place[name] = dict(inner) if isinstance(inner, dict) else {}
        place = place[name]
    name = names[-1]
    if isinstance(op, SetOp):
        place[name] = op.value
    elif isinstance(op, UnsetOp):
        _unset(record, place, name, op)
    elif isinstance(op, AddOp):
        place[name] += op.by
    elif isinstance(op, IncludeOp):
        place[name] = [*place[name], *(one for one in op.items if one not in place[name])]
    elif isinstance(op, ExcludeOp):
        place[name] = [one for one in place[name] if one not in op.items]
    elif isinstance(op, SpliceOp):
        for at, deleted, inserted in op.edits:
            before: str = place[name]
            if at + deleted > len(before):
                raise AssertionError(f"a splice reaches beyond the text of {len(before)} characters: {op.edits}")
            place[name] = before[:at] + inserted + before[at + deleted:]


def _unset(record: Folded, place: dict[str, Any], name: str, op: UnsetOp) -> None:
    if op.if_empty and place.get(name):
        return
    if place is record.fields:
        place[name] = None
    else:
        place.pop(name, None)
