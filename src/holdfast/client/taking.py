"""Taking in what the server tells: pages of changes, records that come whole, snapshots. One transaction each: records, kept entries,
outbox and cursor move together or not at all.

Rules of the file.
- An entry is applied only if it is newer than the record's position; a page's cursor never moves this device back.
- An own entry takes its row out of the outbox. A row whose entry the cursor has passed without showing it leaves too: its record is
  hidden from this person. Whatever leaves is kept (`unseen`): a server that is put back has to be given it again.
- A record that comes whole while own work of its stands in the outbox is not taken over: it may hold that work already. It is asked for
  (`wanted`), as the entries since the position that is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from holdfast.client.device import Device
from holdfast.client.outbox import Answer, Key, OutboxRow, as_sent
from holdfast.client.replica_store import Before, Kept, Line, ReceiptRow
from holdfast.client.unseen import unseen
from holdfast.core import position
from holdfast.core.entry import Entry, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.messages import Change, PullReply
from holdfast.core.ops import Op, SpliceOp
from holdfast.core.rebase import Ground, View, advance, came_back, entry_of, follow, held_splices
from holdfast.core.schema import Collection
from holdfast.runtime import collecting_later

__all__ = ["RECEIPT_DAYS", "begin_snapshot", "end_snapshot", "row_of_view", "take_page", "take_records", "take_snapshot_lines"]

DAY_MS: Final = 86_400_000
KEPT_DAYS: Final = 30
RECEIPT_DAYS: Final = 90
PRUNE_EVERY_MS: Final = 3_600_000


def row_of_view(view: Mapping[str, Any]) -> Row:
    """A record view of the wire as a row."""
    seq, prefix = position.parse(view["position"])
    return Row(collection=view["collection"], id=view["id"], fields=view["fields"], contract=view["contract"], deleted=view["deleted"],
               rev=view["rev"], last=seq, last_prefix=prefix)


@dataclass(slots=True)
class _Standing:
    """A record with own work, while a page is taken in."""

    lane: list[OutboxRow]
    since: list[Entry]
    context: Any


@dataclass(slots=True)
class _Page:
    """What one page comes to. Nothing of it is in the device before the commit."""

    device: Device
    ids: set[str] = field(init=False)
    rows: dict[Key, Row | None] = field(default_factory=dict)
    changed: set[Key] = field(default_factory=set)
    standing: dict[Key, _Standing] = field(default_factory=dict)
    contexts: set[Key] = field(default_factory=set)
    kept: list[Kept] = field(default_factory=list)
    done: list[OutboxRow] = field(default_factory=list)
    receipts: list[ReceiptRow] = field(default_factory=list)
    lines: list[tuple[Key, Line]] = field(default_factory=list)
    wanted: set[Key] = field(default_factory=set)
    unwanted: set[Key] = field(default_factory=set)
    stamp: int = 0
    settled_inbox: bool = False

    def __post_init__(self) -> None:
        self.ids = self.device.ids

    # -- what a page brings -----------------------------------------------------------------------------------------------

    def row(self, key: Key) -> Row | None:
        if key not in self.rows:
            self.rows[key] = self.device.pulled(key)
        return self.rows[key]

    def stand(self, key: Key) -> _Standing | None:
        standing = self.standing.get(key)
        if standing is None and key in self.device.lanes:
            ground = self.device.ground(key)
            standing = self.standing[key] = _Standing(list(self.device.lanes[key]), list(ground.since), ground.context)
        return standing

    def whole(self, row: Row) -> None:
        """A record as it stands at the server."""
        key, here = (row.collection, row.id), self.row((row.collection, row.id))
        if key[0] not in self.device.schema.collections or (here is not None and here.last >= row.last):
            return
        if key in self.device.lanes:
            self.wanted.add(key)
            return
        self.rows[key] = row
        self.changed.add(key)

    def forget(self, key: Key) -> None:
        """This person may not see the record any longer. Outbox and base stay."""
        self.rows[key] = None
        self.changed.add(key)

    def change(self, change: Change, now: int) -> None:
        collection = self.device.schema.collections.get(change.collection)
        key = (change.collection, change.record_id)
        if collection is None or key in self.device.wanted or key in self.wanted:
            return                                      # what is wanted comes with all entries since
        mine = self.device.by_id.get(change.mutation_id) if change.device_id in self.ids else None
        row, standing = self.row(key), self.stand(key)
        try:
            followed = follow(row, change, collection)
        except HoldfastError:
            self.wanted.add(key)
            return
        if change.kind in ("resolve", "redecide") or change.inbox_id is not None:
            self.settled_inbox = True
        if followed is None:
            if mine is not None and row is not None:    # it came with the record as a whole
                self.finish(mine, change.seq, change.outcome or "applied", change.inbox_id, now)
                self._keep_unseen(mine, change, now)
            return
        after, undo = followed
        is_known = mine is None and self._came_back_before(change)
        if not is_known:
            self._keep(change, undo, row, after, collection, mine, now)
        if mine is not None and standing is not None:
            standing.context = came_back(Ground(row, standing.since, standing.context), as_sent(mine), change,
                                         mine.made.device_id or self.device.device_id, collection)
            self.contexts.add(key)
            self.finish(mine, change.seq, change.outcome or "applied", change.inbox_id, now)
            standing.lane = [one for one in standing.lane if one is not mine]
        elif standing is not None and not is_known:
            standing.since.append(entry_of(change, undo))
        self.rows[key] = after
        self.changed.add(key)
        self.stamp = max(self.stamp, after.stamp)

    def _came_back_before(self, change: Change) -> bool:
        """An own entry that left the outbox long ago: a record that was forgotten comes again with all of its entries. It is kept as what
        it was; to own work it is no rival."""
        return change.device_id in self.device.ids and self.device.store.receipt(change.mutation_id) is not None

    def _keep(self, change: Change, undo: list[Op], row: Row | None, after: Row, collection: Collection, mine: OutboxRow | None,
              now: int) -> None:
        stamped = {} if row is None else {name: row.fields.get(name) for name, one in collection.fields.items() if one.stamped is not None}
        before = Before() if row is None else Before(last=row.last, prefix=row.last_prefix, rev=row.rev, stamp=row.stamp, stamped=stamped)
        held: list[Op] | None = None
        if mine is not None and change.outcome == "held":
            held = self._as_it_would_have_been(mine, change, row)
        self.kept.append(Kept(change=change, undo=undo, before=before, own=mine is not None, at=now,
                              sent=None if mine is None else mine.made, sent_row=0 if mine is None else mine.row, held=held))

    def _as_it_would_have_been(self, mine: OutboxRow, change: Change, row: Row | None) -> list[Op]:
        """The splices that were held, on the record as it stood: what has to be made again should this history be lost."""
        standing = self.standing.get(mine.key)
        held = held_splices(mine.made.ops, change)
        if not held or standing is None:
            return []
        expected = advance(View(row, standing.context), self.device.pending(mine), standing.since, self.device.device_id,
                           self.device.actor_id, self.device.showing, 0).rebased[0]
        splices: list[Op] = [op for op in expected if isinstance(op, SpliceOp)]
        return splices[-len(held):]

    def finish(self, row: OutboxRow, seq: int, outcome: str, inbox_id: str | None, now: int) -> None:
        """A row leaves the outbox: the server has it, and this device has what became of it."""
        self.done.append(row)
        self.receipts.append(ReceiptRow(row.mutation_id, row.collection, row.record_id, seq, outcome, inbox_id, now))
        self.lines.append((row.key, Line(row.mutation_id, row.made.device_id or self.device.device_id, seq)))

    def _keep_unseen(self, row: OutboxRow, change: Change | None, now: int) -> None:
        kept = unseen(row, self.device.device_id, self.device.actor_id, row.answer, change, now)
        if kept is not None:
            self.kept.append(kept)

    def finish_answered(self, row: OutboxRow, answer: Answer, now: int) -> None:
        """A row leaves the outbox by its acknowledgement alone."""
        self.finish(row, answer.seq, answer.outcome, answer.inbox_id, now)
        self._keep_unseen(row, None, now)

    def pass_hidden(self, cursor_seq: int, behind: Sequence[str], now: int) -> None:
        """Acknowledged rows whose entry the cursor has passed."""
        finished = {row.mutation_id for row in self.done}
        for row in list(self.device.by_id.values()):
            answer = row.answer
            if (row.state == "acknowledged" and answer is not None and answer.seq <= cursor_seq and row.mutation_id not in finished
                    and row.collection not in behind and row.key not in self.device.wanted and row.key not in self.wanted):
                self.finish_answered(row, answer, now)
                standing = self.stand(row.key)
                if standing is not None:
                    standing.lane = [one for one in standing.lane if one is not row]
                    self.contexts.add(row.key)
                self.changed.add(row.key)

    # -- the commit -------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        store = self.device.store
        rows = [row for key in sorted(self.changed) if (row := self.rows.get(key)) is not None]
        store.put_records(rows, int(self.device.meta.get("sweep", 0)))
        for key in self.changed:
            if key in self.rows and self.rows[key] is None:
                store.drop_record(key)
        store.keep(self.kept)
        store.drop(self.done)
        store.put_receipts(self.receipts)
        store.put_lines(self.lines)
        store.want(self.wanted)
        store.unwant(self.unwanted)
        for key in self.contexts:
            standing = self.standing[key]
            store.put_context(key, standing.context if standing.lane else None)

    def adopt(self) -> None:
        """After the commit: what is in memory follows."""
        device = self.device
        device.settle(self.done)
        device.wanted |= self.wanted
        device.wanted -= self.unwanted
        keys = self.changed | set(self.standing)
        device.forget_views(self.standing)
        device.remember({key: self.rows.get(key) for key in self.changed})
        device.note_stamp(self.stamp)
        device.tell(keys)


# -- pages -------------------------------------------------------------------------------------------------------------------


@collecting_later()
def take_page(device: Device, reply: PullReply, *, start: str | None) -> bool:
    """Take in the reply of a pull from cursor `start`, or a message of the socket that follows it. False: it is older than what is here,
    or for another cursor, and nothing was done. Raises WorldErrors."""
    now = device.runtime.now_ms()
    device.raise_unless_written()
    with device.file.writing("keeping what was pulled"):
        device.take_in_others()
        if device.meta.get("cursor") != start or seq_of(reply.cursor) < seq_of(start):
            return False
        page = _Page(device)
        ahead = {view["collection"] for view in reply.records if _is_ahead(device, view)}
        for view in reply.records:
            if view["collection"] not in ahead:
                page.whole(row_of_view(view))
        for one in reply.forget:
            page.forget((one["collection"], one["id"]))
        here = device.pulled_of({(change.collection, change.record_id) for change in reply.changes} - page.rows.keys())
        page.rows.update(here)
        for change in reply.changes:
            page.change(change, now)
        behind = sorted({*device.meta.get("behind", ()), *reply.upgrade_required, *ahead})
        page.pass_hidden(seq_of(reply.cursor), behind, now)
        page.write()
        meta: dict[str, Any] = {"cursor": reply.cursor, "head": max(reply.head, seq_of(reply.cursor)), "backed_up_seq": reply.backed_up_seq}
        if behind != device.meta.get("behind", []):
            meta["behind"] = behind
        if page.settled_inbox:
            meta["inbox_stale"] = True
        if page.done:
            meta["synced_at"] = now
        if _prune(device, reply.backed_up_seq, now):
            meta["pruned_at"] = now
        device.store.put_meta(meta)
    device.meta.update(meta)
    page.adopt()
    return True


def _prune(device: Device, backed_up: int, now: int) -> bool:
    """Drop what need not be kept any longer; now and then."""
    if now - int(device.meta.get("pruned_at", 0)) < PRUNE_EVERY_MS and backed_up == device.meta.get("backed_up_seq"):
        return False
    floor = device.store.prune_kept(backed_up=backed_up, before=now - KEPT_DAYS * DAY_MS, spared=list(device.lanes))
    if floor is not None:
        device.store.put_meta({"floor": floor})
        device.meta["floor"] = floor
    device.store.prune_receipts(now - RECEIPT_DAYS * DAY_MS)
    return True


def take_records(device: Device, lines: Sequence[Mapping[str, Any]], asked: Sequence[Key]) -> None:
    """Take in the records that were asked for, each as the entries since the position that is here. Raises WorldErrors."""
    device.raise_unless_written()
    with device.file.writing("keeping records"):
        device.take_in_others()
        page = _Page(device)
        device.wanted -= set(asked)                     # their entries are to be taken now
        try:
            for line in lines:
                _take_line(page, line)
            page.unwanted = set(asked) - page.wanted
            page.write()
        except BaseException:
            device.wanted |= set(asked)
            raise
    page.adopt()


def _is_ahead(device: Device, line: Mapping[str, Any]) -> bool:
    """Whether a record is under a newer contract than this program's, which cannot read it: what is here of it stays."""
    collection = device.schema.collections.get(line["collection"])
    return collection is not None and int(line.get("contract") or 0) > collection.contract


def _take_line(page: _Page, line: Mapping[str, Any]) -> None:
    key = (line["collection"], line["id"])
    now = page.device.runtime.now_ms()
    if _is_ahead(page.device, line):
        return
    if line.get("forget"):
        page.forget(key)
    elif "changes" in line:
        for change in msgspec.convert(line["changes"], list[Change]):
            page.change(change, now)
    else:
        _take_whole(page, row_of_view(line), now)


def _take_whole(page: _Page, row: Row, now: int) -> None:
    """A record whose entries are not to be had (erased, another history). What the server has acknowledged of it is in it; what may have
    arrived must be answered first."""
    key = (row.collection, row.id)
    lane = page.device.lanes.get(key, [])
    if any(one.state == "sent" for one in lane):
        page.wanted.add(key)
        return
    for one in lane:
        if one.answer is not None and one.state == "acknowledged" and one.answer.seq <= row.last:
            page.finish_answered(one, one.answer, now)
    page.stand(key)
    page.rows[key] = row
    page.changed.add(key)


# -- snapshots ---------------------------------------------------------------------------------------------------------------


def begin_snapshot(device: Device, cursor: str, collections: Sequence[str] | None) -> None:
    """A snapshot starts with its cursor. `collections` None: of everything this device keeps."""
    sweep = int(device.meta.get("sweep", 0)) + 1
    names = None if collections is None else list(collections)
    device.put_meta(sweep=sweep, snapshot={"cursor": cursor, "after": None, "collections": names})


def take_snapshot_lines(device: Device, lines: Sequence[Mapping[str, Any]]) -> None:
    """Take in some lines of it, in order. Raises WorldErrors."""
    device.raise_unless_written()
    progress = dict(device.meta["snapshot"])
    with device.file.writing("keeping a snapshot"):
        device.take_in_others()
        page, sweep = _Page(device), int(device.meta["sweep"])
        for line in lines:
            key = (line["collection"], line["id"])
            if _is_ahead(device, line):
                progress["behind"] = sorted({*progress.get("behind", ()), key[0]})
            elif "changes" in line or line.get("forget"):
                _take_line(page, line)
            else:
                page.whole(row_of_view(line))
            progress["after"] = f"{key[0]}/{key[1]}"
        page.write()
        for line in lines:
            if not line.get("forget"):
                device.store.touch_record((line["collection"], line["id"]), sweep)
        device.store.put_meta({"snapshot": progress})
    device.meta["snapshot"] = progress
    page.adopt()


def end_snapshot(device: Device) -> None:
    """Everything has come: what was not in it is forgotten, and the cursor is the snapshot's. Raises WorldErrors."""
    device.raise_unless_written()
    progress = device.meta["snapshot"]
    names = progress["collections"] or list(device.schema.collections)
    with device.file.writing("keeping a snapshot"):
        device.take_in_others()
        page = _Page(device)
        for key in device.store.unswept(names, int(device.meta["sweep"])):
            page.forget(key)
        behind = [*(name for name in device.meta.get("behind", ()) if name not in names), *progress.get("behind", ())]
        meta: dict[str, Any] = {"snapshot": None, "behind": behind, "inbox_stale": True}
        if progress["collections"] is None:
            meta |= {"reset": False, "floor": device.meta.get("floor") or progress["cursor"]}
        meta["contracts"] = {**device.meta.get("contracts", {}), **{name: device.schema.collections[name].contract for name in names}}
        if progress["collections"] is None:
            meta["cursor"] = progress["cursor"]
            meta["head"] = max(int(device.meta.get("head", 0)), seq_of(progress["cursor"]))
            page.pass_hidden(seq_of(progress["cursor"]), behind, device.runtime.now_ms())
        page.write()
        device.store.put_meta(meta)
    device.meta.update(meta)
    page.adopt()


def seq_of(cursor: str | None) -> int:
    return 0 if cursor is None else position.parse(cursor)[0]

