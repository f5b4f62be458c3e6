"""uvicorn's connections, with limits it does not have.

uvicorn's httptools protocol takes headers of any size and waits for ever for the rest of a request or for a client that reads
nothing. These two subclasses add: a cap on header bytes, a deadline for headers and for the body, a deadline for a client that
does not read, a cap on connections, answers in `application/problem+json`, and for sockets a way to write one prepared frame to
many (`FrameWriter`): the same change for a hundred devices is encoded and framed once.

This is the edge itself, so timers are the event loop's.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from holdfast.core.errors import HoldfastError, LimitExceeded, Malformed, Overloaded, TooSlow
from holdfast.server.problems import PROBLEM_TYPE, render
from holdfast.server.settings import Settings

__all__ = ["FRAMES", "FrameWriter", "http_protocol", "socket_protocol"]

FRAMES = "holdfast.frames"
"""Name of the ASGI extension under which a socket's scope offers its `FrameWriter`."""

_LINGER_SECONDS = 10.0


class _HeadersTooLong(LimitExceeded):
    """Over `header_bytes_max`; HTTP has a status of its own for it."""

    status = 431


class FrameWriter:
    """Writes prepared frames to one socket, past the ASGI queue."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: _SocketProtocol) -> None:
        self._protocol = protocol

    def write(self, frame: bytes) -> bool:
        """Hand `frame` to the transport; False if the socket is closing or gone. Never waits: look at `buffered_bytes`."""
        protocol = self._protocol
        if protocol.disconnected or protocol.close_sent or protocol.transport.is_closing():
            return False
        protocol.transport.write(frame)
        return True

    def buffered_bytes(self) -> int:
        return self._protocol.transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Wait until the client has read most of what was written, or is gone."""
        await self._protocol.writable.wait()

    def abort(self) -> None:
        """Drop the connection without waiting for the client to read."""
        self._protocol.transport.abort()


class _ReadersExpected(asyncio.Protocol):
    """Cuts off a client that reads nothing for `write_seconds_max` while something waits for it."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _write_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.settings.write_seconds_max, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_write_timer()
        super().connection_lost(exc)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class _SocketProtocol(_ReadersExpected, WebSocketsSansIOProtocol):
    async def run_asgi(self) -> None:
        extensions: dict[str, object] = self.scope["extensions"]  # type: ignore[assignment]
        extensions[FRAMES] = FrameWriter(self)
        await super().run_asgi()


class _HttpProtocol(_ReadersExpected, HttpToolsProtocol):
    _head_bytes = 0
    _head_complete = True
    _body_complete = True
    _refusal: HoldfastError | None = None
    _arrival_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections_max:
            self._refuse(Overloaded("This server has as many connections open as it takes.", retry_after=2))
            return
        self._arm(self.settings.header_seconds_max)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return                  # what a refused client still sends is of no interest
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._disarm()          # closed, or handed over to the socket's protocol
        elif not self._head_complete:
            if self._arrival_timer is None:
                self._arm(self.settings.header_seconds_max)
        elif not self._body_complete:
            # Answered already (a body too long, say): the rest is read and dropped for a while, because closing at once would reset
            # the connection, and the client would lose the answer.
            if self._arrival_timer is None:
                self._arm(min(self.settings.body_seconds_max, _LINGER_SECONDS) if self._answered() else self.settings.body_seconds_max)
        else:
            self._disarm()

    # -- callbacks of the parser ----------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._head_complete, self._body_complete = 0, False, False

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._disarm()              # the body has a deadline of its own
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._body_complete = True
        super().on_message_complete()

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self.settings.header_bytes_max:
            self._refusal = _HeadersTooLong("The request line and headers are longer than this server takes.",
                                            limit="header_bytes_max", maximum=self.settings.header_bytes_max)
            raise self._refusal

    # -- refusing -------------------------------------------------------------------------------------------------------
    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when the parser gives up, also because a callback of ours raised."""
        self._refuse(self._refusal or Malformed("This is not a well-formed HTTP/1.1 request.", hint="Send the request again, well-formed."))

    def _refuse(self, error: HoldfastError) -> None:
        self._refusal = error
        self._disarm()
        cycle = self._current()
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # An answer to an earlier, complete request is under way. It must not be mixed with another: it is finished, then
            # the connection closes.
            cycle.keep_alive = False
            return
        # With an earlier request still unanswered, anything written now would pass for its answer: then the connection just closes.
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):
            self.transport.write(_raw_problem(error))
        self.transport.close()

    def _current(self) -> RequestResponseCycle | None:
        """The newest request of this connection; None before the first."""
        return self.cycle

    def _answered(self) -> bool:
        cycle = self._current()
        return cycle is not None and cycle.response_complete

    def _arm(self, seconds: float) -> None:
        self._arrival_timer = self.loop.call_later(seconds, self._too_late)

    def _disarm(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _too_late(self) -> None:
        self._arrival_timer = None
        if self.transport.is_closing():
            return
        if self._head_complete and self._current() is None:
            self.transport.close()  # opened and never used: nobody waits for an answer
        elif self._answered():
            self.transport.close()
        else:
            self._refuse(TooSlow("The request did not arrive in time."))


def _raw_problem(error: HoldfastError) -> bytes:
    """A whole HTTP answer, for calls that never became a request."""
    problem = render(error, "")
    length = str(len(problem.body)).encode()
    lines = [STATUS_LINE[problem.status], b"content-type: ", PROBLEM_TYPE, b"\r\ncontent-length: ", length, b"\r\n"]
    for name, value in problem.headers:
        if name != b"connection":
            lines += [name, b": ", value, b"\r\n"]
    return b"".join([*lines, b"connection: close\r\n\r\n", problem.body])


def http_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """The class that `uvicorn.Config(http=…)` takes."""
    return type("HttpProtocol", (_HttpProtocol,), {"settings": settings})


def socket_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """The class that `uvicorn.Config(ws=…)` takes."""
    return type("SocketProtocol", (_SocketProtocol,), {"settings": settings})
