"""Stories under virtual time: a world, what happens in it, and waiting for something to come about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from holdfast import Record
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import Folder, Note, World, world

__all__ = ["told", "until"]


def told(folder: Path, story: Callable[[World], Awaitable[None]], *, seed: int = 1, records: Iterable[type[Record]] = (Note, Folder),
         **options: Any) -> None:
    async def main() -> None:
        async with world(folder, records=records, runtime=VirtualRuntime(seed), **options) as here:
            await story(here)

    run_virtually(main())


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(0.001)
