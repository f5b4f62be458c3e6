"""Auto-save of a typed record: assign to it, and it is kept.

    note = await replica.get(Note, note_id)
    replica.autosave(note)
    note.title = "Groceries"            # on the disk within 100 ms, at the server 500 ms after the last change

A watcher looks ten times a second what was assigned. What others change appears in the object, in the fields that were not assigned to
since. An assigned value that does not fit is not kept: `problem` says why, until it does; one that does not fit at the end is raised then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from holdfast.client.device import Device
from holdfast.client.outbox import Key
from holdfast.core.errors import CallerError, StateError, WorldError
from holdfast.core.values import same
from holdfast.model.conversion import plain_copy
from holdfast.model.record import Record
from holdfast.model.typed import changed_fields, collection_of, from_fields

__all__ = ["AutoSaved"]

R = TypeVar("R", bound=Record)

LOOK_SECONDS: Final = 0.1


class AutoSaved(Generic[R]):
    """A record that is watched. Made by `Replica.autosave`; ended by `close`, or with the replica."""

    def __init__(self, device: Device, record: R, save: Callable[[R], Any], view_of: Callable[[Key], dict[str, Any] | None]) -> None:
        if record._stood is None:
            raise StateError("This record did not come from the replica.", hint="Create it, or get it first.")
        self.record = record
        self.problem: CallerError | None = None
        self._device = device
        self._key = (collection_of(type(record)), record.id)
        self._save = save
        self._view_of = view_of
        self._task: asyncio.Task[None] | None = device.runtime.spawn(self._watch(), name="replica auto-saves")
        device.on_changed.append(self._look)

    @property
    def is_open(self) -> bool:
        return self._task is not None

    def flush(self) -> None:
        """Keep what was assigned, now. What does not fit is in `problem`, and the status says that there is something to look at."""
        before = self.problem
        try:
            if changed_fields(self.record):
                self._save(self.record)
                self._take_over(only_unassigned=False)
            self.problem = None
        except WorldError:
            raise
        except CallerError as error:
            self.problem = error
        if (before is None) is not (self.problem is None):
            self._device.tell({self._key})

    def close(self) -> None:
        """Keep what was assigned, and stop watching. Raises what keeps something assigned from being kept: InvalidValue, LimitExceeded,
        NotFound (the record is gone), WorldErrors."""
        if self._task is None:
            return
        self._task.cancel()
        self._task = None
        if self._look in self._device.on_changed:
            self._device.on_changed.remove(self._look)
        self.flush()
        if self.problem is not None:
            raise self.problem

    async def _watch(self) -> None:
        while True:
            await self._device.runtime.sleep(LOOK_SECONDS)
            try:
                self.flush()
            except WorldError as error:     # told by the status; tried again at the next look
                self._device.failure = error

    def _look(self, keys: set[Key] | None) -> None:
        if keys is None or self._key in keys:
            self._take_over(only_unassigned=True)

    def _take_over(self, *, only_unassigned: bool) -> None:
        """What stands now, in the object: every field but those that were assigned to since they were last kept."""
        view = self._view_of(self._key)
        if view is None:
            return
        record, fresh = self.record, from_fields(type(self.record), view)
        try:
            assigned = set(changed_fields(record)) if only_unassigned else set()
        except CallerError:
            return                          # something assigned does not fit yet: the object is left alone until it does
        stood, now = record._stood or {}, fresh._stood or {}
        for name, value in now.items():
            if name not in assigned and not same(value, stood.get(name)):
                setattr(record, name, getattr(fresh, name))
            if name not in assigned:
                stood[name] = plain_copy(value)
        record._stood, record._rev, record._position, record._deleted = stood, fresh._rev, fresh._position, fresh._deleted
