"""The device: what the replica's file holds, what is shown of it, and the edit. Everything here runs in place and never waits.

Rules of the file.
- The file is the truth; what is kept in memory follows it. Memory changes after the commit, never before.
- Other processes write the same file: whoever begins a transaction first takes in what they wrote (`take_in_others`).
- If the file cannot be written, edits go on in memory (`unwritten`), in the same line, under ids of their own; `failure` says why. A
  row that is on the disk never takes in an edit that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from holdfast.client.outbox import ACTIONS, Answer, Key, Made, OutboxRow, joined, mutation_of
from holdfast.client.person import Person
from holdfast.client.rejoining import Place, rejoined, texts_of
from holdfast.client.replica_file import ReplicaFile
from holdfast.client.replica_store import Line, ReceiptRow, ReplicaStore
from holdfast.core import clock, position
from holdfast.core.entry import Entry, ForkedFrom, Row
from holdfast.core.errors import HoldfastError, StorageCorrupt, WorldError
from holdfast.core.ops import Op
from holdfast.core.rebase import Ground, Pending, View, advance, entry_of, show, showing
from holdfast.core.schema import Schema
from holdfast.engine.memory import Newest
from holdfast.model.contracts import upcast_mutation, upcast_row
from holdfast.runtime import Runtime

__all__ = ["JOIN_MS_MAX", "Device", "Make", "with_changes"]

JOIN_MS_MAX: Final = 2_000
CACHED_RECORDS_MAX: Final = 4_096

Make = Callable[[Row | None], Sequence[Op]]
"""Makes the ops of an edit from the record as it stands in the view."""


class Device:
    """One replica file, as one process sees it."""

    def __init__(self, file: ReplicaFile, schema: Schema, runtime: Runtime) -> None:
        self.file = file
        self.store = ReplicaStore(file)
        self.schema = schema
        self.runtime = runtime
        self.process = runtime.random_bytes(6).hex()
        self.meta: dict[str, Any] = {}
        self.lanes: dict[Key, list[OutboxRow]] = {}
        self.by_id: dict[str, OutboxRow] = {}
        self.refused: list[OutboxRow] = []
        self.wanted: set[Key] = set()
        self.unwritten: list[OutboxRow] = []            # not on the disk yet
        self.unsaved: dict[str, OutboxRow] = {}         # on the disk in an older state
        self.unsaved_lines: dict[Key, Line] = {}
        self.failure: WorldError | None = None
        self.person = Person()
        self.on_changed: list[Callable[[set[Key] | None], None]] = []
        self.on_edited: list[Callable[[], None]] = []
        self.showing = showing(schema)
        self._rows: Newest[Key, Row] = Newest(CACHED_RECORDS_MAX)
        self._views: Newest[Key, View] = Newest(CACHED_RECORDS_MAX)
        self._grounds: dict[Key, Ground] = {}
        self._joinable: set[str] = set()
        self._stood: dict[str, Mapping[str, Any]] = {}  # the fields on which each row was made that is in memory alone, by mutation
        self._clock = 0
        self._silent = False

    # -- what the file holds ----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read what is not read record by record: meta and the outbox. Raises WorldErrors."""
        with self.file.reading("reading the outbox"):
            self.meta = self.store.meta()
            rows = self.store.outbox()
            self.wanted = set(self.store.wanted())
        self.lanes, self.refused, self.by_id = {}, [], {}
        self._take_over_unsaved(rows)
        for row in [*rows, *(one for one in self.unwritten if one.row == 0)]:
            if row.state == "refused":
                self.refused.append(row)
            else:
                self.lanes.setdefault(row.key, []).append(row)
                self.by_id[row.mutation_id] = row
            self._clock = max(self._clock, row.made.stamp)
        self._rows.clear()
        self._views.clear()
        self._grounds.clear()
        self._rejoin()

    def _rejoin(self) -> None:
        """What is in memory alone goes on top of what others wrote meanwhile; where that cannot be read, it stays for now."""
        for key in dict.fromkeys(row.key for row in self.unwritten if row.state == "unsent" and row.collection != ACTIONS):
            lane = self.lanes[key]
            own = [row for row in lane if row.row == 0 and row.state == "unsent"]
            others = [row for row in lane if not any(row is one for one in own)]
            with suppress(WorldError):
                pulled, (after, forked_from) = self.pulled(key), self._after(key, others)
                place = Place(None if pulled is None else f"{pulled.last}.{pulled.last_prefix}", after, forked_from,
                              max((row.row for row in others), default=0))
                stands = show(self.ground(key), [self.pending(row) for row in others], self.device_id, self.actor_id, self.showing,
                              self.runtime.now_ms()).row
                stood = [self._stood[row.mutation_id] for row in own if row.mutation_id in self._stood]
                if stands is None or len(stood) < len(own):
                    continue
                if place.is_before(own[0].made) and texts_of(stands.fields) == texts_of(stood[0]):
                    continue
                for row, (made, here) in zip(own, rejoined(own, place, stood, stands.fields, with_changes), strict=True):
                    row.made, self._stood[row.mutation_id] = made, here

    def _take_over_unsaved(self, rows: Sequence[OutboxRow]) -> None:
        """What the disk could not take down of rows that it still has in the older state; of others it is void."""
        unsaved, self.unsaved = self.unsaved, {}
        for row in rows:
            newer = unsaved.get(row.mutation_id)
            if newer is not None and _STEPS[row.state] <= _STEPS[newer.state]:
                row.state, row.made, row.answer = newer.state, newer.made, newer.answer
                self.unsaved[row.mutation_id] = row

    def take_in_others(self) -> None:
        """Take in what other processes wrote since; called inside every transaction, and now and then."""
        if self.file.others_wrote():
            self.load()
            self.tell(None)

    def look_for_others(self) -> None:
        """Before a read: what other processes wrote shows too. A file that cannot be read leaves what is in memory."""
        with suppress(WorldError):
            self.take_in_others()

    @property
    def is_busy(self) -> bool:
        """Whether a transaction is open: what wants one of its own waits."""
        return self.file.in_transaction

    @contextmanager
    def silently(self) -> Iterator[None]:
        """What happens within is told once, at the end."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False
            self.tell(None)

    def tell(self, keys: set[Key] | None) -> None:
        """These records may look different now (None: any)."""
        if self._silent:
            return
        for listener in list(self.on_changed):
            listener(keys)

    @property
    def device_id(self) -> str:
        return str(self.meta["device_id"])

    @property
    def ids(self) -> set[str]:
        """This device's id and the ones it had before."""
        return {self.device_id, *self.meta.get("former_ids", ())}

    @property
    def actor_id(self) -> str:
        return str(self.meta.get("actor_id", ""))

    @property
    def cursor_seq(self) -> int:
        cursor = self.meta.get("cursor")
        return 0 if cursor is None else position.parse(cursor)[0]

    def put_meta(self, **values: Any) -> None:
        """Keep these values, in a transaction of their own."""
        with self.file.writing("keeping the device's state"):
            self.store.put_meta(values)
        self.meta.update(values)

    # -- what is shown ----------------------------------------------------------------------------------------------------

    def pulled(self, key: Key) -> Row | None:
        """The record as pulled."""
        row = self._rows.get(key)
        if row is None:
            with self.file.translated("reading a record"):
                row = self.store.record(key)
            if row is not None:
                row = self.present(row)
                self._rows.put(key, row)
        return row

    def pulled_of(self, keys: Iterable[Key]) -> dict[Key, Row | None]:
        """These records as pulled, set-wise; None: not here."""
        found: dict[Key, Row | None] = {}
        missing: dict[str, list[str]] = {}
        for key in keys:
            row = found[key] = self._rows.get(key)
            if row is None and key[0] in self.schema.collections:
                missing.setdefault(key[0], []).append(key[1])
        for collection, ids in missing.items():
            for row in self.store.records_of(collection, ids):
                found[collection, row.id] = self.present(row)
        return found

    def present(self, row: Row) -> Row:
        """A row that was pulled under an older contract, as the present one reads it."""
        collection = self.schema.collections[row.collection]
        if row.contract >= collection.contract:
            return row
        try:
            return upcast_row(row, collection)
        except HoldfastError:       # shown as it was; the snapshot that follows brings the server's own
            return row

    def ground(self, key: Key) -> Ground:
        """What the view of a record with own work stands on."""
        ground = self._grounds.get(key)
        if ground is None:
            row, since, lane = self.pulled(key), list[Entry](), self.lanes.get(key, ())
            with self.file.translated("reading a record"):
                context = self.store.context(key)
                if lane:
                    oldest = min(row.base_seq or 0 for row in lane)
                    since = [entry_of(one.change, one.undo) for one in self.store.kept_of_record(key, oldest, others_only=True)]
            ground = Ground(row, since, context)
            if lane:
                self._grounds[key] = ground
        return ground

    def view(self, key: Key) -> View:
        """The record as a person sees it. Raises StorageCorrupt and other WorldErrors, where it is not in memory."""
        lane = self.lanes.get(key)
        if not lane:
            return View(self.pulled(key), None)
        view = self._views.get(key)
        if view is None:
            view = show(self.ground(key), [self.pending(row) for row in lane], self.device_id, self.actor_id, self.showing,
                        self.runtime.now_ms())
            self._views.put(key, view)
        return view

    def pending(self, row: OutboxRow) -> Pending:
        """A row of the outbox as the view is made from it: under the present contract."""
        mutation = mutation_of(row)
        collection = self.schema.collections[row.collection]
        if mutation.contract != collection.contract:
            with suppress(HoldfastError):   # the server holds what does not fit; until then it is shown as it was made
                mutation = upcast_mutation(mutation, collection)
        return Pending(mutation, row.base_seq, row.made.stamp)

    def keys(self, collection: str) -> set[Key]:
        """Records with own work, of one collection."""
        return {key for key in self.lanes if key[0] == collection}

    def remember(self, rows: Mapping[Key, Row | None]) -> None:
        """Records as pulled, just written; None: gone. What is shown of them is made anew."""
        for key, row in rows.items():
            if row is None:
                self._rows.drop(key)
            else:
                self._rows.put(key, row)
            if key in self.lanes or key in self._grounds:
                self._views.drop(key)
                self._grounds.pop(key, None)

    def note_stamp(self, stamp: int) -> None:
        """The next edit is later than what was seen."""
        self._clock = max(self._clock, stamp)

    def forget_views(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._rows.drop(key)
            self._views.drop(key)
            self._grounds.pop(key, None)

    # -- the edit ---------------------------------------------------------------------------------------------------------

    def edit(self, key: Key, make: Make, *, atomic: bool = False, arguments: Any = None) -> OutboxRow | None:
        """Append an edit to the record's line; durable when this returns, unless `failure` says otherwise. `make` gets the record as it
        stands in the view; no ops: nothing is written, None. Raises what `make` raises."""
        edit: _Edit | None = None
        try:
            with self.file.writing("saving an edit"):
                self.take_in_others()
                edit = self._edited(key, make, atomic, arguments, in_memory=False)
                if edit is None:
                    return None
                numbers = self.write_unwritten()
                if edit.into is None:
                    numbers.append((edit.row, self.store.add(edit.row)))
                else:
                    self.store.change([edit.row])
            self.note_written(numbers)
        except WorldError as error:
            # A disk that fails may have kept it all the same: under the same id it is one.
            failed_id = edit.row.mutation_id if edit is not None and edit.into is None else None
            edit = self._edit_in_memory(error, key, make, atomic, arguments, failed_id)
            if edit is None:
                return None
        return self._adopt(edit)

    def _edit_in_memory(self, error: WorldError, key: Key, make: Make, atomic: bool, arguments: Any,
                        mutation_id: str | None) -> _Edit | None:
        """Go on without the disk. Raises the error again for a file that is damaged where the record would have to be read."""
        self.failure = error
        if isinstance(error, StorageCorrupt) and key not in self.lanes and self._rows.get(key) is None:
            raise error
        row = None if key[0] == ACTIONS else self.view(key).row
        edit = self._edited(key, make, atomic, arguments, in_memory=True)
        if edit is not None and edit.into is None:
            if mutation_id is not None:
                edit.row.mutation_id = mutation_id
            self.unwritten.append(edit.row)
            self._stood[edit.row.mutation_id] = {} if row is None else row.fields
        return edit

    def _edited(self, key: Key, make: Make, atomic: bool, arguments: Any, *, in_memory: bool) -> _Edit | None:
        is_action = key[0] == ACTIONS
        ops = [] if is_action else list(make(self.view(key).row))
        if not ops and not is_action:
            return None
        now, lane = self.runtime.now_ms(), self.lanes.get(key, [])
        pulled = None if is_action else self.pulled(key)
        base = None if pulled is None else f"{pulled.last}.{pulled.last_prefix}"
        stamp = clock.receive(self._clock, 0 if pulled is None else pulled.stamp, now)
        last = lane[-1] if lane else None
        if last is not None and not is_action and self._may_join(last, base, atomic, now, in_memory):
            both = joined(last.made.ops, ops)
            if both is not None:
                made = with_changes(last.made, ops=both, stamp=stamp, changed_at=now)
                return _Edit(msgspec.structs.replace(last, made=made), ops, last)
        after, forked_from = (None, None) if is_action else self._after(key, lane)
        made = Made(ops=ops, stamp=stamp, contract=1 if is_action else self.schema.collections[key[0]].contract, made_at=now,
                    changed_at=now,
                    base=base, after=after, atomic=atomic, forked_from=forked_from, process=self.process,
                    seen=max((row.row for row in lane), default=0), arguments=arguments)
        return _Edit(OutboxRow(row=0, mutation_id=self.runtime.uuid7(), collection=key[0], record_id=key[1], state="unsent", made=made),
                     ops)

    def _may_join(self, last: OutboxRow, base: str | None, atomic: bool, now: int, in_memory: bool) -> bool:
        return (last.state == "unsent" and last.mutation_id in self._joinable and last.made.base == base and not atomic
                and not last.made.atomic and 0 <= now - last.made.made_at < JOIN_MS_MAX and (last.row == 0) is in_memory)

    def _after(self, key: Key, lane: Sequence[OutboxRow]) -> tuple[str | None, ForkedFrom | None]:
        """What the next mutation of a record names as the one before it."""
        if lane:
            return lane[-1].mutation_id, None
        line = self.line(key)
        if line is None:
            return None, None
        if line.device_id != self.device_id:
            return None, ForkedFrom(line.device_id, line.mutation_id)
        return line.mutation_id, None

    def line(self, key: Key) -> Line | None:
        with self.file.translated("reading a record's line"):
            line, unsaved = self.store.line(key), self.unsaved_lines.get(key)
        return line if unsaved is None or (line is not None and line.seq > unsaved.seq) else unsaved

    def _adopt(self, edit: _Edit) -> OutboxRow:
        """Take an edit over into what is in memory; the row that holds it now."""
        key, row = edit.row.key, edit.row
        self._clock = max(self._clock, row.made.stamp)
        if key[0] != ACTIONS:
            view = self._views.get(key) if key in self.lanes else View(self.pulled(key), None)
            if view is not None:
                added = Pending(msgspec.structs.replace(mutation_of(row), ops=edit.ops), row.base_seq, row.made.stamp)
                view = advance(view, added, (), self.device_id, self.actor_id, self.showing, self.runtime.now_ms())
                self._views.put(key, view)
        if edit.into is None:
            self.lanes.setdefault(key, []).append(row)
            self.by_id[row.mutation_id] = row
            if len(self._joinable) > CACHED_RECORDS_MAX:
                self._joinable.clear()
            self._joinable.add(row.mutation_id)
        else:
            edit.into.made = row.made
            row = edit.into
        self.tell({key})
        for listener in list(self.on_edited):
            listener()
        return row

    def drop_refused(self, rows: Sequence[OutboxRow]) -> None:
        with self.file.writing("dropping refused work"):
            self.store.drop(rows)
        gone = {row.mutation_id for row in rows}
        self.refused = [row for row in self.refused if row.mutation_id not in gone]
        self.tell({row.key for row in rows})

    def empty(self) -> None:
        """Take everything out of the file but whose it is."""
        with self.file.writing("emptying the replica"):
            self.store.empty(("server", "tenant", "actor_id", "lease"))
            self.store.put_meta({"device_id": self.runtime.uuid7()})    # the old one's lines are forgotten here
        self.unwritten.clear()
        self.unsaved.clear()
        self.load()
        self.tell(None)

    # -- a disk that fails ------------------------------------------------------------------------------------------------

    def try_to_write(self) -> bool:
        """Write what could not be written; whether all of it now is."""
        if self.failure is None and not self.unwritten and not self.unsaved:
            return True
        try:
            with self.file.writing("saving what waited in memory"):
                self.take_in_others()
                numbers = self.write_unwritten()
                self.store.put_meta({"written_by": self.process})
        except WorldError as error:
            self.failure = error
            return False
        self.note_written(numbers)
        return True

    def raise_unless_written(self) -> None:
        """Before anything else is written: what waits in memory. Raises the WorldError that is in its way."""
        if (self.unwritten or self.unsaved) and not self.try_to_write() and self.failure is not None:
            raise self.failure

    def mark_in_memory(self, rows: Iterable[OutboxRow]) -> None:
        """These rows are sent although the disk could not take that down; not those that another process made, which may still add to
        them."""
        for row in rows:
            if row.state == "unsent" and (row.made.process == self.process or row.row == 0):
                row.state, row.made = "sent", with_changes(row.made, device_id=self.device_id)
                self.unsaved[row.mutation_id] = row

    def note_unsaved(self, error: WorldError, rows: Iterable[OutboxRow], lines: Iterable[tuple[Key, Line]]) -> None:
        """What the server has said of these rows is true although the disk could not take it down. After a crash the disk's older state
        says that they were sent: they are sent again under their ids, and the server says the same."""
        self.failure = error
        self.unsaved.update((row.mutation_id, row) for row in rows if row.row)
        self.unsaved_lines.update(lines)

    def finish_call(self, row: OutboxRow, answer: Answer) -> None:
        """An action call was answered: it leaves the outbox."""
        receipt = ReceiptRow(row.mutation_id, row.collection, row.record_id, answer.seq, answer.outcome, answer.inbox_id, answer.at)
        with self.file.writing("keeping an answer"):
            self.store.drop([row])
            self.store.put_receipts([receipt])
        row.state, row.answer = "acknowledged", answer
        self.settle([row])
        self.tell({row.key})

    def write_unwritten(self) -> list[tuple[OutboxRow, int]]:
        """Within a transaction: write what waits in memory; `note_written` takes what this returns, after the commit."""
        if self.unsaved:
            self.store.change([row for row in self.unsaved.values() if row.row])
        if self.unsaved_lines:
            self.store.put_lines(self.unsaved_lines.items())
        return [(row, self.store.add(row)) for row in self.unwritten]

    def note_written(self, numbers: Sequence[tuple[OutboxRow, int]]) -> None:
        """The commit succeeded: all of it is on the disk, and the disk takes writes."""
        for row, number in numbers:
            row.row = number
        self.unwritten.clear()
        self._stood.clear()
        self.unsaved.clear()
        self.unsaved_lines.clear()
        self.failure = None

    # -- counting ---------------------------------------------------------------------------------------------------------

    def unanswered(self) -> list[OutboxRow]:
        """Everything the server has not acknowledged, in the order in which it was made."""
        found = [row for lane in self.lanes.values() for row in lane if row.state in ("unsent", "sent")]
        return sorted(found, key=lambda row: row.row or _LAST)

    def settle(self, rows: Iterable[OutboxRow]) -> None:
        """Take rows out of their lanes; what the file holds is the caller's."""
        for row in rows:
            self.by_id.pop(row.mutation_id, None)
            self.unsaved.pop(row.mutation_id, None)
            if row.row == 0:
                self.unwritten = [one for one in self.unwritten if one is not row]
            lane = self.lanes.get(row.key)
            if lane is not None:
                lane[:] = [one for one in lane if one is not row and one.mutation_id != row.mutation_id]
                if not lane:
                    del self.lanes[row.key]
                    self._grounds.pop(row.key, None)


@dataclass(slots=True)
class _Edit:
    """An edit that was made and not yet taken over. `into`: the row it went into."""

    row: OutboxRow
    ops: list[Op]
    into: OutboxRow | None = None


def with_changes(made: Made, **changes: Any) -> Made:
    """A copy with these fields changed."""
    return msgspec.structs.replace(made, **changes)


_STEPS: Final = {"unsent": 0, "sent": 1, "acknowledged": 2, "refused": 3}
_LAST: Final = 1 << 62
"""Rows that are in memory alone come last."""
