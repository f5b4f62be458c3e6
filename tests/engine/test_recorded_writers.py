"""Two people's recorded typing through the whole store, pushed late and in batches: P2 (once), P3 (no character is dropped), and
verify agrees at the end. The full session comes from the folder that HOLDFAST_CORPUS names; without it an excerpt stands for it."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from holdfast import open_store
from holdfast.core.entry import Mutation
from holdfast.core.ops import SpliceOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Device, Note, StillRuntime

NOTE = "00000000-0000-7000-8000-000000000001"


def trace() -> dict[str, Any]:
    named = os.environ.get("HOLDFAST_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[1] / "data"
    with gzip.open(folder / "typing" / "friendsforever.concurrent.json.gz", "rt", encoding="utf-8") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


class Replay:
    """One device per recorded writer. A transaction is one mutation, based on what its device had pulled then; a device pushes when so
    many wait, or when the other one needs what it has."""

    def __init__(self, recorded: dict[str, Any], devices: list[Device], late: int) -> None:
        self.recorded, self.devices, self.late = recorded, devices, late
        self.waiting: list[list[tuple[int, Mutation]]] = [[] for _ in devices]
        self.position: dict[int, str] = {}
        self.past: list[dict[int, int]] = []

    async def run(self, created: str) -> None:
        for number, txn in enumerate(self.recorded["txns"]):
            newest: dict[int, int] = {}
            for parent in txn["parents"]:
                for writer, of_writer in self.past[parent].items():
                    newest[writer] = max(newest.get(writer, -1), of_writer)
            mine = txn["agent"]
            for writer, of_writer in newest.items():
                if writer != mine:
                    await self.push(writer, of_writer)
            base = max(((of_writer, self.position[of_writer]) for writer, of_writer in newest.items() if writer != mine),
                       default=(0, created))
            self.past.append({**newest, mine: number})
            splice = SpliceOp("/body", [tuple(patch) for patch in txn["patches"]])
            self.waiting[mine].append((number, self.devices[mine].mutation("notes", NOTE, splice, base=base[1])))
            if len(self.waiting[mine]) >= self.late:
                await self.push(mine, number)
        for writer in range(len(self.devices)):
            await self.push(writer, len(self.past))

    async def push(self, writer: int, until: int) -> None:
        """What the writer has made up to transaction `until`, twice now and then: replies get lost."""
        ready = [one for one in self.waiting[writer] if one[0] <= until]
        if not ready:
            return
        self.waiting[writer] = self.waiting[writer][len(ready):]
        mutations = [mutation for _, mutation in ready]
        if ready[0][0] % 11 == 0:
            await self.devices[writer].push(*mutations)
        for (number, _), result in zip(ready, (await self.devices[writer].push(*mutations)).results, strict=True):
            assert result.outcome in ("applied", "merged", "duplicate"), result
            assert result.position is not None
            self.position[number] = result.position


@pytest.mark.parametrize("late", [1, 7, 50])
async def test_the_text_ends_as_it_was_recorded_however_late_devices_push(tmp_path: Path, late: int) -> None:
    recorded = trace()
    async with open_store(tmp_path / "data", records=[Note], mode="inline", runtime=StillRuntime()) as store:
        writers: list[MemberSession] = [await store.member("acme", f"w{n}@example.org", roles=set()) for n in range(recorded["numAgents"])]
        devices = [Device(store, writer, str(n)) for n, writer in enumerate(writers)]
        await devices[0].create("notes", NOTE, {"title": "theirs"})
        created = await position_of(store, writers[0])
        devices[1].after.clear()
        await Replay(recorded, devices, late).run(created)
        assert (await writers[0].get(Note, NOTE)).body == recorded["endContent"]
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings


async def position_of(store: Store, member: MemberSession) -> str:
    view = await store.get(member.caller, "notes", NOTE)
    position: str = view["position"]
    return position
