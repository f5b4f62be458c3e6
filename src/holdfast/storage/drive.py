"""Drive a coroutine that never really suspends, without an event loop: storage on SQLite and in memory works in place, so the same
`async` code serves an event loop, a writer thread and a blocking caller."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end and return its result. Raises RuntimeError, naming the coroutine, if it waits for anything: then it
    needs an event loop (a network database does)."""
    try:
        work.send(None)
    except StopIteration as finished:
        value: T = finished.value
        return value
    name = getattr(work, "__qualname__", repr(work))
    work.close()
    raise RuntimeError(f"{name} suspended: it waits for something outside this thread. Await it in an event loop.")
