"""Checks of the database: its settings, its pages, its declarations, its log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from holdfast.cli.checkup import Finding, Subject, bad, check, look, ok, reading
from holdfast.cli.declared import standing_at
from holdfast.cli.reading import undeclared
from holdfast.model.builtin import MEMBERS, OWNER
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.layout import quoted
from holdfast.storage.sqlite_connection import connect_reader
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.standing import stored_layout

__all__ = ["DATABASE_CHECKS"]

MIB: Final = 1 << 20
WAL_BYTES_LOOK: Final = 256 * MIB
PROBLEMS_MAX: Final = 5
CLOCK_AHEAD_MS_MAX: Final = 60_000
EARLIEST_MS: Final = 1_704_067_200_000
"""2024-01-01: a clock before that was never set."""


@contextmanager
def connected(subject: Subject) -> Iterator[apsw.Connection]:
    path = subject.folder / DATABASE_NAME
    with translated(f"reading {path}"):
        connection = connect_reader(path, None)
        try:
            yield connection
        finally:
            connection.close(True)


@check("journal", "The database keeps a write-ahead log, and it is copied back before it grows too long.", needs="database")
async def journal(subject: Subject) -> Finding:
    with connected(subject) as connection:
        mode = connection.pragma("journal_mode")
    if mode != "wal":
        return bad(f"The journal mode is {mode!r}.", "Something else changed it: start the server, which sets it back or says why not.")
    wal = subject.folder / f"{DATABASE_NAME}-wal"
    size = wal.stat().st_size if wal.exists() else 0
    if size > WAL_BYTES_LOOK:
        return look(f"The write-ahead log has {size // MIB:,} MiB.",
                    "A reader that never ends keeps it from being copied back: end it, or restart the server.")
    return ok(f"write-ahead log, {size // 1024:,} KiB of it not copied back yet")


@check("integrity", "SQLite finds nothing wrong with its pages.", needs="database")
async def integrity(subject: Subject) -> Finding:
    with connected(subject) as connection:
        said = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({PROBLEMS_MAX})")]
        pages = connection.pragma("page_count")
    if said != ["ok"]:
        return bad(f"The file is damaged: {'; '.join(said)}",
                   "Keep a copy of the folder as it is, then restore the latest verified backup beside it.")
    return ok(f"{pages:,} pages fit together")


@check("declarations", "The tables are what the applications declare.", needs="database")
async def declarations(subject: Subject) -> Finding:
    standing = standing_at(subject.place)
    if standing.todo:
        steps = "; ".join(standing.todo[:PROBLEMS_MAX]) + ("; …" if len(standing.todo) > PROBLEMS_MAX else "")
        return look(f"Made for other declarations. To do: {steps}.", "Run `holdfast migrate`, or name the right application with --app.")
    foreign = undeclared(subject.folder, set(subject.place.declarations().schema.collections))
    if foreign:
        return look(f"The folder also holds {', '.join(foreign[:PROBLEMS_MAX])}, which no application here declares.",
                    "Name the application that does with --app, if it is still in use.")
    return ok(f"revision {standing.revision}, as declared")


@check("log", "Each organisation's log has no gaps and ends where its head says.", needs="database")
async def log(subject: Subject) -> Finding:
    with connected(subject) as connection:
        gaps = connection.execute(
            "SELECT h.tenant_id, h.seq, count(l.seq), ifnull(max(l.seq), 0) FROM hf_heads AS h LEFT JOIN hf_log AS l ON l.tenant_no = h.no "
            "GROUP BY h.no HAVING count(l.seq) <> h.seq OR ifnull(max(l.seq), 0) <> h.seq").fetchall()
        digests = connection.execute("SELECT h.tenant_id FROM hf_heads AS h JOIN hf_log AS l ON l.tenant_no = h.no AND l.seq = h.seq "
                                     "WHERE l.digest IS NOT h.digest").fetchall()
        total = connection.execute("SELECT count(*), ifnull(sum(seq), 0) FROM hf_heads").fetchone()
    wrong = [f"{tenant}: the head says {head}, the log has {count} entries up to {last}" for tenant, head, count, last in gaps]
    wrong += [f"{tenant}: the head's digest is not that of its last entry" for (tenant,) in digests]
    if wrong:
        return bad("; ".join(wrong[:PROBLEMS_MAX]) + ".",
                   "Run `holdfast verify`, which names the first bad entry; restore the latest verified backup beside it.")
    assert total is not None
    return ok(f"{total[0]:,} organisations, {total[1]:,} entries")


@check("tables", "No record is newer than the log.", needs="database")
async def tables(subject: Subject) -> Finding:
    wrong = []
    with connected(subject) as connection:
        for name in stored_layout(connection):
            ahead = connection.execute(
                f"SELECT t.tenant_id, count(*) FROM {quoted(name)} AS t LEFT JOIN hf_heads AS h ON h.tenant_id = t.tenant_id "
                "WHERE t.last > ifnull(h.seq, 0) GROUP BY t.tenant_id").fetchall()
            wrong += [f"{count} records of {name} in {tenant}" for tenant, count in ahead]
    if wrong:
        return bad(f"Newer than the log: {'; '.join(wrong[:PROBLEMS_MAX])}.",
                   "Run `holdfast verify`; the file was changed from outside, or put together from two copies.")
    return ok("no record is newer than its log")


@check("clock", "The machine's clock is set, and not behind what was already saved.", needs="database")
async def clock(subject: Subject) -> Finding:
    now = subject.runtime.now_ms()
    if now < EARLIEST_MS:
        return bad("The clock was never set.", "Set it (chrony, systemd-timesyncd).")
    with connected(subject) as connection:
        newest = connection.execute("SELECT max(l.committed_at) FROM hf_heads AS h JOIN hf_log AS l "
                                    "ON l.tenant_no = h.no AND l.seq = h.seq").fetchone()
    ahead = (newest[0] or 0) - now if newest is not None else 0
    if ahead > CLOCK_AHEAD_MS_MAX:
        return bad(f"The newest change was saved {ahead / 1000:,.0f} s in the future.",
                   "Set the clock (chrony, systemd-timesyncd): later edits lose to earlier ones until it is right.")
    return ok("set")


@check("owners", "Every organisation has somebody who may give rights.", needs="database")
async def owners(subject: Subject) -> Finding:
    with connected(subject) as connection:
        without = [str(row[0]) for row in connection.execute(
            f"SELECT t.tenant_id FROM hf_tenants AS t WHERE NOT EXISTS (SELECT 1 FROM {MEMBERS} AS m, json_each(m.roles) AS r "
            "WHERE m.tenant_id = t.tenant_id AND m.deleted = 0 AND r.value = ?) ORDER BY t.tenant_id", (OWNER,))]
    if without:
        return look(f"Without an owner: {', '.join(without[:PROBLEMS_MAX])}.", "holdfast user create EMAIL --tenant SLUG --role owner")
    async with reading(subject) as reader:
        return ok(f"{len(await reader.tenants()):,} organisations")


DATABASE_CHECKS: Final = (journal, integrity, declarations, log, tables, clock, owners)
