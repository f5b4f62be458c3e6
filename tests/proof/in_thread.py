"""A clinic that is served in a thread with an event loop of its own, for tools that call blockingly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from holdfast.server.settings import Settings
from tests.proof.story import behind_closed_doors, in_the_open
from tests.proof.world import World, named_id, world
from tests.server.serving import Served, serving

__all__ = ["Open", "opened"]


@dataclass
class Open:
    """`values` are the world's; `document` is the OpenAPI that the server gives."""

    url: str
    tokens: dict[str, str]
    values: dict[str, Any]
    document: dict[str, Any]

    def headers(self, who: str = "olga") -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[who]}"}


@contextmanager
def opened(**options: Any) -> Iterator[Open]:
    """Serve a clinic with people and records until the block ends. No limit of rates is in the way."""
    ready, done = threading.Event(), threading.Event()
    found: list[tuple[World, Served, dict[str, Any]] | BaseException] = []

    async def serve() -> None:
        settings = Settings(port=0, heartbeat_seconds=5)
        async with world(settings=settings, **options) as made:
            made.values |= {"wall": named_id("wall"), "pad": named_id("pad"), **made.actors}
            await in_the_open(made)
            await behind_closed_doors(made)
            document = (await made.call(None, "GET", "/openapi.json")).json()
            async with serving(made.app, settings) as served:
                found.append((made, served, document))
                ready.set()
                while not done.is_set():
                    made.runtime.now += 1_000
                    await asyncio.sleep(0.01)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            found.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=run, name="clinic")
    thread.start()
    ready.wait()
    first = found[0]
    if isinstance(first, BaseException):
        raise first
    made, served, document = first
    try:
        yield Open(served.url, made.tokens, made.values, document)
    finally:
        done.set()
        thread.join()
