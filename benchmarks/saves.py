"""Single saves over HTTP: each request one mutation, each acknowledged when it is on disk. After the last repetition every draft is read
back and compared with what its device wrote, and the log must have grown by just the acknowledged saves."""

from __future__ import annotations

import asyncio

import orjson
import uvloop

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Sample
from benchmarks.load.connection import LoadFailed, ask
from benchmarks.load.device import Device, request_head
from benchmarks.load.handwritten import Client
from benchmarks.load.writing import Draft
from benchmarks.seed import DRAFTS, DRAFTS_PER_SESSION
from benchmarks.servers import Running, running_handwritten

__all__ = ["Saving", "beside_handwritten", "raise_unless_kept", "single_saves"]

P99_MS_MAX = 50.0


def single_saves(bench: Bench, connections: int, target: float) -> list[Figure]:
    with bench.seed.served(f"saves-{connections}") as server:
        saving = Saving(bench, server, connections)
        samples = [uvloop.run(saving.once()) for _ in bench.rounds()]
        uvloop.run(raise_unless_kept(bench, server, saving.devices))
    return [_rate(connections, target, samples)]


def beside_handwritten(bench: Bench, connections: int, target: float) -> list[Figure]:
    """Ours and the hand-written peer in turn, on the same disk at the same time of day; the other one rests meanwhile."""
    folder = bench.folder / "handwritten"
    folder.mkdir()
    with bench.seed.served(f"saves-{connections}") as server, running_handwritten(folder) as other:
        saving, peer = Saving(bench, server, connections), PeerSaving(bench, other, connections)
        uvloop.run(peer.seed())
        ours, theirs = [], []
        for _ in bench.rounds():
            ours.append(uvloop.run(saving.once()))
            theirs.append(uvloop.run(peer.once()))
        uvloop.run(raise_unless_kept(bench, server, saving.devices))
    late = [Sample(sample.facts["p99 ms"], sample.ground, sample.cpu, sample.count) for sample in ours]
    times = [Sample(mine.value / their.value, their.ground, their.cpu, their.count, {"peer's saves/s": their.value, **their.facts})
             for mine, their in zip(ours, theirs, strict=True)]
    return [_rate(connections, target, ours),
            Figure(f"single saves, {connections} connections, p99", "ms", P99_MS_MAX, late, durable=True, at_most=True),
            Figure(f"times the hand-written peer, {connections} connections", "×", 10.0, times)]


def _rate(connections: int, target: float, samples: list[Sample]) -> Figure:
    return Figure(f"single saves, {connections} connections", "acknowledged/s", target, samples, durable=True)


class Saving:
    """Devices that save, one per connection, each with a draft of its own, spread over all of the table."""

    def __init__(self, bench: Bench, server: Running, connections: int) -> None:
        self._bench = bench
        self._server = server
        step = DRAFTS // connections
        self.devices = [bench.seed.device(number, [Draft.begun(number * step)], run=f"saves-{connections}")
                        for number in range(connections)]

    async def once(self) -> Sample:
        return (await self._bench.load(self._server, list(self.devices)))[1]


class PeerSaving:
    """The same drafts and edits, against the hand-written peer."""

    def __init__(self, bench: Bench, server: Running, connections: int) -> None:
        self._bench = bench
        self._server = server
        step = DRAFTS // connections
        self._clients = [Client([Draft.begun(number * step)]) for number in range(connections)]

    async def seed(self) -> None:
        for first in range(0, DRAFTS, DRAFTS_PER_SESSION * 10):
            seeding = Client([Draft.begun(number) for number in range(first, first + DRAFTS_PER_SESSION * 10)])
            status, body = await asyncio.wait_for(ask(self._server.port, seeding.creation()), 60)
            seeding.answered(status, body)

    async def once(self) -> Sample:
        return (await self._bench.load(self._server, list(self._clients)))[1]


async def raise_unless_kept(bench: Bench, server: Running, devices: list[Device], *, every: int = 1) -> None:
    """Every draft (or every so-manieth) as its device wrote it, and nothing else in the log. Raises LoadFailed."""
    head = request_head("GET", "/v1/records/drafts/{}", bench.seed.tokens[0])
    for draft in [draft for device in devices for draft in device.drafts][::every]:
        status, body = await ask(server.port, head.replace(b"{}", draft.id.encode()) + b"\r\n")
        kept = orjson.loads(body)
        if status != 200 or kept["fields"] != draft.fields():
            raise LoadFailed(f"Draft {draft.number} should be {draft.fields()}, and is answered {status}: {kept}")
    acknowledged = sum(device.acknowledged for device in devices)
    grown = await head_seq(server.port, bench.seed.tokens[0]) - bench.seed.seq
    if grown != acknowledged:
        raise LoadFailed(f"{acknowledged} saves were acknowledged, the log grew by {grown}.")


async def head_seq(port: int, token: str) -> int:
    """Where the log ends."""
    status, body = await ask(port, request_head("GET", "/v1/pull?limit=1&collections=drafts", token) + b"\r\n")
    if status != 200:
        raise LoadFailed(f"A pull was answered {status}: {body[:500]!r}")
    return int(orjson.loads(body)["head"])
