"""One socket after its `hello`: what it has been sent, what it says, how it catches up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from holdfast.core.errors import HoldfastError
from holdfast.engine.api import Caller, problem_of
from holdfast.runtime import Runtime
from holdfast.server.authenticate import Identity
from holdfast.server.live.messages import FELL_BEHIND, Errored, Frame, Hello, frame_of
from holdfast.server.live.outlet import Outlet
from holdfast.server.logs import events

__all__ = ["Asked", "Session", "Who"]

Asked: TypeAlias = tuple[tuple[str, ...] | None, tuple[tuple[str, int], ...]]
"""What a socket asks for: collections (None: all) and contracts."""

Who: TypeAlias = tuple[str, frozenset[str] | None]
"""Actor and narrower roles."""


class Session:
    """State of one socket. `cursor` is up to where everything has been handed to the outlet."""

    def __init__(self, session_id: str, identity: Identity, caller: Caller, hello: Hello, outlet: Outlet, runtime: Runtime,
                 check: Callable[[], Awaitable[Identity]]) -> None:
        self.id = session_id
        self.identity = identity
        self.check = check              # raises NotSignedIn when the credential has ended
        self.caller = caller
        self.device_id = hello.device_id
        self.cursor = hello.cursor
        self.collections = tuple(hello.collections) if hello.collections else None
        self.contracts = dict(hello.contracts or {})
        self.asked: Asked = (self.collections, tuple(sorted(self.contracts.items())))
        self.watch = set(hello.watch)
        self.outlet = outlet
        self.in_step = False            # caught up: takes its group's messages
        self.turn = 0                   # raised whenever catching up begins anew
        self.ended: tuple[int, str] | None = None
        self.messages_sent = 0
        self._runtime = runtime
        self._closing: asyncio.Task[None] | None = None

    @property
    def who(self) -> Who:
        return (self.caller.actor_id, self.caller.narrowed)

    def send(self, message: msgspec.Struct) -> None:
        self.write(frame_of(message))

    def write(self, frame: Frame) -> None:
        """Pass a frame on; a socket that cannot take it any more is ended, and resumes by its cursor."""
        if self.ended is not None:
            return
        if self.outlet.write(frame):
            self.messages_sent += 1
        else:
            self.end(FELL_BEHIND, "The device reads too slowly. Connect again with its cursor.")

    def fail(self, error: Exception, message_id: str | None = None) -> None:
        """Answer a message that failed."""
        if not isinstance(error, HoldfastError):
            events.error("a socket's message failed unexpectedly", exc_info=error, extra={"facts": {"session": self.id}})
        self.send(Errored(problem=problem_of(error), id=message_id))

    def end(self, code: int, reason: str) -> None:
        """Close the socket, once; returns at once, `closed` waits."""
        if self.ended is None:
            self.ended = (code, reason)
            self.in_step = False
            self._closing = self._runtime.spawn(self.outlet.close(code, reason), name="close a socket")

    async def closed(self) -> None:
        """Wait until an end that was begun is done: the reason must be out before the application returns."""
        if self._closing is not None:
            await self._closing
