"""Work that is in one program's memory alone, when another program on the same file has gone on meanwhile.

While the disk takes nothing, each program types on what it saw last. Once it hears of what the others wrote, its own rows are made again
on that, as an edit of now would be: a text's changes are carried over by what differs between the text they were typed on (`stood`) and
the text that stands now, and they stand last in the record's line. Each row keeps what it was typed on: another program may have gone on
within a row it had written before, and this one have pulled between two of its own. Only rows that were never sent: what was sent is what
it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.client.changes import moved_edits
from holdfast.client.outbox import Made, OutboxRow
from holdfast.core import text
from holdfast.core.entry import ForkedFrom
from holdfast.core.ops import Op, SpliceOp

__all__ = ["Place", "rejoined", "texts_of"]

Fields = Mapping[str, Any]


class Place:
    """Where a line ends: what the next mutation rests on, names as the one before it, and has seen of the outbox."""

    def __init__(self, base: str | None, after: str | None, forked_from: ForkedFrom | None, seen: int) -> None:
        self.base = base
        self.after = after
        self.forked_from = forked_from
        self.seen = seen

    def is_before(self, made: Made) -> bool:
        """Whether this was made right behind it."""
        return (made.after, made.forked_from) == (self.after, self.forked_from)


def texts_of(fields: Fields) -> dict[str, str]:
    """What a splice can have been made on."""
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def rejoined(rows: Sequence[OutboxRow], place: Place, stood: Sequence[Fields], stands: Fields, changed: Any) -> list[tuple[Made, Fields]]:
    """The rows (of one record, in order) as they are made on `stands`, behind `place`, each with the texts that it is made on then.
    `stood`: the fields that each was made on; `changed(made, **fields)` makes a copy."""
    now = texts_of(stands)
    after, forked_from = place.after, place.forked_from
    made: list[tuple[Made, Fields]] = []
    for row, fields in zip(rows, stood, strict=True):
        before, here = texts_of(fields), dict(now)
        ops = [_carried(op, before, now) for op in row.made.ops]
        made.append((changed(row.made, ops=ops, base=place.base, after=after, forked_from=forked_from, seen=place.seen), here))
        after, forked_from = row.mutation_id, None
    return made


def _carried(op: Op, before: dict[str, str], now: dict[str, str]) -> Op:
    name = getattr(op, "path", "/")[1:]
    if not isinstance(op, SpliceOp) or name not in before or name not in now:
        return op
    edits = moved_edits(op.edits, before[name], now[name])
    before[name] = text.apply(before[name], text.from_edits(op.edits))
    now[name] = text.apply(now[name], text.from_edits(edits))
    return SpliceOp(op.path, edits)
