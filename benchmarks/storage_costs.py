"""What storage costs: bytes a save takes in the log, saves a second through a batch, rows and entries read a second.

    python -m benchmarks.storage_costs [--saves 40000] [--folder DIR]

Durable (`synchronous=FULL`), in one process, without merging, digests and network: entries are sealed before the clock runs. The
bare driver does the same statements with ready bindings, so the ratio says what this layer adds. The rate of fdatasync is measured in
the same run, before and after: absolute figures mean little without it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
import msgspec

from holdfast.core import digest
from holdfast.core.access import Actor, All, Own
from holdfast.core.entry import Entry, Row
from holdfast.core.ops import SpliceOp
from holdfast.core.schema import Collection, Field, Kind, Schema
from holdfast.runtime import RealRuntime, uuid7_from
from holdfast.storage.doctor import fdatasync_rate, table_sizes
from holdfast.storage.protocol import Head, Query, Writes
from holdfast.storage.sqlite import SqliteStorage

FIELDS = (
    Field(name="title", kind=Kind.STRING, default=""), Field(name="status", kind=Kind.CHOICE, choices=("draft", "done"), default="draft"),
    Field(name="owner_id", kind=Kind.UUID, optional=True), Field(name="amount", kind=Kind.MONEY, optional=True),
    Field(name="due", kind=Kind.DATE, optional=True), Field(name="details", kind=Kind.JSON, default={}),
    Field(name="notes", kind=Kind.TEXT, default=""), Field(name="views", kind=Kind.COUNTER, default=0),
)
DOCUMENTS = Collection(name="documents", fields={field.name: field for field in FIELDS}, read=Own("owner_id"))
SCHEMA = Schema(collections={"documents": DOCUMENTS})
LOG_PARTS = ("hf_log", "ix_hf_log", "uq_hf_log")
TYPED = "Everyone gets Friday off, said the letter, and nobody could remember who had written it. "


class Typists:
    """Several people who type into records of theirs; each call of `batch` is so many auto-saves, sealed and with their rows."""

    def __init__(self, tenant: str, records: int, devices: int, text_length: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.head = Head(tenant, 0, digest.FIRST)
        self.ms = 1_790_000_000_000
        self.keys_typed = 0
        self.ids = [self.uuid() for _ in range(records)]
        self.devices = [self.uuid() for _ in range(devices)]
        self.actors = [self.uuid() for _ in range(devices)]
        self.text = (TYPED * (text_length // len(TYPED) + 1))[:text_length]
        self.rows = {one: self.row(one) for one in self.ids}
        self.last: dict[tuple[str, str], str] = {}

    def uuid(self) -> str:
        self.ms += self.rng.randrange(1, 40)
        return uuid7_from(self.ms, self.rng.randbytes(8), self.rng.randrange(4096))

    def row(self, record_id: str) -> Row:
        return Row(collection="documents", id=record_id, fields={
            "title": "An estimate", "status": "draft", "owner_id": self.actors[0], "amount": "1234.50", "due": "2026-11-20",
            "details": {"rooms": [1, 2, 3], "colour": "blue"}, "notes": self.text, "views": 3})

    def batch(self, saves: int) -> Writes:
        rng, entries, salts, touched = self.rng, [], {}, {}
        for _ in range(saves):
            record_id, place = rng.choice(self.ids), rng.randrange(len(self.devices))
            device, seq = self.devices[place], self.head.seq + 1
            typed, at = TYPED[:rng.randint(3, 40)], rng.randrange(len(self.text) + 1)
            self.keys_typed += len(typed)
            row = self.rows[record_id]
            mutation_id = self.uuid()
            edited = (self.ms - rng.randrange(100, 900)) << 16
            salt = rng.randbytes(16)
            entry = Entry(tenant_id=self.head.tenant_id, seq=seq, committed_at=self.ms, stamp=edited, edited_at=edited,
                          actor_id=self.actors[place], device_id=device, mutation_id=mutation_id, collection="documents",
                          record_id=record_id, after=self.last.get((device, record_id)), base=max(0, seq - rng.randrange(1, 20)),
                          sent_hash=rng.randbytes(32).hex(), ops=[SpliceOp("/notes", [(at, 0, typed)])],
                          undo=[SpliceOp("/notes", [(at, len(typed), "")])])
            sealed = digest.seal(entry, self.head.digest, salt, digest.payload(entry))
            self.last[device, record_id] = mutation_id
            self.head = Head(self.head.tenant_id, seq, sealed.digest)
            row = msgspec.structs.replace(row, rev=seq, last=seq, last_prefix=sealed.digest[:8], last_device=device,
                                          last_mutation=mutation_id, stamp=edited)
            self.rows[record_id] = touched[record_id] = row
            entries.append(sealed)
            salts[seq] = salt
        return Writes(head=self.head, rows=list(touched.values()), entries=entries, salts=salts)


async def fill(storage: SqliteStorage, typists: Typists) -> None:
    async with storage.batch([typists.head.tenant_id]) as batch:
        await batch.write(Writes(head=typists.head, rows=list(typists.rows.values())))


async def save(storage: SqliteStorage, writes: Writes) -> None:
    """As the committer does: look for duplicates, read the rows, write."""
    tenant = writes.head.tenant_id
    async with storage.batch([tenant]) as batch:
        await batch.head(tenant)
        await batch.by_mutation(tenant, [(entry.device_id, entry.mutation_id) for entry in writes.entries])
        await batch.rows(tenant, [(row.collection, row.id) for row in writes.rows])
        await batch.write(writes)


async def measure_bytes(folder: Path, saves: int, tenants: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    storage = SqliteStorage(folder, SCHEMA, RealRuntime(), writer=True)
    await storage.open()
    typists = [Typists(f"tenant-{number}", 50, 5, 2_000, seed=number) for number in range(tenants)]
    for one in typists:
        await fill(storage, one)
    before = (await storage.sizes())["log"]
    made = 0
    rng = random.Random(7)
    while made < saves:
        writes = rng.choice(typists).batch(9)
        made += len(writes.entries)
        await save(storage, writes)
    await storage.close()
    await storage.open()
    sizes = await storage.sizes()
    parts = {name: size / made for name, (size, _) in table_sizes(folder, RealRuntime()).items() if name.startswith(LOG_PARTS)}
    await storage.close()
    keys = sum(one.keys_typed for one in typists)
    grown = sizes["log"] - before
    print(f"log, {tenants:>3} tenants: {grown / made:6.1f} bytes a save, {grown / keys:5.2f} bytes a keystroke "
          f"({keys / made:.1f} keystrokes a save)")
    print("    " + ", ".join(f"{name} {size:.1f}" for name, size in parts.items()))


async def measure_saves(folder: Path, saves: int, at_once: int, text_length: int) -> tuple[float, float]:
    shutil.rmtree(folder, ignore_errors=True)
    storage = SqliteStorage(folder, SCHEMA, RealRuntime(), writer=True)
    await storage.open()
    typists = Typists("acme", 2_000, 20, text_length)
    await fill(storage, typists)
    batches = [typists.batch(at_once) for _ in range(saves // at_once)]
    began, cpu = time.perf_counter(), time.process_time()
    for writes in batches:
        await save(storage, writes)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await storage.close()
    made = len(batches) * at_once
    print(f"batches of {at_once:>4}, rows of {text_length:>5} characters: {made / took:9,.0f} saves/s, "
          f"{cpu / made * 1e6:5.1f} µs CPU a save")
    return made / took, cpu / made * 1e6


def measure_driver(folder: Path, saves: int, at_once: int, text_length: int) -> tuple[float, float]:
    """The same rows through the bare driver: select, update, insert into one log table with one index, ready bindings."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    connection = apsw.Connection(str(folder / "bare.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.execute("CREATE TABLE documents (tenant_id TEXT, id TEXT, body TEXT, rev INTEGER, PRIMARY KEY (tenant_id, id))")
    connection.execute("CREATE TABLE log (no INTEGER PRIMARY KEY, seq INTEGER, record TEXT, body BLOB)")
    connection.execute("CREATE UNIQUE INDEX log_seq ON log (seq)")
    typists = Typists("acme", 2_000, 20, text_length)
    body = "x" * (text_length + 300)
    connection.executemany("INSERT INTO documents VALUES ('acme', ?, ?, 0)", [(one, body) for one in typists.ids])
    rng, seq = random.Random(3), 0
    batches: list[list[Any]] = []
    for _ in range(saves // at_once):
        batches.append([(rng.choice(typists.ids), seq + number, rng.randbytes(180)) for number in range(at_once)])
        seq += at_once
    began, cpu = time.perf_counter(), time.process_time()
    for some in batches:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("SELECT body, rev FROM documents WHERE tenant_id = 'acme' AND id = ?",
                               [(one,) for one, _, _ in some]).fetchall()
        connection.executemany("UPDATE documents SET body = ?, rev = ? WHERE tenant_id = 'acme' AND id = ?",
                               [(body, number, one) for one, number, _ in some])
        connection.executemany("INSERT INTO log (seq, record, body) VALUES (?, ?, ?)",
                               [(number, one, entry) for one, number, entry in some])
        connection.execute("COMMIT")
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    connection.close()
    return len(batches) * at_once / took, cpu / (len(batches) * at_once) * 1e6


async def measure_reads(folder: Path, records: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    storage = SqliteStorage(folder, SCHEMA, RealRuntime(), writer=True)
    await storage.open()
    typists = Typists("acme", records, 20, 200)
    await fill(storage, typists)
    for _ in range(40):
        await save(storage, typists.batch(500))
    actor = Actor(typists.actors[0])
    for name, rule in (("all rows", All), ("rows by rule", Own("owner_id"))):
        began, seen, after = time.perf_counter(), 0, None
        while True:
            async with storage.reader() as reader:
                rows = await reader.page("acme", Query(collection="documents", rule=rule, actor=actor, after=after, limit=500))
            if not rows:
                break
            seen, after = seen + len(rows), (rows[-1].id,)
        print(f"snapshot pages of 500, {name}: {seen / (time.perf_counter() - began):9,.0f} rows/s")
    began, seen = time.perf_counter(), 0
    while True:
        async with storage.reader() as reader:
            entries = await reader.entries("acme", after=seen, limit=500)
        if not entries:
            break
        seen += len(entries)
    print(f"log pages of 500: {seen / (time.perf_counter() - began):9,.0f} entries/s")
    began = time.perf_counter()
    for one in typists.ids[:2_000]:
        async with storage.reader() as reader:
            await reader.rows("acme", [("documents", one)])
    print(f"lone rows, a snapshot each: {2_000 / (time.perf_counter() - began):9,.0f}/s")
    await storage.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saves", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, help="where to write; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary) / "data"
        print(f"SQLite {apsw.sqlite_lib_version()}; fdatasync {fdatasync_rate(Path(temporary), RealRuntime()):,.0f}/s")
        for tenants in (1, 20):
            await measure_bytes(folder, options.saves // 2, tenants)
        for at_once, text_length in ((1, 500), (10, 500), (50, 500), (100, 500), (500, 500), (50, 5_000)):
            count = min(options.saves, at_once * 4_000)
            rate, _ = await measure_saves(folder, count, at_once, text_length)
            bare, cpu = measure_driver(folder, count, at_once, text_length)
            print(f"    the bare driver: {bare:9,.0f} saves/s, {cpu:5.1f} µs; this layer reaches {rate / bare:.0%}")
        await measure_reads(folder, 10_000)
        print(f"fdatasync {fdatasync_rate(Path(temporary), RealRuntime()):,.0f}/s")


if __name__ == "__main__":
    asyncio.run(main())
