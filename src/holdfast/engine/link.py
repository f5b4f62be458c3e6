"""The way to a writer in another process: works go out over its Unix socket, answers and hints come back.

What the committer promises holds here too: a work that was let in gets exactly one answer. If the connection ends, everybody who waits
is told WriterStopped (the outcome is unknown, sending again is safe), and the link connects anew; works that come meanwhile wait for
that, at most `connect_seconds_max`. What is sent in one turn of the event loop goes out in one write.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from holdfast.core.errors import HoldfastError, StorageFailed, WriterStopped
from holdfast.core.limits import Limits
from holdfast.engine.frames import BY_ITSELF, PROTOCOL_VERSION, FrameBuffer, Hello, Hints, decode_spoken, frame
from holdfast.engine.room import Room
from holdfast.engine.work import Answer, Change, Failure, Upkeep, Work, decode_answer, encode_work, error_of, mutations_in
from holdfast.model.builtin import MEMBERS
from holdfast.runtime import Runtime

__all__ = ["Link", "Wire", "reachable_address"]

CONNECT_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 10.0
RETRY_DELAY_S = 0.02
ADDRESS_BYTES_MAX = 100
SENT_AT_ONCE = 16
"""Works that go out without waiting for the end of the turn. With 256 connections a turn holds a hundred, and writer and server would
wait for each other by turns (measured: a third fewer saves)."""


def reachable_address(folder: str, name: str) -> tuple[str, int | None]:
    """The address of socket `name` in `folder`, short enough for the system (about 100 bytes). A long one goes through the folder's
    own descriptor, which comes second and must stay open as long as the address is used.

    Raises StorageFailed where that is not possible (systems without /proc)."""
    path = os.path.join(folder, name)
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        return path, None
    if not os.path.isdir("/proc/self/fd"):
        raise StorageFailed(f"The path of the data folder is too long for a Unix socket ({len(path)} characters).",
                            hint="Use a folder with a shorter path.")
    descriptor = os.open(folder, os.O_RDONLY)
    return f"/proc/self/fd/{descriptor}/{name}", descriptor


class Wire(asyncio.Protocol):
    """One connection. `greeted` is set once the writer has said who it is."""

    def __init__(self, on_answer: Callable[[int, bytes], None], on_hints: Callable[[Hints], None], on_lost: Callable[[Wire], None]) -> None:
        self._on_answer = on_answer
        self._on_hints = on_hints
        self._on_lost = on_lost
        self._frames = FrameBuffer()
        self._out: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.greeted: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        for number, body in self._frames.feed(data):
            if number != BY_ITSELF:
                self._on_answer(number, body)
                continue
            spoken = decode_spoken(body)
            if isinstance(spoken, Hints):
                self._on_hints(spoken)
            elif not self.greeted.done():
                self.greeted.set_result(spoken)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionResetError("The writer hung up."))
        self._on_lost(self)

    def send(self, data: bytes) -> None:
        """Goes out at the end of this turn of the loop, with whatever else is sent in it; but at once where that has become enough for a
        commit, so that the writer works while this turn goes on."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)
        if len(self._out) >= SENT_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(out))


class Link:
    """A Gate. `before_connecting` is awaited before each attempt (the server starts its writer there)."""

    def __init__(self, folder: str, name: str, *, schema_digest: str, runtime: Runtime, limits: Limits,
                 on_grown: Callable[[str, int], None],
                 on_connected: Callable[[], None] | None = None, before_connecting: Callable[[], Awaitable[None]] | None = None) -> None:
        self._folder = folder
        self._name = name
        self._schema_digest = schema_digest
        self._runtime = runtime
        self._on_grown = on_grown
        self._on_connected = on_connected
        self._before_connecting = before_connecting
        self._room = Room(limits)
        self._waiting: dict[int, tuple[asyncio.Future[Answer], int, int]] = {}
        self._number = BY_ITSELF
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()
        self._same_schema = True
        self._closed = False

    async def start(self) -> None:
        """Connect. Raises WriterStopped if no writer answers in time, StorageFailed if it speaks another protocol."""
        await self._connected()

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Answer:
        mutations = mutations_in(work)
        self._room.enter(mutations, size_bytes)
        try:
            wire = self._wire
            if wire is None:
                wire = await self._connected()
            if not self._same_schema and not _is_of_every_schema(work):
                raise StorageFailed("The server that holds this data folder runs with other declarations.",
                                    hint="Name the same applications (--app) as the server, or ask the server itself.")
            self._number = self._number % 0xFFFF_FFFF + 1
            number = self._number
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        except BaseException:
            self._room.leave(mutations, size_bytes)
            raise
        self._waiting[number] = (future, mutations, size_bytes)
        wire.send(frame(number, encode_work(work)))
        answer = await future
        if isinstance(answer, Failure):
            raise error_of(answer)
        return answer

    async def close(self) -> None:
        """Wait for the answers that are out (not for ever: a writer that hangs must not keep the server), then hang up."""
        self._closed = True
        waiting = [future for future, _, _ in self._waiting.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=CLOSE_SECONDS_MAX)
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.close()
            self._wire = None

    async def _connected(self) -> Wire:
        async with self._connecting:
            give_up = self._runtime.monotonic() + CONNECT_SECONDS_MAX
            while self._wire is None:
                if self._closed:
                    raise WriterStopped("The store is closed.")
                try:
                    if self._before_connecting is not None:
                        await self._before_connecting()
                    await self._connect()
                except OSError as error:
                    if self._runtime.monotonic() > give_up:
                        raise WriterStopped("No writer answers on the socket of the data folder.") from error
                    await self._runtime.sleep(RETRY_DELAY_S)
            return self._wire

    async def _connect(self) -> None:
        address, descriptor = reachable_address(self._folder, self._name)
        loop = asyncio.get_running_loop()
        try:
            transport, wire = await loop.create_unix_connection(lambda: Wire(self._answered, self._hinted, self._lost), address)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        hello = await wire.greeted
        if hello.protocol != PROTOCOL_VERSION:
            transport.close()
            raise StorageFailed("The process that holds this data folder is another version of Holdfast.",
                                hint="Stop the server, or use its version of the command line.")
        self._same_schema = hello.schema == self._schema_digest
        self._wire = wire
        if self._on_connected is not None:
            self._on_connected()

    def _answered(self, number: int, body: bytes) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            future, mutations, size_bytes = waiting
            self._room.leave(mutations, size_bytes)
            if not future.done():
                future.set_result(decode_answer(body))

    def _hinted(self, hints: Hints) -> None:
        for tenant_id, seq in hints.grown.items():
            self._on_grown(tenant_id, seq)

    def _lost(self, wire: Wire) -> None:
        if wire is not self._wire and self._wire is not None:
            return
        self._wire = None
        waiting, self._waiting = self._waiting, {}
        for future, mutations, size_bytes in waiting.values():
            self._room.leave(mutations, size_bytes)
            if not future.done():
                future.set_exception(_stopped())


def _is_of_every_schema(work: Work) -> bool:
    """Accounts and members are built in: who names no application may ask any server for them."""
    return isinstance(work, Upkeep) or (isinstance(work, Change) and work.who.system and work.mutation.collection == MEMBERS)


def _stopped() -> HoldfastError:
    return WriterStopped("The writer stopped while this save waited.")
