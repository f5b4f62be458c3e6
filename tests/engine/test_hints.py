"""Hints between servers end when their store is closed, whatever arrives then. Defends P1: a server that does not end is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast.engine.feed import Feed
from holdfast.engine.hints import Hints
from holdfast.runtime import RealRuntime


class Loopback:
    """A channel that says everything back at once."""

    async def open(self, heard: Callable[[str], None]) -> None:
        self.heard, self.is_open = heard, True

    async def send(self, text: str) -> None:
        self.heard(text)

    async def check(self) -> None: ...

    async def close(self) -> None:
        self.is_open = False


class NoTenants:
    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Any]:
        yield self


@pytest.mark.parametrize("turns", range(6))
async def test_a_store_that_is_closed_while_a_hint_wakes_its_sender_ends(turns: int) -> None:
    channel = Loopback()
    hints = Hints(channel, Feed(), NoTenants(), RealRuntime())  # type: ignore[arg-type]
    await hints.start()
    for _ in range(5):
        await asyncio.sleep(0)
    hints.grown("acme", 1)
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.ensure_future(hints.close())
    done, _ = await asyncio.wait([closing], timeout=5)
    assert done, "the sender of hints goes on after its store was closed"
    assert not channel.is_open
