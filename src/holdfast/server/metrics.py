"""What Prometheus reads at `/metrics`. No label names a tenant, an actor or a record.

Requests are counted in plain numbers, one dictionary look-up and one bisection each; they become prometheus-client's metric families when
somebody scrapes. Each mounted server has a registry of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Timing:
    """How long the requests of one route and status took."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total = 0.0


class Metrics(Collector):
    """Counters of one mounted server. `gauges` are read when somebody scrapes."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, int], _Timing] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.mutations_waiting = 0
        self.gauge("mutations_waiting", "Mutations that were handed to the store and are not answered yet.", lambda: self.mutations_waiting)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        timing = self._requests.get((method, route, status))
        if timing is None:
            timing = self._requests[(method, route, status)] = _Timing()
        timing.buckets[bisect_left(SECONDS, seconds)] += 1
        timing.total += seconds

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Add to one of the counters of `COUNTERS`."""
        key = (name, label)
        self._counts[key] = self._counts.get(key, 0) + by

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        self._gauges[name] = (help, read)

    def collect(self) -> Iterable[Metric]:
        yield self._durations()
        yield from self._counters()
        for name, (help, read) in self._gauges.items():
            yield GaugeMetricFamily(f"holdfast_{name}", help, value=read())

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def _durations(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("holdfast_request_seconds", "Time from headers to answer.", labels=("method", "route", "status"))
        for (method, route, status), timing in self._requests.items():
            running, buckets = 0, []
            for edge, count in zip((*map(str, SECONDS), "+Inf"), timing.buckets, strict=True):
                running += count
                buckets.append((edge, float(running)))
            family.add_metric((method, route, str(status)), buckets, timing.total)
        return family

    def _counters(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for (name, label), count in self._counts.items():
            help, label_name = COUNTERS[name]
            family = families.get(name)
            if family is None:
                family = families[name] = CounterMetricFamily(f"holdfast_{name}", help, labels=(label_name,) if label_name else ())
            family.add_metric((label,) if label_name else (), count)
        return families.values()


COUNTERS: Mapping[str, tuple[str, str]] = {
    "mutations": ("Mutations of devices, changes over REST and calls of actions that were answered, by outcome.", "outcome"),
    "sign_ins": ("Attempts to sign in, by result.", "result"),
    "socket_messages": ("Messages sent to sockets.", ""),
    "sockets_closed": ("Sockets closed by the server, by reason.", "reason"),
    "pulls_shared": ("Sockets told by a pull that was made for another one too.", ""),
}
"""name -> (help, label name or nothing)."""
