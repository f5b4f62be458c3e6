"""What one seat (the processes that follow each other at one place) was told of its edits, and what must be true of them ever after. Knows
nothing of the replica: it judges by the texts and numbers that are shown."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Seat", "raise_unless_once", "tokens_of"]

TOKEN = re.compile(r"<([a-z]+)\.(\d+)>")


def tokens_of(body: str) -> list[tuple[str, int]]:
    return [(name, int(number)) for name, number in TOKEN.findall(body)]


@dataclass
class Seat:
    """`kept`: edits of which the replica said that they are on the disk (or at the server); `memory`: those it said are in memory alone;
    `risked`: those it ever said that of."""

    name: str
    number: int = 0
    kept: set[int] = field(default_factory=set)
    memory: set[int] = field(default_factory=set)
    risked: set[int] = field(default_factory=set)
    walls: dict[int, str] = field(default_factory=dict)
    notes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    deletes: dict[int, str] = field(default_factory=dict)

    def heard(self, facts: dict[str, Any]) -> None:
        """Take in what a typist told."""
        if "tried" in facts:
            number = self.number = facts["tried"]
            if facts["kind"] == "token":
                self.walls[number] = facts["id"]
            elif facts["kind"] == "note":
                self.notes[facts["id"]].append(number)
            else:
                self.deletes[number] = facts["id"]
        elif "kept" in facts:
            number = facts["kept"]
            if facts["receipt"] == "memory":
                self.memory.add(number)
                self.risked.add(number)
            else:
                self.kept.add(number)
                self.memory.discard(number)

    def living(self) -> list[str]:
        """Notes that are surely there: made, and not deleted."""
        gone = set(self.deletes.values())
        return [note for note, numbers in self.notes.items() if note not in gone and any(number in self.kept for number in numbers)]

    # -- judgement --------------------------------------------------------------------------------------------------------

    def raise_unless_shown(self, wall: str, body: str, notes: dict[str, str], *, strictly: bool = True) -> None:
        """Every kept edit is there once and in its order, nothing that was never typed; a note has its last kept value or a later one that
        was tried; a kept delete stays. Not `strictly`: kept edits may be missing still (another device's)."""
        found = [number for name, number in tokens_of(body) if name == self.name]
        assert len(found) == len(set(found)), f"{self.name}: typed text is there twice: {twice(found)}"
        sure = [number for number in found if number not in self.risked]
        assert sure == sorted(sure), f"{self.name}: not in the order in which it was typed: {found}"
        typed = {number for number, where in self.walls.items() if where == wall}
        assert set(found) <= typed, f"{self.name}: never typed: {set(found) - typed}"
        if not strictly:
            return
        lost = (typed & self.kept) - set(found)
        assert not lost, f"{self.name}: kept and lost: {sorted(lost)} (found up to {max(found, default=0)})"
        for note, numbers in self.notes.items():
            self._raise_unless_note(note, numbers, notes.get(note))

    def _raise_unless_note(self, note: str, numbers: list[int], title: str | None) -> None:
        deletes = [number for number, where in self.deletes.items() if where == note]
        if any(number in self.kept for number in deletes):
            assert title is None, f"{self.name}: a note came back after its delete {deletes} was kept: {title}"
            return
        last = max((number for number in numbers if number in self.kept), default=0)
        if title is None:
            assert not last or deletes, f"{self.name}: the note {note} with {last} is lost"
            return
        assert int(title) in numbers and int(title) >= last, f"{self.name}: the note {note} is {title}, kept was {last}"


def twice(found: list[int]) -> list[int]:
    return sorted({number for number in found if found.count(number) > 1})


def raise_unless_once(body: str, views: int) -> None:
    """Each text came with one count: neither may be there without the other, or twice."""
    found = tokens_of(body)
    assert len(found) == len(set(found)), "typed text is there twice"
    assert views == len(found), f"{len(found)} texts, counted {views}"
