"""A save seen by a hundred other devices on sockets.

`calm`: 20 saves a second; the time from sending the save until the last of the hundred has it (and each delivery by itself).
`flood`: eight devices save as fast as they are acknowledged; what counts is one save told to one device, however many a frame carries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import uvloop

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Sample
from benchmarks.load.connection import LoadFailed, converse, percentile
from benchmarks.load.device import Device
from benchmarks.load.sockets import Listener, listening
from benchmarks.load.writing import Draft
from benchmarks.machine import Stopwatch
from benchmarks.servers import Running

__all__ = ["fan_out"]

LISTENERS = 100
WRITERS = 8
CALM_SAVES_PER_S = 20
DRAIN_SECONDS_MAX = 10.0
_MUTATION = b'"mutation_id":"'


class Arrivals:
    """What the listeners were told. Each save is expected once at each of them."""

    def __init__(self) -> None:
        self.sent: dict[bytes, float] = {}
        self.seen: dict[bytes, list[float]] = {}
        self.deliveries = 0
        self.timed = False

    def take(self, payload: bytes, now: float) -> None:
        if not self.timed:
            self.deliveries += payload.count(_MUTATION)
            return
        at = payload.find(_MUTATION)
        while at >= 0:
            at += len(_MUTATION)
            end = payload.index(b'"', at)
            self.deliveries += 1
            self.seen.setdefault(payload[at:end], []).append(now)
            at = payload.find(_MUTATION, end)


def fan_out(bench: Bench) -> list[Figure]:
    with bench.seed.served("listeners") as server:
        calm, flood = uvloop.run(_fan_out(bench, server))
    return [Figure(f"a save seen by {LISTENERS} sockets, {CALM_SAVES_PER_S} saves/s, p50 to the last", "ms", 10.0, calm, at_most=True),
            Figure(f"changes delivered to {LISTENERS} sockets", "messages/s", 50_000.0, flood)]


async def _fan_out(bench: Bench, server: Running) -> tuple[list[Sample], list[Sample]]:
    arrivals = Arrivals()
    tokens = bench.seed.tokens
    newest = max(bench.seed.positions.values(), key=lambda one: int(one.partition(".")[0]))
    listeners = [Listener(f"listener-{number}", tokens[number % len(tokens)], newest, arrivals.take) for number in range(LISTENERS)]
    await listening(server.port, listeners)
    await asyncio.sleep(0.5)
    calm, flood = [], []
    try:
        for round_number in bench.rounds():
            calm.append(await _calm(bench, server, arrivals, round_number))
            flood.append(await _flood(bench, server, listeners, arrivals, round_number))
            gone = [listener.ended for listener in listeners if listener.ended]
            if gone:
                raise LoadFailed(f"{len(gone)} of {LISTENERS} sockets ended: {gone[0]}")
    finally:
        for listener in listeners:
            listener.close()
    return calm, flood


class _Paced:
    """The device's saves at a steady rate, each sent when it is due, whether or not the one before has been acknowledged in time."""

    units = 1

    def __init__(self, device: Device, arrivals: Arrivals) -> None:
        self._device = device
        self._arrivals = arrivals

    def request(self) -> bytes:
        request = self._device.request()
        at = request.index(_MUTATION) + len(_MUTATION)
        self._arrivals.sent[request[at:request.index(b'"', at)]] = time.perf_counter()
        return request

    def answered(self, status: int, body: bytes) -> None:
        self._device.answered(status, body)


async def _calm(bench: Bench, server: Running, arrivals: Arrivals, round_number: int) -> Sample:
    paced = _Paced(bench.seed.device(0, [Draft.begun(round_number)], run=f"calm-{round_number}"), arrivals)
    arrivals.sent.clear()
    arrivals.seen.clear()
    arrivals.timed = True
    saves = max(20, int(bench.seconds * CALM_SAVES_PER_S))
    ground = bench.ground()
    watch = Stopwatch(server.processes())
    due = time.perf_counter()
    for _ in range(saves):
        due += 1 / CALM_SAVES_PER_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await converse(server.port, [paced], seconds=0.0, warm_up=0.0)
    await _until(lambda: sum(map(len, arrivals.seen.values())) >= saves * LISTENERS)
    cpu = watch.stop()
    wrong = [mutation for mutation in arrivals.sent if len(arrivals.seen.get(mutation, ())) != LISTENERS]
    if wrong:
        raise LoadFailed(f"{len(wrong)} of {saves} saves were not told to each of {LISTENERS} sockets once.")
    last = sorted(max(times) - arrivals.sent[mutation] for mutation, times in arrivals.seen.items())
    each = sorted(at - arrivals.sent[mutation] for mutation, times in arrivals.seen.items() for at in times)
    facts = {"p99 ms": percentile(last, 0.99) * 1000, "each delivery p50 ms": percentile(each, 0.5) * 1000,
             "each delivery p99 ms": percentile(each, 0.99) * 1000}
    return Sample(percentile(last, 0.5) * 1000, ground, cpu, saves, facts)


async def _flood(bench: Bench, server: Running, listeners: list[Listener], arrivals: Arrivals, round_number: int) -> Sample:
    devices = [bench.seed.device(number, [Draft.begun(1_000 + WRITERS * round_number + number)], run=f"flood-{round_number}")
               for number in range(WRITERS)]
    arrivals.timed = False
    arrivals.deliveries = 0
    frames = sum(listener.frames for listener in listeners)
    ground = bench.ground()
    watch = Stopwatch(server.processes())
    began = time.perf_counter()
    await converse(server.port, list(devices), seconds=bench.seconds, warm_up=0.0)
    saves = sum(device.acknowledged for device in devices)
    await _until(lambda: arrivals.deliveries >= saves * LISTENERS)
    seconds = time.perf_counter() - began
    cpu = watch.stop()
    if arrivals.deliveries != saves * LISTENERS:
        raise LoadFailed(f"{saves} saves came to {arrivals.deliveries} deliveries at {LISTENERS} sockets.")
    facts = {"frames/s": (sum(listener.frames for listener in listeners) - frames) / seconds, "saves/s": saves / seconds}
    return Sample(arrivals.deliveries / seconds, ground, cpu, arrivals.deliveries, facts)


async def _until(reached: Callable[[], bool]) -> None:
    give_up = time.perf_counter() + DRAIN_SECONDS_MAX
    while not reached() and time.perf_counter() < give_up:  # noqa: ASYNC110 - the frames that are waited for come by the loop
        await asyncio.sleep(0.002)
