"""Connections that each hold one conversation: a request, its whole answer, the next request.

Latency is from handing the request to the socket until the answer is complete. Nothing is pipelined: the number of connections is the
number of requests under way (a closed loop, so a slow server is asked less often; rates and latencies belong together).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

__all__ = ["Conversation", "LoadFailed", "Measured", "ask", "converse", "percentile"]

ANSWER_SECONDS_MAX = 30.0
_LENGTH = b"content-length: "


class LoadFailed(Exception):
    """An answer was not what it had to be, or none came; the text says what was asked and answered."""


class Conversation(Protocol):
    """One side of a connection. `units` is how many things one answer counts for (mutations, records)."""

    units: int

    def request(self) -> bytes:
        """The next request, head and body."""

    def answered(self, status: int, body: bytes) -> None:
        """Raises LoadFailed unless the answer is right."""


@dataclass
class Measured:
    """What was answered between the end of the warm-up and the end; `units_in_all` with the warm-up and what was under way at the end.
    Latencies in seconds, sorted."""

    seconds: float
    units: int
    units_in_all: int
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.units / self.seconds

    def milliseconds(self, share: float) -> float:
        return percentile(self.latencies, share) * 1000


def percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class _Window:
    """When answers count, and what has been counted."""

    def __init__(self, warm_up: float, seconds: float) -> None:
        self.opens = time.perf_counter() + warm_up
        self.closes = self.opens + seconds
        self.units = 0
        self.units_in_all = 0
        self.latencies: list[float] = []
        self.failure: Exception | None = None

    def count(self, began: float, now: float, units: int) -> None:
        self.units_in_all += units
        if self.opens <= now < self.closes:
            self.units += units
            self.latencies.append(now - began)


class _Connection(asyncio.Protocol):
    def __init__(self, conversation: Conversation, window: _Window) -> None:
        self._conversation = conversation
        self._window = window
        self._parts = b""
        self._began = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)      # uvloop's is none by class
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        request = self._conversation.request()
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._parts:
            data = self._parts + data
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            self._parts = data
            return
        at = data.find(_LENGTH, 0, head_end)
        if at < 0:
            self._end(LoadFailed(f"An answer without content-length: {data[:head_end]!r}"))
            return
        at += len(_LENGTH)
        body_at = head_end + 4
        if len(data) < body_at + int(data[at:data.index(b"\r", at)]):
            self._parts = data
            return
        self._parts = b""
        now = time.perf_counter()
        try:
            self._conversation.answered(int(data[9:12]), data[body_at:])
        except Exception as error:
            self._end(error)
            return
        self._window.count(self._began, now, self._conversation.units)
        if now < self._window.closes and self._window.failure is None:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(LoadFailed(f"The server hung up: {exc}"))

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is not None and self._window.failure is None:
            self._window.failure = error
        self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


async def converse(port: int, conversations: Sequence[Conversation], *, seconds: float, warm_up: float = 0.5) -> Measured:
    """Hold all conversations at once, a connection each, for so long. Raises LoadFailed at the first wrong answer."""
    loop = asyncio.get_running_loop()
    window = _Window(warm_up, seconds)
    made = await asyncio.gather(*(loop.create_connection(partial(_Connection, one, window), "127.0.0.1", port) for one in conversations))
    ends = [protocol.done for _, protocol in made]
    _, missing = await asyncio.wait(ends, timeout=warm_up + seconds + ANSWER_SECONDS_MAX)
    for transport, _ in made:
        transport.close()
    if window.failure is not None:
        raise window.failure
    if missing:
        raise LoadFailed(f"{len(missing)} of {len(ends)} connections got no answer within {ANSWER_SECONDS_MAX:.0f} s of the end.")
    window.latencies.sort()
    return Measured(seconds, window.units, window.units_in_all, window.latencies)


class _Once:
    """One request, whatever its answer."""

    units = 1

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answer = (0, b"")

    def request(self) -> bytes:
        return self._request

    def answered(self, status: int, body: bytes) -> None:
        self.answer = (status, body)


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: (status, body)."""
    once = _Once(request)
    await converse(port, [once], seconds=0.0, warm_up=0.0)
    return once.answer
