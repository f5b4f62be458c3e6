"""The ground every figure stands on: an organisation with members and 10,000 drafts, made through the server itself, kept as a folder and
copied for each figure."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.load.connection import ask
from benchmarks.load.device import Device
from benchmarks.load.writing import Draft
from benchmarks.servers import Holdfast, Running, running_holdfast

__all__ = ["DRAFTS", "DRAFTS_PER_SESSION", "SESSIONS", "Seed"]

DRAFTS = 10_000
DRAFTS_PER_SESSION = 50
SESSIONS = DRAFTS // DRAFTS_PER_SESSION
CREATED_AT_ONCE = 250


@dataclass
class Seed:
    """A data folder with `DRAFTS` drafts. `positions`: where each stands, by its number; `tokens`: one per member."""

    folder: Path
    tokens: list[str]
    positions: dict[int, str]
    seq: int

    @classmethod
    def made(cls, folder: Path, *, members: int) -> Seed:
        holdfast = Holdfast(folder)
        holdfast.set_up(members=members)
        with running_holdfast(holdfast) as server:
            positions = uvloop.run(_create(server.port, holdfast.tokens[0]))
        return cls(folder, holdfast.tokens, positions, max(int(one.partition(".")[0]) for one in positions.values()))

    @contextmanager
    def served(self, name: str, *options: str, keep: Path | None = None) -> Iterator[Running]:
        """A server on a copy of the folder, which goes with it (or is moved to `keep` when the server has ended)."""
        copy = self.folder.with_name(name)
        shutil.copytree(self.folder, copy)
        try:
            with running_holdfast(Holdfast(copy), *options) as server:
                yield server
            if keep is not None:
                copy.rename(keep)
        finally:
            shutil.rmtree(copy, ignore_errors=keep is not None)

    def device(self, number: int, drafts: list[Draft], *, run: str, at_once: int = 1) -> Device:
        return Device(number, drafts, self.tokens[number % len(self.tokens)], run=run, positions=self.positions, at_once=at_once)


async def _create(port: int, token: str) -> dict[int, str]:
    positions: dict[int, str] = {}
    for first in range(0, DRAFTS, CREATED_AT_ONCE):
        drafts = [Draft.begun(number) for number in range(first, first + CREATED_AT_ONCE)]
        device = Device(first, drafts, token, run="seed", positions={}, at_once=CREATED_AT_ONCE)
        _, body = await asyncio.wait_for(ask(port, device.creation()), 60)
        positions.update(device.created(body))
    return positions
