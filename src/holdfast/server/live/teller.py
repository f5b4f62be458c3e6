"""Tells sockets who is in which record, within the access rules.

A socket hears of the record it is in itself, and of the records of the collections it watches. Before anything is told, everybody
concerned is judged anew: the engine is asked whether the actor may read the record (a yes holds until the tenant's log grows). What
changed within `presence_seconds` is told together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast.core.errors import HoldfastError, InvalidValue, LimitExceeded, NotFound
from holdfast.engine.api import StoreAPI
from holdfast.runtime import Runtime
from holdfast.server.live.messages import Here, Place, PresenceList, frame_of
from holdfast.server.live.presence import Presence, RecordKey
from holdfast.server.live.session import Session
from holdfast.server.logs import events
from holdfast.server.settings import Settings

__all__ = ["STATE_BYTES_MAX", "Teller"]

STATE_BYTES_MAX = 1_024
_FIELD_MAX = 200
_JUDGED_MAX = 10_000


class Teller:
    """Presence of one tenant. `sessions` is the hub's own, `head` the newest seq it has heard of."""

    def __init__(self, store: StoreAPI, sessions: Mapping[str, Session], head: Callable[[], int], runtime: Runtime,
                 settings: Settings) -> None:
        self._store = store
        self._sessions = sessions
        self._head = head
        self._runtime = runtime
        self._seconds = settings.presence_seconds
        self._presence = Presence()
        self._changed = asyncio.Event()
        self._judged: dict[tuple[str, frozenset[str] | None, RecordKey], int] = {}

    def greet(self, session: Session) -> None:
        """A socket has come: it shall hear who is where in the collections it watches."""
        for key in self._presence.records(session.watch):
            self._presence.touch(key)
            self._changed.set()

    def leave(self, session: Session) -> None:
        self._presence.leave(session.id)
        self._changed.set()

    async def enter(self, session: Session, place: Place) -> None:
        """The person behind `session` is at `place` now. Raises NotFound where that may not be read, InvalidValue, LimitExceeded."""
        if place.record_id is None:
            self.leave(session)
            return
        if place.collection is None or len(place.field or "") > _FIELD_MAX:
            raise InvalidValue(f"Presence names collection and record_id; a field has at most {_FIELD_MAX} characters.",
                               field="/collection")
        if len(msgspec.json.encode(place.state)) > STATE_BYTES_MAX:
            raise LimitExceeded(f"The state of a presence has at most {STATE_BYTES_MAX} bytes.", field="/state", maximum=STATE_BYTES_MAX)
        key = (place.collection, place.record_id)
        if not await self._may_see(session, key):
            raise NotFound("There is no such record.", field="/record_id")
        here = Here(session=session.id, actor_id=session.caller.actor_id, device_id=session.device_id, since=self._runtime.now_ms(),
                    field=place.field, state=place.state)
        if session.id in self._sessions:
            self._presence.move(session.id, key, here)
            self._changed.set()

    async def run(self) -> None:
        """Tell what has changed, until cancelled."""
        while True:
            await self._changed.wait()
            await self._runtime.sleep(self._seconds)
            self._changed.clear()
            for key in self._presence.take_changed():
                try:
                    await self._tell(key)
                except Exception as error:
                    facts: dict[str, Any] = {"collection": key[0], "record_id": key[1]}
                    events.error("presence could not be told", exc_info=error, extra={"facts": facts})

    async def _tell(self, key: RecordKey) -> None:
        for session_id in self._presence.sessions(key):
            session = self._sessions.get(session_id)
            if session is None or not await self._may_see(session, key):
                self._presence.leave(session_id)
        present = set(self._presence.sessions(key))
        watching = [session for session in self._sessions.values() if key[0] in session.watch and session.id not in present]
        hearing = [session for session in watching if await self._may_see(session, key)]
        frame = frame_of(PresenceList(collection=key[0], record_id=key[1], here=self._presence.people(key)))
        for session in [*hearing, *(self._sessions[one] for one in present if one in self._sessions)]:
            session.write(frame)

    async def _may_see(self, session: Session, key: RecordKey) -> bool:
        """Whether the actor may read the record as of the newest seq we have heard of."""
        mark = (session.caller.actor_id, session.caller.narrowed, key)
        head = self._head()
        if head and self._judged.get(mark) == head:
            return True
        try:
            await self._store.get(session.caller, *key, include_deleted=True)
        except HoldfastError:
            self._judged.pop(mark, None)
            return False
        if len(self._judged) >= _JUDGED_MAX:
            self._judged.clear()
        self._judged[mark] = head
        return True
