"""What the writer remembers between batches, each part bounded and none of it the truth: forgetting all of it costs only time.

The writer alone writes a tenant's log, so what it read under the lock stays true until it writes again itself.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from holdfast.core.limits import Limits
from holdfast.engine.secrecy import Secrecy

__all__ = ["Memory", "Newest", "Pace"]

K = TypeVar("K")
V = TypeVar("V")

PREFIXES_MAX = 50_000
DEVICES_MAX = 20_000
LINES_MAX = 20_000
TENANTS_MAX = 10_000
ACTORS_MAX = 10_000


class Newest(Generic[K, V]):
    """A dictionary of bounded size that drops what was not asked for longest."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._held: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._size_max:
            self._held.popitem(last=False)

    def drop(self, key: K) -> None:
        self._held.pop(key, None)

    def clear(self) -> None:
        self._held.clear()

    def __len__(self) -> int:
        return len(self._held)


class Pace:
    """How many mutations of an actor were held or refused within the last minute. Bounds how fast one member can fill the log with
    what is not applied."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.held_or_refused_per_minute_max
        self._times: dict[tuple[str, str], deque[int]] = {}

    def wait_s(self, tenant_id: str, actor_id: str, now: int) -> int:
        """Whole seconds until the next one may be held or refused; 0: now."""
        times = self._times.get((tenant_id, actor_id))
        if times is None:
            return 0
        while times and times[0] <= now - 60_000:
            times.popleft()
        if not times:
            del self._times[tenant_id, actor_id]
            return 0
        return 0 if len(times) < self._most else 1 + (times[0] + 60_000 - now) // 1_000

    def note(self, tenant_id: str, actor_id: str, now: int) -> None:
        if len(self._times) > ACTORS_MAX:
            self._times = {key: times for key, times in self._times.items() if times[-1] > now - 60_000}
        self._times.setdefault((tenant_id, actor_id), deque(maxlen=self._most)).append(now)


class Memory:
    def __init__(self, limits: Limits) -> None:
        self._prefixes: Newest[tuple[str, int], str] = Newest(PREFIXES_MAX)
        self.positions: Newest[tuple[str, str], int] = Newest(PREFIXES_MAX)     # checked ones: (tenant, text) -> seq
        self.devices: Newest[tuple[str, str], tuple[str, int]] = Newest(DEVICES_MAX)
        self.lines: Newest[tuple[str, str, str, str], tuple[tuple[str, int], ...]] = Newest(LINES_MAX)
        self.tenants: Newest[str, Secrecy] = Newest(TENANTS_MAX)
        self.items_open: Newest[str, bool] = Newest(TENANTS_MAX)                # whether anything waits in the tenant's inboxes
        self.pace = Pace(limits)
        self.doubt = False                      # a constraint fired: look every mutation up

    def prefix(self, tenant_id: str, seq: int) -> str | None:
        return self._prefixes.get((tenant_id, seq))

    def note_prefix(self, tenant_id: str, seq: int, prefix: str) -> None:
        self._prefixes.put((tenant_id, seq), prefix)

    def forget(self) -> None:
        """After a failure: what was remembered may never have been committed. The pace stays: it only bounds."""
        self._prefixes.clear()
        self.positions.clear()
        self.devices.clear()
        self.lines.clear()
        self.tenants.clear()
        self.items_open.clear()
