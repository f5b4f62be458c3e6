"""Limits at their very edge: what waits for a socket, and how far a clock may be off. Defends P1 (a slow reader costs bounded memory) and
P3 (whose edit is the later one is judged fairly)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.core import clock
from holdfast.core.limits import Limits
from holdfast.runtime import RealRuntime
from holdfast.server.live.messages import Frame
from holdfast.server.live.outlet import DirectOutlet, QueuedOutlet

BYTES_MAX = Limits().socket_buffered_bytes_max
SKEW_MS_MAX = Limits().clock_skew_ms_max
NOW = 1_800_000_000_000


async def unread(message: Any) -> None:
    """The send of a server whose client reads nothing."""
    await asyncio.Event().wait()


async def queue_holding(count: int) -> QueuedOutlet:
    outlet = QueuedOutlet(unread, RealRuntime(), BYTES_MAX)
    assert outlet.write(Frame(b"x" * count))
    await asyncio.sleep(0)
    return outlet


@pytest.mark.parametrize(("waiting", "takes"), [(BYTES_MAX - 1, True), (BYTES_MAX, True), (BYTES_MAX + 1, False)])
async def test_socket_buffered_bytes_max_as_much_may_wait_and_one_more_frame_and_beyond_it_none(waiting: int, takes: bool) -> None:
    outlet = await queue_holding(waiting)
    assert outlet.write(Frame(b"y")) is takes
    await outlet.stop()


class Transport:
    """What is behind a socket under our own server, with so many bytes that the client has not read."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.written: list[bytes] = []

    def buffered_bytes(self) -> int:
        return self.waiting

    def write(self, frame: bytes) -> bool:
        self.written.append(frame)
        return True


@pytest.mark.parametrize(("waiting", "takes"), [(BYTES_MAX - 1, True), (BYTES_MAX, True), (BYTES_MAX + 1, False)])
def test_socket_buffered_bytes_max_holds_for_the_transport_of_our_own_server_alike(waiting: int, takes: bool) -> None:
    transport: Any = Transport(waiting)
    assert DirectOutlet(transport, unread, BYTES_MAX).write(Frame(b"y")) is takes
    assert bool(transport.written) is takes


@pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])
def test_clock_skew_ms_max_a_clock_off_by_just_that_is_believed_and_one_off_by_more_is_corrected(sign: int) -> None:
    edited_at = clock.pack(NOW - 200_000, 3)

    def stamp(offset_ms: int) -> tuple[int, int]:
        return clock.unpack(clock.decided(edited_at, offset_ms=sign * offset_ms, now=NOW, seen=0, limits=Limits()))

    assert stamp(SKEW_MS_MAX) == (NOW - 200_000, 3)
    assert stamp(SKEW_MS_MAX + 1) == (NOW - 200_000 - sign * (SKEW_MS_MAX + 1), 3)
