"""Random devices against `decide`: typing, sets, counters, undo, held work, lost requests and repeats, in any interleaving.
Defends P2 (once) and P3 (never dropped): every accepted character is there unless somebody deleted it; different places never
conflict; what the device expected is what the server made when nobody came between; everything not applied is named."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.core.admission import Duplicate, Refused
from holdfast.core.entry import Entry, Mutation
from holdfast.core.facts import Context
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.waiting import rebuild, shape
from tests.core.ledger import RECORD, Ledger, collection_from
from tests.core.vector_files import VECTORS

COLLECTION = collection_from(json.loads((VECTORS / "decide.json").read_text())["collection"])


class Device:
    """A device as DESIGN section 9 has it, as small as it gets: what it pulled, what it has not seen acknowledged in a pull, and
    the view: its own pending changes decided on top of what it pulled, by the server's own rules."""

    def __init__(self, name: str, server: Ledger) -> None:
        self.name, self.server = name, server
        self.replica = Ledger(COLLECTION)
        self.pending: list[tuple[Mutation, int | None, int]] = []
        self.unsent = 0
        self.count = 0

    def view(self) -> Ledger:
        """The replica with the pending changes on top: all of them, whatever will become of them; but once a held text has come
        back, what was typed on before that was known is taken back with it."""
        ahead = Ledger(COLLECTION)
        ahead.__dict__.update({k: (v.copy() if isinstance(v, dict | list | set) else v) for k, v in self.replica.__dict__.items()})
        known = self.held_text_known()
        for mutation, base, at in self.pending:
            alive = not isinstance(mutation.ops[0], CreateOp | DeleteOp | UndeleteOp)
            if isinstance(mutation.ops[0], SpliceOp) and (base or 0) < known:
                continue
            row, deleted = ahead.row, ahead.row is not None and ahead.row.deleted
            if row is not None and alive:
                ahead.row = msgspec.structs.replace(row, deleted=False)
            ahead._take(ahead.decision(self.name, mutation, base=base, at=at), self.name)
            if ahead.row is not None and alive:
                ahead.row = msgspec.structs.replace(ahead.row, deleted=deleted)
        return ahead

    def held_text_known(self) -> int:
        """The entry that last held a text anew, as far as this device has pulled; what joined that one does not count."""
        known = 0
        for entry in self.replica.entries:
            if entry.device_id == self.name and holds_text(entry) and (entry.base or 0) >= known:
                known = entry.seq
        return known

    def edit(self, ops: list[Op], at: int) -> None:
        self.count += 1
        after = self.pending[-1][0].mutation_id if self.pending else self._last_own()
        base = self.replica.entries[-1].seq if self.replica.entries else None
        mutation = Mutation(mutation_id=f"{self.name}{self.count}", collection=COLLECTION.name, record_id=RECORD, ops=ops, after=after)
        self.pending.append((mutation, base, at))

    def deleted(self) -> bool:
        row = self.view().row
        return row is not None and row.deleted

    def _last_own(self) -> str | None:
        return next((e.mutation_id for e in reversed(self.replica.entries) if e.device_id == self.name), None)

    def push(self, rng: random.Random) -> None:
        """Send some of what is pending, in order; a reply may be lost, so the same may be sent again."""
        for mutation, base, at in self.pending[: rng.randint(1, 4)]:
            result = self.server.push(self.name, mutation, base=base, at=at)
            assert not isinstance(result, Refused), result
            if rng.random() < 0.2:
                assert isinstance(self.server.push(self.name, mutation, base=base, at=at), Duplicate)

    def pull(self, count: int) -> None:
        """Apply the next entries of the log, in order."""
        for entry in self.server.entries[len(self.replica.entries): len(self.replica.entries) + count]:
            if entry.device_id == self.name:
                assert self.pending and self.pending[0][0].mutation_id == entry.mutation_id
                mutation, base, at = self.pending.pop(0)
                self.replica.unwriting = self.server.rights[entry.seq]  # type: ignore[attr-defined]
                mine = self.replica.push(self.name, mutation, base=base, at=at)
                self.replica.unwriting = set()
                assert isinstance(mine, Entry) and (mine.ops, mine.outcome) == (entry.ops, entry.outcome)
            else:
                self._follow(entry)

    def _follow(self, entry: Entry) -> None:
        """An entry of somebody else, applied as it was decided. One that settled this device's question closes it here too."""
        self.replica.entries.append(entry)
        item = self.replica.items.get(self.name)
        if item is not None and set(item.seqs) & set(entry.resolves):
            left = self.server.items_at[entry.seq].get(self.name)
            self.replica.items = {self.name: left} if left is not None else {}
        self.replica.row = self.server.states[entry.seq]  # type: ignore[attr-defined]


def holds_text(entry: Entry) -> bool:
    return any(part.waits and isinstance(part.op, SpliceOp) for part in entry.unapplied)


class Watched(Ledger):
    """A server that remembers the row after each entry."""

    def __init__(self) -> None:
        super().__init__(COLLECTION)
        self.states: dict[int, Any] = {}
        self.rights: dict[int, set[str]] = {}

    def _take(self, decision: Any, device: str) -> Entry:
        entry = super()._take(decision, device)
        self.states[entry.seq] = self.row
        self.rights[entry.seq] = set(self.unwriting)
        return entry


class Run:
    """One random story of several devices, from one seed."""

    def __init__(self, seed: int, *, devices: int, holds: bool, undo: bool, lives: bool = False) -> None:
        self.rng = random.Random(seed)
        self.server = Watched()
        self.devices = [Device(name, self.server) for name in "ABC"[:devices]]
        self.holds, self.undo, self.lives = holds, undo, lives
        self.typed: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.letter = 0x4E00
        self.at = 1_000
        first = Mutation(mutation_id="z1", collection=COLLECTION.name, record_id=RECORD, ops=[CreateOp({"notes": "·"})])
        self.server.push("Z", first, base=None, at=1)
        for device in self.devices:
            device.pull(1)

    def step(self) -> None:
        device = self.rng.choice(self.devices)
        what = self.rng.random()
        if what < 0.5:
            self.at += self.rng.randint(-50, 100)
            device.edit(self.ops(device), max(self.at, 1))
        elif what < 0.7:
            device.push(self.rng)
        elif what < 0.92 or not (self.undo or self.holds):
            device.pull(self.rng.randint(1, 5))
        elif self.holds and device.name in self.server.items and self.rng.random() < 0.5:
            self.server.resolve(device.name, self.rng.choice(["apply", "apply", "discard"]))
        elif self.holds and self.rng.random() < 0.7:
            (self.server.unwriting.discard if self.rng.random() < 0.6 else self.server.unwriting.add)(device.name)
        elif self.undo:
            self.server.undo(device.name, redo=self.rng.random() < 0.3)

    def ops(self, device: Device) -> list[Op]:
        kind = self.rng.random()
        if self.lives and (kind > 0.9 or device.deleted()):     # nobody types into what is deleted before their eyes
            return [self.rng.choice([DeleteOp(), UndeleteOp(), UndeleteOp(), CreateOp({"title": "again", "views": 1})])]
        if self.lives and kind > 0.8:
            return [SetOp("/price", self.rng.randint(0, 3))]
        if kind < 0.6:
            return [SpliceOp("/notes", self.edits(device))]
        place = self.rng.choice(["/j", "/j/x", "/j/y", "/j/x/p", "/title"])
        value: Any = self.rng.randint(0, 9) if place != "/title" else str(self.rng.randint(0, 9))
        if kind < 0.8:
            return [SetOp(place, {"x": value} if place == "/j" else value)]
        if kind < 0.85:
            return [UnsetOp(self.rng.choice(["/j/x", "/j/y"]))]
        if kind < 0.93:
            return [AddOp("/views", self.rng.randint(-3, 3))]
        return [self.rng.choice([IncludeOp, ExcludeOp])("/tags", [self.rng.choice("pqr")])]

    def edits(self, device: Device) -> list[tuple[int, int, str]]:
        row = device.view().row
        assert row is not None
        text: str = row.fields["notes"]
        made: list[tuple[int, int, str]] = []
        for _ in range(self.rng.randint(1, 2)):
            at = self.rng.randint(0, len(text))
            gone = text[at: at + self.rng.choice([0, 0, 0, 1, 3])]
            new = ""
            for _ in range(self.rng.randint(0, 3)):
                self.letter += 1
                new += chr(self.letter)
                self.typed[chr(self.letter)] = device.name
            self.deleted |= set(gone)
            made.append((at, len(gone), new))
            text = text[:at] + new + text[at + len(gone):]
        return made

    def settle(self) -> None:
        self.server.unwriting = set()
        for _ in range(50):
            for device in self.devices:
                device.push(self.rng) if device.pending else None
                device.pull(1_000)
            if not any(device.pending or len(device.replica.entries) < len(self.server.entries) for device in self.devices):
                return
        raise AssertionError("an outbox does not drain")


def check(run: Run) -> None:
    row = run.server.row
    assert row is not None
    assert run.server.replayed() == row.fields, "the state is a fold of the log"
    for device in run.devices:
        view = device.view().row
        assert view is not None and view.fields == row.fields, f"{device.name} does not agree with the server"


def held_text(ledger: Ledger) -> set[str]:
    """Characters that wait in the inbox, or waited there and were taken back by their author."""
    kept: set[str] = set()
    for entry in ledger.entries:
        for part in entry.unapplied:
            if isinstance(part.op, SpliceOp):
                kept |= {char for _, _, new in part.op.edits for char in new}
    return kept


STORIES = [(2, False, False, False), (3, False, False, False), (3, True, False, False), (3, False, True, False), (3, True, True, False),
           (2, False, False, True), (3, True, False, True), (3, True, True, True)]


@pytest.mark.parametrize(("devices", "holds", "undo", "lives"), STORIES)
@given(seed=st.integers(0, 2**32))
@example(seed=16)       # an edit undone, redone while somebody else deleted the same, and undone again: a character came twice
@settings(max_examples=60, deadline=None)
def test_any_interleaving_converges_and_keeps_every_character(seed: int, devices: int, holds: bool, undo: bool, lives: bool) -> None:
    run = Run(seed, devices=devices, holds=holds, undo=undo, lives=lives)
    for _ in range(run.rng.randint(20, 120)):
        run.step()
    run.settle()
    check(run)
    assert run.server.row is not None
    text = run.server.row.fields["notes"]
    assert len(set(text)) == len(text), "a character is there twice"
    if not undo:
        missing = set(run.typed) - run.deleted - set(text) - held_text(run.server)
        assert not missing, "accepted characters are gone though nobody deleted them"
        assert not set(text) & (run.deleted - held_text(run.server) - deleted_only_in_held(run)), "a deleted character is back"


def deleted_only_in_held(run: Run) -> set[str]:
    """Characters whose deletion was itself held: they rightly stay."""
    held: set[str] = set()
    for entry in run.server.entries:
        if any(isinstance(part.op, SpliceOp) and any(deleted for _, deleted, _ in part.op.edits) for part in entry.unapplied):
            held |= run.deleted
    return held


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_context_rows_can_be_rebuilt_from_the_log(seed: int) -> None:
    run = Run(seed, devices=3, holds=True, undo=True, lives=True)
    for _ in range(run.rng.randint(20, 120)):
        run.step()
    for device in run.devices:
        own = [entry for entry in run.server.entries if entry.device_id == device.name]
        base = own[-1].base if own else None
        made = rebuild(run.server.entries, lambda entry, name=device.name: entry.device_id == name, device.name, base, COLLECTION)
        kept = run.server.contexts.get(device.name)
        assert waiting_of(made, base) == waiting_of(kept, base)


def waiting_of(context: Context | None, base: int | None) -> list[tuple[int, Any]]:
    waiting = context.texts.get("notes", []) if context is not None else []
    return [(other.seq, shape(other.change)) for other in waiting if other.seq > (base or 0)]
