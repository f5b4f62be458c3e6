"""The loop that keeps a device in touch: it does what its state says (`machine`) until an event comes of it or from outside.

All of it is one task that starts one piece of work per state and ends it when the state changes; nothing is left running after `stop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from holdfast.client.answering import take_back
from holdfast.client.backoff import Backoff
from holdfast.client.device import Device
from holdfast.client.identity import check_identity
from holdfast.client.lease import Lease
from holdfast.client.machine import Event, Machine, State
from holdfast.client.outbox import OutboxRow
from holdfast.client.rebuilding import Rebuilding, needs_snapshot
from holdfast.client.sending import Sending
from holdfast.client.session import Session, event_of, reset_of
from holdfast.client.settings import ReplicaSettings
from holdfast.client.taking import take_page
from holdfast.client.transport import ChannelClosed, Unreachable
from holdfast.client.wire import Presence, Wire
from holdfast.core.errors import HoldfastError, WorldError
from holdfast.core.messages import PullReply, PushReply

__all__ = ["Sync"]

_TOUCH: Final = (State.CATCHING_UP, State.LIVE)
"""One piece of work serves both."""


class Sync:
    """Started and stopped with the replica. `on_state` is told whenever something about the connection changes."""

    def __init__(self, device: Device, wire: Wire, settings: ReplicaSettings, on_state: Callable[[], None]) -> None:
        self.device = device
        self.wire = wire
        self.settings = settings
        self.machine = Machine()
        self.sending = Sending(device, wire, settings)
        self.cause: Exception | None = None         # why it is not in touch
        self.retry_at: float | None = None          # monotonic: when it connects again
        self.on_presence: list[Callable[[Presence], None]] = []
        self._on_state = on_state
        self._lease = Lease(device, settings.lease_seconds)
        self._backoff = Backoff(device.runtime, settings.backoff_seconds, settings.backoff_seconds_max)
        self._rebuilding = Rebuilding(device, wire)
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._generation = 0
        self._session: Session | None = None
        self._kick = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._at_least = 0.0
        self._is_offline = False                    # the program says so; heard again once this process sends

    # -- from outside -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        runtime = self.device.runtime
        self.machine.receive(Event.STARTED)
        self.device.on_edited.append(self.kick)
        self._tasks.append(runtime.spawn(self._run(), name="replica"))
        if self.settings.shared:
            self._tasks.append(runtime.spawn(self._keep_lease(), name="replica's lease"))
            self._tasks.append(runtime.spawn(self._watch(), name="replica watches its file"))
        else:
            self.tell(Event.LEASE_TAKEN)

    def tell(self, event: Event) -> None:
        """Something happened outside of the loop."""
        if event in (Event.WENT_OFFLINE, Event.CAME_ONLINE, Event.RETRY_NOW):
            self._is_offline = event is Event.WENT_OFFLINE
        self._events.put_nowait((-1, event))

    def kick(self) -> None:
        """Something may be due."""
        self._kick.set()
        if self._session is not None:
            self._session.kick.set()

    def retry_now(self) -> None:
        self.sending.retry_now()
        self.tell(Event.RETRY_NOW)
        self.kick()

    async def ask_head(self) -> int:
        """Where the server's log ends now; asked again until it answers."""
        device = self.device
        while True:
            try:
                reply = await self._pull(device.meta.get("cursor"), limit=1)
                if reply.reset is None:
                    return reply.head
            except (Unreachable, HoldfastError) as error:
                self.cause = self.cause or error
            await device.runtime.sleep(self.settings.backoff_seconds)

    async def stop(self) -> None:
        self.tell(Event.CLOSED)
        if self._tasks:
            await asyncio.wait(self._tasks[:1])
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lease.release()
        await self.wire.close()

    # -- the loop ---------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        work: asyncio.Task[None] | None = None
        while self.machine.state is not State.CLOSED:
            generation, event = await self._events.get()
            before = self.machine.state
            if generation not in (-1, self._generation) or not self.machine.receive(event):
                if generation == self._generation and work is not None and work.done():
                    work = self._begin()        # its event meant nothing here: do again what the state says
                continue
            state = self.machine.state
            if event is Event.LEASE_TAKEN and self._is_offline:
                self._events.put_nowait((-1, Event.WENT_OFFLINE))       # said while another process sent, or none yet
            if state in (State.LIVE, State.POLLING):
                self.cause, self.retry_at = None, None
            if not (before in _TOUCH and state in _TOUCH):
                await self._end(work)
                work = self._begin()
            self._on_state()
        await self._end(work)

    def _begin(self) -> asyncio.Task[None] | None:
        self._generation += 1
        doing = self._work(self.machine.state)
        if doing is None:
            return None
        return self.device.runtime.spawn(self._report(self._generation, doing), name=f"replica {self.machine.state.value}")

    async def _end(self, work: asyncio.Task[None] | None) -> None:
        if work is not None and not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _report(self, generation: int, doing: Callable[[], Awaitable[Event]]) -> None:
        try:
            event = await doing()
        except TimeoutError:
            self.cause, event = Unreachable("The server did not answer in time."), Event.FAILED
        except (Unreachable, ChannelClosed, HoldfastError) as error:
            self.cause, event = error, event_of(error)
            self._at_least = float(error.retry_after) if isinstance(error, WorldError) else 0.0
        self._events.put_nowait((generation, event))

    def _work(self, state: State) -> Callable[[], Awaitable[Event]] | None:
        return {
            State.CONNECTING: self._connect, State.CATCHING_UP: self._serve, State.POLLING: self._poll,
            State.SNAPSHOT: self._rebuilding.take_snapshot, State.RECOVERING: self._rebuilding.recover,
            State.BACKING_OFF: self._back_off, State.FAILING: self._back_off,
            State.SIGNED_OUT: self._wait_for_right, State.DENIED: self._wait_for_right,
        }.get(state)

    # -- what is done in each state ---------------------------------------------------------------------------------------

    async def _connect(self) -> Event:
        await self.wire.token()
        self.device.take_in_others()
        if needs_snapshot(self.device):
            await self._recognise()
            await self._check_acknowledged()
            return Event.NEEDS_SNAPSHOT
        try:
            live = await self.wire.live(self.settings.connect_seconds_max)
        except Unreachable as error:
            return await self._without_socket(error)
        session = Session(self.device, live, self.sending, self.settings, self._tell_session, self._tell_presence)
        try:
            welcome = await session.greet()
            check_identity(self.device, tenant=welcome.tenant, actor_id=welcome.actor_id)
            await self._check_acknowledged()
        except BaseException:
            await live.close()
            raise
        self._session = session
        return Event.WELCOMED

    async def _check_acknowledged(self) -> None:
        """Whether the server still has what it acknowledged. A server that was put back to where this device's cursor stands, or after it,
        does not look like another one to it; but what it acknowledged since is gone."""
        device = self.device
        rows = [row for row in device.by_id.values() if row.state == "acknowledged" and row.answer is not None and row.answer.position]
        rows.sort(key=lambda row: row.answer.seq if row.answer is not None else 0)
        lost: list[OutboxRow] = []
        while rows:
            position = rows[-1].answer.position if rows[-1].answer is not None else None
            if (await self._pull(position, limit=1)).reset != "history":
                break
            lost.insert(0, rows.pop())
        if lost:
            take_back(device, lost)

    async def _pull(self, cursor: str | None, *, limit: int = 1_000) -> PullReply:
        device = self.device
        contracts = {name: one.contract for name, one in device.schema.collections.items()}
        return await self.wire.pull(cursor, collections=list(device.schema.collections), contracts=contracts, device_id=device.device_id,
                                    limit=limit)

    async def _without_socket(self, error: Unreachable) -> Event:
        """A proxy that knows no sockets lets calls through."""
        await self._recognise()
        self.cause = error
        return Event.NO_SOCKET

    async def _recognise(self) -> None:
        """Ask who has signed in, where no socket has told. Raises Forbidden if the replica is another person's."""
        profile = await self.wire.call("GET", "/v1/me")
        check_identity(self.device, tenant=profile["tenant"], actor_id=profile["account"])

    def _tell_session(self, event: Event) -> None:
        self._events.put_nowait((self._generation, event))

    def _tell_presence(self, presence: Presence) -> None:
        for listener in list(self.on_presence):
            listener(presence)

    async def _serve(self) -> Event:
        session = self._session
        if session is None:
            return Event.FAILED
        try:
            return await session.run()
        finally:
            self._session = None

    async def _poll(self) -> Event:
        runtime, settings = self.device.runtime, self.settings
        until = runtime.monotonic() + settings.socket_again_seconds
        while runtime.monotonic() < until:
            event = await self._poll_once()
            if event is not None:
                return event
            self._kick.clear()
            seconds = self.sending.next_seconds()
            try:
                async with asyncio.timeout(settings.poll_seconds if seconds is None else min(seconds, settings.poll_seconds)):
                    await self._kick.wait()
            except TimeoutError:
                continue
        return Event.TRY_SOCKET

    async def _poll_once(self) -> Event | None:
        """Push what is due, pull what is there."""
        device = self.device
        if device.failure is not None:
            device.try_to_write()
        while await self.sending.push_due(self._push) or await self.sending.ask():
            continue
        self.sending.must_pull = False
        more = device.failure is None
        while more:
            start = device.meta.get("cursor")
            reply = await self._pull(start)
            if reply.reset is not None:
                return reset_of(device, reply.reset)
            await self._check_acknowledged()
            try:
                take_page(device, reply, start=start)
            except WorldError as error:
                device.failure = error
                return None
            self.sending.head = max(self.sending.head, reply.head)
            more = reply.more
        return None

    async def _push(self, bodies: Any) -> PushReply:
        return await self.wire.push(self.device.device_id, bodies, self.device.runtime.now_ms())

    async def _back_off(self) -> Event:
        seconds = self._backoff.seconds(self.machine.failures, self._at_least)
        self.retry_at = self.device.runtime.monotonic() + seconds
        self._on_state()
        await self.device.runtime.sleep(seconds)
        self.retry_at = None
        return Event.WAITED

    async def _wait_for_right(self) -> Event:
        await self.device.runtime.sleep(self.settings.right_seconds)
        return Event.WAITED

    # -- the file's other processes ---------------------------------------------------------------------------------------

    async def _keep_lease(self) -> None:
        while True:
            self._renew_lease()
            if not self._lease.held and not self.device.person.is_known:
                await self._recognise_quietly()
            await self.device.runtime.sleep(self.settings.lease_seconds / 3)

    def _renew_lease(self) -> None:
        held = self._lease.held
        if self._lease.take() is not held:
            self.tell(Event.LEASE_LOST if held else Event.LEASE_TAKEN)

    async def _recognise_quietly(self) -> None:
        """Another process sends; whether this one's person may look on is asked all the same, and again later if nobody answers."""
        try:
            await self._recognise()
        except (Unreachable, HoldfastError) as error:
            self.cause = error
            self._on_state()

    async def _watch(self) -> None:
        write_at = 0.0
        while True:
            await self.device.runtime.sleep(self.settings.watch_seconds)
            try:
                if self.device.failure is not None and self.device.runtime.monotonic() >= write_at:
                    write_at = self.device.runtime.monotonic() + self.settings.disk_retry_seconds
                    if self.device.try_to_write():
                        self.device.tell(None)
                        self.kick()
                if self.device.file.others_wrote():
                    self.device.load()
                    self.device.tell(None)
                    self.kick()
            except WorldError as error:
                self.device.failure = error
