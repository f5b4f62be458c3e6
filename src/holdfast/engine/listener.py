"""The writer's door: a Unix socket in the data folder (mode 0600) through which the server's process and the command line hand their works
to the committer behind it. Whoever may open the socket is the owner of the data; works are trusted, frames are not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import msgspec

from holdfast.core.errors import HoldfastError
from holdfast.core.schema import Schema
from holdfast.engine.committer import Committer
from holdfast.engine.frames import PROTOCOL_VERSION, FrameBuffer, Hello, Hints, encode_spoken, frame
from holdfast.engine.link import reachable_address
from holdfast.engine.work import Answer, decode_work, encode_answer, failure_of

__all__ = ["SOCKET_NAME", "Listener"]

log = logging.getLogger("holdfast.engine")

SOCKET_NAME = "holdfast.sock"
BACKLOG = 64


class _Reply:
    """A waiter at the other end of a line."""

    __slots__ = ("_line", "_number")

    def __init__(self, line: _Line, number: int) -> None:
        self._line = line
        self._number = number

    def answer(self, answer: Answer) -> None:
        self._line.queue(frame(self._number, encode_answer(answer)))


class _Line(asyncio.Protocol):
    """One connection. Answers of a batch go out in one write."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._frames = FrameBuffer()
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._listener.lines.add(self)
        self.queue(self._listener.hello)
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for number, body in self._frames.feed(data):
                self._listener.take(_Reply(self, number), body)
        except (HoldfastError, msgspec.DecodeError) as error:
            log.error("A line to the writer is closed: %s", error)
            self.hang_up()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.lines.discard(self)
        self._transport = None

    def queue(self, data: bytes) -> None:
        self._out.append(data)

    def flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Listener:
    """Opens with `start`, in the folder whose lock this process holds. `on_grown` and `on_answered` belong to the committer."""

    def __init__(self, folder: str, schema: Schema) -> None:
        self._folder = folder
        self._committer: Committer | None = None
        self._server: asyncio.AbstractServer | None = None
        self._descriptor: int | None = None
        self._address = ""
        self._grown: dict[str, int] = {}
        self.lines: set[_Line] = set()
        self.hello = encode_spoken(Hello(PROTOCOL_VERSION, schema.digest, os.getpid()))

    async def start(self, committer: Committer) -> None:
        """Raises StorageFailed where the folder's path is too long for a socket, OSError."""
        self._committer = committer
        self._address, self._descriptor = reachable_address(self._folder, SOCKET_NAME)
        listening = _bound(self._address)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Line(self), sock=listening)

    async def close(self) -> None:
        """Take no more connections, let go of those there are."""
        if self._server is not None:
            self._server.close()
            for line in list(self.lines):
                line.hang_up()
            _unlink(self._address)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take(self, reply: _Reply, body: bytes) -> None:
        """Raises msgspec.DecodeError for what is no work."""
        assert self._committer is not None
        work = decode_work(body)
        try:
            self._committer.enqueue(work, reply, size_bytes=len(body))
        except HoldfastError as error:
            reply.answer(failure_of(error))

    def on_grown(self, tenant_id: str, seq: int) -> None:
        self._grown[tenant_id] = seq

    def on_answered(self) -> None:
        """The answers of a batch are queued: send them, with the hints behind them."""
        hints = encode_spoken(Hints(self._grown)) if self._grown else b""
        self._grown = {}
        for line in list(self.lines):
            if hints:
                line.queue(hints)
            line.flush()


def _bound(address: str) -> socket.socket:
    """A listening socket that nobody else may open. A stale one is removed: we hold the folder's lock, so nobody listens on it."""
    _unlink(address)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(mask)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening


def _unlink(address: str) -> None:
    try:
        os.unlink(address)
    except FileNotFoundError:
        return
