"""What is unsent, as JSON: to look at, to keep, to take elsewhere. An export holds all that is needed to make the same changes again,
and what each record looks like with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.client.changes import moved_edits
from holdfast.client.device import Device
from holdfast.client.outbox import ACTIONS, Key, OutboxRow
from holdfast.core import clock, text
from holdfast.core.entry import Row
from holdfast.core.errors import HoldfastError, Malformed
from holdfast.core.ops import CreateOp, Op, SpliceOp
from holdfast.core.stamping import iso

__all__ = ["export_unsent", "import_unsent", "listed"]

VERSION: Final = 1


def listed(device: Device, row: OutboxRow) -> dict[str, Any]:
    """One row of the outbox, for people and programs."""
    made, answer = row.made, row.answer
    found: dict[str, Any] = {
        "mutation_id": row.mutation_id, "collection": row.collection or None, "record_id": row.record_id, "state": row.state,
        "made_at": iso(made.made_at), "edited_at": clock.render(made.stamp), "base": made.base, "after": made.after,
        "contract": made.contract, "ops": msgspec.to_builtins(made.ops), "on_disk": row.row != 0,
    }
    if row.collection == ACTIONS:
        found |= {"action": row.record_id, "arguments": made.arguments, "record_id": None, "ops": []}
    if answer is not None and answer.error is not None:
        found["error"] = msgspec.to_builtins(answer.error)
    return found


def export_unsent(device: Device) -> dict[str, Any]:
    """Everything that the server has not acknowledged, refused work included."""
    rows = [*device.unanswered(), *device.refused]
    records = {f"{key[0]}/{key[1]}": shown for key in {row.key for row in rows if row.collection != ACTIONS}
               if (shown := _shown(device, key)) is not None}
    meta = device.meta
    return {"holdfast_replica": VERSION, "server": meta.get("server"), "tenant": meta.get("tenant"), "actor_id": meta.get("actor_id"),
            "device_id": meta.get("device_id"), "exported_at": iso(device.runtime.now_ms()), "mutations": [listed(device,
                                                                                                                  row) for row in rows],
            "records": records}


def _shown(device: Device, key: Key) -> dict[str, Any] | None:
    row = device.view(key).row if key[0] in device.schema.collections else None
    return None if row is None else dict(row.fields)


def import_unsent(device: Device, exported: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Make exported changes again here, under new ids, on what stands here: (how many, those that could not be made, with why). Raises
    Malformed for what is no export."""
    if exported.get("holdfast_replica") != VERSION or not isinstance(exported.get("mutations"), list):
        raise Malformed("This is no export of a replica.", hint="Give the JSON that `holdfast replica export` printed.")
    made, left = 0, []
    for one in exported["mutations"]:
        try:
            _make_again(device, one)
            made += 1
        except (HoldfastError, msgspec.ValidationError, KeyError) as error:
            left.append({**one, "why": getattr(error, "detail", str(error))})
    return made, left


def _make_again(device: Device, one: Mapping[str, Any]) -> None:
    if one.get("action"):
        device.edit((ACTIONS, one["action"]), lambda row: (), arguments=one.get("arguments") or {})
        return
    key = (one["collection"], one["record_id"])
    if key[0] not in device.schema.collections:
        raise Malformed(f"This program declares no collection {key[0]}.")
    ops = msgspec.convert(one["ops"], list[Op])

    def make(row: Row | None) -> list[Op]:
        if row is None and not isinstance(ops[0], CreateOp):
            raise Malformed("The record is not here.")
        return [_fitted(op, row) for op in ops]

    device.edit(key, make)


def _fitted(op: Op, row: Row | None) -> Op:
    """A splice that was made on another text reaches at most to the end of this one."""
    if not isinstance(op, SpliceOp) or row is None:
        return op
    now: str = row.fields[op.path[1:]]
    change = text.from_edits(op.edits)
    if text.fits(change, len(now)):
        return op
    stretched = now + text.PLACEHOLDER * (text.span(change) - len(now))
    return SpliceOp(op.path, moved_edits(op.edits, stretched, now))
