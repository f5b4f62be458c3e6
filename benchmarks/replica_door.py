"""The small door: a project's document checked, saved and loaded, in a file of its own each time and in one SQLite file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from benchmarks.bench import Bench, mean
from benchmarks.figure import Figure, Sample
from benchmarks.load.connection import LoadFailed, percentile
from benchmarks.machine import Stopwatch
from holdfast.client import AutoSaver, FileBackend, SQLiteBackend
from holdfast.core.values import canonical

__all__ = ["small_door"]

TIMES = 100
SECTIONS = 40


class Position(BaseModel):
    """A line of an estimate."""

    description: str
    quantity: float
    unit: str
    price_cents: int


class Section(BaseModel):
    """A part of the project, as a person writes it."""

    title: str
    text: str
    status: str
    positions: list[Position]


class Project(BaseModel):
    """What a person works at for some weeks: some 66 kB of JSON."""

    name: str
    client: dict[str, str]
    sections: list[Section]
    answers: dict[str, Any]


def project() -> dict[str, Any]:
    positions = [{"description": f"Position {number}, with what is to be done and where", "quantity": number + 0.5, "unit": "m2",
                  "price_cents": 1_000 + number} for number in range(8)]
    sections = [{"title": f"Section {number}", "text": "What was seen on the roof, and what should be done about it. " * 10,
                 "status": "draft", "positions": positions} for number in range(SECTIONS)]
    return {"name": "Roof of the town hall", "client": {"name": "The town", "street": "1 Market Place"}, "sections": sections,
            "answers": {f"question {number}": {"text": "An answer of some length.", "chosen": [1, 2, 3]} for number in range(60)}}


def validate(document: Any) -> Any:
    return Project.model_validate(document).model_dump(mode="json")


def small_door(bench: Bench) -> list[Figure]:
    checked, saved, loaded, sqlite = [], [], [], []
    for number in bench.rounds():
        folder = bench.folder / f"door-{number}"
        checked.append(_sample(bench, _checked))
        writes, reads = asyncio.run(_through(bench, FileBackend(folder)))
        saved.append(writes)
        loaded.append(reads)
        backend = SQLiteBackend(bench.folder / f"door-{number}.sqlite")
        sqlite.append(asyncio.run(_through(bench, backend))[0])
        backend.close()
    size = f"{len(canonical(project())) / 1e3:.0f} kB"
    return [Figure(f"small door: a project of {size} validated, p50", "ms", 10.0, checked, at_most=True),
            Figure(f"small door: a project of {size} saved to a file, p50", "ms", 50.0, saved, durable=True, at_most=True),
            Figure(f"small door: a project of {size} saved to SQLite, p50", "ms", 50.0, sqlite, durable=True, at_most=True),
            Figure(f"small door: a project of {size} loaded, p50", "ms", 100.0, loaded, at_most=True)]


def _checked() -> list[float]:
    document, times = project(), []
    for _ in range(TIMES):
        began = time.perf_counter()
        if validate(document) != document:
            raise LoadFailed("Validation changed the document.")
        times.append(time.perf_counter() - began)
    return times


def _sample(bench: Bench, measured: Callable[[], list[float]]) -> Sample:
    before, watch = bench.ground(), Stopwatch({})
    times = sorted(measured())
    return _of(times, watch, bench, before)


def _of(times: list[float], watch: Stopwatch, bench: Bench, before: Any) -> Sample:
    cpu = watch.stop()
    ground = mean(before, bench.ground())
    return Sample(percentile(times, 0.5) * 1e3, ground, cpu, len(times), {"p99 ms": percentile(times, 0.99) * 1e3})


async def _through(bench: Bench, backend: Any) -> tuple[Sample, Sample]:
    """Saves, then loads, validation with both."""
    document = project()
    async with AutoSaver(backend, validate=validate) as saver:
        before, watch, times = bench.ground(), Stopwatch({}), []
        for number in range(TIMES):
            document["name"] = f"Version {number}"
            result = await saver.save("town hall", document)
            if not result.success or result.retries:
                raise LoadFailed(f"A save failed: {result}")
            times.append(result.ms / 1e3)
        writes = _of(sorted(times), watch, bench, before)
        before, watch, times = bench.ground(), Stopwatch({}), []
        for _ in range(TIMES):
            result = await saver.load("town hall")
            if result.value != document:
                raise LoadFailed(f"What was loaded is not what was saved: {result.error}")
            times.append(result.ms / 1e3)
    return writes, _of(sorted(times), watch, bench, before)
