"""Storage in place needs no event loop, and says so where something does."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.storage.drive import run_sync


async def answer(value: int) -> int:
    return value + 1


async def wait() -> None:
    await asyncio.get_running_loop().create_future()


class Turn:
    def __await__(self):  # type: ignore[no-untyped-def]
        yield


async def give_way() -> None:
    await Turn()


def test_a_coroutine_that_never_waits_runs_to_its_end() -> None:
    assert run_sync(answer(1)) == 2


def test_its_error_comes_out() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        run_sync(wait())


def test_one_that_waits_is_named() -> None:
    with pytest.raises(RuntimeError, match="give_way suspended"):
        run_sync(give_way())
