"""Undoing what a restored server lacks, and putting own work back into the outbox as if what is gone had never been.

Theory. Everything pulled after the last shared entry is undone by its exact inverse, newest first: the records stand as they stood there.
Own work since then (pulled, acknowledged, pending) is one line of changes on that state, between others' changes that are gone. Each own one is
transformed past the inverses of those others' (`core.rebase.without`) and put back, with the shared position as its base. `after` needs
no repair: all own mutations after the shared entry are put back, so the chain is whole.

Rules of the file.
- A mutation that may have been sent and was never answered keeps its content (`elsewhere` marks its base as another history's).
- What is put back remembers its first content (`first`): should the server have it after all, that is what it has.
- A record whose kept entries do not lead back is dropped and asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.client.device import Device, with_changes
from holdfast.client.outbox import ACTIONS, Key, Made, OutboxRow
from holdfast.client.replica_store import Kept, Line
from holdfast.core import position
from holdfast.core.entry import Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Context
from holdfast.core.ops import Op, SpliceOp
from holdfast.core.rebase import Step, show, undone, without

__all__ = ["forget_history", "rewind"]


@dataclass(slots=True)
class _Past:
    """One record's lost entries, oldest first, and how it stood before them."""

    row: Row | None
    lost: list[Kept] = field(default_factory=list)
    is_broken: bool = False


def rewind(device: Device, shared: str) -> None:
    """Go back to the entry at position `shared`, in one transaction. Raises WorldErrors."""
    since = position.parse(shared)[0]
    with device.file.writing("going back to what the server has"):
        device.take_in_others()
        pasts = _undo(device, device.store.kept_after(since))
        rows: list[OutboxRow] = []
        gone: list[OutboxRow] = []
        for key in sorted({*pasts, *(key for key in device.lanes if key[0] != ACTIONS)}):
            put_back, replaced = _put_back(device, key, pasts.get(key), since)
            rows += put_back
            gone += replaced
        _write_records(device, pasts)
        device.store.drop([row for row in gone if row.row])
        device.store.put_back(rows)
        device.store.drop_receipts([row.mutation_id for row in rows])
        device.store.forget_kept(since)
        device.store.put_meta({"cursor": shared, "rewound": True, "head": 0, "snapshot": None})
    device.load()
    device.tell(None)


def _undo(device: Device, newest_first: Sequence[Kept]) -> dict[Key, _Past]:
    pasts: dict[Key, _Past] = {}
    for one in newest_first:
        key = (one.change.collection, one.change.record_id)
        collection = device.schema.collections.get(key[0])
        if collection is None:
            continue
        past = pasts.get(key)
        if past is None:
            past = pasts[key] = _Past(device.pulled(key))
        past.lost.insert(0, one)
        row = past.row
        if past.is_broken or row is None or row.last != one.change.seq:
            past.is_broken = True
            continue
        try:
            past.row = None if not one.before.last else _before(undone(row, one.undo, collection), one)
        except HoldfastError:
            past.is_broken = True
    return pasts


def _before(row: Row, one: Kept) -> Row:
    before = one.before
    return msgspec.structs.replace(row, last=before.last, last_prefix=before.prefix, rev=before.rev, stamp=before.stamp,
                                   fields={**row.fields, **before.stamped})


def _write_records(device: Device, pasts: dict[Key, _Past]) -> None:
    device.store.put_records([past.row for past in pasts.values() if past.row is not None and not past.is_broken],
                             int(device.meta.get("sweep", 0)))
    for key, past in pasts.items():
        if past.is_broken or past.row is None:
            device.store.drop_record(key)
    device.store.want([key for key, past in pasts.items() if past.is_broken])


def _put_back(device: Device, key: Key, past: _Past | None, since: int) -> tuple[list[OutboxRow], list[OutboxRow]]:
    """(rows as they are now, rows they replace) of one record."""
    lane = device.lanes.get(key, [])
    lost = past.lost if past is not None else []
    own = [one for one in lost if one.own and one.sent is not None]
    if not own and not any(row.state == "acknowledged" or (row.base_seq or 0) > since for row in lane):
        _shorten_context(device, key, since)
        return [], []
    stood = device.pulled(key) if past is None else past.row
    base = None if stood is None else f"{stood.last}.{stood.last_prefix}"
    rows = [*(_row_of(one) for one in own), *lane]
    ops = without(_steps(device, key, lost, lane), device.schema.collections[key[0]], None if stood is None else stood.fields)
    made = [_as_put_back(row, own_ops, base) for row, own_ops in zip(rows, ops, strict=True)]
    device.store.put_context(key, None)
    first = made[0]
    after = first.made.after
    device.store.set_line(key, None if after is None else Line(after, first.made.device_id or device.device_id, since))
    return made, lane


def _row_of(one: Kept) -> OutboxRow:
    assert one.sent is not None
    return OutboxRow(row=one.sent_row, mutation_id=one.change.mutation_id, collection=one.change.collection, record_id=one.change.record_id,
                     state="acknowledged", made=one.sent)


def _steps(device: Device, key: Key, lost: Sequence[Kept], lane: Sequence[OutboxRow]) -> list[Step]:
    """The record's past since the shared entry: what others did, what was one's own, and what is pending as it would be applied now."""
    steps: list[Step] = []
    for one in lost:
        if not one.own or one.sent is None:
            steps.append(Step(one.change.ops, mine=False))
        elif one.change.outcome == "held":
            steps.append(Step(_with_texts(one.sent.ops, one.held or ()), mine=True, applied=False))
        else:
            steps.append(Step(_with_texts(one.sent.ops, one.change.ops), mine=True))
    expected = show(device.ground(key), [device.pending(row) for row in lane], device.device_id, device.actor_id, device.showing, 0).rebased
    for row, ops in zip(lane, expected, strict=True):
        steps.append(Step(_with_texts(row.made.ops, ops), mine=True, frozen=row.made.ops if row.state == "sent" else None))
    return steps


def _with_texts(sent: Sequence[Op], applied: Sequence[Op]) -> list[Op]:
    """The mutation as it was sent, its splices as they were applied: on the record as it stood."""
    splices = iter([op for op in applied if isinstance(op, SpliceOp)])
    return [next(splices, op) if isinstance(op, SpliceOp) else op for op in sent]


def _as_put_back(row: OutboxRow, ops: list[Op], base: str | None) -> OutboxRow:
    if row.state == "sent":
        return msgspec.structs.replace(row, made=with_changes(row.made, elsewhere=True))
    first = row.made.first or row.made
    resent = row.state == "acknowledged" or row.made.resent
    made = with_changes(row.made, ops=ops, base=base, resent=resent, first=_plain(first) if resent else None, device_id="", elsewhere=False)
    return msgspec.structs.replace(row, state="unsent", made=made, answer=None)


def _plain(made: Made) -> Made:
    return with_changes(made, first=None)


def _shorten_context(device: Device, key: Key, since: int) -> None:
    """What others did after the shared entry is gone from what waits."""
    context = device.store.context(key)
    if context is not None and context.through > since:
        texts = {name: [one for one in waiting if one.seq <= since] for name, waiting in context.texts.items()}
        device.store.put_context(key, Context(texts, since))


def forget_history(device: Device) -> None:
    """Nothing is shared: the server is another one under the same name, or was put back further than anything kept here. Own work that
    it acknowledged is put back under its ids, as it was sent; the server judges it on what it has. The device takes a new id, because
    its line there is not the one it knows."""
    with device.file.writing("going back to what the server has"):
        device.take_in_others()
        rows: list[OutboxRow] = []
        for key, owns in _own_by_record(device).items():
            after: str | None = None
            for one in [*(_row_of(kept) for kept in owns), *device.lanes.get(key, [])]:
                if one.state == "sent":
                    rows.append(msgspec.structs.replace(one, made=with_changes(one.made, elsewhere=True)))
                    continue
                made = with_changes(one.made, after=after, elsewhere=True, resent=one.state == "acknowledged" or one.made.resent,
                                    device_id="")
                rows.append(msgspec.structs.replace(one, state="unsent", made=made, answer=None))
                after = one.mutation_id
            device.store.put_context(key, None)
            device.store.set_line(key, None)
        device.store.drop([row for row in rows if row.row])
        device.store.put_back(rows)
        device.store.forget_kept(0)
        device.store.put_meta({"cursor": None, "snapshot": None, "reset": True, "rewound": False, "floor": None, "head": 0,
                               "forking": bool(rows) or bool(device.meta.get("forking"))})
    device.load()
    device.tell(None)


def _own_by_record(device: Device) -> dict[Key, list[Kept]]:
    found: dict[Key, list[Kept]] = {key: [] for key in sorted(device.lanes) if key[0] != ACTIONS}
    for one in reversed(device.store.kept_after(0)):
        if one.own and one.sent is not None and one.change.collection in device.schema.collections:
            found.setdefault((one.change.collection, one.change.record_id), []).append(one)
    return found
