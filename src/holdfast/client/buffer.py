"""A text that people type into: each splice is on the disk when the call returns, what others type appears in it by itself.

    body = replica.text(note, "body")
    body.insert(0, "Dear diary, ")

Positions are Unicode code points. `Mark` is a position that moves with what others type: a cursor.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TypeAlias

from holdfast.client.changes import moved_edits
from holdfast.client.device import Device
from holdfast.client.outbox import Key
from holdfast.core import text
from holdfast.core.entry import Row
from holdfast.core.errors import InvalidValue, LimitExceeded, NotFound
from holdfast.core.ops import Edit, Op, SpliceOp

__all__ = ["Mark", "TextBuffer"]

Listener: TypeAlias = Callable[[Sequence[Edit]], None]
"""Called with what others changed, as edits to apply one after another."""


class Mark:
    """A position in the buffer. Text that somebody inserts right at it goes behind it, unless `sticks_right`."""

    def __init__(self, at: int, *, sticks_right: bool = False) -> None:
        self.at = at
        self.sticks_right = sticks_right

    def move(self, edits: Sequence[Edit]) -> None:
        for at, deleted, inserted in edits:
            if self.at > at and self.at >= at + deleted:
                self.at += len(inserted) - deleted
            elif self.at > at or (self.at == at and not deleted):
                self.at = at + (len(inserted) if self.sticks_right else 0)


class TextBuffer:
    """One Text field of one record. Made by `Replica.text`; `close` ends what it listens to, and so does dropping it, unless something
    listens to it in turn."""

    def __init__(self, device: Device, key: Key, field: str) -> None:
        self._device = device
        self._key = key
        self._path = "/" + field
        self._field = field
        self._marks: list[Mark] = []
        self._listeners: list[Listener] = []
        self._text = self._read(device.view(key).row)
        self._own = False
        self._follows: Callable[[set[Key] | None], None] = _weakly(self, device)
        device.on_changed.append(self._follows)

    @property
    def text(self) -> str:
        return self._text

    def __str__(self) -> str:
        return self._text

    def __len__(self) -> int:
        return len(self._text)

    # -- typing -----------------------------------------------------------------------------------------------------------

    def insert(self, at: int, inserted: str) -> None:
        self.splice(at, 0, inserted)

    def append(self, inserted: str) -> None:
        self.splice(len(self._text), 0, inserted)

    def delete(self, at: int, count: int) -> None:
        self.splice(at, count, "")

    def splice(self, at: int, deleted: int, inserted: str) -> None:
        """Replace `deleted` code points at `at`. Durable when it returns, unless the status says otherwise. Raises InvalidValue (outside
        of the text), LimitExceeded, NotFound (the record is gone)."""
        if not 0 <= at <= at + deleted <= len(self._text):
            raise InvalidValue(f"The edit lies outside of the text, which has {len(self._text)} characters.", field=self._field)
        self._edit([(at, deleted, inserted)] if deleted or inserted else [])

    def replace_all(self, wanted: str) -> None:
        """Make the text be `wanted`: what differs is spliced, so that what others type meanwhile stands."""
        self._edit(text.diff(self._text, wanted))

    def _edit(self, edits: Sequence[Edit]) -> None:
        self._device.person.raise_on_stranger()
        limit = self._device.schema.limits.text_code_points_max
        growth = sum(len(inserted) - deleted for _, deleted, inserted in edits)
        if growth > 0 and len(self._text) + growth > limit:
            raise LimitExceeded(f"{self._field} holds at most {limit:,} characters.", field=self._field)
        if not edits:
            return
        seen = self._text

        def make(row: Row | None) -> list[Op]:
            moved = moved_edits(edits, seen, self._read(row))
            return [SpliceOp(self._path, moved)] if moved else []

        self._own = True
        try:
            self._device.edit(self._key, make)
        finally:
            self._own = False
        self._follow(self._read(self._device.view(self._key).row), own=edits)

    # -- following --------------------------------------------------------------------------------------------------------

    def mark(self, at: int, *, sticks_right: bool = False) -> Mark:
        """A position that moves with the text around it."""
        made = Mark(at, sticks_right=sticks_right)
        self._marks.append(made)
        self._stay()
        return made

    def on_change(self, listener: Listener) -> None:
        """Hear of what others change."""
        self._listeners.append(listener)
        self._stay()

    def close(self) -> None:
        if self._follows in self._device.on_changed:
            self._device.on_changed.remove(self._follows)

    def _stay(self) -> None:
        """Somebody relies on this buffer, whether they keep it or not."""
        if self._follows in self._device.on_changed:
            self._device.on_changed[self._device.on_changed.index(self._follows)] = self._look
            self._follows = self._look

    def _look(self, keys: set[Key] | None) -> None:
        """What this device shows has changed."""
        if self._own or (keys is not None and self._key not in keys):
            return
        row = self._device.view(self._key).row
        if row is not None:
            self._follow(self._read(row), own=())

    def _follow(self, now: str, own: Sequence[Edit]) -> None:
        """Take over what stands now. One's own edit moves marks too, but is told to nobody."""
        expected = self._text
        for at, deleted, inserted in own:
            expected = expected[:at] + inserted + expected[at + deleted:]
        for mark in self._marks:
            mark.move(own)
        self._text = now
        if now != expected:
            theirs = text.diff(expected, now)
            for mark in self._marks:
                mark.move(theirs)
            for listener in list(self._listeners):
                listener(theirs)

    def _read(self, row: Row | None) -> str:
        if row is None:
            raise NotFound("There is no such record (any longer).", field=self._field)
        found: str = row.fields[self._field]
        return found


def _weakly(buffer: TextBuffer, device: Device) -> Callable[[set[Key] | None], None]:
    """A listener that does not keep its buffer: a program may ask for one per edit."""
    reference = weakref.ref(buffer)

    def look(keys: set[Key] | None) -> None:
        found = reference()
        if found is not None:
            found._look(keys)
        elif look in device.on_changed:
            device.on_changed.remove(look)

    return look
