"""Exponential backoff with full jitter: each wait is drawn between 0 and a bound that doubles.

Source: M. Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015). Full jitter spreads the clients of a server that comes
back over the whole interval.
"""

from __future__ import annotations

from holdfast.runtime import Runtime

__all__ = ["Backoff"]


class Backoff:
    def __init__(self, runtime: Runtime, first_seconds: float, most_seconds: float) -> None:
        self._runtime = runtime
        self._first = first_seconds
        self._most = most_seconds

    def seconds(self, failures: int, at_least: float = 0.0) -> float:
        """How long to wait after the `failures`-th failure in a row (1, 2, …); `at_least` is what the server asked for."""
        bound: float = min(self._most, self._first * float(1 << min(max(failures - 1, 0), 30)))
        share = int.from_bytes(self._runtime.random_bytes(4), "big") / (1 << 32)
        return max(bound * share, at_least)
