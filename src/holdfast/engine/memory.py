"""What the writer remembers between batches, each part bounded and none of it the truth: forgetting all of it costs only time.

The writer alone writes a tenant's log, so what it read under the lock stays true until it writes again itself.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Generic, TypeVar

import orjson

from holdfast.core.entry import Row
from holdfast.core.limits import Limits
from holdfast.engine.secrecy import Secrecy
from holdfast.storage.protocol import Head

__all__ = ["Held", "Memory", "Newest", "Pace", "Place", "Rows", "Standing"]

K = TypeVar("K")
V = TypeVar("V")

PREFIXES_MAX = 50_000
DEVICES_MAX = 20_000
LINES_MAX = 20_000
TENANTS_MAX = 10_000
ACTORS_MAX = 10_000
ROWS_MAX = 4_000
ROWS_BYTES_MAX = 8 << 20
ROW_BYTES_MAX = 64 << 10
_ROW_BYTES = 1_200          # a row with its bookkeeping, without what people wrote
_VALUE_BYTES = 60           # each value, beyond the signs it is written with

Place = tuple[str, str, str]
"""(tenant, collection, record id)"""


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


class Standing:
    """Where a tenant's log ended when its rows were remembered."""

    __slots__ = ("digest", "seq")

    def __init__(self, seq: int, digest: str) -> None:
        self.seq, self.digest = seq, digest


class Held:
    """A row as it stands; `indexed`: what the storage must know to write it again."""

    __slots__ = ("indexed", "row", "size_bytes", "standing")

    def __init__(self, standing: Standing, row: Row, indexed: Any) -> None:
        self.standing, self.row, self.indexed = standing, row, indexed
        written = orjson.dumps(row.fields)
        self.size_bytes = _ROW_BYTES + len(written) + _VALUE_BYTES * written.count(b",")


class Rows:
    """Rows that single saves lately asked for, the members' among them: they are what the next ones ask for.

    They are believed only while their tenant's log ends where it ended when they were remembered, by seq and digest, which every batch
    reads under the lock: whoever else may have written, and whatever became of a commit that failed, the log tells. Bounded by number and
    by an estimate of their bytes; the one asked for longest ago goes first.
    """

    def __init__(self, count_max: int = ROWS_MAX, bytes_max: int = ROWS_BYTES_MAX) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._held: OrderedDict[Place, Held] = OrderedDict()
        self._standings: Newest[str, Standing] = Newest(TENANTS_MAX)

    def at(self, head: Head) -> Standing:
        """What to ask with: a new one, of which nothing is known, if the log does not end where we left it."""
        known = self._standings.get(head.tenant_id)
        if known is None or known.seq != head.seq or known.digest != head.digest:
            known = Standing(head.seq, head.digest)
            self._standings.put(head.tenant_id, known)
        return known

    def get(self, standing: Standing, place: Place) -> Held | None:
        held = self._held.get(place)
        if held is None or held.standing is not standing:
            return None
        self._held.move_to_end(place)
        return held

    def put(self, standing: Standing, place: Place, row: Row, indexed: Any) -> None:
        before = self._held.get(place)
        if before is not None:
            if before.row is row and before.standing is standing:
                return
            self.drop(place)
        held = Held(standing, row, indexed)
        if held.size_bytes > ROW_BYTES_MAX:
            return
        self._held[place] = held
        self._bytes += held.size_bytes
        while len(self._held) > self._count_max or self._bytes > self._bytes_max:
            self._bytes -= self._held.popitem(last=False)[1].size_bytes

    def drop(self, place: Place) -> None:
        held = self._held.pop(place, None)
        if held is not None:
            self._bytes -= held.size_bytes

    def clear(self) -> None:
        self._held.clear()
        self._standings.clear()
        self._bytes = 0

    def __contains__(self, place: Place) -> bool:
        return place in self._held

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size_bytes(self) -> int:
        return self._bytes


class Memory:
    def __init__(self, limits: Limits) -> None:
        self._prefixes: Newest[tuple[str, int], str] = Newest(PREFIXES_MAX)
        self.positions: Newest[tuple[str, str], int] = Newest(PREFIXES_MAX)     # checked ones: (tenant, text) -> seq
        self.devices: Newest[tuple[str, str], tuple[str, int]] = Newest(DEVICES_MAX)
        self.lines: Newest[tuple[str, str, str, str], tuple[tuple[str, int], ...]] = Newest(LINES_MAX)
        self.tenants: Newest[str, Secrecy] = Newest(TENANTS_MAX)
        self.items_open: Newest[str, bool] = Newest(TENANTS_MAX)                # whether anything waits in the tenant's inboxes
        self.rows = Rows()
        self.pace = Pace(limits)
        self.doubt = False                      # a constraint fired: look every mutation up

    def prefix(self, tenant_id: str, seq: int) -> str | None:
        return self._prefixes.get((tenant_id, seq))

    def note_prefix(self, tenant_id: str, seq: int, prefix: str) -> None:
        self._prefixes.put((tenant_id, seq), prefix)

    def forget_what_others_change(self) -> None:
        """Where other servers write too. What stays is true for ever once it is committed: digests' beginnings, whose a device is."""
        self.lines.clear()
        self.tenants.clear()
        self.items_open.clear()

    def forget(self) -> None:
        """After a failure: what was remembered may never have been committed. The pace stays: it only bounds."""
        self._prefixes.clear()
        self.positions.clear()
        self.devices.clear()
        self.lines.clear()
        self.tenants.clear()
        self.items_open.clear()
        self.rows.clear()
