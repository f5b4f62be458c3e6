"""How much may wait at once. What waits for a commit is bounded in mutations and in bytes; over that a save is turned away at once with
the time after which to try again, so that overload becomes waiting on the devices and never growth of memory here."""

from __future__ import annotations

from holdfast.core.errors import Overloaded
from holdfast.core.limits import Limits

__all__ = ["Room"]

RETRY_AFTER_MAX_S = 30


class Room:
    """Counts what waits. `clear_rate`: mutations a second that were answered lately, from which the time to wait is judged."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._mutations = 0
        self._bytes = 0
        self._clear_rate = 1_000.0

    @property
    def mutations(self) -> int:
        return self._mutations

    @property
    def bytes(self) -> int:
        return self._bytes

    def enter(self, mutations: int, size_bytes: int) -> None:
        """Raises Overloaded if there is no room. A work that is larger than all room is let in when nothing else waits."""
        over = (self._mutations + mutations > self._limits.queue_mutations_max or self._bytes + size_bytes > self._limits.queue_bytes_max)
        if over and self._mutations:
            seconds = min(RETRY_AFTER_MAX_S, 1 + int(self._mutations / self._clear_rate))
            raise Overloaded("Too many saves wait to be written.", retry_after=seconds)
        self._mutations += mutations
        self._bytes += size_bytes

    def leave(self, mutations: int, size_bytes: int) -> None:
        self._mutations -= mutations
        self._bytes -= size_bytes

    def note_rate(self, mutations: int, seconds: float) -> None:
        """One batch of so many mutations took so long."""
        if mutations and seconds > 0:
            self._clear_rate += 0.2 * (mutations / seconds - self._clear_rate)
