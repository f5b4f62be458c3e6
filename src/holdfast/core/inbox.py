"""What a person decides about an inbox item: apply it, give a value instead, or discard it. The result is decided anew, with
the resolver's own right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from holdfast.core import text
from holdfast.core.entry import Entry, HeldText, Item, Row, TextChange
from holdfast.core.items import part_place
from holdfast.core.ops import CreateOp, DeleteOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.plan import Plan
from holdfast.core.pointer import overlaps
from holdfast.core.schema import Collection
from holdfast.core.waiting import change_of, pass_over, stands_left

__all__ = ["left_after", "plan", "text_as_applied"]


def plan(
    item: Item, row: Row | None, how: Literal["apply", "value", "discard"], values: Mapping[str, Any] | None, later: Sequence[Entry],
    collection: Collection,
) -> Plan:
    """What resolving comes to. `later`: all entries of the record newer than the item was opened, rising (they are what a held text
    must be carried over). `values`: for "value", JSON Pointer -> value; places not named go on waiting."""
    if how == "discard":
        return Plan([])
    deleted = row is not None and row.deleted
    if how == "value":
        given = dict(values or {})
        ops: list[Op] = [UnsetOp(path) if value is None else SetOp(path, value) for path, value in given.items()]
        left = [part for part in item.parts if not any(overlaps(part_place(part), path) for path in given)]
        return Plan(ops, remaining=left, undelete=deleted)
    alone = next((part for part in item.parts if isinstance(part.op, CreateOp | DeleteOp | UndeleteOp)), None)
    if alone is not None and alone.op is not None:
        return Plan([alone.op], remaining=[part for part in item.parts if part is not alone])
    ops = [part.op for part in item.parts if part.op is not None]
    for name, texts in item.texts.items():
        change = text_as_applied(item, texts, name, later, collection)
        if change:
            ops.append(SpliceOp("/" + name, text.to_edits(change)))
    return Plan(ops, undelete=deleted)


def left_after(item: Item, plan: Plan) -> Item | None:
    """What of the item goes on waiting once `plan` was settled; None: nothing, the item is closed."""
    if not plan.remaining:
        return None
    places = {part_place(part) for part in plan.remaining}
    texts = {name: texts for name, texts in item.texts.items() if "/" + name in places}
    return msgspec.structs.replace(item, parts=list(plan.remaining), texts=texts)


def text_as_applied(item: Item, texts: Sequence[HeldText], name: str, later: Sequence[Entry], collection: Collection) -> TextChange:
    """The held compositions, each rebased once: over what waited when it was held, over all that was applied since, and over the
    one before."""
    whole: TextChange = []
    default = str(collection.fields[name].default or "")
    for held in texts:
        _, change = pass_over(held.waiting, held.change, item.device_id)
        for entry in later:
            theirs = change_of(entry.ops, name, default) if entry.seq > held.seq else []
            if theirs:
                _, change = text.transform(theirs, change, stands_left(entry.device_id, item.device_id))
        whole = text.compose(whole, text.transform(whole, change, True)[1])
    return whole
