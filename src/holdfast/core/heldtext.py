"""Splices that are held. What a device types on into a held text is composed in its own context and joins the item; apply
rebases the composition once.

In the device's context a held splice is its own change, taken back at the held entry (`waiting.taken_back`).
"""

from __future__ import annotations

from holdfast.core import text
from holdfast.core.entry import HeldText, Reason
from holdfast.core.ops import SpliceOp
from holdfast.core.schema import Field
from holdfast.core.waiting import pass_over, taken_back
from holdfast.core.working import Working

__all__ = ["hold_text", "join_text"]


def hold_text(working: Working, op: SpliceOp, field: Field, reason: Reason, message: str) -> None:
    """Hold a splice: open a held text, or compose it into the one that this device and record has."""
    open_item = working.facts.item
    if field.name in working.held_texts or (open_item is not None and field.name in open_item.texts):
        join_text(working, op, field, reason, message)
        return
    change = text.from_edits(op.edits)
    waiting = working.waiting(field.name)
    parallel = list(waiting) if working.facts.same_history else []
    working.held_texts[field.name] = HeldText(change=change, waiting=parallel)
    working.texts[field.name] = taken_back(waiting, change, working.facts.device_id, working.facts.seq)
    working.leave(reason, op, waits=True, path=op.path, message=message)


def join_text(working: Working, op: SpliceOp, field: Field, reason: Reason, message: str = "") -> None:
    """Typed on into a held text. Others' changes that `base` has passed meanwhile it was typed upon: the composition passes
    them first."""
    held = working.held_texts.get(field.name)
    if held is None:
        assert working.facts.item is not None
        held = working.facts.item.texts[field.name]
    base = working.facts.base or 0
    passed = [other for other in held.waiting if other.seq <= base]
    change = pass_over(passed, held.change, working.facts.device_id)[1] if passed else held.change
    added = text.from_edits(op.edits)
    parallel = [other for other in held.waiting if other.seq > base]
    working.held_texts[field.name] = HeldText(change=text.compose(change, added), waiting=parallel)
    working.texts[field.name] = taken_back(working.waiting(field.name), added, working.facts.device_id, working.facts.seq)
    working.leave(reason, op, waits=True, path=op.path, message=message)
