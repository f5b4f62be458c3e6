"""The disk is full while people save: each save is answered clearly, what was acknowledged stays and can be read, and saving goes on by
itself once there is space, also after the server was killed meanwhile. Defends P1.

On a small tmpfs of its own where this machine lets us mount one (a mount namespace, root or not); and always with a witness in the writer
that refuses to let files grow, as a full disk does."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.proof.hosts import ROOT, Lost, ServedHost, Turned, started
from tests.proof.typists import Typists, judge

DISK = "16m"


class Disk(Protocol):
    host: ServedHost

    def fill(self) -> None: ...
    def free(self) -> None: ...
    def copy(self) -> Path:
        """The data folder, where the test can read it."""


class WitnessedDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = ServedHost(folder)

    def fill(self) -> None:
        self.host.mark.full = 1

    def free(self) -> None:
        self.host.mark.full = 0

    def copy(self) -> Path:
        return self.folder


class SmallDisk:
    """A tmpfs in a mount namespace that a sleeping process keeps. `outside` is how the test reaches it."""

    def __init__(self, folder: Path) -> None:
        place = folder.with_name("disk")
        place.mkdir()
        kinds = ["-m"] if os.geteuid() == 0 else ["-Urm"]
        command = f"mount -t tmpfs -o size={DISK},mode=700 tmpfs '{place}' && echo mounted && exec sleep 1000"
        self._keeper = subprocess.Popen(["unshare", *kinds, "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != b"mounted\n":
            self.end()
            pytest.skip("no tmpfs of its own can be mounted here")
        enter = ["nsenter", "-t", str(self._keeper.pid), *(["-m"] if kinds == ["-m"] else ["-U", "-m", "--preserve-credentials"])]
        self.host = ServedHost(place / "data", within=[*enter, f"--wd={ROOT}"])
        self.outside = Path(f"/proc/{self._keeper.pid}/root") / str(place).lstrip("/")
        self._copy = folder

    def fill(self) -> None:
        with (self.outside / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        (self.outside / "ballast").unlink()

    def copy(self) -> Path:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.outside / "data", self._copy, ignore=shutil.ignore_patterns("*.sock"))
        return self._copy

    def end(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


@pytest.fixture(params=["tmpfs", "witness"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "witness":
        yield WitnessedDisk(tmp_path / "data")
        return
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no unshare and nsenter on this machine")
    made = SmallDisk(tmp_path / "data")
    yield made
    made.end()


async def wait_until_turned_away(typists: Typists, code: str) -> None:
    give_up = time.monotonic() + 30
    while not typists.turned[code]:
        assert time.monotonic() < give_up, f"nobody was turned away with {code}: {typists.turned}"
        await asyncio.sleep(0.01)


async def test_a_full_disk_loses_nothing_and_saving_goes_on_when_there_is_space(disk: Disk) -> None:
    host = disk.host
    typists = Typists.of(host, 1)
    async with started(host):
        await typists.begin()
        typists.awake.set()
        working = asyncio.get_running_loop().create_task(typists.work())
        await typists.saving_goes_on()
        disk.fill()
        await wait_until_turned_away(typists, "storage_full")
        assert host.client is not None
        assert (await host.client.get("/healthz")).status_code == 200
        read = await host.client.get("/v1/records/notices", headers=host.headers("ada"))
        assert read.status_code == 200 and read.json()["records"]
        await asyncio.sleep(0.3)
        disk.free()
        await typists.saving_goes_on()
        assert (await host.client.get("/readyz")).json() == {"status": "ready"}
        typists.done = True
        await working
        await host.stop()
        await judge(disk.copy(), typists.devices)
        assert set(typists.turned) <= {"storage_full", "storage_failed"}, typists.turned
        assert "Traceback" not in host.log.read_text()


async def test_a_server_that_was_killed_on_a_full_disk_starts_again_when_there_is_space(disk: Disk) -> None:
    host = disk.host
    typists = Typists.of(host, 2)
    async with started(host):
        await typists.begin()
        typists.awake.set()
        working = asyncio.get_running_loop().create_task(typists.work())
        await typists.saving_goes_on()
        disk.fill()
        await wait_until_turned_away(typists, "storage_full")
        typists.awake.clear()
        await host.kill()
        code, said = await host.start_that_fails()      # it makes tokens before it serves, and there is no room for them
        assert code == 1 and "full" in said and "Free space" in said and "Traceback" not in said, said
        disk.free()
        await host.start()
        typists.awake.set()
        await typists.saving_goes_on()
        typists.done = True
        await working
        await host.stop()
        await judge(disk.copy(), typists.devices)


async def test_the_answer_to_a_save_on_a_full_disk_says_so_and_when_to_come_back(disk: Disk) -> None:
    host = disk.host
    typists = Typists.of(host, 3, count=1)
    async with started(host):
        await typists.begin()
        disk.fill()
        device = typists.devices[0]
        with pytest.raises((Turned, Lost)) as turned:
            for _ in range(2_000):
                device.type()
                await device.save(host)
        assert isinstance(turned.value, Turned) and turned.value.code == "storage_full" and turned.value.retry_after
        assert host.client is not None
        answer = await host.client.post("/v1/records/notices", json={"fields": {"title": "x"}}, headers=host.headers("ada"))
        assert answer.status_code == 507 and answer.headers["retry-after"] and "Free space" in answer.json()["hint"]
        disk.free()
        while device.outbox:
            await device.save(host)
        await host.stop()
        await judge(disk.copy(), typists.devices)
