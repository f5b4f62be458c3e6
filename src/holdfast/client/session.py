"""One open socket, from hello to its end: what comes is applied in order, what is due goes out, one push in flight.

Rules of the file. The server hands changes after the cursor that the device named, in order and without gaps; each message starts where
the one before it ended (`_cursor`). A message that cannot be kept (the disk) is dropped, and everything after it, until the disk takes
writes again: then the device names its cursor anew, on another socket. On this one a heartbeat of before may still be under way, and its
cursor is past what was dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.client.device import Device
from holdfast.client.machine import Event
from holdfast.client.sending import Sending
from holdfast.client.settings import ReplicaSettings
from holdfast.client.taking import take_page
from holdfast.client.transport import ChannelClosed, Unreachable
from holdfast.client.wire import Changes, Errored, Heartbeat, Live, Message, Presence, Pushed, Welcome, error_of_problem
from holdfast.core.errors import Forbidden, HoldfastError, NotSignedIn, WorldError
from holdfast.core.messages import PullReply, PushReply

__all__ = ["Session", "event_of", "reset_of"]

TAKEN_AT_ONCE_MAX = 1_000
"""Changes that have arrived are taken in together, as one transaction, up to so many: a person who is typing waits for one at most."""
QUEUED_MESSAGES_MAX = 16

QUIET_SECONDS = 0.3
"""A socket that has nothing to tell says nothing: after so long without a change the device has caught up."""


def event_of(error: Exception) -> Event:
    """Where a failure leads."""
    if isinstance(error, NotSignedIn) or (isinstance(error, ChannelClosed) and error.code == 4401):
        return Event.NOT_SIGNED_IN
    if isinstance(error, Forbidden) or (isinstance(error, ChannelClosed) and error.code == 4403):
        return Event.FORBIDDEN
    return Event.FAILED


def reset_of(device: Device, reset: str) -> Event:
    """Where a reset leads. What it asks for outlives a crash: a history that is not the server's is told of again, new rights are not."""
    if reset == "history":
        return Event.RESET_HISTORY
    device.put_meta(reset=True)
    return Event.RESET_ACCESS


def _are_plain(first: Changes, second: Changes) -> bool:
    """Whether both are changes and nothing else: those may be read as one message."""
    return not any(one.records or one.forget or one.reset or one.upgrade_required for one in (first, second))


class Session:
    """`tell` takes events; `on_presence` what is said of people in records."""

    def __init__(self, device: Device, live: Live, sending: Sending, settings: ReplicaSettings, tell: Callable[[Event], None],
                 on_presence: Callable[[Presence], None]) -> None:
        self._device = device
        self._live = live
        self._sending = sending
        self._settings = settings
        self._tell = tell
        self._on_presence = on_presence
        self._cursor: str | None = None
        self._device_id = ""
        self._gap = False
        self._again_at = 0.0            # monotonic: when what could not be kept is asked for again
        self._arrived: asyncio.Queue[Message | Exception] = asyncio.Queue(QUEUED_MESSAGES_MAX)
        self._pushes: dict[str, asyncio.Future[PushReply]] = {}
        self._count = 0
        self.caught_up = False
        self.kick = asyncio.Event()

    async def greet(self) -> Welcome:
        """Say hello; what the server answers. Raises ChannelClosed, NotSignedIn, Forbidden and other HoldfastErrors."""
        device = self._device
        self._cursor, self._device_id = device.meta.get("cursor"), device.device_id
        contracts = {name: one.contract for name, one in device.schema.collections.items()}
        async with asyncio.timeout(self._settings.connect_seconds_max):
            await self._live.hello(device.device_id, self._cursor, list(device.schema.collections), contracts,
                                   list(device.schema.collections))
            message = await self._live.receive()
            if isinstance(message, Errored):
                raise error_of_problem(message.problem)
            if not isinstance(message, Welcome):
                raise ChannelClosed(4400, "The server did not answer hello.")
            return message

    async def run(self) -> Event:
        """Serve the socket to its end; the event that the end is."""
        runtime = self._device.runtime
        receiving = runtime.spawn(self._receive(), name="replica receives")
        listening = runtime.spawn(self._listen(), name="replica listens")
        sending = runtime.spawn(self._send(), name="replica sends")
        quiet = runtime.spawn(self._be_quiet(), name="replica has caught up")
        tasks: list[asyncio.Task[Any]] = [listening, sending]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return Event.TRY_SOCKET
        finally:
            for task in [*tasks, receiving, quiet]:
                task.cancel()
            await asyncio.gather(*tasks, receiving, quiet, return_exceptions=True)
            await self._live.close()

    # -- coming in --------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        """What arrives, in order; at the end why there is no more. What came before the end is taken in first."""
        try:
            while True:
                async with asyncio.timeout(self._settings.silence_seconds_max):
                    message = await self._live.receive()
                await self._arrived.put(message)
        except TimeoutError:
            await self._arrived.put(Unreachable("The socket has gone silent."))
        except Exception as error:
            await self._arrived.put(error)

    async def _listen(self) -> None:
        following: Message | Exception | None = None
        while True:
            message = following if following is not None else await self._arrived.get()
            following = None
            if isinstance(message, Exception):
                raise message
            if isinstance(message, Changes):
                following = self._join_arrived(message)
                self._take(message)
            elif isinstance(message, Heartbeat):
                self._beat(message)
            elif isinstance(message, Pushed):
                self._answer(message.id, message)
            elif isinstance(message, Errored):
                self._failed(message)
            elif isinstance(message, Presence):
                self._on_presence(message)

    def _join_arrived(self, first: Changes) -> Message | Exception | None:
        """Add to a message the changes of those after it that are already here; the first that cannot be added, if one was met."""
        while not self._arrived.empty():
            following = self._arrived.get_nowait()
            if not (isinstance(following, Changes) and _are_plain(first, following)
                    and len(first.changes) + len(following.changes) <= TAKEN_AT_ONCE_MAX):
                return following
            first.changes += following.changes
            first.cursor, first.head, first.more = following.cursor, following.head, following.more
            first.backed_up_seq = following.backed_up_seq
        return None

    def _take(self, reply: PullReply) -> None:
        if reply.reset is not None:
            self._tell(reset_of(self._device, reply.reset))
            return
        if self._gap:
            return
        try:
            if not take_page(self._device, reply, start=self._cursor):
                raise Unreachable("Another process has moved the cursor.")
        except WorldError as error:
            self._device.failure, self._gap = error, True
            self._again_at = self._device.runtime.monotonic() + self._settings.disk_retry_seconds   # a page may need more than an edit
            return
        self._cursor = self._device.meta["cursor"]
        self._sending.head = max(self._sending.head, reply.head)
        self.kick.set()
        if not reply.more:
            self._note_caught_up()

    def _beat(self, beat: Heartbeat) -> None:
        """Everything up to the heartbeat's cursor has been sent before it."""
        if beat.cursor is not None:
            self._take(PullReply(changes=[], cursor=beat.cursor, head=beat.head, backed_up_seq=beat.backed_up_seq, more=False))
        else:
            self._note_caught_up()

    def _note_caught_up(self) -> None:
        if not self.caught_up:
            self.caught_up = True
            self._tell(Event.CAUGHT_UP)

    async def _be_quiet(self) -> None:
        cursor: object = self
        while not self.caught_up:
            if cursor == self._cursor:
                self._note_caught_up()
            cursor = self._cursor
            await self._device.runtime.sleep(QUIET_SECONDS)

    # -- going out --------------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        sending = self._sending
        while self._device.device_id == self._device_id:        # a socket is the device's that said hello on it
            self.kick.clear()
            if self._device.failure is not None:
                self._device.try_to_write()
            # an edit, too, may have found that the disk takes writes again
            if self._gap and self._device.failure is None and self._device.runtime.monotonic() >= self._again_at:
                return      # on a socket of its own: what is still under way on this one would be taken for what follows the gap
            went = await sending.push_due(self._push)
            if sending.must_pull:
                sending.must_pull = False
                await self._resume()
            if went or await sending.ask():
                continue
            await self._wait(self._next_seconds())

    def _next_seconds(self) -> float | None:
        seconds = self._sending.next_seconds()
        if not self._gap or self._device.failure is not None:
            return seconds
        left = max(0.0, self._again_at - self._device.runtime.monotonic()) + 0.001
        return left if seconds is None else min(left, seconds)

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self.kick.wait()
            return
        try:
            async with asyncio.timeout(seconds):
                await self.kick.wait()
        except TimeoutError:
            return

    async def _resume(self) -> None:
        """Name the cursor anew: what follows it comes again, or the server says that it is of another history."""
        self._cursor = self._device.meta.get("cursor")
        await self._live.resume(self._cursor)

    async def _push(self, bodies: Sequence[bytes]) -> PushReply:
        self._count += 1
        message_id = str(self._count)
        answer: asyncio.Future[PushReply] = asyncio.get_running_loop().create_future()
        self._pushes[message_id] = answer
        try:
            await self._live.push(message_id, bodies, self._device.runtime.now_ms())
            async with asyncio.timeout(self._settings.answer_seconds_max):
                return await answer
        except TimeoutError:
            raise Unreachable("A push was not answered in time.") from None
        finally:
            del self._pushes[message_id]

    def _answer(self, message_id: str, reply: PushReply) -> None:
        waiting = self._pushes.get(message_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def _failed(self, message: Errored) -> None:
        error: HoldfastError = error_of_problem(message.problem)
        waiting = self._pushes.get(message.id) if message.id is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        elif message.id is None:
            raise error
