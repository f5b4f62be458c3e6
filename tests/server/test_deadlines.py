"""Calls that take too long end, each by itself. Defends P5 (answered): a save that waits must never hang, and one that is in time must not
be ended by its neighbour's clock."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.server.deadlines import Deadlines

SOON = 0.02
LATE = 30.0


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def call(deadlines: Deadlines, waits_for: asyncio.Future[None]) -> str:
    try:
        with deadlines.bound():
            await waits_for
    except TimeoutError:
        return "too long"
    return "in time"


async def test_a_call_that_takes_too_long_is_ended() -> None:
    deadlines = Deadlines(SOON)
    with pytest.raises(TimeoutError), deadlines.bound():
        await for_ever()
    task = asyncio.current_task()
    assert task is not None and not task.cancelling(), "nobody cancelled the task itself"


async def test_each_call_has_its_own_time() -> None:
    deadlines = Deadlines(SOON)
    loop = asyncio.get_running_loop()
    answers = [loop.create_future() for _ in range(20)]
    calls = [asyncio.create_task(call(deadlines, answer)) for answer in answers]
    await asyncio.sleep(0)
    for answer in answers[::2]:
        answer.set_result(None)
    assert await asyncio.gather(*calls) == ["in time", "too long"] * 10
    began = loop.time()
    assert await call(deadlines, loop.create_future()) == "too long", "the timer serves those who come later too"
    assert loop.time() - began >= SOON * 0.9


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    deadlines = Deadlines(LATE)
    waiting = asyncio.create_task(call(deadlines, asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_error_of_the_call_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), Deadlines(LATE).bound():
        raise ValueError("mine")


async def test_nothing_waits_when_no_call_is_under_way() -> None:
    deadlines = Deadlines(LATE)
    with deadlines.bound():
        assert deadlines._timer is not None
    assert deadlines._timer is None


def test_an_application_served_anew_begins_anew() -> None:
    deadlines = Deadlines(SOON)

    async def left_behind() -> None:
        deadlines.bound().__enter__()

    asyncio.run(left_behind())

    async def too_long() -> None:
        with deadlines.bound():
            await for_ever()

    with pytest.raises(TimeoutError):
        asyncio.run(too_long())
