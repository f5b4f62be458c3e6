"""What was erased is in no file of the data folder any more: not in the pages it stood in, not in the write-ahead log (P4 Apart)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from holdfast.core.entry import HeldText, Item, Request, Unapplied, Waiting
from holdfast.core.facts import Context
from holdfast.core.ops import SetOp, SpliceOp
from holdfast.runtime import RealRuntime
from holdfast.storage import open_storage
from holdfast.storage.protocol import Storage
from holdfast.testing.storage.samples import SCHEMA, Log, an_id, task

RECORDS = 12


def files_with(folder: Path, marker: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if marker in path.read_bytes()]


def secret(record: int, number: int) -> str:
    return f"SECRET-{record:02d}-{number:03d}-" + "y" * random.Random(number).randrange(300)


async def write_much(storage: Storage, logs: list[Log], rng: random.Random, saves: int) -> dict[tuple[str, int], list[int]]:
    """Interleaved saves of several tenants; rows grow and shrink, so that pages split and merge. Returns the seqs by record."""
    seqs: dict[tuple[str, int], list[int]] = {}
    for number in range(saves):
        log, record = rng.choice(logs), rng.randrange(RECORDS)
        text = secret(record, number)
        entry = log.add(
            f"r{record}", ops=[SpliceOp("/notes", [(0, 0, text)]), SetOp("/details", {"t": text})], undo=[SetOp("/details", {"u": text})],
            sent=[SetOp("/notes", text)], extra={"note": text}, unapplied=[Unapplied(reason="superseded", mine=text)],
            request=Request("192.0.2.9", f"agent {text}"), device_id=rng.choice(["phone", "laptop"]))
        seqs.setdefault((log.tenant, record), []).append(entry.seq)
        key = ("phone", "tasks", an_id(f"r{record}"))
        waiting = Context({"notes": [Waiting(seq=entry.seq, device_id="laptop", change=[text])]}, entry.seq)
        await log.save(storage, rows=[task(f"r{record}", notes=text * rng.randrange(1, 4), details={"d": text}, phone={"$sealed": text})],
                       contexts={key: waiting})
    return seqs


async def erase(storage: Storage, log: Log, record: int, seqs: list[int]) -> None:
    """As the engine does: the payloads, the present state, the contexts, in one batch with the entry that says so."""
    log.add(f"r{record}", kind="erase", ops=[], undo=[], extra={"seqs": seqs})
    async with storage.batch([log.tenant]) as batch:
        await batch.rows(log.tenant, [("tasks", an_id(f"r{record}"))])
        await batch.write(log.writes(rows=[task(f"r{record}")], contexts={("phone", "tasks", an_id(f"r{record}")): None}, erased=seqs))


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_of_an_erased_record_is_left_in_any_file(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    storage = await open_storage(tmp_path, SCHEMA, RealRuntime(), writer=True)
    logs = [Log("acme"), Log("zenith")]
    seqs = await write_much(storage, logs, rng, 250)
    assert files_with(tmp_path, b"SECRET-03")
    for log in logs:
        await erase(storage, log, 3, seqs[log.tenant, 3])
    left = files_with(tmp_path, b"SECRET-03")
    assert not left, f"seed {seed}: {left}"
    assert files_with(tmp_path, b"SECRET-04"), "others are untouched"
    await write_much(storage, logs, rng, 30)
    await storage.close()


async def test_an_open_reader_delays_the_cleaning_until_it_is_done(tmp_path: Path) -> None:
    storage = await open_storage(tmp_path, SCHEMA, RealRuntime(), writer=True)
    log = Log()
    seqs = await write_much(storage, [log], random.Random(1), 40)
    async with storage.reader() as reader:
        before = await reader.entry(log.tenant, seqs["acme", 3][0])
        await erase(storage, log, 3, seqs["acme", 3])
        assert await reader.entry(log.tenant, seqs["acme", 3][0]) == before, "its snapshot stands"
    await storage.maintain()
    assert not files_with(tmp_path, b"SECRET-03")
    await storage.close()


async def test_a_closed_item_is_left_in_no_file_after_an_erasure(tmp_path: Path) -> None:
    storage = await open_storage(tmp_path, SCHEMA, RealRuntime(), writer=True)
    log = Log()
    for number in range(1, 60):
        log.add("r1")
        held = HeldText(seq=number, back=number, change=[f"SECRET-01-{number}"])
        await log.save(storage, items=[Item(id=str(number), device_id=f"d{number}", actor_id=an_id("me"), collection="tasks",
                                            record_id=an_id("r1"), opened=number, last=number, texts={"notes": [held]})])
    log.add("r1", kind="erase", ops=[], undo=[])
    await log.save(storage, closed_items=[str(number) for number in range(1, 60)], erased=[1])
    assert not files_with(tmp_path, b"SECRET-01")
    await storage.close()
