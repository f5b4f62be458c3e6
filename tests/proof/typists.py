"""Devices that save as fast as they can, keep every mutation until it is acknowledged, and send it again after any trouble; and the judge
who afterwards compares what was acknowledged with what is there."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast import open_store
from holdfast.core.entry import Entry
from holdfast.core.ops import AddOp
from holdfast.engine.verify import verify_tenant
from tests.proof.clinic import app
from tests.proof.hosts import MASTER_KEY, Host, Lost, Turned
from tests.proof.world import named_id

__all__ = ["Typist", "Typists", "judge"]

SHARED = named_id("shared")
TOKEN = re.compile(r"<(\w+)\.(\d+)>")
PUSH_MAX = 4


@dataclass
class Acknowledged:
    outcome: str
    seq: int
    position: str


@dataclass
class Typist:
    """One device: `outbox` holds what is not acknowledged, in order and as first sent."""

    name: str
    who: str
    chance: random.Random
    outbox: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    cursor: str | None = None
    _number: int = 0
    _after: dict[str, str] = field(default_factory=dict)
    _bases: dict[str, str] = field(default_factory=dict)

    def type(self) -> None:
        """Make the next mutation."""
        self._number += 1
        number, chance = self._number, self.chance.random()
        own = named_id(f"{self.name} {number // 8}")
        if own not in self._after and chance < 0.5:
            record, ops = own, [{"op": "create", "value": {"title": f"{self.name} {number}", "pin": "secret", "extra": {"a": {}}}}]
        elif own in self._after and chance < 0.5:
            record, ops = own, [{"op": "set", "path": f"/extra/a/{number % 3}", "value": ["x" * self.chance.randrange(2_000)]},
                                {"op": "set", "path": "/title", "value": str(number)}]
        else:
            record, ops = SHARED, [{"op": "splice", "path": "/body", "edits": [[0, 0, f"<{self.name}.{number}>"]]},
                                   {"op": "add", "path": "/views", "by": 1}]
        mutation = {"mutation_id": f"{self.name}.{number}", "collection": "notices", "record_id": record, "ops": ops,
                    "after": self._after.get(record), "base": self._bases.get(record)}
        self._after[record] = mutation["mutation_id"]
        self.outbox.append(mutation)

    async def save(self, host: Host) -> None:
        """Send what is in the outbox, oldest first, and take it out as far as it is acknowledged."""
        sent = self.outbox[:PUSH_MAX]
        results = await host.push(self.who, self.name, sent)
        assert [one["mutation_id"] for one in results] == [one["mutation_id"] for one in sent]
        for mutation, result in zip(sent, results, strict=True):
            assert result["outcome"] in ("applied", "merged", "held", "duplicate"), (mutation, result)
            kept = Acknowledged(result["outcome"], result["seq"], result["position"])
            before = self.acknowledged.get(mutation["mutation_id"])
            assert before is None or (before.seq, before.position) == (kept.seq, kept.position)
            self.acknowledged[mutation["mutation_id"]] = kept
            self.outbox.remove(mutation)

    async def look(self, host: Host) -> None:
        more = True
        while more:
            pulled = await host.pull(self.who, self.name, self.cursor)
            self.cursor, more = pulled["cursor"], pulled["more"]
            for collection, record, position in pulled["seen"]:
                assert collection in ("notices", "members", "patients")
                self._bases[record] = position


@dataclass
class Typists:
    """Several devices of two people. `host` may be killed under them at any time; they go on when `awake` is set."""

    host: Host
    devices: list[Typist]
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    turned: Counter[str] = field(default_factory=Counter)
    resting_seconds: float = 0.0
    done: bool = False

    @classmethod
    def of(cls, host: Host, seed: int, count: int = 6) -> Typists:
        chance = random.Random(seed)
        return cls(host, [Typist(f"t{number}", "ada" if number % 2 else "bob", random.Random(chance.random())) for number in range(count)])

    @property
    def acknowledged(self) -> int:
        return sum(len(one.acknowledged) for one in self.devices)

    async def begin(self) -> None:
        """Make the record that all write in."""
        await self.host.push("ada", "first", [{"mutation_id": "first", "collection": "notices", "record_id": SHARED,
                                               "ops": [{"op": "create", "value": {"title": "shared"}}]}])

    async def saving_goes_on(self, seconds: float = 20.0) -> None:
        """Wait until every device gets saves acknowledged again. Fails if that takes too long."""
        before = [len(one.acknowledged) for one in self.devices]
        give_up = time.monotonic() + seconds
        while not all(len(one.acknowledged) > count for one, count in zip(self.devices, before, strict=True)):
            assert time.monotonic() < give_up, "saves are not acknowledged any more"
            await asyncio.sleep(0.01)

    async def work(self) -> None:
        """Until `done`, and then until every outbox is empty."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.devices:
                tasks.create_task(self._work(one))

    async def _work(self, device: Typist) -> None:
        while not self.done or device.outbox:
            await self.awake.wait()
            try:
                if not self.done and len(device.outbox) < PUSH_MAX:
                    for _ in range(device.chance.randrange(1, PUSH_MAX + 1)):
                        device.type()
                if device.chance.random() < 0.2:
                    await device.look(self.host)
                await device.save(self.host)
            except Lost:
                await asyncio.sleep(0.01)
            except Turned as turned:
                self.turned[turned.code] += 1
                assert turned.retry_after is None or int(turned.retry_after) >= 1
                await asyncio.sleep(0.05)
            if self.resting_seconds:
                await asyncio.sleep(self.resting_seconds)


# -- judgement -------------------------------------------------------------------------------------------------------------


async def judge(folder: Path, devices: list[Typist]) -> int:
    """Everything acknowledged is there, where it was said to be; nothing is there twice; tables and chain are what the log says. Returns
    the number of entries."""
    async with open_store(folder, apps=[app], master_keys=MASTER_KEY) as store:
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings
        async with store.storage.reader() as reader:
            entries = await reader.entries("acme", after=0, limit=1_000_000)
            shared = (await reader.rows("acme", [("notices", SHARED)]))["notices", SHARED]
    by_id = Counter((entry.device_id, entry.mutation_id) for entry in entries)
    assert not [key for key, count in by_id.items() if count > 1], "a mutation is in the log twice"
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    found = {(entry.device_id, entry.mutation_id): entry for entry in entries}
    for device in devices:
        for mutation_id, kept in device.acknowledged.items():
            raise_if_not_as_acknowledged(found.get((device.name, mutation_id)), device.name, mutation_id, kept)
    tokens = Counter(TOKEN.findall(shared.fields["body"]))
    applied = [entry for entry in entries if entry.record_id == SHARED and any(isinstance(op, AddOp) for op in entry.ops)]
    assert set(tokens.values()) <= {1}, "typed text is there twice"
    assert set(tokens) == {(entry.device_id, entry.mutation_id.rpartition(".")[2]) for entry in applied}
    assert shared.fields["views"] == len(applied), "the counter counts each save once"
    return len(entries)


def raise_if_not_as_acknowledged(entry: Entry | None, device: str, mutation_id: str, kept: Acknowledged) -> None:
    assert entry is not None, f"{device} {mutation_id} was acknowledged as {kept} and is not there"
    assert (entry.seq, f"{entry.seq}.{entry.digest[:8]}") == (kept.seq, kept.position), f"{device} {mutation_id}: {kept}, but {entry.seq}"
