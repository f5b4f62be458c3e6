"""Own work that the server took and this device has not seen come back as an entry it could apply: its record is hidden from this
person, is not here, or came as a whole with the work in it.

Such work leaves the outbox like any other, and like any other it is kept until it is backed up: a server that is put back to an older state
has to be given it again. Its entry cannot be undone (what it did to the record was never seen here), so it is kept as what was sent, under
the number and the position that the server named. A record that has one is asked for after a recovery.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.client.outbox import Answer, OutboxRow, base_seq
from holdfast.client.replica_store import Before, Kept
from holdfast.core.messages import Change

__all__ = ["are_as_sent", "unseen"]


def unseen(row: OutboxRow, device_id: str, actor_id: str, answer: Answer | None, change: Change | None, now: int) -> Kept | None:
    """What is kept of a row that leaves the outbox unseen: by its entry, where the server told it, or else by its acknowledgement. None:
    the server named no position, because it knew the id with other content."""
    if change is None:
        if answer is None or answer.position is None or not answer.seq:
            return None
        change = Change(position=answer.position, seq=answer.seq, collection=row.collection, record_id=row.record_id, rev=0,
                        ops=[] if answer.outcome == "held" else row.made.ops, actor_id=actor_id, device_id=row.made.device_id or device_id,
                        mutation_id=row.mutation_id, committed_at="", outcome=answer.outcome, inbox_id=answer.inbox_id)
    return Kept(change=change, undo=[], before=Before(), own=True, at=now, sent=row.made, sent_row=row.row, seen=False)


def are_as_sent(lost: Iterable[Kept], lane: Iterable[OutboxRow], since: int) -> bool:
    """Whether own work of a record is to be sent again as it is: none of it was seen to come back, some of it is lost, and all of it was
    made on what the server still has at `since`."""
    own = [one for one in lost if one.own]
    bases = [*(base_seq(one.sent) for one in own if one.sent is not None), *(row.base_seq for row in lane)]
    return bool(own) and not any(one.seen for one in own) and all((base or 0) <= since for base in bases)
