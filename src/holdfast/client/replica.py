"""`Replica`: a device for Python programs. What it is given it keeps on this machine's disk at once, sends by itself, and says how far it
has come.

    async with open_replica("notes.replica", "https://holdfast.example.org", token=token, records=[Note]) as replica:
        note = replica.create(Note(title="Groceries"))
        body = replica.text(note, "body")
        body.insert(0, "Milk")
        await replica.synced()

Calls that only this device is needed for are plain calls; those that wait for the server are awaited. Not for several threads at once
(the blocking twin is): use it from the event loop that opened it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, TypeVar

from holdfast.client.answering import refuse_row
from holdfast.client.device import Device
from holdfast.client.export import export_unsent, import_unsent, listed
from holdfast.client.identity import begin_signing_in
from holdfast.client.machine import Event, State
from holdfast.client.outbox import ACTIONS, Key
from holdfast.client.records import Records, view_of_row
from holdfast.client.remote import Remote
from holdfast.client.settings import ReplicaSettings
from holdfast.client.status import (
    NOT_ACCEPTED,
    Connection,
    Receipt,
    Status,
    heard,
    open_items,
    receipt_of_mutation,
    receipt_of_record,
    status_of,
    told,
)
from holdfast.client.sync import Sync
from holdfast.client.wire import TokenSource, Wire
from holdfast.core.errors import NotFound, StateError, WorldError
from holdfast.core.messages import Problem
from holdfast.model.record import Record
from holdfast.model.typed import collection_of, from_fields

__all__ = ["Replica"]

R = TypeVar("R", bound=Record)
Views = list[dict[str, Any]]

CLOSE_SECONDS_MAX = 2.0


class Replica(Records):
    """Opened by `open_replica`."""

    def __init__(self, device: Device, wire: Wire | None, settings: ReplicaSettings) -> None:
        super().__init__(device)
        self._settings = settings
        self._wire = wire
        self._sync = None if wire is None else Sync(device, wire, settings, self._state_changed)
        self._remote = None if wire is None else Remote(device, wire)
        self._told: Mapping[str, Any] | None = None
        self._last: Status | None = None
        self._status_listeners: list[Callable[[Status], None]] = []
        self._queues: list[asyncio.Queue[set[Key] | Literal["closed"] | None]] = []
        self._moved = asyncio.Event()
        device.on_changed.append(self._records_changed)

    def start(self) -> None:
        if self._sync is not None:
            self._sync.start()

    # -- how it stands ----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """Is everything saved? See `status`."""
        now = self._device.runtime.now_ms()
        editing = any(row.state == "unsent" and 0 <= now - row.made.changed_at < self._settings.hold_ms for row in
        self._device.by_id.values())
        status = status_of(self._device, self._connection(), editing=editing)
        problem = next((one.problem for one in self._bound if one.is_open and one.problem is not None), None)
        if problem is None or status.name in ("error", "refused"):
            return status
        return replace(status, name="refused", phrase=NOT_ACCEPTED, cause=str(problem), hint=problem.hint)

    def _connection(self) -> Connection:
        sync = self._sync
        if sync is None:
            return Connection(state=State.OFFLINE, cause="This replica was opened without a server.")
        if sync.machine.state is State.FOLLOWING:
            return heard(self._device.meta.get("sender"))
        cause = sync.sending.cause or sync.cause
        now = self._device.runtime.monotonic()
        retry_at = sync.retry_at if sync.retry_at is not None else sync.sending.retry_at or None
        return Connection(state=sync.machine.state, failures=max(sync.machine.failures, sync.sending.failures),
                          cause=getattr(cause, "detail", str(cause)) if cause is not None else "", hint=getattr(cause, "hint", ""),
                          retry_in_seconds=None if retry_at is None or retry_at <= now else retry_at - now)

    def receipt(self, of: Record | str) -> Receipt | None:
        """How far the work on a record (or the mutation with this id) has come; None for a mutation that is not known here."""
        if isinstance(of, str):
            return receipt_of_mutation(self._device, of)
        return receipt_of_record(self._device, (collection_of(type(of)), of.id))

    def pending(self) -> Views:
        """What the server has not acknowledged, oldest first."""
        self._device.person.raise_on_stranger()
        return [listed(self._device, row) for row in self._device.unanswered()]

    def refused(self) -> Views:
        """What the server did not accept, with its reason: look at it, then `drop` it or `send_again`."""
        self._device.person.raise_on_stranger()
        return [listed(self._device, row) for row in self._device.refused]

    def held(self) -> Views:
        """What waits for a decision, as far as this device knows; `inbox` asks the server for the values."""
        return open_items(self._device)

    @property
    def device_id(self) -> str:
        return self._device.device_id

    @property
    def actor_id(self) -> str:
        """The person's id; empty until this replica has first been in touch."""
        return self._device.actor_id

    # -- hearing of changes -----------------------------------------------------------------------------------------------

    def on_status(self, listener: Callable[[Status], None]) -> None:
        """Call `listener` whenever the status is another one, in the replica's event loop."""
        self._status_listeners.append(listener)

    def on_change(self, listener: Callable[[set[Key] | None], None]) -> None:
        """Call `listener` with the (collection, id) of records that may look different now; None: any."""
        self._device.on_changed.append(listener)

    async def changes(self) -> AsyncIterator[set[Key] | None]:
        """The same as an asynchronous iterator, which ends with the replica."""
        queue: asyncio.Queue[set[Key] | Literal["closed"] | None] = asyncio.Queue()
        self._device.on_changed.append(queue.put_nowait)
        self._queues.append(queue)
        try:
            while (keys := await queue.get()) != "closed":
                yield keys
        finally:
            self._queues.remove(queue)
            self._device.on_changed.remove(queue.put_nowait)

    def _records_changed(self, keys: set[Key] | None) -> None:
        self._state_changed()

    def _state_changed(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._tell_others()
        if self._status_listeners:
            status = self.status
            if status != self._last:
                self._last = status
                for listener in list(self._status_listeners):
                    listener(status)

    def _tell_others(self) -> None:
        """The processes that do not send show how the one that does stands."""
        sync = self._sync
        if sync is None or not self._settings.shared or sync.machine.state in (State.FOLLOWING, State.CLOSED) or self._device.is_busy:
            return
        now_told = told(self._connection())
        if now_told != self._told:
            self._told = now_told
            try:
                self._device.put_meta(sender=now_told)
            except WorldError as error:
                self._device.failure = error

    # -- sending ----------------------------------------------------------------------------------------------------------

    async def flush(self, seconds_max: float = 10.0) -> bool:
        """Send everything now; whether the server has acknowledged all of it in time."""
        self._flush_bound()
        if self._sync is None:
            return not self._device.unanswered()
        self._sync.sending.hurry = True
        self._sync.kick()
        try:
            async with asyncio.timeout(seconds_max):
                while self._device.unanswered():
                    await self._moved.wait()
        except TimeoutError:
            return False
        finally:
            self._sync.sending.hurry = False
        return True

    async def synced(self, seconds_max: float = 30.0) -> bool:
        """Wait until the server has everything that was done here, and this device everything that the server had then; whether that came
        about in time."""
        sync = self._sync
        if not await self.flush(seconds_max) or sync is None:
            return False
        try:
            async with asyncio.timeout(seconds_max):
                head = await sync.ask_head()
                sync.kick()
                while not self._is_level(sync, head):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _is_level(self, sync: Sync, head: int) -> bool:
        """Whether everything up to `head` is here, and nothing of one's own is on its way."""
        device = self._device
        if device.cursor_seq < head or device.unanswered():
            return False
        if sync.machine.state is State.FOLLOWING:
            return True
        return sync.machine.state in (State.LIVE, State.POLLING) and not device.by_id and not device.wanted

    def retry_now(self) -> None:
        """Do not wait any longer before the next try."""
        if self._sync is not None:
            self._sync.retry_now()

    def go_offline(self) -> None:
        """The program knows that there is no network: nothing is tried until `go_online`."""
        self._tell(Event.WENT_OFFLINE)

    def go_online(self) -> None:
        self._tell(Event.CAME_ONLINE)

    def _tell(self, event: Event) -> None:
        if self._sync is not None:
            self._sync.tell(event)

    def send_again(self, mutation_id: str) -> None:
        """Make a refused change again, under a new id, on what stands now. Raises NotFound."""
        row = self._refused_row(mutation_id)
        made, left = import_unsent(self._device, {"holdfast_replica": 1, "mutations": [listed(self._device, row)]})
        if not made:
            raise StateError(f"It cannot be made again: {left[0]['why']}")
        self._device.drop_refused([row])

    def drop(self, mutation_id: str) -> None:
        """Give up a refused change. Raises NotFound."""
        self._device.drop_refused([self._refused_row(mutation_id)])

    def _refused_row(self, mutation_id: str) -> Any:
        row = next((one for one in self._device.refused if one.mutation_id == mutation_id), None)
        if row is None:
            raise NotFound("There is no refused change with this id.")
        return row

    # -- signing in and out -----------------------------------------------------------------------------------------------

    def sign_in(self, token: TokenSource) -> None:
        """Go on with a new token. It is kept in memory alone. If it is another person's, nothing is sent or shown any more (Forbidden)
        until the person whose replica this is signs in again."""
        if self._wire is not None:
            begin_signing_in(self._device)
            self._wire.sign_in(token)
            self._tell(Event.NOT_SIGNED_IN)         # a socket of the token before is not gone on with
            self._tell(Event.SIGNED_IN)

    def sign_out(self, unsent: Literal["ask", "keep", "discard"] = "ask") -> None:
        """Forget the token. With unsent work "ask" raises StateError, which says how much: "keep" leaves the file for this person's next
        sign-in, "discard" empties it. Without unsent work the file is emptied, unless "keep". Nothing of the work is left in an emptied
        file, only whose it is."""
        self._device.person.raise_on_stranger()
        self._flush_bound()
        waiting = [*self._device.unanswered(), *self._device.refused]
        if waiting and unsent == "ask":
            raise StateError(f"{len(waiting)} change{'s are' if len(waiting) > 1 else ' is'} not at the server yet.", unsent=len(waiting),
                             hint='Export them with `export()`, or sign out with unsent="keep" or unsent="discard".')
        if self._wire is not None:
            self._wire.sign_in(None)
        self._tell(Event.NOT_SIGNED_IN)
        if unsent != "keep":
            self._device.empty()
            self._device.file.wipe()

    def export(self) -> dict[str, Any]:
        """What is unsent, as JSON: mutations, and each record as it looks with them."""
        self._device.person.raise_on_stranger()
        return export_unsent(self._device)

    def import_unsent(self, exported: Mapping[str, Any]) -> tuple[int, Views]:
        """Make exported changes again: (how many, those that could not be made, with `why`). Raises Malformed."""
        self._device.person.raise_on_stranger()
        return import_unsent(self._device, exported)

    # -- what only the server can answer ------------------------------------------------------------------------------------

    @property
    def server(self) -> Remote:
        """History, diff, why, restore, inbox and actions: calls that need the network. Raises StateError without a server."""
        if self._remote is None:
            raise StateError("This replica was opened without a server.", hint="Give open_replica its URL.")
        return self._remote

    async def undo(self, record: R) -> R:
        """Take back this device's newest change of the record, over what came after it. Raises Conflict (nothing to undo), WorldError
        (no network)."""
        return await self._revert(record, self.server.undo)

    async def redo(self, record: R) -> R:
        return await self._revert(record, self.server.redo)

    async def _revert(self, record: R, revert: Callable[[Record], Any]) -> R:
        if not await self.flush():
            raise WorldError("What was done here is not at the server yet.", hint="Try again when there is a network.")
        await self._reached((await revert(record)).get("position"))
        return self.get(type(record), record.id, include_deleted=True)

    async def _reached(self, position: str | None, seconds_max: float = 10.0) -> None:
        """Wait until what the server made has come back."""
        seq = 0 if position is None else int(position.partition(".")[0])
        try:
            async with asyncio.timeout(seconds_max):
                while self._device.cursor_seq < seq:
                    await self._moved.wait()
        except TimeoutError:
            raise WorldError("The server has done it; this device has not heard of it yet.", hint="It appears by itself.") from None

    async def inbox(self) -> Views:
        """What waits for a decision, with both values."""
        return await self.server.inbox()

    async def apply(self, item_id: str) -> None:
        """Apply what waits, over what stands."""
        await self._reached((await self.server.resolve(item_id, {"apply": True})).get("position"))

    async def discard(self, item_id: str, reason: str = "") -> None:
        await self._reached((await self.server.resolve(item_id, {"discard": True, "reason": reason})).get("position"))

    async def settle(self, item_id: str, values: Mapping[str, Any]) -> None:
        """Put these values (path -> JSON value) in place of both that are in question."""
        await self._reached((await self.server.resolve(item_id, {"value": dict(values)})).get("position"))

    async def at(self, record: R, rev: int) -> R:
        """The record as it stood at `rev`."""
        return from_fields(type(record), await self.server.at(record, rev))

    async def history(self, record: Record) -> Views:
        return await self.server.history(record)

    def queue_call(self, action: str, **arguments: Any) -> str:
        """Call an action as soon as there is a network; returns the id it is called under (see `receipt`). Its reply is not kept. It is
        made after the edits that stand before it, and once, however often it is sent."""
        self._device.person.raise_on_stranger()
        row = self._device.edit((ACTIONS, action), lambda row: (), arguments=arguments)
        assert row is not None
        return row.mutation_id

    def cancel_call(self, mutation_id: str) -> None:
        """Take a queued call back that was not sent yet. Raises StateError if it may have been."""
        row = self._device.by_id.get(mutation_id)
        if row is None or row.collection != ACTIONS or row.state != "unsent":
            raise StateError("This call was sent, or is not known here.")
        refuse_row(self._device, row, Problem(code="cancelled", detail="It was taken back."))
        self.drop(mutation_id)

    # -- the end ----------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Keep what was assigned, give what is unsent two seconds to arrive, and leave nothing running. Raises what keeps an assigned
        value from being kept, once all is closed."""
        problem = self._close_bound()
        try:
            if self._sync is not None:
                await self._say_goodbye(self._sync)
                await self._sync.stop()
        finally:
            for queue in self._queues:
                queue.put_nowait("closed")
            self._device.file.close()
        if problem is not None:
            raise problem

    async def _say_goodbye(self, sync: Sync) -> None:
        """Send what is unsent, for as long as that may still work out."""
        sync.sending.hurry = True
        sync.kick()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                while self._device.unanswered() and self._may_still_send(sync):
                    await self._moved.wait()

    def _may_still_send(self, sync: Sync) -> bool:
        if sync.sending.failures or sync.machine.failures:
            return False
        return sync.machine.state not in (State.CLOSED, State.OFFLINE, State.SIGNED_OUT, State.DENIED)

    def view(self, key: Key) -> dict[str, Any] | None:
        """The record view of (collection, id) as this device shows it: for tools that know no record class."""
        row = self._device.view(key).row
        return None if row is None else view_of_row(row)
