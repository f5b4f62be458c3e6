"""Undoing what a restored server lacks, and putting own work back into the outbox as if what is gone had never been.

Theory. Everything pulled after the last shared entry is undone by its exact inverse, newest first: the records stand as they stood there,
and what the server has since is taken in as usual. Own work since then (pulled, acknowledged, sent, pending) is one line of changes on the
shared state, between others' changes that are gone. What of it the server does not have is made anew: transformed past the inverses of
those others' changes (`core.rebase.without`), with the shared position as its base. `after` needs no repair: all own mutations after
the shared entry are put back, so the chain is whole.

Rules of the file.
- One transaction, of which nothing is told before its end: nobody edits in the middle of it.
- A mutation that had been sent is made anew under its id: it remembers its first content (`first`). Should a message from before the
  reset still arrive, the server has that, and says `id_reused` to the new one: it is sent as it was at first, and acknowledged so.
- A record whose kept entries do not lead back is dropped and asked for. So is one with own work that was never seen to come back
  (`client.unseen`); where that was made on what is shared, it is sent again as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.client.changes import moved_edits
from holdfast.client.device import Device, with_changes
from holdfast.client.outbox import ACTIONS, Key, OutboxRow, base_seq
from holdfast.client.replica_store import Kept, Line
from holdfast.client.taking import take_page
from holdfast.client.unseen import are_as_sent
from holdfast.core import position, text
from holdfast.core.entry import Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Context
from holdfast.core.messages import Change, PullReply
from holdfast.core.ops import Op, SpliceOp
from holdfast.core.rebase import Step, follow, show, undone, without

__all__ = ["recover", "recover_unshared", "worked_on"]


@dataclass(slots=True)
class _Past:
    """One record's lost entries, oldest first, and how it stood before them."""

    row: Row | None
    lost: list[Kept] = field(default_factory=list)
    is_broken: bool = False


@dataclass(slots=True)
class _Plan:
    """What to make anew of one record. `steps` are its past since the shared entry, each with its mutation id where it is an own one;
    `sent` says which of those may have reached a server, `elsewhere` which were made on what is gone. `base`: what they rest on then;
    `is_as_sent`: they are sent again as they are."""

    stood: Row | None
    steps: list[tuple[Step, str]]
    sent: set[str]
    elsewhere: set[str]
    base: str | None
    is_as_sent: bool


# -- a shared entry ----------------------------------------------------------------------------------------------------------


def recover(device: Device, shared: str, pages: Sequence[PullReply]) -> None:
    """Go back to the entry at position `shared`, take in what the server has since (`pages`), and put back what it lacks. Raises
    WorldErrors; then nothing was done."""
    since = position.parse(shared)[0]
    device.raise_unless_written()
    with device.silently():
        try:
            with device.file.writing("going back to what the server has"):
                device.take_in_others()
                pasts = _undo(device, device.store.kept_after(since))
                plans = _plans(device, pasts, since, shared)
                _go_back(device, pasts, plans, since, shared)
                for page in pages:
                    take_page(device, page, start=device.meta["cursor"])
                for key, plan in plans.items():
                    _make_anew(device, key, plan)
        finally:
            device.load()


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
        if past.is_broken or not one.seen or row is None or row.last != one.change.seq:
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


def _plans(device: Device, pasts: Mapping[Key, _Past], since: int, shared: str | None) -> dict[Key, _Plan]:
    """The records of which own work has to be made anew. What was made on the shared state or before, and never answered, stays."""
    plans: dict[Key, _Plan] = {}
    for key in sorted({*pasts, *(key for key in device.lanes if key[0] != ACTIONS)}):
        past, lane = pasts.get(key), device.lanes.get(key, [])
        lost = past.lost if past is not None else []
        if any(one.own for one in lost) or any(row.state == "acknowledged" or (row.base_seq or 0) > since for row in lane):
            sent = {one.change.mutation_id for one in lost if one.own} | {row.mutation_id for row in lane if _may_have_arrived(row)}
            elsewhere = {one.change.mutation_id for one in lost if one.sent is not None and (base_seq(one.sent) or 0) > since}
            elsewhere |= {row.mutation_id for row in lane if (row.base_seq or 0) > since}
            stood = device.pulled(key) if past is None else past.row
            base = _position_of(stood) if past is None or not past.is_broken else _base_of_line(lost, lane, shared)
            plans[key] = _Plan(stood, _steps(device, key, lost, lane), sent, elsewhere, base, are_as_sent(lost, lane, since))
    return plans


def _position_of(row: Row | None) -> str | None:
    return None if row is None else f"{row.last}.{row.last_prefix}"


def _base_of_line(lost: Sequence[Kept], lane: Sequence[OutboxRow], shared: str | None) -> str | None:
    """What own work rests on where it is not known how the record stood: all that is shared, unless it began with the record itself."""
    made = [*(one.sent for one in lost if one.own and one.sent is not None), *(row.made for row in lane)]
    return None if made[0].base is None else shared


def _may_have_arrived(row: OutboxRow) -> bool:
    return row.state in ("sent", "acknowledged") or row.made.resent


def _steps(device: Device, key: Key, lost: Sequence[Kept], lane: Sequence[OutboxRow]) -> list[tuple[Step, str]]:
    """The record's past since the shared entry: what others did, what was one's own, and what is pending as it would be applied now."""
    steps: list[tuple[Step, str]] = []
    for one in lost:
        if not one.own or one.sent is None:
            steps.append((Step(one.change.ops, mine=False), ""))
        elif one.change.outcome == "held":
            steps.append((Step(_with_texts(one.sent.ops, one.held or ()), mine=True, applied=False), one.change.mutation_id))
        else:
            steps.append((Step(_with_texts(one.sent.ops, one.change.ops), mine=True), one.change.mutation_id))
    expected = show(device.ground(key), [device.pending(row) for row in lane], device.device_id, device.actor_id, device.showing, 0).rebased
    for row, ops in zip(lane, expected, strict=True):
        steps.append((Step(_with_texts(row.made.ops, ops), mine=True), row.mutation_id))
    return steps


def _with_texts(sent: Sequence[Op], applied: Sequence[Op]) -> list[Op]:
    """The mutation as it was sent, its splices as they were applied: on the record as it stood."""
    splices = iter([op for op in applied if isinstance(op, SpliceOp)])
    return [next(splices, op) if isinstance(op, SpliceOp) else op for op in sent]


def _go_back(device: Device, pasts: Mapping[Key, _Past], plans: Mapping[Key, _Plan], since: int, shared: str) -> None:
    """The file as it was at the shared entry, with all own work since then in the outbox."""
    store = device.store
    rows: list[OutboxRow] = []
    for key, plan in plans.items():
        lost = pasts[key].lost if key in pasts else []
        own = [_row_of(one) for one in lost if one.own and one.sent is not None]
        line = [*own, *device.lanes.get(key, [])]
        rows += [_undecided(row, since, sent=row.mutation_id in plan.sent) for row in line]
        after = line[0].made.after
        store.set_line(key, None if after is None else Line(after, line[0].made.device_id or device.device_id, since))
        store.put_context(key, None)
    for key in device.lanes.keys() - plans.keys():
        _shorten_context(device, key, since)
    store.put_records([past.row for past in pasts.values() if past.row is not None and not past.is_broken],
                      int(device.meta.get("sweep", 0)))
    for key, past in pasts.items():
        if past.is_broken or past.row is None:
            store.drop_record(key)
    store.want([key for key, past in pasts.items() if past.is_broken])
    store.put_back(rows)
    store.drop_receipts([row.mutation_id for row in rows])
    store.forget_kept(since)
    store.put_meta({"cursor": shared, "head": 0, "snapshot": None})
    device.load()


def _row_of(one: Kept) -> OutboxRow:
    assert one.sent is not None
    return OutboxRow(row=one.sent_row, mutation_id=one.change.mutation_id, collection=one.change.collection, record_id=one.change.record_id,
                     state="sent", made=one.sent)


def _undecided(row: OutboxRow, since: int, *, sent: bool) -> OutboxRow:
    """A row of which it is not known yet whether the server has it."""
    made = with_changes(row.made, elsewhere=(row.base_seq or 0) > since)
    return msgspec.structs.replace(row, state="sent" if sent else "unsent", made=made, answer=None)


def _shorten_context(device: Device, key: Key, since: int) -> None:
    """What others did after the shared entry is gone from what waits."""
    context = device.store.context(key)
    if context is not None and context.through > since:
        texts = {name: [one for one in waiting if one.seq <= since] for name, waiting in context.texts.items()}
        device.store.put_context(key, Context(texts, since))


def _make_anew(device: Device, key: Key, plan: _Plan) -> None:
    """What is still in the outbox of this record is not at the server."""
    left = {row.mutation_id: row for row in device.lanes.get(key, [])}
    if not left or plan.is_as_sent:
        return
    made = []
    for (_, mutation_id), ops in _own(plan, set(left), device.schema.collections[key[0]]):
        row = left.get(mutation_id)
        if row is not None:
            made.append(_anew(row, ops, plan.base, resent=mutation_id in plan.sent))
    device.store.change(made)


def _own(plan: _Plan, left: set[str], collection: Any) -> list[tuple[tuple[Step, str], list[Op]]]:
    """Each own step with what it comes to. What the server has, and was made on what is gone, is there as it was sent: it waits, and what
    was typed on it joins it. What the server has of the rest is as if what is gone had never been."""
    steps = [step if not step.mine or mutation_id in left or mutation_id not in plan.elsewhere
             else Step(step.ops, mine=True, applied=step.applied, frozen=step.ops)
             for step, mutation_id in plan.steps]
    mine = [one for one in plan.steps if one[0].mine]
    return list(zip(mine, without(steps, collection, None if plan.stood is None else plan.stood.fields), strict=True))


def _anew(row: OutboxRow, ops: list[Op], base: str | None, *, resent: bool, **more: Any) -> OutboxRow:
    first = with_changes(row.made.first or row.made, first=None, elsewhere=False) if resent else None
    made = with_changes(row.made, ops=ops, base=base, resent=resent, first=first, device_id="", elsewhere=False, **more)
    return msgspec.structs.replace(row, state="unsent", made=made, answer=None)


# -- nothing shared ----------------------------------------------------------------------------------------------------------


def worked_on(device: Device) -> list[Key]:
    """The records with own work that another server may lack."""
    kept = {(one.change.collection, one.change.record_id) for one in device.store.kept_after(0) if one.own}
    return sorted({key for key in {*kept, *device.lanes} if key[0] in device.schema.collections})


def recover_unshared(device: Device, found: Mapping[Key, list[Change] | None]) -> None:
    """The server is another one under the same name, or was put back further than anything kept here. Own work that it does not have
    (`found`: all it has of these records) is made anew on what stands there: texts are carried over by what differs. The device takes a
    new id, because its lines there are not the ones it knows. A snapshot is to follow."""
    with device.silently():
        try:
            with device.file.writing("going over to another server's history"):
                device.take_in_others()
                pasts = _undo(device, device.store.kept_after(0))
                plans = _plans(device, pasts, -1, None)
                old = device.ids
                _go_back(device, pasts, plans, 0, "0.00000000")
                for key, plan in plans.items():
                    _make_over(device, key, plan, found.get(key), old)
                device.store.put_meta({"cursor": None, "reset": True, "floor": None, "forking": False, "device_id": device.runtime.uuid7(),
                                       "former_ids": sorted(old)})
        finally:
            device.load()


def _make_over(device: Device, key: Key, plan: _Plan, changes: list[Change] | None, ids: set[str]) -> None:
    collection = device.schema.collections[key[0]]
    there: Row | None = None
    for change in changes or ():
        followed = follow(there, change, collection)
        there = there if followed is None else followed[0]
    known = {change.mutation_id for change in changes or () if change.device_id in ids}
    lane = {row.mutation_id: row for row in device.lanes.get(key, [])}
    now = {name: one for name, one in (there.fields if there is not None else {}).items() if isinstance(one, str)}
    own = {name: one for name, one in (plan.stood.fields if plan.stood is not None else {}).items() if isinstance(one, str)}
    base = None if there is None else f"{there.last}.{there.last_prefix}"
    made: list[OutboxRow] = []
    for (_, mutation_id), ops in _own(plan, set(lane) - known, collection):
        carried = [_carried(op, own, now, is_there=mutation_id in known) for op in ops]
        row = lane.get(mutation_id)
        if row is not None and mutation_id not in known:
            after = made[-1].mutation_id if made else None
            made.append(_anew(row, carried, base, resent=mutation_id in plan.sent, after=after, forked_from=None))
    device.store.drop([lane[one] for one in known if one in lane])
    device.store.change(made)
    device.store.set_line(key, None)
    if there is None:
        device.store.drop_record(key)
    else:
        device.store.put_records([there], int(device.meta.get("sweep", 0)))


def _carried(op: Op, own: dict[str, str], now: dict[str, str], *, is_there: bool) -> Op:
    """A splice of the own text on the text as it stands there; both go on with it."""
    name = getattr(op, "path", "/")[1:]
    if not isinstance(op, SpliceOp) or name not in now:
        return op
    before = own.get(name, "")
    change = text.from_edits(op.edits)
    before += text.PLACEHOLDER * max(0, text.span(change) - len(before))
    own[name] = text.apply(before, change)
    if is_there:
        return op
    edits = moved_edits(op.edits, before, now[name])
    now[name] = text.apply(now[name], text.from_edits(edits))
    return SpliceOp(op.path, edits)
