"""Stories with their solutions: what Python's core makes of random and of recorded cases, as lines of JSON for the tests of the browser
client. Run from the project's folder: `python web/packages/client/tests/tapes.py SEED COUNT`.

A line is one case: `{"kind": "text" | "apply" | "diff" | "tape", …}`. A *tape* is what one device goes through (its edits, the changes it
pulls) and, after each step, what it then shows and which context it has; the stories are those of the core's own properties, and those of
`vectors/decide.json`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from holdfast.core import text
from holdfast.core.apply import apply_ops, defaults
from holdfast.core.errors import Malformed
from holdfast.core.ops import AddOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.rebase import Ground, show
from holdfast.core.refine import needs_view
from tests.client import test_rebase as devices
from tests.core.ledger import Ledger, mutation_from
from tests.core.test_decide_properties import COLLECTION, STORIES
from tests.core.test_decide_vectors import COLLECTION as DECIDED
from tests.core.test_decide_vectors import run_step
from tests.core.vector_files import VECTORS

ALPHABETS = ("abc ", "aé\U0001f600 \n", "one two, \U0001f3f4\U000e0067!", "\U00010000\uffff\ue000z")


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


# -- texts and ops ---------------------------------------------------------------------------------------------------------


def some_text(rng: random.Random, letters: str, most: int = 12) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(0, most)))


def some_change(rng: random.Random, letters: str, length: int) -> tuple[text.TextChange, int]:
    """A change of a text of `length`, and the length after it."""
    edits, size = [], length
    for _ in range(rng.randint(0, 3)):
        at = rng.randint(0, size)
        gone, new = rng.randint(0, min(3, size - at)), some_text(rng, letters, 3)
        edits.append((at, gone, new))
        size += len(new) - gone
    return text.from_edits(edits), size


def text_case(rng: random.Random) -> dict[str, Any]:
    letters = rng.choice(ALPHABETS)
    start, first = some_text(rng, letters), rng.random() < 0.5
    left, size = some_change(rng, letters, len(start))
    right, _ = some_change(rng, letters, len(start))
    then, _ = some_change(rng, letters, size)
    return {"kind": "text", "text": start, "left": left, "right": right, "then": then, "left_first": first,
            "transformed": text.transform(left, right, first), "composed": text.compose(left, then), "after": text.apply(start, left),
            "inverse": text.invert(start, left), "edits": text.to_edits(left), "shape": text.invert_shape(left)}


def diff_case(rng: random.Random) -> dict[str, Any]:
    letters = rng.choice(ALPHABETS)
    words = [some_text(rng, letters, 6) for _ in range(rng.randint(1, 40))]
    other = [word for word in words if rng.random() < 0.8]
    for _ in range(rng.randint(0, 4)):
        other.insert(rng.randint(0, len(other)), rng.choice([*words, some_text(rng, letters, 6)]))
    before, after = rng.choice(["", " "]).join(words), rng.choice(["", " "]).join(other)
    return {"kind": "diff", "before": before, "after": after, "edits": text.diff(before, after)}


def apply_case(rng: random.Random) -> dict[str, Any]:
    fields = {**defaults(COLLECTION), "notes": some_text(rng, ALPHABETS[1]), "j": some_json(rng), "tags": sorted({rng.choice("pqr")})}
    ops = [some_op(rng, fields) for _ in range(rng.randint(1, 6))]
    try:
        after, undo = apply_ops(fields, ops, COLLECTION)
    except Malformed:
        return {"kind": "apply", "fields": fields, "ops": plain(ops), "refused": True}
    return {"kind": "apply", "fields": fields, "ops": plain(ops), "after": after, "undo": plain(undo)}


def some_json(rng: random.Random) -> Any:
    return rng.choice([None, 0, {}, {"x": 1}, {"x": {"p": 1}, "y": None}, {"x": {"p": {"q": []}}}])


def some_op(rng: random.Random, fields: dict[str, Any]) -> Op:
    place = rng.choice(["/j", "/j/x", "/j/x/p", "/j/x/p/q", "/j/y", "/title", "/price"])
    value = rng.choice([None, 0, 7, "s", [], {}, {"p": 2}])
    made: list[Op] = [
        SetOp(place, value), SetOp(place, value), UnsetOp(place), UnsetOp(place, if_empty=True), AddOp("/views", rng.randint(-5, 5)),
        AddOp("/views", rng.choice([-1, 1]) * ((1 << 53) - 1)), IncludeOp("/tags", [rng.choice("pqr\U0001f600\uffff") for _ in range(2)]),
        ExcludeOp("/tags", [rng.choice("pqrs")]),
        SpliceOp("/notes", [(rng.randint(0, 6), rng.randint(0, 3), some_text(rng, ALPHABETS[1], 3))]),
    ]
    return rng.choice(made)


# -- tapes -----------------------------------------------------------------------------------------------------------------


class Taped(devices.Replica):
    """A replica that writes down what it goes through."""

    def __init__(self, name: str, server: Any) -> None:
        super().__init__(name, server)
        self.tape: list[dict[str, Any]] = []

    def edit(self, ops: list[Op], at: int) -> None:
        super().edit(ops, at)
        self.note_edit()

    def note_edit(self) -> None:
        made = self.waiting[-1]
        self.note(edit={"ops": plain(made.mutation.ops), "base": made.base or 0, "stamp": str(made.stamp), "atomic": made.mutation.atomic})

    def take(self, change: Any) -> None:
        super().take(change)
        self.note(change=plain(change))

    def note(self, **what: Any) -> None:
        shown = show(Ground(self.row, self.since, self.context), self.waiting, self.name, self.name, devices.SHOWING, 0)
        row = None if shown.row is None else {"fields": shown.row.fields, "deleted": shown.row.deleted}
        context = devices.waiting(self.context, 1 << 61)
        self.tape.append({**what, "shown": row, "ops": plain(shown.rebased[-1]) if shown.rebased else None, "context": context,
                          "pulled": None if self.row is None else [self.row.fields, self.row.deleted, self.row.rev, self.row.last]})


def story(seed: int) -> Iterator[dict[str, Any]]:
    """One random story; a tape for each device. In every other one, what is typed lies beyond U+FFFF."""
    rng = random.Random(seed)
    many, holds, undo, lives = rng.choice(STORIES)
    devices.Replica = Taped  # type: ignore[misc]
    run = devices.Story(seed, devices=many, holds=holds, undo=undo, lives=lives)
    if rng.random() < 0.5:
        run.letter = 0x20000
    for _ in range(run.rng.randint(20, 80)):
        run.step()
    run.settle()
    for device in run.devices:
        yield {"kind": "tape", "name": f"story {seed}", "device": device.name, "tape": device.tape, "final": run.server.row.fields}


class Told(Ledger):
    """A server of a recorded case that its devices follow."""

    def __init__(self) -> None:
        super().__init__(DECIDED)
        self.states: dict[int, Any] = {}
        self.contexts_after: dict[int, Any] = {}

    def _take(self, decision: Any, device: str) -> Any:
        entry = super()._take(decision, device)
        self.states[entry.seq] = self.row
        self.contexts_after[entry.seq] = dict(self.contexts)
        return entry


def recorded(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A case of vectors/decide.json as its devices live through it. What a device cannot do (another history, a fork, what is refused)
    ends the tape of that device."""
    server, taped, ended = Told(), {}, set()
    for step in case["steps"]:
        sent = step.get("push")
        one = taped.setdefault(sent["device"], Taped(sent["device"], server)) if sent is not None else None
        if one is not None and sent is not None and one.name not in ended:
            if sent.get("other_history") or sent.get("forked_from") or step["expect"] in ("refused", "duplicate"):
                ended.add(one.name)
            elif (sent["base"] or 0) < one.cursor or needs_view(mutation_from(sent, DECIDED.name).ops, DECIDED):
                ended.add(one.name)     # on a base from before what it has pulled; or it sets a text, where this client makes a splice
            else:
                one.pull((sent["base"] or 0) - one.cursor)
                mutation = mutation_from(sent, DECIDED.name)
                one.waiting.append(devices.Pending(mutation, sent["base"], sent["at"] << 16))
                one.note_edit()
        run_step(server, step)
    for one in taped.values():
        if one.name not in ended and server.states[1] is not None:      # what was held before there was a record changes nothing anywhere
            one.pull(1_000)
            yield {"kind": "tape", "name": case["name"], "device": one.name, "tape": one.tape,
                   "final": None if server.row is None else server.row.fields}


def main(seed: int, count: int) -> None:
    def say(case: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(case) + "\n")

    rng = random.Random(seed)
    for _ in range(count):
        for make in (text_case, diff_case, apply_case):
            say({"seed": seed, **make(rng)})
    for number in range(max(1, count // 20)):
        for case in story(seed + number):
            say({"seed": seed + number, **case})
    devices.COLLECTION, devices.SHOWING = DECIDED, devices.showing(devices.Schema(collections={DECIDED.name: DECIDED}))
    for described in json.loads((VECTORS / "decide.json").read_text(encoding="utf-8"))["cases"]:
        for case in recorded(described):
            say({"seed": seed, "vector": True, **case})


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
