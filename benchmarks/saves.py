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

__all__ = ["against_handwritten", "raise_unless_kept", "single_saves"]

P99_MS_MAX = 50.0


def single_saves(bench: Bench, connections: int, target: float) -> list[Figure]:
    with bench.seed.served(f"saves-{connections}") as server:
        samples = uvloop.run(_saves(bench, server, connections))
    rate = Figure(f"single saves, {connections} connections", "acknowledged/s", target, samples, durable=True)
    if connections > 32:
        return [rate]
    late = [Sample(sample.facts["p99 ms"], sample.ground, sample.cpu, sample.count) for sample in samples]
    return [rate, Figure(f"single saves, {connections} connections, p99", "ms", P99_MS_MAX, late, durable=True, at_most=True)]


async def _saves(bench: Bench, server: Running, connections: int) -> list[Sample]:
    devices = _devices(bench, connections)
    samples = []
    for _ in bench.rounds():
        _, sample = await bench.load(server, list(devices))
        samples.append(sample)
    await raise_unless_kept(bench, server, devices)
    return samples


def _devices(bench: Bench, connections: int) -> list[Device]:
    """One per connection, each with a draft of its own, spread over all of the table."""
    step = DRAFTS // connections
    return [bench.seed.device(number, [Draft.begun(number * step)], run=f"saves-{connections}") for number in range(connections)]


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


def against_handwritten(bench: Bench, ours: Figure, connections: int = 32) -> list[Figure]:
    """The hand-written peer with the same drafts, right after ours; the figure is how many times more we acknowledge."""
    folder = bench.folder / "handwritten"
    folder.mkdir()
    with running_handwritten(folder) as server:
        samples = uvloop.run(_handwritten(bench, server, connections))
    peer = Figure(f"hand-written peer, single saves, {connections} connections", "acknowledged/s", 0.0, samples, durable=True)
    bench.say(peer.line())
    times = [Sample(ours.value / sample.value, sample.ground, sample.cpu, sample.count, {"peer's": sample.value, **sample.facts})
             for sample in samples]
    return [Figure("times the hand-written peer, single saves", "×", 10.0, times)]


async def _handwritten(bench: Bench, server: Running, connections: int) -> list[Sample]:
    for first in range(0, DRAFTS, DRAFTS_PER_SESSION * 10):
        seeding = Client([Draft.begun(number) for number in range(first, first + DRAFTS_PER_SESSION * 10)])
        status, body = await asyncio.wait_for(ask(server.port, seeding.creation()), 60)
        seeding.answered(status, body)
    step = DRAFTS // connections
    clients = [Client([Draft.begun(number * step)]) for number in range(connections)]
    return [(await bench.load(server, list(clients)))[1] for _ in bench.rounds()]
