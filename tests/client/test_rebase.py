"""The view of a device against the server's rules, in any interleaving of any devices: what a device shows after it has pulled all is
what the server has, and its context row is the server's own. Defends P2 (once), P3 (never dropped) and P5 (what is shown is so)."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core import position
from holdfast.core.admission import Duplicate, Refused
from holdfast.core.entry import Entry, Mutation, Row
from holdfast.core.facts import Context
from holdfast.core.messages import Change
from holdfast.core.ops import CreateOp, Op, SpliceOp
from holdfast.core.rebase import Ground, Pending, Step, came_back, entry_of, follow, show, showing, without
from holdfast.core.schema import Field, Kind, Schema
from holdfast.core.waiting import shape
from holdfast.engine.views import change_of
from tests.core.ledger import RECORD
from tests.core.test_decide_properties import COLLECTION, STORIES, Run, check, held_text

SHOWING = showing(Schema(collections={COLLECTION.name: COLLECTION}))


class Replica:
    """What `Device` of the core's properties does with a second server, done with `core.rebase` and changes as the wire has them."""

    def __init__(self, name: str, server: Any) -> None:
        self.name, self.server = name, server
        self.row: Row | None = None
        self.since: list[Entry] = []
        self.context: Context | None = None
        self.waiting: list[Pending] = []
        self.cursor = 0
        self.count = 0
        self.last: str | None = None

    # -- what `Run` and `check` ask of a device ----------------------------------------------------------------------------

    @property
    def pending(self) -> list[Pending]:
        return self.waiting

    @property
    def replica(self) -> Any:
        """`check` and `settle` count what was pulled."""
        class Pulled:
            entries = self.server.entries[:self.cursor]
        return Pulled

    def view(self) -> Any:
        class Shown:
            row = show(Ground(self.row, self.since, self.context), self.waiting, self.name, self.name, SHOWING, 0).row
        return Shown

    def deleted(self) -> bool:
        row = self.view().row
        return row is not None and row.deleted

    def edit(self, ops: list[Op], at: int) -> None:
        self.count += 1
        mutation = Mutation(mutation_id=f"{self.name}{self.count}", collection=COLLECTION.name, record_id=RECORD, ops=ops, after=self.last)
        self.last = mutation.mutation_id
        self.waiting.append(Pending(mutation, self.row.last if self.row is not None else None, at))

    def push(self, rng: random.Random) -> None:
        for one in self.waiting[: rng.randint(1, 4)]:
            result = self.server.push(self.name, one.mutation, base=one.base, at=one.stamp)
            assert not isinstance(result, Refused), result
            if rng.random() < 0.2:
                assert isinstance(self.server.push(self.name, one.mutation, base=one.base, at=one.stamp), Duplicate)

    def pull(self, count: int) -> None:
        for entry in self.server.entries[self.cursor:self.cursor + count]:
            self.take(wire(entry, own=entry.device_id == self.name, row=self.server.states[entry.seq]))
            self.cursor += 1

    def take(self, change: Change) -> None:
        followed = follow(self.row, change, COLLECTION)
        assert followed is not None
        if change.device_id == self.name:
            mine = self.waiting.pop(0)
            assert mine.mutation.mutation_id == change.mutation_id
            self.context = came_back(Ground(self.row, self.since, self.context), mine, change, self.name, COLLECTION)
            self.row = followed[0]
        else:
            self.row, undo = followed
            self.since.append(entry_of(change, undo))
        oldest = min((one.base or 0 for one in self.waiting), default=self.cursor + 1)
        self.since = [entry for entry in self.since if entry.seq > oldest]
        if not self.waiting:
            self.context = None
        elif change.device_id == self.name:
            theirs = self.server.contexts_after[change.seq].get(self.name)
            assert waiting(self.context, change.seq) == waiting(theirs, change.seq), "the context row is the server's"


def waiting(context: Context | None, seq: int) -> Any:
    """A context row without the text that waiting changes insert, which rebasing does not depend on."""
    if context is None:
        return None
    return {name: [(one.seq, one.device_id, shape(one.change), one.reverts) for one in texts if one.seq <= seq]
            for name, texts in context.texts.items()}


def wire(entry: Entry, *, own: bool, row: Row | None) -> Change:
    """The entry as a pull tells it, through JSON."""
    rev = 0 if row is None else row.rev
    change = change_of(msgspec.structs.replace(entry, digest=f"{entry.seq:08x}"), rev, own=own)
    assert position.parse(change.position)[0] == entry.seq
    return msgspec.json.decode(msgspec.json.encode(change), type=Change)


class Story(Run):
    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(seed, **options)
        self.server.contexts_after = {}  # type: ignore[attr-defined]
        server, take = self.server, self.server._take

        def remembering(decision: Any, device: str) -> Entry:
            entry = take(decision, device)
            server.contexts_after[entry.seq] = dict(server.contexts)  # type: ignore[attr-defined]
            return entry

        self.server._take = remembering  # type: ignore[method-assign]
        self.devices = [Replica(device.name, self.server) for device in self.devices]  # type: ignore[misc]
        for device in self.devices:
            device.pull(1)


@pytest.mark.parametrize(("devices", "holds", "undo", "lives"), STORIES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_device_that_has_pulled_all_shows_what_the_server_has(seed: int, devices: int, holds: bool, undo: bool, lives: bool) -> None:
    run = Story(seed, devices=devices, holds=holds, undo=undo, lives=lives)
    for _ in range(run.rng.randint(20, 120)):
        run.step()
    run.settle()
    check(run)
    assert run.server.row is not None
    text = run.server.row.fields["notes"]
    assert len(set(text)) == len(text), "a character is there twice"
    if not undo:
        assert not set(run.typed) - run.deleted - set(text) - held_text(run.server), "accepted characters are gone"


def splice(at: int, deleted: int, inserted: str) -> list[Op]:
    return [SpliceOp("/notes", [(at, deleted, inserted)])]


def test_a_view_shows_ones_own_typing_over_what_was_pulled_meanwhile() -> None:
    row = Row(collection=COLLECTION.name, id=RECORD, fields={**_fields(), "notes": "bcd"}, last=5, rev=5)
    mine = Pending(Mutation(mutation_id="m", collection=COLLECTION.name, record_id=RECORD, ops=splice(3, 0, "!")), 4, 1)
    theirs = Entry(tenant_id="", seq=5, committed_at=0, stamp=1, actor_id="x", device_id="X", mutation_id="x", ops=splice(0, 1, ""),
                   undo=splice(0, 0, "a"), collection=COLLECTION.name, record_id=RECORD)
    shown = show(Ground(row, [theirs]), [mine], "D", "d", SHOWING, 0)
    assert shown.row is not None and shown.row.fields["notes"] == "bc!d"
    assert shown.row.last == 5, "the position of a view is that of the record as pulled"


def test_typing_into_one_text_is_shown_while_typing_into_another_one_is_held() -> None:
    texts = {"notes": Field(name="notes", kind=Kind.TEXT, default=""), "other": Field(name="other", kind=Kind.TEXT, default="")}
    pages = replace(COLLECTION, fields=texts)
    row = Row(collection=pages.name, id=RECORD, fields={"notes": "", "other": ""}, last=1, rev=1)
    typed = {path: Pending(Mutation(mutation_id=path, collection=pages.name, record_id=RECORD,
                                    ops=[SpliceOp(path, [(0, 0, "typed")])]), 1, 2) for path in ("/notes", "/other")}
    held = Change(position="2.00000000", seq=2, collection=pages.name, record_id=RECORD, rev=1, ops=[], actor_id="d", device_id="D",
                  mutation_id="/notes", committed_at="", outcome="held")
    context = came_back(Ground(row), typed["/notes"], held, "D", pages)
    shown = show(Ground(row, [], context), [typed["/other"]], "D", "d", showing(Schema(collections={pages.name: pages})), 0)
    assert shown.row is not None and shown.row.fields == {"notes": "", "other": "typed"}


def test_a_value_the_rules_would_refuse_is_shown_until_the_server_has_spoken() -> None:
    row = Row(collection=COLLECTION.name, id=RECORD, fields=_fields(), last=5, rev=5, deleted=True)
    mine = Pending(Mutation(mutation_id="m", collection=COLLECTION.name, record_id=RECORD, ops=splice(0, 0, "typed")), 4, 1)
    shown = show(Ground(row), [mine], "D", "d", SHOWING, 0)
    assert shown.row is not None and shown.row.fields["notes"] == "typed" and shown.row.deleted


def _fields() -> dict[str, Any]:
    shown = show(Ground(None), [Pending(Mutation(mutation_id="c", collection=COLLECTION.name, record_id=RECORD, ops=[CreateOp({})]), None,
                                        1)],
                 "D", "d", SHOWING, 0)
    assert shown.row is not None
    return shown.row.fields


def test_work_behind_a_change_that_is_dropped_is_made_as_if_it_had_never_been() -> None:
    line = [Step(splice(0, 0, "dropped "), mine=False), Step(splice(8, 0, "kept"), mine=True), Step(splice(12, 0, "!"), mine=True)]
    assert without(line, COLLECTION) == [splice(0, 0, "kept"), splice(4, 0, "!")]


def test_work_behind_a_frozen_change_is_made_on_what_the_server_will_have_of_it() -> None:
    typed = splice(8, 0, "abc")
    steps = [Step(splice(0, 0, "dropped "), mine=False), Step(typed, mine=True, frozen=typed), Step(splice(9, 1, ""), mine=True)]
    frozen, behind = without(steps, COLLECTION, {"notes": ""})
    assert frozen == typed
    text = "\0" * 8 + "abc"
    (op,) = behind
    assert isinstance(op, SpliceOp)
    for at, deleted, inserted in op.edits:
        text = text[:at] + inserted + text[at + deleted:]
    assert text == "\0" * 8 + "ac", "the character that was deleted before the person's eyes is the one that goes"


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_own_typing_without_others_keeps_every_own_character_in_order(seed: int) -> None:
    rng = random.Random(seed)
    text, line, own, letter = "", [], [], 0x4E00
    for _ in range(rng.randint(1, 25)):
        at = rng.randint(0, len(text))
        gone = rng.randint(0, min(2, len(text) - at))
        new = "".join(chr(letter + i) for i in range(rng.randint(0, 3)))
        letter += len(new)
        mine = rng.random() < 0.6
        line.append(Step(splice(at, gone, new), mine=mine))
        own += [new] if mine else []
        text = text[:at] + new + text[at + gone:]
    alone = ""
    for ops in without(line, COLLECTION):
        for op in ops:
            assert isinstance(op, SpliceOp)
            for at, gone, new in op.edits:
                assert 0 <= at <= at + gone <= len(alone), "an edit lies outside of the text"
                alone = alone[:at] + new + alone[at + gone:]
    survivors = [char for char in text if char in "".join(own)]
    assert survivors == [char for char in alone if char in set(survivors)], "what is left of one's own stands in the same order"
