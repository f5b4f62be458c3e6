"""Power is cut at every step of commits, checkpoints and the making of a store: everything whose COMMIT returned is there, nothing is
half there, and the file is sound (P1 Kept, P2 Once).

A failure prints the step, the seed and what survived; `cut(folder, files, step, seed)` repeats it.
"""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from holdfast.core import digest
from holdfast.core.errors import HoldfastError, WorldError
from holdfast.storage import sqlite as sqlite_module
from holdfast.storage.drive import run_sync
from holdfast.storage.protocol import Tenant
from holdfast.storage.sqlite import SqliteStorage
from holdfast.testing.disk import SimulatedDisk, Survival
from holdfast.testing.storage.samples import TENANT, Log, an_id, task
from tests.storage.on_disk import boot

SURVIVALS = (
    Survival(writes=0.0, names=0.0),                # only what was synced
    Survival(writes=0.0, names=1.0),                # and names of new and deleted files as they happen to be
    Survival(writes=1.0, names=0.5),                # everything that was written
    Survival(writes=0.5, names=0.5),                # some writes, in any order
    Survival(writes=0.8, torn=0.6, names=0.5),      # torn ones too
)
BATCHES = 8


@pytest.fixture(autouse=True)
def checkpoints_come_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "CHECKPOINT_PAGES_MAX", 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def work(storage: SqliteStorage) -> tuple[Log, int]:
    """Open, save in batches, close. Returns the log as its writer knows it, and how many entries were acknowledged."""
    log, acknowledged = Log(), 0
    try:
        run_sync(storage.open())
        for number in range(BATCHES):
            for extra in range(3):
                log.add(f"r{number % 4}", extra={"filler": "x" * random.Random(number * 3 + extra).randrange(2_500)})
            run_sync(save(storage, log, number))
            acknowledged = log.head.seq
        run_sync(storage.close())
    except HoldfastError:
        with_power_gone(storage)
    return log, acknowledged


async def save(storage: SqliteStorage, log: Log, number: int) -> None:
    async with storage.batch([TENANT]) as batch:
        row = task(f"r{number % 4}", notes="y" * 100 * number, rank=log.head.seq)
        row.rev = row.last = log.head.seq
        await batch.write(log.writes(rows=[row]))
        if number == 0:
            await batch.put_tenant(Tenant(tenant_id=TENANT, name="Acme", created_at=1))


def with_power_gone(storage: SqliteStorage) -> None:
    with suppress(WorldError):
        run_sync(storage.close())


async def proof(storage: SqliteStorage, log: Log, acknowledged: int) -> None:
    """Raises AssertionError unless what stands is a whole prefix of the log that holds everything acknowledged."""
    async with storage.reader() as reader:
        head = await reader.head(TENANT)
        entries = await reader.entries(TENANT, after=0, limit=1_000)
        rows = await reader.rows(TENANT, [("tasks", an_id(f"r{number}")) for number in range(4)])
        seals = await reader.seals(TENANT, [entry.seq for entry in entries])
    assert head.seq >= acknowledged, f"acknowledged up to {acknowledged}, there up to {head.seq}"
    assert head.seq % 3 == 0, "half a batch"
    assert [entry.seq for entry in entries] == list(range(1, head.seq + 1))
    previous = digest.FIRST
    for entry in entries:
        seal = seals[entry.seq]
        previous = digest.chain(previous, entry, seal.payload_digest or digest.payload_digest(seal.salt, digest.payload(entry)))
        assert previous == entry.digest, f"entry {entry.seq} is not what was written"
    assert head.digest == previous
    for row in rows.values():
        number = row.rev // 3 - 1
        assert row.fields["notes"] == "y" * 100 * number and row.rev <= head.seq
    assert len(rows) == min(4, head.seq // 3)


def check(folder: Path, files: dict[str, bytes], log: Log, acknowledged: int) -> None:
    with boot(folder, files, seed=1) as (disk, storage):
        run_sync(storage.open())
        run_sync(proof(storage, log, acknowledged))
        connection = apsw.Connection(str(folder / "holdfast.db"), vfs=disk.name)
        assert connection.pragma("integrity_check") == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
        run_sync(storage.close())


def cut(folder: Path, files: dict[str, bytes], step: int, seed: int) -> None:
    with boot(folder, files) as (disk, storage):
        disk.cut_power_at(step)
        log, acknowledged = work(storage)
        images = [disk.after_power_cut(survival, random.Random(f"{seed} {step} {number}")) for number, survival in enumerate(SURVIVALS)]
    for survival, image in zip(SURVIVALS, images, strict=True):
        try:
            check(folder, image, log, acknowledged)
        except Exception as error:
            raise AssertionError(f"step {step}, seed {seed}, {survival}: {error!r}") from error


def installed(folder: Path) -> dict[str, bytes]:
    """A store that was made, closed, and has nothing in it."""
    with boot(folder, {}) as (disk, storage):
        run_sync(storage.open())
        run_sync(storage.close())
        return disk.after_power_cut(Survival(), random.Random(0))


def steps_of(folder: Path, files: dict[str, bytes]) -> list[tuple[str, str, int]]:
    with boot(folder, files) as (disk, storage):
        log, acknowledged = work(storage)
        assert acknowledged == log.head.seq == 3 * BATCHES
        return disk.log


def test_the_work_that_is_cut_has_every_kind_of_step(folder: Path) -> None:
    seen = {(verb, name) for verb, name, _ in steps_of(folder, {})}
    assert {("create", "holdfast.db"), ("write", "holdfast.db-wal"), ("sync", "holdfast.db-wal"), ("write", "holdfast.db"),
            ("sync", "holdfast.db"), ("delete", "holdfast.db-journal")} <= seen


@pytest.mark.parametrize("part", range(4))
def test_a_power_cut_at_any_step_of_saving_loses_nothing_acknowledged(folder: Path, part: int) -> None:
    files = installed(folder)
    total = len(steps_of(folder, files))
    assert total > 100
    for step in range(1 + part, total + 1, 4):
        cut(folder, files, step, seed=0)


def test_a_power_cut_while_the_store_is_made_leaves_one_that_can_be_made(folder: Path) -> None:
    with boot(folder, {}) as (disk, storage):
        run_sync(storage.open())
        made = disk.steps
    for step in range(1, made + 10, 9):
        cut(folder, {}, step, seed=1)


def test_a_power_cut_while_erasing_leaves_a_whole_log_that_is_erased_or_not(folder: Path) -> None:
    with boot(folder, installed(folder)) as (disk, storage):
        log, acknowledged = work(storage)
        files = {name: bytes(held.seen) for name, held in disk.files.items()}
    step, whole, left = 0, False, set()
    while not whole:
        step += 6
        with boot(folder, files) as (disk, storage):
            disk.cut_power_at(step)
            try:
                run_sync(storage.open())
                run_sync(log.save(storage, erased=[2, 3, 5]))
                run_sync(storage.close())
            except WorldError:
                with_power_gone(storage)
            whole, image = disk.power, disk.after_power_cut(Survival(writes=0.5, torn=0.5), random.Random(step))
        check(folder, image, log, acknowledged)
        with boot(folder, image) as (_, storage):
            run_sync(storage.open())
            left.add(tuple(run_sync(erased_seqs(storage))))
            run_sync(storage.close())
    assert left == {(), (2, 3, 5)}


async def erased_seqs(storage: SqliteStorage) -> list[int]:
    async with storage.reader() as reader:
        return [entry.seq for entry in await reader.entries(TENANT, after=0, limit=1_000) if entry.erased]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_power_cut_while_recovering_from_a_power_cut_loses_nothing(folder: Path, share: float) -> None:
    files = installed(folder)
    total = len(steps_of(folder, files))
    with boot(folder, files) as (disk, storage):
        disk.cut_power_at(int(total * share))
        log, acknowledged = work(storage)
        files = disk.after_power_cut(Survival(writes=0.7, torn=0.5), random.Random(5))
    assert acknowledged
    step, whole = 0, False
    while not whole:
        step += 1
        with boot(folder, files) as (disk, storage):
            disk.cut_power_at(step)
            try:
                run_sync(storage.open())
                run_sync(storage.close())
            except WorldError:
                with_power_gone(storage)
            whole, again = disk.power, disk.after_power_cut(Survival(writes=0.5, torn=0.5), random.Random(step))
        check(folder, again, log, acknowledged)
    assert step > 1, "recovery changed nothing on the disk"


def test_this_test_sees_what_is_lost_without_sync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof must be able to fail: a disk that only pretends to sync loses acknowledged saves, and this finds it."""
    monkeypatch.setattr(SimulatedDisk, "sync", lambda self, name, held, folder_too: self._step("sync", name))
    with boot(folder, {}) as (disk, storage):
        log, acknowledged = work(storage)
        assert acknowledged
        image = disk.after_power_cut(Survival(writes=0.5, torn=0.5, names=1.0), random.Random(1))
    with pytest.raises((AssertionError, HoldfastError)):
        check(folder, image, log, acknowledged)
