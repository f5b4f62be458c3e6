"""Known bugs, each planted by itself into the real code: what the simulation has to find. Those of the peers are among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import msgspec

from holdfast.client import answering, rebuilding, sending, session, status, sync
from holdfast.client.device import Device
from holdfast.client.outbox import OutboxRow
from holdfast.client.replica_file import ReplicaFile
from holdfast.client.replica_store import ReplicaStore
from holdfast.client.taking import take_page
from holdfast.core.ops import DeleteOp
from holdfast.core.rebase import Ground
from holdfast.engine import sight
from holdfast.storage import sqlite

__all__ = ["PLANTED"]


@contextmanager
def acknowledged_before_it_is_on_the_disk() -> Iterator[None]:
    """The server commits without waiting for the disk."""
    connect = sqlite.connect_writer

    def hasty(*given: Any) -> Any:
        connection = connect(*given)
        connection.pragma("synchronous", "OFF")
        return connection

    with patch.object(sqlite, "connect_writer", hasty):
        yield


@contextmanager
def a_cursor_that_steps_over_an_entry() -> Iterator[None]:
    """The last entry of a page is left out, and the cursor moves past it."""

    def shortened(device: Device, reply: Any, *, start: str | None) -> bool:
        if len(reply.changes) > 1:
            reply = msgspec.structs.replace(reply, changes=reply.changes[:-1])
        return take_page(device, reply, start=start)

    with patch.object(session, "take_page", shortened), patch.object(sync, "take_page", shortened):
        yield


@contextmanager
def a_retry_under_a_new_id() -> Iterator[None]:
    """What is sent again is not told apart from what was sent before."""
    due = answering.Lanes.due

    def renamed(self: answering.Lanes, device: Device, **given: Any) -> Any:
        for row in list(device.by_id.values()):
            if row.state == "sent":
                del device.by_id[row.mutation_id]
                row.mutation_id = device.runtime.uuid7()
                device.by_id[row.mutation_id] = row
        return due(self, device, **given)

    with patch.object(answering.Lanes, "due", renamed):
        yield


@contextmanager
def a_swallowed_error() -> Iterator[None]:
    """An edit that the disk does not take is dropped, and nobody is told."""

    def silent(self: Device, error: Exception, *given: Any) -> None:
        return None

    with patch.object(Device, "_edit_in_memory", silent):
        yield


@contextmanager
def an_answer_over_newer_typing() -> Iterator[None]:
    """What was typed after a push is dropped when its answer comes."""
    take = answering.take_answers

    def stale(device: Device, results: Any, *given: Any) -> Any:
        outcome = take(device, results, *given)
        answered = {result.mutation_id for result in results}
        for lane in list(device.lanes.values()):
            newer = [row for row in lane if row.state == "unsent"]
            if newer and any(row.mutation_id in answered for row in lane):
                device.store.drop(newer)
                device.settle(newer)
                device.forget_views([newer[0].key])
        return outcome

    with patch.object(sending, "take_answers", stale):
        yield


@contextmanager
def a_row_that_leaves_before_its_acknowledgement() -> Iterator[None]:
    """The outbox forgets what it has sent."""
    mark = answering.mark_sent

    def forgetful(device: Device, rows: Sequence[OutboxRow]) -> bool:
        marked = mark(device, rows)
        if marked:
            device.store.drop(rows)
        return marked

    with patch.object(sending, "mark_sent", forgetful):
        yield


@contextmanager
def a_snapshot_at_the_wrong_position() -> Iterator[None]:
    """The cursor is asked for after the records, and what was committed in between is never seen."""
    take = rebuilding.Rebuilding.take_snapshot

    async def late(self: rebuilding.Rebuilding) -> Any:
        event = await take(self)
        await self._device.runtime.sleep(1.0)
        reply = await self._pull(self._device.meta["cursor"])
        if reply.reset is None:
            self._device.put_meta(cursor=reply.cursor)
        return event

    with patch.object(rebuilding.Rebuilding, "take_snapshot", late):
        yield


@contextmanager
def a_delete_that_a_crash_forgets() -> Iterator[None]:
    """Deletes in the outbox are not read back."""
    read = ReplicaStore.outbox

    def without_deletes(self: ReplicaStore) -> list[OutboxRow]:
        return [row for row in read(self) if not any(isinstance(op, DeleteOp) for op in row.made.ops)]

    with patch.object(ReplicaStore, "outbox", without_deletes):
        yield


@contextmanager
def two_programs_that_do_not_look_at_each_other() -> Iterator[None]:
    """Each sends the outbox as it knows it."""
    with patch.object(ReplicaFile, "others_wrote", lambda self: False):
        yield


@contextmanager
def a_rebase_that_is_skipped() -> Iterator[None]:
    """What others did in between is not taken into account where pending work is shown and typed on."""
    ground = Device.ground

    def bare(self: Device, key: tuple[str, str]) -> Ground:
        found = ground(self, key)
        return Ground(found.row, (), found.context)

    with patch.object(Device, "ground", bare):
        yield


@contextmanager
def an_upload_that_fails_once_and_is_never_sent_again() -> Iterator[None]:
    """A failure is noted, and nothing comes of it."""

    def give_up(self: sending.Sending, error: Any, at_least: float) -> None:
        self.retry_at = float("inf")

    with patch.object(sending.Sending, "_note_failure", give_up):
        yield


@contextmanager
def a_receipt_that_claims_too_much() -> Iterator[None]:
    """What was sent counts as committed."""

    def hopeful(device: Device, key: tuple[str, str]) -> str:
        return "committed"

    with patch.object(status, "receipt_of_record", hopeful), patch("holdfast.client.replica.receipt_of_record", hopeful):
        yield


@contextmanager
def a_rule_that_nobody_asks() -> Iterator[None]:
    """Everybody in the organisation may read everything."""
    with patch.object(sight, "allows", lambda *given: True):
        yield


PLANTED: Final[dict[Callable[[], Any], int]] = {
    acknowledged_before_it_is_on_the_disk: 3,
    a_cursor_that_steps_over_an_entry: 0,
    a_retry_under_a_new_id: 0,
    a_swallowed_error: 1,
    an_answer_over_newer_typing: 15,
    a_row_that_leaves_before_its_acknowledgement: 5,
    a_snapshot_at_the_wrong_position: 20,
    a_delete_that_a_crash_forgets: 20,
    two_programs_that_do_not_look_at_each_other: 0,
    a_rebase_that_is_skipped: 70,
    an_upload_that_fails_once_and_is_never_sent_again: 1,
    a_receipt_that_claims_too_much: 3,
    a_rule_that_nobody_asks: 1,
}
"""Each bug with a seed that finds it, which is tried first."""
