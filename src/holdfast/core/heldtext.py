"""Splices that are held. What a device types on into a held text is composed in its own context and joins the item; apply
rebases the composition once.

In the device's context a held splice is its own change, taken back where the held entry comes back (`waiting.taken_back`).
"""

from __future__ import annotations

from holdfast.core import text
from holdfast.core.entry import HeldText, Reason, TextChange
from holdfast.core.ops import SpliceOp
from holdfast.core.schema import Field
from holdfast.core.waiting import TAKEN_BACK, pass_over, taken_back
from holdfast.core.working import Working

__all__ = ["hold_text", "open_text"]


def open_text(working: Working, name: str) -> HeldText | None:
    """The held text of field `name` that the device was still typing on: what takes it back is newer than the mutation's base."""
    held = working.held_texts.get(name)
    if held is None and working.facts.item is not None:
        held = working.facts.item.texts.get(name)
    return held[-1] if held and (working.facts.base or 0) < held[-1].back else None


def hold_text(working: Working, op: SpliceOp, field: Field, reason: Reason, message: str = "") -> None:
    """Hold a splice: typed on into the held text that the device did not know of yet, else a new one."""
    item = working.facts.item
    earlier = working.held_texts.get(field.name) or (item.texts.get(field.name, []) if item is not None else [])
    added = text.from_edits(op.edits)
    held = open_text(working, field.name)
    waiting = working.waiting(field.name)
    if held is not None:
        working.held_texts[field.name] = [*earlier[:-1], _typed_on(working, held, added)]
    else:
        parallel = list(waiting) if working.facts.same_history else []
        back = next((other.seq for other in waiting if other.device_id == TAKEN_BACK), working.facts.seq)
        held = HeldText(seq=working.facts.seq, back=back, change=added, waiting=parallel)
        working.held_texts[field.name] = [*earlier, held]
    working.texts[field.name] = taken_back(waiting, added, working.facts.device_id, working.facts.seq)
    working.leave(reason, op, waits=True, path=op.path, message=message)


def _typed_on(working: Working, held: HeldText, added: TextChange) -> HeldText:
    """Composed in the device's own context. Others' changes that `base` has passed meanwhile it was typed upon: the composition
    passes them first."""
    base = working.facts.base or 0
    passed = [other for other in held.waiting if other.seq <= base]
    change = pass_over(passed, held.change, working.facts.device_id)[1] if passed else held.change
    parallel = [other for other in held.waiting if other.seq > base]
    return HeldText(seq=held.seq, back=held.back, change=text.compose(change, added), waiting=parallel)
