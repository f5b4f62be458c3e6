"""How facts travel: record views, changes, times. Sensitive values are plain here: whoever may read a record has the right to them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from holdfast.core import clock, position
from holdfast.core.entry import Entry, Row
from holdfast.core.messages import Change
from holdfast.core.stamping import iso
from holdfast.engine.api import RecordView

__all__ = ["ABSENT", "change_of", "place_of", "record_view"]

ABSENT: Final = "There is no such record."
"""Said of what does not exist and of what may not be seen, in the same words."""


def place_of(row: Row) -> str:
    """The position of the newest entry about the record: what a change made on it names as its base."""
    return f"{row.last}.{row.last_prefix}"


def record_view(row: Row) -> RecordView:
    return {"collection": row.collection, "id": row.id, "rev": row.rev, "position": place_of(row), "contract": row.contract,
            "deleted": row.deleted, "fields": row.fields}


def change_of(entry: Entry, rev: int, *, own: bool, inbox_id: str | None = None) -> Change:
    """An entry as others pull it: what was applied, not what was left out. Outcome and inbox for its author alone."""
    return Change(position=position.render(entry.seq, entry.digest), seq=entry.seq, collection=entry.collection, record_id=entry.record_id,
                  rev=rev, ops=entry.ops, actor_id=entry.actor_id, device_id=entry.device_id, mutation_id=entry.mutation_id,
                  committed_at=iso(entry.committed_at), stamp=clock.render(entry.stamp), kind=entry.kind,
                  edited_at=None if entry.edited_at is None else clock.render(entry.edited_at), outcome=entry.outcome if own else None,
                  inbox_id=inbox_id, reverts=entry.reverts, partly=entry.reverts is not None and bool(entry.unapplied),
                  on_behalf_of=entry.on_behalf_of)


def plain(value: Any) -> Any:
    """Structs as JSON values."""
    return msgspec.to_builtins(value)
