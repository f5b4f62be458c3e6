"""uvicorn under our settings: one process, uvloop, httptools, websockets-sansio, with the limits of `connections`.

Stopping: on SIGTERM or SIGINT it takes no new connections, sockets are closed with 1012, calls under way get `shutdown_seconds`, what
is still waiting then is answered 503 (safe to send again), and the application's own shutdown gets `shutdown_seconds` as well. A
second signal ends at once. It never hangs: the process is gone a few seconds after the signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from holdfast.server.connections import http_protocol, socket_protocol
from holdfast.server.logs import events
from holdfast.server.settings import Settings

__all__ = ["Listener", "bind", "shown_address"]

_ENVELOPE_BYTES = 64 << 10
_BACKLOG = 2048


class Listener(uvicorn.Server):
    """A uvicorn server that we start and stop. `started` is true once it accepts connections."""

    def __init__(self, app: ASGIApp, settings: Settings, *, message_bytes_max: int) -> None:
        super().__init__(uvicorn.Config(
            app, host=settings.host, port=settings.port, loop="none", http=http_protocol(settings), ws=socket_protocol(settings),
            ws_max_size=message_bytes_max + _ENVELOPE_BYTES, ws_ping_interval=20.0, ws_ping_timeout=20.0, ws_per_message_deflate=False,
            lifespan="on", log_config=None, access_log=False, server_header=False, backlog=_BACKLOG,
            proxy_headers=bool(settings.proxies), forwarded_allow_ips=list(settings.proxies),
            timeout_keep_alive=settings.keep_alive_seconds, timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds))))
        self._settings = settings
        self._signals = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again when it is done, which ends the process as killed. A server that was asked to stop and did
        stop has succeeded."""
        loop = asyncio.get_running_loop()
        taken = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(number, self.handle_exit, number, None)
                taken.append(number)
        try:
            yield
        finally:
            for number in taken:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._signals += 1
        events.info("asked to stop by %s", signal.Signals(sig).name)
        self.should_exit = True
        self.force_exit = self.force_exit or self._signals > 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with a bound on the whole."""
        seconds = self._settings.shutdown_seconds
        try:
            async with asyncio.timeout(2 * seconds + 1):
                await super().shutdown(sockets)
        except TimeoutError:
            events.error("stopping took too long; ending anyway")


def bind(settings: Settings) -> socket.socket:
    """A listening socket. Raises OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol by name: asyncio sets TCP_NODELAY only then, and without it each answer waits 40 ms for the client's acknowledgement.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((settings.host, settings.port))
        found.listen(_BACKLOG)
    except OSError:
        found.close()
        raise
    found.setblocking(False)
    return found


def shown_address(bound: socket.socket) -> str:
    """`http://127.0.0.1:8740`"""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
