"""What the disk's library can do at all: the very rows that Holdfast wrote, written again through apsw, with nothing around it.

The log entries and the records' rows are taken from a database that pushes have filled, and are written to a copy of the database as it
stood before: per transaction 50 records read and updated by their primary key, 50 entries inserted, one head moved;
`synchronous=FULL`, WAL, SQLite's own checkpoints. Same tables, same indexes, same bytes, same order of records; no decoding, no
judging, no answers. A save reads what it saves upon, so the bare driver reads the row too, and runs its statements one by one, as
a program that saves does; `blind` leaves the reading out and writes each table in one `executemany`: what the disk and the library
can take from somebody who need not know what is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

__all__ = ["BareRows", "write_bare"]

LOG, HEADS, RECORDS = "hf_log", "hf_heads", "drafts"
ROWS_MAX = 200_000


@dataclass(frozen=True)
class BareRows:
    """Entries as (columns, rows), and for each of them the values of its record's row in the order that the update takes."""

    entry_columns: tuple[str, ...]
    entries: list[tuple[Any, ...]]
    record_columns: tuple[str, ...]
    record_key: tuple[str, ...]
    records: list[tuple[Any, ...]]

    @classmethod
    def read(cls, pushed: Path, after: int) -> BareRows:
        """What pushes added to `pushed` behind seq `after`."""
        connection = apsw.Connection(str(pushed))
        try:
            columns, _ = _columns(connection, LOG)
            added = f"SELECT {_list(columns)} FROM {LOG} WHERE seq > ? AND record_no IS NOT NULL ORDER BY seq LIMIT ?"
            entries: list[Any] = connection.execute(added, (after, ROWS_MAX)).fetchall()
            record_columns, key = _columns(connection, RECORDS)
            values = tuple(name for name in record_columns if name not in key)
            by_position = {row[0]: row[1:] for row in connection.execute(
                f"SELECT last, {_list((*values, *key))} FROM {RECORDS}")}
            newest = _newest_of_record(connection)
        finally:
            connection.close()
        record_at = columns.index("record_no")
        return cls(columns, entries, values, key, [by_position[newest[entry[record_at]]] for entry in entries])


def _newest_of_record(connection: apsw.Connection) -> dict[int, int]:
    """record number -> seq of its newest entry, by which its row is found."""
    newest = f"SELECT record_no, max(seq) FROM {LOG} WHERE record_no IS NOT NULL GROUP BY record_no"
    found: list[Any] = connection.execute(newest).fetchall()
    return dict(found)


def write_bare(database: Path, rows: BareRows, *, at_once: int, seconds: float, blind: bool = False) -> tuple[int, float]:
    """Write `rows` to `database` (which holds none of them yet), `at_once` per transaction: (how many, in how many seconds)."""
    connection = apsw.Connection(str(database))
    try:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "FULL")
        connection.pragma("cache_size", -32_768)
        connection.wal_autocheckpoint(1_000)
        save = _save_blind if blind else _save
        statements = _Statements.of(rows)
        seq_at, digest_at, tenant_at = (rows.entry_columns.index(name) for name in ("seq", "digest", "tenant_no"))
        written, began = 0, time.perf_counter()
        for first in _batches(len(rows.entries), at_once):
            entries = rows.entries[first:first + at_once]
            with connection:
                save(connection, statements, rows.records[first:first + at_once], entries)
                connection.execute(f"UPDATE {HEADS} SET seq=?, digest=? WHERE no=?",
                                   (entries[-1][seq_at], entries[-1][digest_at], entries[-1][tenant_at]))
            written += len(entries)
            if time.perf_counter() - began > seconds:
                break
        return written, time.perf_counter() - began
    finally:
        connection.close()


@dataclass(frozen=True)
class _Statements:
    select: str
    update: str
    insert: str
    keys: int
    """How many values at the end of a record's are its key's."""

    @classmethod
    def of(cls, rows: BareRows) -> _Statements:
        where = " AND ".join(f"{_quoted(name)}=?" for name in rows.record_key)
        return cls(f"SELECT {_list(rows.record_columns)} FROM {RECORDS} WHERE {where}",
                   f"UPDATE {RECORDS} SET {','.join(f'{_quoted(name)}=?' for name in rows.record_columns)} WHERE {where}",
                   f"INSERT INTO {LOG} ({_list(rows.entry_columns)}) VALUES ({','.join('?' * len(rows.entry_columns))})",
                   len(rows.record_key))


def _save(connection: apsw.Connection, statements: _Statements, records: list[Any], entries: list[Any]) -> None:
    for record, entry in zip(records, entries, strict=True):
        if connection.execute(statements.select, record[-statements.keys:]).fetchone() is None:
            raise LookupError("the database lacks a record that the pushes changed")
        connection.execute(statements.update, record)
        connection.execute(statements.insert, entry)


def _save_blind(connection: apsw.Connection, statements: _Statements, records: list[Any], entries: list[Any]) -> None:
    connection.executemany(statements.update, records)
    connection.executemany(statements.insert, entries)


def _batches(count: int, at_once: int) -> Iterator[int]:
    return iter(range(0, count - at_once + 1, at_once))


def _columns(connection: apsw.Connection, table: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(all columns, those of the primary key)"""
    found: list[Any] = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = sorted((row for row in found if row[5]), key=lambda row: row[5])
    return tuple(row[1] for row in found), tuple(row[1] for row in keys)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return f'"{name}"'
