"""One bound on how long a call may take, for all calls under way.

What `asyncio.timeout` does for each call by a timer of its own, which costs 3 µs a call. All bounds here have the same length, so they end
in the order in which they began, and one timer serves them all: it wakes when the oldest would be over, and mostly finds it gone.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Deadlines"]


class Deadlines:
    """`with deadlines.bound():` around what a task awaits. Raises TimeoutError where it takes longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[_Bound, None] = {}      # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def bound(self) -> _Bound:
        return _Bound(self)

    def begin(self, bound: _Bound) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:          # the application is served anew: the loop before this one is gone, and its calls are
            self._loop, self._timer = loop, None
            self._running.clear()
        bound.ends_at = loop.time() + self._seconds
        self._running[bound] = None
        if self._timer is None:
            self._timer = loop.call_at(bound.ends_at, self._look)

    def end(self, bound: _Bound) -> None:
        self._running.pop(bound, None)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """End what is over, and wait for the next."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._running:
            oldest = next(iter(self._running))
            if oldest.ends_at > now:
                self._timer = loop.call_at(oldest.ends_at, self._look)
                return
            del self._running[oldest]
            oldest.expire()


class _Bound:
    """One task's stay. Cancels the task as `asyncio.timeout` does, and tells that from a cancellation by somebody else."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "ends_at")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._expired = False
        self.ends_at = 0.0

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a bound is for what a task awaits"
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._expired:
            self._deadlines.end(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()
