"""What is in the replica's file, as typed values: one method per statement. Transactions are the caller's (`ReplicaFile.writing`).

Nothing here decides anything; `device` does. Values that are structures are JSON by msgspec, so that a person with any SQLite shell can
read a replica in the worst case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from holdfast.client.outbox import Answer, Key, Made, OutboxRow
from holdfast.client.replica_file import ReplicaFile
from holdfast.core.entry import Row, Waiting
from holdfast.core.facts import Context
from holdfast.core.messages import Change
from holdfast.core.ops import Op

__all__ = ["Before", "Kept", "Line", "ReceiptRow", "ReplicaStore"]

_encode: Final = msgspec.json.Encoder().encode
_made: Final = msgspec.json.Decoder(Made)
_answer: Final = msgspec.json.Decoder(Answer)
_any: Final = msgspec.json.Decoder()


_COLUMNS: Final = "last, prefix, rev, deleted, contract, stamp, fields"
_PUT_RECORD: Final = """
INSERT INTO records VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  last = excluded.last, prefix = excluded.prefix, rev = excluded.rev, deleted = excluded.deleted, contract = excluded.contract,
  stamp = excluded.stamp, sweep = excluded.sweep, fields = excluded.fields"""


class Before(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The bookkeeping of a record before an entry, so that the entry can be undone. `last` 0: the record was not here."""

    last: int = 0
    prefix: str = ""
    rev: int = 0
    stamp: int = 0
    stamped: dict[str, Any] = {}


class Kept(msgspec.Struct, kw_only=True):
    """A pulled entry. `sent` is the own mutation it came from."""

    change: Change
    undo: list[Op]
    before: Before
    own: bool
    at: int
    sent: Made | None = None
    sent_row: int = 0                   # and its row in the outbox
    held: list[Op] | None = None        # own: what was held, as it would have been applied
    seen: bool = True                   # False: it was never applied here, and cannot be undone (`client.unseen`)


class _EntryForm(msgspec.Struct, omit_defaults=True):
    change: Change
    undo: list[Op]
    before: Before
    seen: bool = True


_entry: Final = msgspec.json.Decoder(_EntryForm)


class Line(msgspec.Struct, frozen=True):
    """The last own mutation of a record that the server took."""

    mutation_id: str
    device_id: str
    seq: int


class ReceiptRow(msgspec.Struct, frozen=True):
    mutation_id: str
    collection: str
    record_id: str
    seq: int
    outcome: str
    inbox_id: str | None
    at: int


class _ContextForm(msgspec.Struct):
    texts: dict[str, list[Waiting]]
    through: int


_context: Final = msgspec.json.Decoder(_ContextForm)


class _SentForm(msgspec.Struct, omit_defaults=True):
    made: Made
    row: int = 0
    held: list[Op] | None = None


_sent: Final = msgspec.json.Decoder(_SentForm)


def _text(value: Any) -> str:
    return _encode(value).decode()


class ReplicaStore:
    def __init__(self, file: ReplicaFile) -> None:
        self._file = file

    def _run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._file.connection.execute(sql, values)

    # -- meta -------------------------------------------------------------------------------------------------------------

    def meta(self) -> dict[str, Any]:
        return {name: _any.decode(value) for name, value in self._run("SELECT name, value FROM meta")}

    def put_meta(self, values: dict[str, Any]) -> None:
        self._file.connection.executemany("INSERT INTO meta VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                                          [(name, _text(value)) for name, value in values.items()])

    def empty(self, spared: Sequence[str]) -> None:
        """Delete everything but these names of meta."""
        for table in ("records", "outbox", "kept", "contexts", "lines", "receipts", "wanted"):
            self._run(f"DELETE FROM {table}")
        self._run(f"DELETE FROM meta WHERE name NOT IN ({', '.join('?' * len(spared))})", list(spared))

    # -- records ----------------------------------------------------------------------------------------------------------

    def record(self, key: Key) -> Row | None:
        found = self._run(f"SELECT {_COLUMNS} FROM records WHERE collection = ? AND id = ?", key).fetchone()
        return None if found is None else _row(key[0], key[1], found)

    def records_of(self, collection: str, ids: Sequence[str]) -> list[Row]:
        """Those of these records that are here, by one statement."""
        found = self._run(f"SELECT {_COLUMNS}, id FROM records WHERE collection = ? AND id IN (SELECT value FROM json_each(?))",
                          (collection, _text(list(ids))))
        return [_row(collection, one[7], one) for one in found]

    def records(self, collection: str) -> Iterator[Row]:
        for found in self._run(f"SELECT {_COLUMNS}, id FROM records WHERE collection = ? ORDER BY id", (collection,)):
            yield _row(collection, found[7], found)

    def counts(self) -> dict[str, int]:
        return dict(self._run("SELECT collection, count(*) FROM records WHERE NOT deleted GROUP BY collection"))

    def put_records(self, rows: Iterable[Row], sweep: int) -> None:
        self._file.connection.executemany(_PUT_RECORD, [
            (row.collection, row.id, row.last, row.last_prefix, row.rev, int(row.deleted), row.contract, row.stamp, sweep,
             _text(row.fields)) for row in rows])

    def drop_record(self, key: Key) -> None:
        self._run("DELETE FROM records WHERE collection = ? AND id = ?", key)

    def touch_record(self, key: Key, sweep: int) -> None:
        self._run("UPDATE records SET sweep = ? WHERE collection = ? AND id = ?", (sweep, *key))

    def unswept(self, collections: Sequence[str], sweep: int) -> list[Key]:
        """Records of these collections that the present snapshot has not named."""
        return [(collection, record_id) for name in collections for collection, record_id in self._run(
            "SELECT collection, id FROM records WHERE collection = ? AND sweep < ?", (name, sweep))]

    # -- outbox -----------------------------------------------------------------------------------------------------------

    def outbox(self) -> list[OutboxRow]:
        found = self._run("SELECT row, mutation_id, collection, record_id, state, made, answer FROM outbox ORDER BY row")
        return [OutboxRow(row=row, mutation_id=mutation_id, collection=collection, record_id=record_id, state=state,
                          made=_made.decode(made), answer=None if answer is None else _answer.decode(answer))
                for row, mutation_id, collection, record_id, state, made, answer in found]

    def add(self, row: OutboxRow) -> int:
        """Append a row; its number."""
        self._run("INSERT INTO outbox(mutation_id, collection, record_id, state, made, answer) VALUES(?, ?, ?, ?, ?, ?)",
                  (row.mutation_id, row.collection, row.record_id, row.state, _text(row.made),
                   None if row.answer is None else _text(row.answer)))
        return self._file.connection.last_insert_rowid()

    def put_back(self, rows: Iterable[OutboxRow]) -> None:
        """Put rows back under the numbers they had (a number is never given twice)."""
        self._file.connection.executemany(
            "INSERT OR REPLACE INTO outbox VALUES(?, ?, ?, ?, ?, ?, ?)",
            [(row.row or None, row.mutation_id, row.collection, row.record_id, row.state, _text(row.made),
              None if row.answer is None else _text(row.answer)) for row in rows])

    def change(self, rows: Iterable[OutboxRow]) -> None:
        self._file.connection.executemany(
            "UPDATE outbox SET mutation_id = ?, state = ?, made = ?, answer = ? WHERE row = ?",
            [(row.mutation_id, row.state, _text(row.made), None if row.answer is None else _text(row.answer), row.row) for row in rows])

    def drop(self, rows: Iterable[OutboxRow]) -> None:
        self._file.connection.executemany("DELETE FROM outbox WHERE row = ?", [(row.row,) for row in rows])

    # -- kept entries -----------------------------------------------------------------------------------------------------

    def keep(self, entries: Iterable[Kept]) -> None:
        self._file.connection.executemany(
            "INSERT OR REPLACE INTO kept VALUES(?, ?, ?, ?, ?, ?, ?)",
            [(one.change.seq, one.change.collection, one.change.record_id, int(one.own), one.at,
              _text(_EntryForm(one.change, one.undo, one.before, one.seen)),
              None if one.sent is None else _text(_SentForm(one.sent, one.sent_row, one.held))) for one in entries])

    def kept_of_record(self, key: Key, after: int, *, others_only: bool) -> list[Kept]:
        own = " AND own = 0" if others_only else ""
        return [_kept(found) for found in self._run(
            f"SELECT own, at, entry, sent FROM kept WHERE collection = ? AND record_id = ? AND seq > ?{own} ORDER BY seq",
            (*key, after))]

    def kept_after(self, seq: int) -> list[Kept]:
        """All kept entries newer than `seq`, newest first."""
        return [_kept(found) for found in self._run(
            "SELECT own, at, entry, sent FROM kept WHERE seq > ? ORDER BY seq DESC", (seq,))]

    def kept_positions(self) -> list[str]:
        """The positions of all kept entries, rising."""
        return [position for (position,) in self._run("SELECT json_extract(entry, '$.change.position') FROM kept ORDER BY seq")]

    def forget_kept(self, seq: int) -> None:
        """Drop the kept entries newer than `seq`: they are no longer this device's past."""
        self._run("DELETE FROM kept WHERE seq > ?", (seq,))

    def prune_kept(self, *, backed_up: int, before: int, spared: Sequence[Key]) -> str | None:
        """Drop what is backed up or older than `before` (ms), but for records whose view needs it. The position up to which all was
        dropped that may be; None: nothing was."""
        newest = self._run("SELECT max(seq) FROM kept WHERE seq <= ? OR at < ?", (backed_up, before)).get
        if newest is None:
            return None
        floor: str = self._run("SELECT json_extract(entry, '$.change.position') FROM kept WHERE seq = ?", (newest,)).get
        spare = set(spared)
        if not spare:
            self._run("DELETE FROM kept WHERE seq <= ?", (newest,))
            return floor
        old = self._run("SELECT seq, collection, record_id FROM kept WHERE seq <= ?", (newest,))
        gone = [(seq,) for seq, collection, record_id in old if (collection, record_id) not in spare]
        self._file.connection.executemany("DELETE FROM kept WHERE seq = ?", gone)
        return floor

    # -- contexts, lines, receipts, wanted records ------------------------------------------------------------------------

    def context(self, key: Key) -> Context | None:
        found = self._run("SELECT context FROM contexts WHERE collection = ? AND id = ?", key).fetchone()
        if found is None:
            return None
        form = _context.decode(found[0])
        return Context(form.texts, form.through)

    def put_context(self, key: Key, context: Context | None) -> None:
        if context is None:
            self._run("DELETE FROM contexts WHERE collection = ? AND id = ?", key)
        else:
            self._run("INSERT INTO contexts VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET context = excluded.context",
                      (*key, _text(_ContextForm(dict(context.texts), context.through))))

    def line(self, key: Key) -> Line | None:
        found = self._run("SELECT mutation_id, device_id, seq FROM lines WHERE collection = ? AND id = ?", key).fetchone()
        return None if found is None else Line(*found)

    def put_lines(self, lines: Iterable[tuple[Key, Line]]) -> None:
        """A line only ever moves on, whichever of two answers comes first."""
        self._file.connection.executemany(
            "INSERT INTO lines VALUES(?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET mutation_id = excluded.mutation_id, "
            "device_id = excluded.device_id, seq = excluded.seq WHERE excluded.seq > lines.seq",
            [(*key, line.mutation_id, line.device_id, line.seq) for key, line in lines])

    def set_line(self, key: Key, line: Line | None) -> None:
        """Put a line back to an older state (after a reset)."""
        self._run("DELETE FROM lines WHERE collection = ? AND id = ?", key)
        if line is not None:
            self.put_lines([(key, line)])

    def put_receipts(self, receipts: Iterable[ReceiptRow]) -> None:
        self._file.connection.executemany("INSERT OR REPLACE INTO receipts VALUES(?, ?, ?, ?, ?, ?, ?)",
                                          [msgspec.structs.astuple(one) for one in receipts])

    def receipt(self, mutation_id: str) -> ReceiptRow | None:
        found = self._run("SELECT * FROM receipts WHERE mutation_id = ?", (mutation_id,)).fetchone()
        return None if found is None else ReceiptRow(*found)

    def drop_receipts(self, mutation_ids: Iterable[str]) -> None:
        self._file.connection.executemany("DELETE FROM receipts WHERE mutation_id = ?", [(one,) for one in mutation_ids])

    def prune_receipts(self, before: int) -> None:
        self._run("DELETE FROM receipts WHERE at < ?", (before,))

    def wanted(self) -> list[Key]:
        """Records to be asked for: they came whole while own work of theirs was under way, or did not fit what is here."""
        return [(collection, record_id) for collection, record_id in self._run("SELECT collection, id FROM wanted")]

    def want(self, keys: Iterable[Key]) -> None:
        self._file.connection.executemany("INSERT OR IGNORE INTO wanted VALUES(?, ?)", list(keys))

    def unwant(self, keys: Iterable[Key]) -> None:
        self._file.connection.executemany("DELETE FROM wanted WHERE collection = ? AND id = ?", list(keys))


def _row(collection: str, record_id: str, found: Sequence[Any]) -> Row:
    last, prefix, rev, deleted, contract, stamp, fields = found[:7]
    return Row(collection=collection, id=record_id, fields=_any.decode(fields), contract=contract, deleted=bool(deleted), rev=rev,
               last=last, last_prefix=prefix, stamp=stamp)


def _kept(found: Sequence[Any]) -> Kept:
    own, at, entry, sent = found
    kept = _entry.decode(entry)
    form = None if sent is None else _sent.decode(sent)
    return Kept(change=kept.change, undo=kept.undo, before=kept.before, own=bool(own), at=at,
                sent=None if form is None else form.made, sent_row=0 if form is None else form.row,
                held=None if form is None else form.held, seen=kept.seen)
