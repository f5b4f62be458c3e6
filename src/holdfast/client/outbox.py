"""The outbox: the line of own mutations that have not come back in a pull, as rows of the replica's file.

States of a row: `unsent` (may still take in the next edit), `sent` (may have arrived: its content never changes again), `acknowledged`
(waits for its entry to come back), `refused` (left the line: shown and exportable until a person drops it or sends it anew). An action
call is a row without a collection; it never has a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from holdfast.core import clock, position, text
from holdfast.core.entry import ForkedFrom, Mutation, Outcome
from holdfast.core.messages import Problem, Receipt, Result
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.rebase import Pending

__all__ = ["ACTIONS", "Answer", "Key", "Made", "OutboxRow", "State", "answer_of", "as_sent", "base_seq", "joined", "mutation_of"]

Key: TypeAlias = tuple[str, str]
"""(collection, record id)"""

ACTIONS: Final = ""
"""The collection of rows that are action calls; their record id is the action's name."""

State = Literal["unsent", "sent", "acknowledged", "refused"]

JOIN_BYTES_MAX: Final = 4_096
JOIN_OPS_MAX: Final = 50


class Made(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A mutation as it was made. `base` is a position; `stamp` packed; times ms. `device_id` is set when it is sent first."""

    ops: list[Op]
    stamp: int
    contract: int
    made_at: int
    changed_at: int
    base: str | None = None
    after: str | None = None
    atomic: bool = False
    forked_from: ForkedFrom | None = None
    device_id: str = ""
    process: str = ""               # which process made it
    seen: int = 0                   # the newest row of the outbox that process had applied
    resent: bool = False            # put back after a reset: the server may know the id with its first content
    first: Made | None = None       # that first content
    elsewhere: bool = False         # `base` is of a history that the server no longer has (only while that is repaired)
    arguments: Any = None           # of an action call


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    outcome: Outcome
    receipt: Receipt
    seq: int = 0
    position: str | None = None
    inbox_id: str | None = None
    unapplied: list[dict[str, Any]] | None = None
    error: Problem | None = None
    reply: Any = None               # of an action call
    at: int = 0


class OutboxRow(msgspec.Struct, kw_only=True):
    """`row` 0: the device could not write it yet, it is in memory alone."""

    row: int
    mutation_id: str
    collection: str
    record_id: str
    state: State
    made: Made
    answer: Answer | None = None

    @property
    def key(self) -> Key:
        return self.collection, self.record_id

    @property
    def base_seq(self) -> int | None:
        return base_seq(self.made)


def base_seq(made: Made) -> int | None:
    return None if made.base is None else position.parse(made.base)[0]


def as_sent(row: OutboxRow) -> Pending:
    """What the server has, if it has the row. A row that was made anew and not sent since can be there only with its first content; a base
    of a history that the server does not have counts as none."""
    made = row.made.first if row.made.first is not None and row.state == "unsent" else row.made
    mutation = mutation_of(msgspec.structs.replace(row, made=made))
    return Pending(mutation, None if made.elsewhere else base_seq(made), made.stamp)


def mutation_of(row: OutboxRow) -> Mutation:
    """The row as it is sent."""
    made = row.made
    return Mutation(mutation_id=row.mutation_id, collection=row.collection, record_id=row.record_id, ops=made.ops, after=made.after,
                    contract=made.contract, base=made.base, edited_at=clock.render(made.stamp), atomic=made.atomic,
                    forked_from=made.forked_from)


def answer_of(result: Result, now: int) -> Answer:
    outcome = result.first_outcome if result.outcome == "duplicate" and result.first_outcome is not None else result.outcome
    return Answer(outcome=outcome, receipt=result.receipt, seq=result.seq or 0, position=result.position, inbox_id=result.inbox_id,
                  unapplied=result.unapplied, error=result.error, at=now)


# -- joining edits -----------------------------------------------------------------------------------------------------------

_ALONE: Final = (CreateOp, DeleteOp, UndeleteOp)


def joined(made: Sequence[Op], added: Sequence[Op]) -> list[Op] | None:
    """One list of ops that does `made`, then `added`; None if they had better stay two mutations (too long, or one that comes alone)."""
    if any(isinstance(op, _ALONE) for op in (*made, *added)):
        return None
    ops = list(made)
    for op in added:
        last = ops[-1] if ops else None
        one = _one(last, op) if last is not None else None
        if one is None:
            ops.append(op)
        else:
            ops[-1:] = one
    if len(ops) > JOIN_OPS_MAX or len(msgspec.json.encode(ops)) > JOIN_BYTES_MAX:
        return None
    return ops


def _one(last: Op, op: Op) -> list[Op] | None:
    """What two ops that follow each other come to, where that is one op of the same place (or none); else None."""
    if isinstance(last, SpliceOp) and isinstance(op, SpliceOp) and last.path == op.path:
        change = text.compose(text.from_edits(last.edits), text.from_edits(op.edits))
        return [SpliceOp(op.path, text.to_edits(change))]
    if isinstance(last, SetOp | UnsetOp) and isinstance(op, SetOp | UnsetOp) and last.path == op.path:
        return [op]
    if isinstance(last, AddOp) and isinstance(op, AddOp) and last.path == op.path:
        return [AddOp(op.path, last.by + op.by)]
    return None
