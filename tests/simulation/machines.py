"""The machines of a simulation: the server and the devices, each with a disk and a clock of its own. A crash takes the power: what was
synced is there at the next start, of the rest as much as the throw says. A program that is killed leaves the disk as it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from holdfast import Record, Store, open_store
from holdfast.client import Replica, open_replica
from holdfast.core.errors import HoldfastError
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from holdfast.testing.disk import SimulatedDisk, Survival
from holdfast.testing.network import SimulatedLink, SimulatedNetwork
from holdfast.testing.virtual import START_MS, VirtualRuntime
from tests.simulation.plan import Plan
from tests.simulation.records import NOTES, Diary

__all__ = ["Device", "Images", "Server", "Tab", "kinds_of"]

RUN_STARTS_MS: Final = START_MS + 3_600_000
"""Runs begin an hour after the servers' first images were made."""

Images = dict[str, bytes]


def kinds_of(plan: Plan) -> tuple[type[Record], type[Record]]:
    return NOTES[plan.asks], Diary


def survival(rng: random.Random) -> Survival | None:
    """What the unsynced comes to: all of it is there (None: a process that was killed), nothing, or something torn."""
    return rng.choice((None, Survival(), Survival(writes=0.5, torn=0.5), Survival(writes=0.9, torn=0.2, names=0.9)))


class Machine:
    """A disk, a clock, and what is drawn for them."""

    def __init__(self, plan: Plan, name: str, folder: Path, files: Images | None = None) -> None:
        self.plan = plan
        self.name = name
        self.folder = folder
        self.rng = random.Random(f"{name} {plan.seed}")
        self.runtime = VirtualRuntime(f"runtime {name} {plan.seed}", start_ms=RUN_STARTS_MS)
        folder.mkdir(parents=True, exist_ok=True)
        self.disk = self._disk(files or {})
        self.crashes = 0

    def _disk(self, files: Images) -> SimulatedDisk:
        for left_over in self.folder.glob("*"):         # locks and shared memory end with the power
            left_over.unlink()
        disk = SimulatedDisk(self.folder, self.rng, files={str(self.folder / name): content for name, content in files.items()})
        self.runtime.vfs = disk.name
        return disk

    @property
    def is_powered(self) -> bool:
        return self.disk.power

    def image(self, left: Survival | None = None) -> Images:
        """What is on the disk, by file name: as it was seen, or what a power cut leaves."""
        found = {name: bytes(held.seen) for name, held in self.disk.files.items()} if left is None else self.disk.after_power_cut(
            left, self.rng)
        return {Path(name).name: content for name, content in found.items()}

    def lose_power(self) -> None:
        self.disk.power = False

    def boot(self, files: Images | None = None) -> None:
        """After everything that ran here is gone: the disk as the power cut left it, or these files."""
        self.crashes += 1
        found = self.image(survival(self.rng)) if files is None else files
        old, self.disk = self.disk, self._disk(found)
        _scrap(old)

    def spoil(self, trouble: str) -> None:
        """The disk is full, or fails, or loses power in the middle of what it does next."""
        disk, rng = self.disk, self.rng
        if trouble == "full":
            disk.capacity_bytes = disk.used_bytes() + rng.choice((0, 4_000, 40_000))
        elif trouble == "disk":
            disk.failing = set(rng.choice((("write",), ("sync",), ("write", "sync"), ("read",))))
        else:
            disk.cut_power_at(disk.steps + rng.randint(1, 40))

    def mend(self) -> None:
        self.disk.capacity_bytes = None
        self.disk.failing = set()
        self.disk.cut_power_at(None)

    @property
    def is_spoiled(self) -> bool:
        return self.disk.capacity_bytes is not None or bool(self.disk.failing)

    def end(self) -> None:
        _scrap(self.disk)


def _scrap(disk: SimulatedDisk) -> None:
    """SQLite keeps what it once knew of a disk: nothing of what was on it stays in memory."""
    disk.unregister()
    disk.files.clear()
    disk.deleted.clear()
    disk.log.clear()


class Server(Machine):
    """The store and the application before it. `generation` counts the histories: it grows when the server is put back."""

    def __init__(self, plan: Plan, folder: Path, network: SimulatedNetwork, files: Images | None = None) -> None:
        super().__init__(plan, "server", folder, files)
        self.network = network
        self.store: Store | None = None
        self.history = 0
        self.backup: Images | None = None
        self._stack = AsyncExitStack()

    async def start(self) -> bool:
        """False: the disk does not let it start."""
        stack = AsyncExitStack()
        try:
            store = await stack.enter_async_context(open_store(
                self.folder, records=kinds_of(self.plan), mode="inline", runtime=self.runtime, limits=self.plan.limits))
        except (HoldfastError, apsw.Error):
            await stack.aclose()
            return False
        app = asgi_app(store, settings=Settings(heartbeat_seconds=self.plan.heartbeat_seconds, presence_seconds=0.01))
        stack.push_async_callback(app.close)
        self.store, self._stack = store, stack
        self.network.host(app)
        return True

    @property
    def is_up(self) -> bool:
        return self.store is not None and self.is_powered

    async def stop(self) -> None:
        """Everything that runs here ends. With power it is a stop as it should be."""
        self.network.host(None)
        self.store = None
        with suppress(HoldfastError, apsw.Error):
            await self._stack.aclose()

    async def crash(self, files: Images | None = None) -> None:
        """Lose power, and be ready to start from what is left, or from these files."""
        self.lose_power()
        await self.stop()
        self.boot(files)

    def keep_backup(self) -> None:
        """A copy of the disk as it stands, as a snapshot of the volume makes it."""
        self.backup = self.image()

    async def put_back(self) -> None:
        assert self.backup is not None
        await self.crash(self.backup)
        self.history += 1


class Device(Machine):
    """A replica file, and the programs that have it open."""

    def __init__(self, plan: Plan, number: int, folder: Path, network: SimulatedNetwork, email: str, token: Callable[[], str]) -> None:
        super().__init__(plan, f"device{number}", folder)
        self.number = number
        self.email = email
        self.token = token
        self.tabs = [Tab(self, at, network) for at in range(plan.tabs[number] if number < len(plan.tabs) else 1)]

    @property
    def path(self) -> Path:
        return self.folder / "work.replica"

    async def crash(self) -> None:
        """The power goes, for all programs at once."""
        self.lose_power()
        for tab in self.tabs:
            await tab.kill()
        self.boot()

    async def close(self) -> None:
        for tab in self.tabs:
            await tab.kill()


class Tab:
    """One program on a device."""

    def __init__(self, device: Device, at: int, network: SimulatedNetwork) -> None:
        self.device = device
        self.name = f"{device.name}.{at}"
        self.link = SimulatedLink(network, self.name, is_alive=lambda: device.is_powered)
        self.replica: Replica | None = None
        self._stack = AsyncExitStack()

    async def open(self) -> Replica | None:
        """The replica; None where the disk does not let it open."""
        if self.replica is None:
            device, stack = self.device, AsyncExitStack()
            try:
                self.replica = await stack.enter_async_context(open_replica(
                    device.path, transport=self.link, token=device.token, records=kinds_of(device.plan),
                    settings=device.plan.settings, runtime=device.runtime))
            except (HoldfastError, apsw.Error):
                await stack.aclose()
                return None
            self._stack = stack
        return self.replica

    async def kill(self) -> None:
        """End it without a goodbye: nothing is sent, nothing written, the lease stays as it is."""
        replica, self.replica = self.replica, None
        if replica is None:
            return
        sync: Any = replica._sync
        sync._lease.held = False
        await sync.stop()
        replica._sync = None
        with suppress(HoldfastError, apsw.Error):
            await self._stack.aclose()
