"""The context of a device in a text: which of the others' changes it had not seen, as they stand after its own.

The server takes the others' entries newer than `base`, each transformed past the device's own later ones (they drop out as
`base` passes them), and rebases the mutation over those. That list is kept per device, record and Text field (`Context`), and
can be rebuilt from the log (`rebuild`): an own entry newer than base is needed in its own context, back to its base, and so on.

Tie: of two insertions at one offset the lower `device_id` stands left; pseudo-devices sort lowest, among themselves by seq.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Final

from holdfast.core import text
from holdfast.core.entry import Entry, HeldText, TextChange, Waiting
from holdfast.core.facts import Context
from holdfast.core.ops import CreateOp, Op, SpliceOp
from holdfast.core.rivals import reverting_fully
from holdfast.core.schema import Collection, Kind

__all__ = [
    "TAKEN_BACK", "blanked", "blanked_held", "change_of", "gather", "pass_over", "past_identical", "rebuild", "shape", "stands_left",
    "taken_back", "text_fields",
]


TAKEN_BACK: Final = "!"
"""The device of a waiting change that is the inverse of an own held splice. Sorts below every device."""


def text_fields(collection: Collection) -> list[str]:
    return [field.name for field in collection.fields.values() if field.kind is Kind.TEXT]


def stands_left(other: str, mine: str, *, other_is_older: bool = True) -> bool:
    """Whether the insertion of device `other` stands left of `mine` at one offset."""
    if other == mine or (other.startswith("!") and mine.startswith("!")):
        return other_is_older
    return other < mine


def change_of(ops: Iterable[Op], name: str, default: str = "") -> TextChange:
    """What `ops` do to the Text field `name`, as one change. A create inserts what it differs from the default by."""
    change: TextChange = []
    path = "/" + name
    for op in ops:
        if isinstance(op, SpliceOp):
            if op.path == path:
                change = text.compose(change, text.from_edits(op.edits))
        elif isinstance(op, CreateOp) and op.value.get(name) is not None:
            change = text.compose(change, text.from_edits(text.diff(default, op.value[name])))
    return change


def pass_over(waiting: Sequence[Waiting], change: TextChange, device_id: str) -> tuple[list[Waiting], TextChange]:
    """Rebase `change` of `device_id` over what waits; returns what waits after it, and the change as it is applied.

    An entry and the one that reverts it cancel: the change is rebased as if neither had been. Both go on waiting, because `base`
    may pass the one and not the other; the reverting one then is the inverse of the reverted one as it stands now.
    """
    after: list[Waiting] = []
    at = 0
    while at < len(waiting):
        other = waiting[at]
        closing = _closing(waiting, at)
        if closing is None:
            theirs, change = text.transform(other.change, change, stands_left(other.device_id, device_id))
            after.append(_moved(other, theirs))
            at += 1
        else:
            made, change = _pass_pair(waiting[at:closing + 1], change, device_id)
            after.extend(made)
            at = closing + 1
    return after, change


def _pass_pair(pair: Sequence[Waiting], change: TextChange, device_id: str) -> tuple[list[Waiting], TextChange]:
    """`pass_over` for an entry, what came between, and the entry that reverts the first."""
    opened, *between, closed = pair
    theirs, meanwhile = text.transform(opened.change, change, stands_left(opened.device_id, device_id))
    moved, _ = pass_over(between, meanwhile, device_id)
    inverse = text.invert_shape(theirs)
    for other in moved:
        inverse = _carried(inverse, other, opened.device_id)[0]
    back = text.invert_shape(opened.change)
    standing: list[Waiting] = []
    for other in between:
        back, without = _carried(back, other, opened.device_id)
        standing.append(_moved(other, without))
    return [_moved(opened, theirs), *moved, _moved(closed, inverse)], pass_over(standing, change, device_id)[1]


def _closing(waiting: Sequence[Waiting], at: int) -> int | None:
    """Where the entry stands that takes back the one at `at`; None if there is none, or if it is not exactly its inverse (somebody
    typed into what was taken back)."""
    opened = waiting[at]
    to = next((i for i in range(at + 1, len(waiting)) if waiting[i].reverts == opened.seq), None)
    if to is None:
        return None
    inverse = text.invert_shape(opened.change)
    for other in waiting[at + 1:to]:
        inverse = _carried(inverse, other, opened.device_id)[0]
    return to if shape(inverse) == shape(waiting[to].change) else None


def _carried(inverse: TextChange, other: Waiting, device_id: str) -> tuple[TextChange, TextChange]:
    """(the inverse after `other`, `other` as if what is inverted had never been)."""
    without, inverse = text.transform(other.change, inverse, stands_left(other.device_id, device_id))
    return inverse, without


def _moved(other: Waiting, change: TextChange) -> Waiting:
    return Waiting(other.seq, other.device_id, change, other.reverts)


def gather(context: Context | None, name: str, base: int | None, entries_since: Sequence[Entry], default: str) -> list[Waiting]:
    """What waits for the device in Text field `name`: its context row, without what `base` has passed, and what came since."""
    seen = base or 0
    waiting: list[Waiting] = []
    through = seen
    if context is not None:
        waiting = [other for other in context.texts.get(name, ()) if other.seq > seen]
        through = max(seen, context.through)
    for entry in entries_since:
        if entry.seq > through:
            _arrive(waiting, entry, name, default)
    return waiting


def _arrive(waiting: list[Waiting], entry: Entry, name: str, default: str) -> None:
    change = change_of(entry.ops, name, default)
    if change:
        waiting.append(Waiting(entry.seq, entry.device_id, change, reverting_fully(entry) or 0))


def shape(change: TextChange) -> list[tuple[str, int]]:
    """A change without the text it inserts: all that rebasing another one over it depends on."""
    return [("+", len(part)) if isinstance(part, str) else ("=" if part > 0 else "-", abs(part)) for part in change]


def blanked(context: Context, seqs: Set[int]) -> Context:
    """The context row once the payloads of `seqs` are erased: without a character of theirs, and still as long where they are. Rebasing
    asks for no more, and without it the device's next change would land in the wrong place."""
    return Context({name: _blanked(waiting, seqs) for name, waiting in context.texts.items()}, context.through)


def blanked_held(held: HeldText, seqs: Set[int]) -> HeldText:
    """The same for what a held text is parallel to."""
    return HeldText(seq=held.seq, back=held.back, change=held.change, waiting=_blanked(held.waiting, seqs))


def _blanked(waiting: Sequence[Waiting], seqs: Set[int]) -> list[Waiting]:
    return [_moved(other, _blank(other.change)) if other.seq in seqs else other for other in waiting]


def _blank(change: TextChange) -> TextChange:
    return [text.PLACEHOLDER * len(part) if isinstance(part, str) else part for part in change]


def rebuild(
    entries: Sequence[Entry], own: Callable[[Entry], bool], device_id: str, base: int | None, collection: Collection,
) -> Context | None:
    """The context row of a device from all entries of the record (rising), with `base` as the position it has reached. `own`
    tells its own entries, including those of a device it was forked from."""
    texts = {name: _Rebuilding(name, str(collection.fields[name].default or ""), device_id) for name in text_fields(collection)}
    through = 0
    for entry in entries:
        mine = own(entry)
        for rebuilding in texts.values():
            rebuilding.own(entry) if mine else rebuilding.others(entry)
        through = entry.seq if mine and _touches(entry, texts.values()) else through
    seen = base or 0
    kept = {name: [other for other in made.waiting if seen < other.seq <= through] for name, made in texts.items()}
    return Context({name: waiting for name, waiting in kept.items() if waiting}, through) if through > seen else None


def _touches(entry: Entry, texts: Iterable[_Rebuilding]) -> bool:
    """Whether an own entry makes the context row complete up to its seq: it changed a text, or its create met one that stood."""
    sent = entry.ops if entry.sent is None else entry.sent
    if sent and isinstance(sent[0], CreateOp):
        whole = any(part.waits and isinstance(part.op, CreateOp) for part in entry.unapplied)
        return not whole and any(change_of(sent, one.name, one.default) for one in texts)
    return any(isinstance(op, SpliceOp) for op in (*sent, *entry.ops))


class _Rebuilding:
    """One Text field's waiting list, replayed entry by entry."""

    def __init__(self, name: str, default: str, device_id: str) -> None:
        self.name, self.default, self.device_id = name, default, device_id
        self.waiting: list[Waiting] = []

    def others(self, entry: Entry) -> None:
        _arrive(self.waiting, entry, self.name, self.default)

    def own(self, entry: Entry) -> None:
        """Past the device's splices as sent, applied or held."""
        base = entry.base or 0
        self.waiting = [other for other in self.waiting if other.seq > base]
        sent = entry.ops if entry.sent is None else entry.sent
        held = [part.op for part in entry.unapplied if part.waits]
        if any(isinstance(op, CreateOp) for op in held):
            return                          # what a held create gives waits with it, and touches no text that stands
        whole = change_of(sent, self.name, self.default)
        if whole and skipped_as_identical(entry, self.name) and not self._was_held(sent[0], held):
            self.waiting = past_identical(self.waiting, whole)
            return
        for op in sent:
            change = change_of([op], self.name, self.default)
            if self._was_held(op, held):
                self.waiting = taken_back(self.waiting, change, self.device_id, entry.seq)
            elif change:
                self.waiting = pass_over(self.waiting, change, self.device_id)[0]

    def _was_held(self, op: Op, held: Sequence[Op | None]) -> bool:
        """Whether this op of an own mutation was held as far as it is about this text. A create that met the record is held as a splice."""
        path = "/" + self.name
        if isinstance(op, CreateOp):
            return any(isinstance(part, SpliceOp) and part.path == path for part in held)
        return isinstance(op, SpliceOp) and op.path == path and op in held


def taken_back(waiting: Sequence[Waiting], change: TextChange, device_id: str, seq: int) -> list[Waiting]:
    """What waits for a device after a splice of its own was held at `seq`. On the device the held typing stays on the screen until
    its entry comes back, or that of the held typing it was typed into: so it is an own change followed by its inverse, which waits
    until `base` has passed that entry; what others did after that never met it."""
    held_seq = next((other.seq for other in waiting if other.device_id == TAKEN_BACK), seq)
    before = [other for other in waiting if other.seq <= held_seq]
    after, rebased = pass_over(before, change, device_id)
    return [*after, Waiting(held_seq, TAKEN_BACK, text.invert_shape(rebased)), *(other for other in waiting if other.seq > held_seq)]


def skipped_as_identical(entry: Entry, name: str) -> bool:
    """Whether an own create met the same text, made by somebody else, and so inserted nothing."""
    created = entry.sent is not None and len(entry.sent) == 1 and isinstance(entry.sent[0], CreateOp)
    return created and not any(isinstance(op, SpliceOp) and op.path == "/" + name for op in entry.ops)


def past_identical(waiting: Sequence[Waiting], change: TextChange) -> list[Waiting]:
    """What waits once somebody else's equal text counts as one's own: what came after the equal creation, else nothing."""
    if waiting and waiting[0].change == change:
        return list(waiting[1:])
    return []
