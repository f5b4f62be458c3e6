"""One push after the other: what is due is marked, sent by whatever way is open, and its answers are taken in. Then what else is to be
asked: records that are wanted, what waits in the inbox, action calls.

Rules of the file. One push is in flight. No failure here is an end: the rows stay, and are sent again under their ids; what the world
did (busy, full, cut off) is waited out (`failures`), and what a batch as a whole is refused for is narrowed down to the one mutation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from holdfast.client.answering import Lanes, is_forking, mark_sent, refuse_row, take_answers, take_new_id
from holdfast.client.backoff import Backoff
from holdfast.client.device import Device
from holdfast.client.outbox import Answer, OutboxRow
from holdfast.client.settings import ReplicaSettings
from holdfast.client.taking import take_records
from holdfast.client.transport import Unreachable
from holdfast.client.wire import Wire
from holdfast.core.errors import CallerError, Conflict, Forbidden, HoldfastError, NotSignedIn, StateError, TooSlow, WorldError
from holdfast.core.messages import Problem, PushReply, Result

__all__ = ["Push", "Sending"]

Push = Callable[[Sequence[bytes]], Awaitable[PushReply]]
"""Sends mutations by some way. Raises Unreachable, ChannelClosed, HoldfastError."""

RECORDS_ASKED_MAX: Final = 200


class Sending:
    """What goes out, of one process that holds the lease."""

    def __init__(self, device: Device, wire: Wire, settings: ReplicaSettings) -> None:
        self.device = device
        self.wire = wire
        self.settings = settings
        self.lanes = Lanes()
        self.failures = 0
        self.cause: HoldfastError | None = None
        self.retry_at = 0.0                 # monotonic: not before
        self.must_pull = False
        self.hurry = False                  # somebody waits: nothing is held back
        self.head = 0                       # the newest entry the server has told of
        self._batch_max = settings.push_mutations_max
        self._backoff = Backoff(device.runtime, settings.backoff_seconds, settings.backoff_seconds_max)

    # -- what is due ------------------------------------------------------------------------------------------------------

    def due(self) -> tuple[list[OutboxRow], list[bytes]]:
        runtime, settings = self.device.runtime, self.settings
        hold, hold_max = (0, 0) if self.hurry or self.device.failure is not None else (settings.hold_ms, settings.hold_ms_max)
        return self.lanes.due(self.device, now_ms=runtime.now_ms(), monotonic=runtime.monotonic(), hold_ms=hold, hold_ms_max=hold_max,
                              mutations_max=self._batch_max, bytes_max=settings.push_bytes_max)

    def next_seconds(self) -> float | None:
        """When to look again: a row becomes ripe, a line has waited, a retry is due. None: nothing is to come by itself."""
        runtime, settings, now = self.device.runtime, self.settings, self.device.runtime.monotonic()
        times: list[float] = []
        if self.device.unanswered() or self.device.wanted or self.device.meta.get("inbox_stale"):
            if self.retry_at > now:
                return self.retry_at - now
            left = self.lanes.next_ripe_ms(self.device, now_ms=runtime.now_ms(), monotonic=now, hold_ms=settings.hold_ms,
                                           hold_ms_max=settings.hold_ms_max)
            times += [] if left is None else [0.0 if self.hurry else left / 1_000]
            times += [until - now for key, until in self.lanes.waits_until.items() if until > now and key in self.device.lanes]
        if self.device.failure is not None:
            times.append(settings.disk_retry_seconds)
        return max(0.0, min(times)) + 0.001 if times else None

    # -- going out --------------------------------------------------------------------------------------------------------

    async def push_due(self, push: Push) -> bool:
        """Send what is due, one push; whether there was any. Raises Unreachable, ChannelClosed, NotSignedIn, Forbidden."""
        if self.device.runtime.monotonic() < self.retry_at:
            return False
        if self._must_take_new_id():
            return True
        rows, bodies = self.due()
        if not rows:
            return False
        if not self._mark(rows):
            return True
        if self.device.failure is not None:
            rows, bodies = self._sure(rows, bodies)
            if not rows:
                return False
        try:
            reply = await push(bodies)
        except (NotSignedIn, Forbidden):
            raise
        except WorldError as error:
            self._note_failure(error, error.retry_after)
            return True
        except (CallerError, StateError) as error:
            self._narrow(rows, error)
            return True
        self._take(reply)
        self._batch_max = min(self.settings.push_mutations_max, self._batch_max * 2)
        return True

    def _must_take_new_id(self) -> bool:
        """Take one, if the outbox was copied and everything that may have arrived is answered; whether that was done just now."""
        try:
            return is_forking(self.device) and take_new_id(self.device)
        except WorldError as error:
            self.device.failure = error
            return False

    def _mark(self, rows: Sequence[OutboxRow]) -> bool:
        try:
            return mark_sent(self.device, rows)
        except WorldError as error:
            self.device.failure = error
            self.device.mark_in_memory(rows)
            return True

    def _sure(self, rows: Sequence[OutboxRow], bodies: Sequence[bytes]) -> tuple[list[OutboxRow], list[bytes]]:
        """Without what could not be marked and is another process's: that one may still add to it."""
        pairs: list[tuple[OutboxRow, bytes]] = []
        stopped = set()
        again_at = self.device.runtime.monotonic() + self.settings.disk_retry_seconds
        for row, body in zip(rows, bodies, strict=True):
            if row.state == "unsent":
                stopped.add(row.key)
                self.lanes.waits_until[row.key] = again_at
            elif row.key not in stopped:
                pairs.append((row, body))
        return [row for row, _ in pairs], [body for _, body in pairs]

    def _take(self, reply: PushReply) -> None:
        self.failures, self.cause, self.retry_at = 0, None, 0.0
        self.head = max(self.head, reply.head)
        outcome = take_answers(self.device, reply.results, self.lanes, self.device.runtime.monotonic())
        self.must_pull |= outcome.must_pull

    def take_acknowledged(self, results: Sequence[Result]) -> int:
        """Take in results of which none is a refusal; how many rows they were for."""
        return take_answers(self.device, results, self.lanes, self.device.runtime.monotonic()).acknowledged

    def _narrow(self, rows: Sequence[OutboxRow], error: HoldfastError) -> None:
        """A push that is refused as a whole: half of it next time; a mutation that is refused alone is so for good."""
        if len(rows) > 1:
            self._batch_max = max(1, len(rows) // 2)
            return
        self._batch_max = 1
        try:
            refuse_row(self.device, rows[0], Problem(code=error.code, detail=error.detail, hint=error.hint, field=error.field))
        except WorldError as failure:           # sent again, and refused again, when the disk may take it down
            self.device.failure = failure
            self.retry_at = self.device.runtime.monotonic() + self.settings.disk_retry_seconds

    def _note_failure(self, error: HoldfastError, at_least: float) -> None:
        self.failures += 1
        self.cause = error
        self.retry_at = self.device.runtime.monotonic() + self._backoff.seconds(self.failures, at_least)

    def retry_now(self) -> None:
        self.retry_at = 0.0
        self.lanes.waits_until.clear()

    # -- what else is to be asked -----------------------------------------------------------------------------------------

    async def ask(self) -> bool:
        """One call of what else is due; whether there was any. Raises Unreachable, NotSignedIn, Forbidden."""
        if self.device.runtime.monotonic() < self.retry_at:
            return False
        try:
            asked = await self._ask_wanted() or await self.call_action() or await self._look_at_inbox()
            if asked:
                self.failures, self.cause, self.retry_at = 0, None, 0.0
            return asked
        except (NotSignedIn, Forbidden, Unreachable):
            raise
        except WorldError as error:
            self._note_failure(error, error.retry_after)
            return False

    async def _ask_wanted(self) -> bool:
        keys = [key for key in sorted(self.device.wanted) if not self._is_waiting(key)][:RECORDS_ASKED_MAX]
        if not keys:
            return False
        wanted = []
        for key in keys:
            row = self.device.pulled(key)
            wanted.append((*key, None if row is None else f"{row.last}.{row.last_prefix}"))
        take_records(self.device, await self.wire.records(wanted), keys)
        for key in keys:
            if key in self.device.wanted:       # it must be answered first
                self.lanes.asked_at[key] = self.device.runtime.monotonic()
        return True

    def _is_waiting(self, key: tuple[str, str]) -> bool:
        asked = self.lanes.asked_at.get(key)
        return asked is not None and self.device.runtime.monotonic() < asked + self.settings.poll_seconds

    async def _look_at_inbox(self) -> bool:
        if not self.device.meta.get("inbox_stale"):
            return False
        self.device.meta["inbox_stale"] = False             # what settles an item from here on says so again
        try:
            items = await self._open_items()
            self.device.put_meta(inbox=items, inbox_stale=bool(self.device.meta.get("inbox_stale")))
        except BaseException:
            self.device.meta["inbox_stale"] = True
            raise
        self.device.tell(set())
        return True

    async def _open_items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.wire.call("GET", "/v1/inbox", query={"limit": "500", **({"cursor": cursor} if cursor else {})})
            items += [{"id": item["id"], "collection": item.get("collection"),
                       "record_id": item.get("record_id")} for item in page["items"]]
            cursor = page.get("cursor")
            if not cursor:
                return items

    async def call_action(self) -> bool:
        """Call the first action that waits; whether there was any. It may rest on edits that were made before it: it waits for those on
        their way, not for a line that is stuck. Raises Unreachable, NotSignedIn, Forbidden, WorldError."""
        row = self.lanes.due_call(self.device, self.device.runtime.monotonic())
        if row is None or not self._mark([row]):
            return False
        try:
            reply = await self.wire.call("POST", f"/v1/actions/{row.record_id}", body={
                **(row.made.arguments or {}), "mutation_id": row.mutation_id, "device_id": self.device.device_id})
        except (CallerError, StateError) as error:
            if isinstance(error, NotSignedIn):
                raise
            if isinstance(error, Conflict | TooSlow) and self.lanes.waits_again(row.key, self.device.runtime.monotonic()):
                return True
            refuse_row(self.device, row, Problem(code=error.code, detail=error.detail, hint=error.hint, field=error.field))
            return True
        answer = Answer(outcome=reply.get("outcome", "applied"), receipt=reply.get("receipt", "committed"), position=reply.get("position"),
                        reply=reply.get("reply"), at=self.device.runtime.now_ms())
        self.lanes.disordered.pop(row.key, None)
        self.device.finish_call(row, answer)
        return True
