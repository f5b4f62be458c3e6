"""The simulated disk does to files what power cuts do: no less than a test needs, and nothing to what was synced (P1 Kept)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from holdfast.testing.disk import SECTOR_BYTES, SimulatedDisk, SimulatedFile, Survival

OLD, NEW = b"o", b"n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SimulatedDisk]:
    made = SimulatedDisk(tmp_path, random.Random(1))
    yield made
    made.unregister()


def a_file(disk: SimulatedDisk, name: str = "f", size: int = 3_000) -> SimulatedFile:
    held = disk.files[name] = SimulatedFile()
    disk.write(name, held, OLD * size, 0)
    disk.sync(name, held, folder_too=True)
    return held


def after(disk: SimulatedDisk, seed: int = 0, **survival: float) -> bytes:
    return disk.after_power_cut(Survival(**survival), random.Random(seed))["f"]


def test_what_was_synced_survives_whatever_happens(disk: SimulatedDisk) -> None:
    a_file(disk)
    for seed in range(20):
        assert after(disk, seed, writes=0.5, torn=0.5, names=0.0) == OLD * 3_000


def test_what_was_not_synced_survives_as_it_happens(disk: SimulatedDisk) -> None:
    held = a_file(disk)
    disk.write("f", held, NEW * 1_000, 0)
    disk.write("f", held, NEW * 1_000, 2_000)
    assert after(disk, writes=0.0) == OLD * 3_000
    assert after(disk, writes=1.0) == NEW * 1_000 + OLD * 1_000 + NEW * 1_000
    found = {after(disk, seed, writes=0.5) for seed in range(40)}
    assert len(found) == 4, "each write by itself"


def test_a_torn_write_is_torn_at_sectors_and_once_within_one(disk: SimulatedDisk) -> None:
    held = a_file(disk)
    disk.write("f", held, NEW * 2_500, 100)
    mixed = 0
    for seed in range(60):
        content = after(disk, seed, writes=1.0, torn=1.0)
        assert content[:100] == OLD * 100 and content[2_600:] == OLD * 400
        changes = [at for at in range(1, 3_000) if content[at] != content[at - 1]]
        mixed += len(changes) > 2
        within = [at for at in changes if at % SECTOR_BYTES and at not in (100, 2_600)]
        assert len(within) <= 1
    assert mixed > 10


def test_truncation_and_growth_are_writes_like_others(disk: SimulatedDisk) -> None:
    held = a_file(disk)
    disk.truncate("f", held, 10)
    disk.write("f", held, NEW, 20)
    assert bytes(held.seen) == OLD * 10 + bytes(10) + NEW
    assert after(disk, writes=0.0) == OLD * 3_000
    assert after(disk, writes=1.0) == OLD * 10 + bytes(10) + NEW


def test_names_that_were_not_synced_may_be_gone_or_back(disk: SimulatedDisk) -> None:
    a_file(disk)
    disk.files["new"] = SimulatedFile()
    disk.xDelete("f", False)
    assert disk.after_power_cut(Survival(names=1.0), random.Random(0)).keys() == {"new", "f"}
    assert disk.after_power_cut(Survival(names=0.0), random.Random(0)).keys() == set()
    disk.sync_folder()
    assert disk.after_power_cut(Survival(names=0.0), random.Random(0)).keys() == {"new"}


def test_after_the_power_is_gone_nothing_works(disk: SimulatedDisk) -> None:
    held = a_file(disk)
    disk.cut_power_at(disk.steps + 1)
    with pytest.raises(apsw.IOError):
        disk.sync("f", held, folder_too=False)
    assert not disk.power
    for call in (lambda: disk.write("f", held, b"x", 0), lambda: disk.read("f"), lambda: disk.truncate("f", held, 0),
                 lambda: disk.xAccess("f", 0), lambda: disk.xDelete("f", True)):
        with pytest.raises(apsw.IOError):
            call()


def test_one_history_can_be_cut_in_many_ways_and_each_again(disk: SimulatedDisk) -> None:
    held = a_file(disk)
    disk.write("f", held, NEW * 2_000, 0)
    assert after(disk, 5, writes=1.0, torn=1.0) == after(disk, 5, writes=1.0, torn=1.0)
    assert bytes(held.seen[:2_000]) == NEW * 2_000


def test_sqlite_takes_its_time_and_chance_from_the_disk(tmp_path: Path) -> None:
    def drawn(seed: int) -> object:
        disk = SimulatedDisk(tmp_path, random.Random(seed), now_ms=lambda: 1_790_000_000_000)
        connection = apsw.Connection(str(tmp_path / "x.db"), vfs=disk.name)
        found = connection.execute("SELECT datetime('now')").fetchall()
        connection.close()
        disk.unregister()
        return found

    assert drawn(1) == [("2026-09-21 14:13:20",)]
