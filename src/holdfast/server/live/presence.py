"""Who is here: the places of one tenant's sockets, and what has changed since it was last told.

Pure bookkeeping; the hub judges who may see what and sends. A record's list is told as a whole, so that changes which come together
are told once and a lost message does no lasting harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from holdfast.server.live.messages import Here

__all__ = ["LISTED_MAX", "Presence", "RecordKey"]

RecordKey: TypeAlias = tuple[str, str]
"""(collection, record id)"""

LISTED_MAX = 100
"""People told of one record; who came first stays listed."""


class Presence:
    """session id -> where it is."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[RecordKey, Here]] = {}
        self._records: dict[RecordKey, dict[str, Here]] = {}
        self._changed: set[RecordKey] = set()

    def move(self, session: str, key: RecordKey, here: Here) -> None:
        """The session is in this record now, and nowhere else."""
        standing = self._places.get(session)
        if standing is not None and standing[0] != key:
            self.leave(session)
        elif standing is not None:
            here.since = standing[1].since
        self._places[session] = (key, here)
        self._records.setdefault(key, {})[session] = here
        self._changed.add(key)

    def leave(self, session: str) -> None:
        standing = self._places.pop(session, None)
        if standing is None:
            return
        key = standing[0]
        people = self._records[key]
        del people[session]
        if not people:
            del self._records[key]
        self._changed.add(key)

    def where(self, session: str) -> RecordKey | None:
        standing = self._places.get(session)
        return standing[0] if standing else None

    def people(self, key: RecordKey) -> list[Here]:
        return list(self._records.get(key, {}).values())[:LISTED_MAX]

    def sessions(self, key: RecordKey) -> list[str]:
        return list(self._records.get(key, ()))

    def records(self, collections: Mapping[str, Any] | set[str]) -> list[RecordKey]:
        """Records of these collections in which somebody is."""
        return [key for key in self._records if key[0] in collections]

    def take_changed(self) -> list[RecordKey]:
        """What has changed since the last call."""
        changed, self._changed = list(self._changed), set()
        return changed

    def touch(self, key: RecordKey) -> None:
        """Tell this record again."""
        self._changed.add(key)
