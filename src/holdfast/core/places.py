"""One op after another: what a change of a place does beside others' concurrent changes (DESIGN section 5).

`latest`: a set loses only to newer concurrent changes at its own place or an ancestor; newer ones inside it are written back
after it. `ask`: the first committed stands, the second is held, unless the values are equal. Texts are rebased, counters add
up, sets unite (include wins over a concurrent exclude).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.core import text
from holdfast.core.errors import HoldfastError
from holdfast.core.heldtext import hold_text, open_text
from holdfast.core.ops import AddOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.pointer import contains, overlaps
from holdfast.core.refine import FINER, finer_ops, view
from holdfast.core.rivals import Rival, others_included
from holdfast.core.schema import Field, Kind, Merge
from holdfast.core.values import canonical, normalise, size
from holdfast.core.waiting import TAKEN_BACK, pass_over
from holdfast.core.working import Working, place_of, value_at

__all__ = ["take_op", "unfit_documents"]

SAFE_INTEGER = (1 << 53) - 1


def take_op(working: Working, op: Op, before: Sequence[Op]) -> None:
    """Merge one sent op into the working state; `before` are the mutation's earlier ops, as sent."""
    path = place_of(op)
    name = path[1:].partition("/")[0].replace("~1", "/").replace("~0", "~")
    field = working.collection.fields.get(name)
    refusal = _unfit(working, op, field, path)
    if refusal is not None:
        working.leave("invalid", op, waits=True, path=path, message=refusal, mine=getattr(op, "value", None))
        return
    assert field is not None
    if field.stamped is not None:
        working.leave("left_out", op, path=path, message="The server fills this field.")
        return
    if working.facts.item is not None and _joins_item(working, op, path, field):
        return
    if isinstance(op, SetOp | UnsetOp):
        _take_set(working, op, field, before)
    elif isinstance(op, SpliceOp):
        _take_splice(working, op, field)
    elif isinstance(op, AddOp):
        _take_add(working, op, field)
    elif isinstance(op, IncludeOp):
        _take_include(working, op, field)
    elif isinstance(op, ExcludeOp):
        _take_exclude(working, op)


def _unfit(working: Working, op: Op, field: Field | None, path: str) -> str | None:
    """Why the op cannot be for this collection, in words; None if it can."""
    if field is None:
        return f"There is no field {path[1:64]!r}."
    inside = "/" in path[1:]
    if inside and field.kind is not Kind.JSON:
        return f"{field.name} has no places inside it."
    if field.name in working.blocked:
        return working.blocked[field.name]
    if field.immutable and isinstance(op, SetOp | UnsetOp) and working.row is not None:
        same = isinstance(op, SetOp) and not inside and working.fields.get(field.name) == op.value
        return None if same else f"{field.name} never changes once the record exists."
    if isinstance(op, UnsetOp) and not inside and not field.optional and field.kind not in FINER and field.kind is not Kind.JSON:
        return f"{field.name} is not optional: it always has a value."
    return None


def _joins_item(working: Working, op: Op, path: str, field: Field) -> bool:
    """A later change of a held place: made knowing the question it settles that part, else it joins the item. A place held
    only because its value was invalid is simply decided again: the newest value is the one that was meant."""
    part = working.open_part(path)
    if part is None:
        return False
    if isinstance(op, SpliceOp):
        if open_text(working, field.name) is None:
            return False
        hold_text(working, op, field, part.reason)
        return True
    held = part.path or ""
    knows = (working.facts.base or 0) >= part.held_by
    if not isinstance(op, SetOp | UnsetOp):
        return False
    if knows or part.reason == "invalid" or (isinstance(op, SetOp) and value_at(working.fields, path) == op.value):
        working.closes.add(held)
        return False
    working.leave(part.reason, op, waits=True, path=path, mine=getattr(op, "value", None), theirs=part.theirs,
                  base_value=part.base_value, message=part.message, ref=part.ref, seq=part.seq)
    return True


# -- set and unset ---------------------------------------------------------------------------------------------------------


def _take_set(working: Working, op: SetOp | UnsetOp, field: Field, before: Sequence[Op]) -> None:
    checked = _checked(working, op, field)
    if isinstance(checked, str):
        mine = None if field.sensitive else getattr(op, "value", None)
        working.leave("invalid", op, waits=True, path=op.path, message=checked, mine=mine)
        return
    if field.kind in FINER:
        _take_refined(working, checked, field, before)
        return
    rivals = [rival for rival in working.rivals if overlaps(rival.path, op.path)] if working.entries_since else []
    if not rivals:
        _take_checked(working, checked, field)
        return
    working.merged = True
    if field.merge is Merge.ASK:
        _ask(working, checked, rivals, field)
    else:
        _latest(working, checked, rivals, field)


def _checked(working: Working, op: SetOp | UnsetOp, field: Field) -> SetOp | UnsetOp | str:
    """The op with its value in canonical form, or why the value does not fit."""
    if isinstance(op, UnsetOp):
        return op
    try:
        value = normalise(op.value, limits=working.schema.limits, path=op.path)
        if op.path == "/" + field.name:
            if value is None:
                empty = field.optional or field.kind is Kind.JSON
                return op if empty else f"{field.name} is not optional: it always has a value."
            if isinstance(value, str) and field.kind is Kind.JSON and size(value) > working.schema.limits.json_bytes_max:
                return f"{field.name} holds at most {working.schema.limits.json_bytes_max:,} bytes."
            if field.check is not None:
                value = field.check(value)
    except HoldfastError as error:
        return error.detail
    return op if value is op.value else SetOp(op.path, value, op.restated)


def _take_checked(working: Working, op: SetOp | UnsetOp, field: Field) -> None:
    """Apply a set whose own value fits; whether a place inside a Json field leaves the whole fit is judged once, at the end."""
    if op.path != "/" + field.name:
        working.opened.add(field.name)
    working.take(op)


def unfit_documents(working: Working) -> dict[str, str]:
    """Json fields that changes inside them have made unfit as a whole, with the reason."""
    found: dict[str, str] = {}
    for name in working.opened:
        field, value = working.collection.fields[name], working.fields[name]
        try:
            normalise(value, limits=working.schema.limits, path="/" + name)
            if field.check is not None and value is not None:
                field.check(value)
        except HoldfastError as error:
            found[name] = error.detail
    return found


def _latest(working: Working, op: SetOp | UnsetOp, rivals: list[Rival], field: Field) -> None:
    newer = [rival for rival in rivals if rival.order > working.order]
    winner = next((rival for rival in reversed(newer) if contains(rival.path, op.path)), None)
    if winner is not None:
        theirs = value_at(working.fields, op.path)
        working.leave("superseded", op, path=op.path, mine=getattr(op, "value", None), theirs=theirs, seq=winner.seq)
        return
    _take_checked(working, op, field)
    for rival in sorted(newer, key=lambda rival: rival.order):
        working.take(msgspec.structs.replace(rival.op, restated=True))
        working.leave("kept_inside", None, path=rival.path, theirs=getattr(rival.op, "value", None), seq=rival.seq)


def _ask(working: Working, op: SetOp | UnsetOp, rivals: list[Rival], field: Field) -> None:
    mine, theirs = getattr(op, "value", None), value_at(working.fields, op.path)
    if canonical(mine) == canonical(theirs):
        _take_checked(working, op, field)
        return
    first = min(rivals, key=lambda rival: rival.seq)
    working.leave("conflict", op, waits=True, path=op.path, mine=mine, theirs=theirs, base_value=_before(working, first, op.path),
                  seq=max(rival.seq for rival in rivals), message="Two versions: which one stands?")


def _before(working: Working, rival: Rival, path: str) -> Any:
    """The value at `path` before the first rival, from its inverse."""
    entry = next(entry for entry in working.entries_since if entry.seq == rival.seq)
    return next((getattr(op, "value", None) for op in entry.undo if place_of(op) == path), None)


def _take_refined(working: Working, op: SetOp | UnsetOp, field: Field, before: Sequence[Op]) -> None:
    wanted = field.default if isinstance(op, UnsetOp) or op.value is None else op.value
    for finer in finer_ops(field, view(working, field, before), wanted):
        take_op(working, finer, before)


# -- the finer kinds -------------------------------------------------------------------------------------------------------


def _take_splice(working: Working, op: SpliceOp, field: Field) -> None:
    change = text.from_edits(op.edits)
    waiting = working.waiting(field.name)
    if not working.facts.same_history:
        hold_text(working, op, field, "other_history", "It was typed on another history of this server.")
        return
    if any(other.device_id == TAKEN_BACK for other in waiting):
        hold_text(working, op, field, "conflict", "It was typed on into text that was waiting for a decision.")
        return
    after, rebased = pass_over(waiting, change, working.facts.device_id) if waiting else ([], change)
    current: str = working.fields[field.name]
    if not text.fits(rebased, len(current)):
        hold_text(working, op, field, "invalid", "An edit lies outside of the text.")
        return
    problem = _text_problem(working, field, text.apply(current, rebased), len(current))
    if problem is not None:
        hold_text(working, op, field, "invalid", problem)
        return
    working.texts[field.name] = after
    if waiting:
        working.merged = True
        op = SpliceOp(op.path, text.to_edits(rebased))
    working.take(op)


def _text_problem(working: Working, field: Field, result: str, length: int) -> str | None:
    if len(result) > max(length, working.schema.limits.text_code_points_max):
        return f"{field.name} holds at most {working.schema.limits.text_code_points_max:,} characters."
    if field.check is not None:
        try:
            field.check(result)
        except HoldfastError as error:
            return error.detail
    return None


def _take_add(working: Working, op: AddOp, field: Field) -> None:
    total = working.fields[field.name] + op.by
    if abs(total) > SAFE_INTEGER or abs(op.by) > SAFE_INTEGER:
        working.leave("invalid", op, waits=True, path=op.path, mine=op.by, message=f"{field.name} would leave the range of whole numbers.")
        return
    if any(getattr(other, "path", None) == op.path for entry in working.entries_since for other in entry.ops):
        working.merged = True
    working.take(op)


def _take_include(working: Working, op: IncludeOp, field: Field) -> None:
    wanted = [*working.fields[field.name], *(item for item in op.items if item not in working.fields[field.name])]
    try:
        if field.check is not None:
            field.check(wanted)
        if len(wanted) > working.schema.limits.set_items_max:
            raise ValueError(f"{field.name} holds at most {working.schema.limits.set_items_max:,} items.")
    except (HoldfastError, ValueError) as error:
        working.leave("invalid", op, waits=True, path=op.path, mine=op.items, message=getattr(error, "detail", str(error)))
        return
    if any(getattr(other, "path", None) == op.path for entry in working.entries_since for other in entry.ops):
        working.merged = True
    working.take(op)


def _take_exclude(working: Working, op: ExcludeOp) -> None:
    kept = others_included(working.standing, op.path) if working.entries_since else {}
    kept = {item: seq for item, seq in kept.items() if item in op.items}
    if kept:
        working.merged = True
        working.leave("superseded", ExcludeOp(op.path, sorted(kept)), path=op.path, theirs=sorted(kept), seq=max(kept.values()))
        op = ExcludeOp(op.path, [item for item in op.items if item not in kept])
    if op.items:
        working.take(op)


