"""Outside `core/` (which has none of it), time, randomness, ids, sleeping, tasks and threads come from the given `Runtime`, so that
a simulation runs everything in one thread under virtual time: the ground on which all five promises are tested."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.source import PythonFile, python_files, references

BANNED = {
    "time.time": "Runtime.now_ms", "time.time_ns": "Runtime.now_ms", "time.localtime": "Runtime.now_ms", "time.gmtime": "Runtime.now_ms",
    "time.monotonic": "Runtime.monotonic", "time.monotonic_ns": "Runtime.monotonic",
    "time.perf_counter": "Runtime.monotonic", "time.perf_counter_ns": "Runtime.monotonic",
    "time.sleep": "Runtime.sleep", "asyncio.sleep": "Runtime.sleep",
    "datetime.datetime.now": "Runtime.now_ms", "datetime.datetime.utcnow": "Runtime.now_ms", "datetime.datetime.today": "Runtime.now_ms",
    "datetime.date.today": "Runtime.now_ms",
    "os.urandom": "Runtime.random_bytes", "os.getrandom": "Runtime.random_bytes",
    "uuid.uuid1": "Runtime.uuid7", "uuid.uuid4": "Runtime.uuid7", "uuid.uuid6": "Runtime.uuid7", "uuid.uuid7": "Runtime.uuid7",
    "asyncio.create_task": "Runtime.spawn", "asyncio.ensure_future": "Runtime.spawn", "asyncio.to_thread": "Runtime.blocking",
    "threading.Thread": "Runtime", "threading.Timer": "Runtime", "concurrent.futures.ThreadPoolExecutor": "Runtime.blocking",
}
BANNED_MODULES = {"random": "Runtime.random_bytes", "secrets": "Runtime.random_bytes"}
BANNED_METHODS = {"create_task": "Runtime.spawn", "run_in_executor": "Runtime.blocking"}

ALLOWED: dict[str, dict[str, str]] = {
    "src/holdfast/runtime.py": dict.fromkeys([*BANNED, *BANNED_METHODS], "it is the world"),
    "src/holdfast/testing/virtual.py": {"asyncio.sleep": "it is the world under virtual time", "create_task": "the same"},
    "src/holdfast/engine/bridge.py": {"threading.Thread": "blocking callers have no event loop: it runs in a thread behind them"},
}
"""file -> {name: why it may}. Every exception stands here, with its reason."""


def uses(file: PythonFile) -> list[tuple[int, str, str]]:
    """(line, banned name, what to use instead)"""
    named = [(line, name, BANNED.get(name) or _by_module(name)) for line, name in references(file.tree)]
    found = [(line, name, instead) for line, name, instead in named if instead]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in BANNED_METHODS:
            found.append((node.lineno, node.func.attr, BANNED_METHODS[node.func.attr]))
    return found


def _by_module(name: str) -> str | None:
    """What to use instead of a name of a banned module. `random.Random` itself, given a seed, is no randomness."""
    return BANNED_MODULES.get(name.split(".")[0]) if "." in name and name != "random.Random" else None


@pytest.mark.parametrize("file", python_files("src"), ids=lambda file: file.name)
def test_the_world_is_reached_through_the_runtime(file: PythonFile) -> None:
    allowed = ALLOWED.get(file.name, {})
    wrong = [f"{file.name}:{line} {name}: use {instead}" for line, name, instead in uses(file) if name not in allowed]
    assert not wrong, "\n".join(wrong)


def test_every_exception_is_still_needed() -> None:
    files = {file.name: file for file in python_files("src")}
    for name, reasons in ALLOWED.items():
        assert name in files, f"{name} is gone: remove its exceptions"
        if name != "src/holdfast/runtime.py":
            stale = set(reasons) - {used for _, used, _ in uses(files[name])}
            assert not stale, f"{name} no longer uses {sorted(stale)}: remove the exception"


@pytest.mark.parametrize(("code", "name"), [
    ("import time\ntime.time()", "time.time"),
    ("from time import monotonic as clock\nx = clock", "time.monotonic"),
    ("import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
    ("from datetime import datetime\ndatetime.now()", "datetime.datetime.now"),
    ("import asyncio\nasyncio.create_task(f())", "asyncio.create_task"),
    ("loop.create_task(f())", "create_task"),
    ("import random\nrandom.random()", "random.random"),
    ("from uuid import uuid4\nuuid4()", "uuid.uuid4"),
])
def test_a_banned_name_is_seen_however_it_was_imported(code: str, name: str) -> None:
    file = PythonFile(python_files("src")[0].path, code, ast.parse(code))
    assert name in {used for _, used, _ in uses(file)}
