"""What a case works with: a server, a link in front of it, devices under test behind the link, and other people's devices that speak the
wire by themselves. Whatever a case does, some things hold at its end (`check`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from holdfast.core.identity import natural_id
from holdfast.core.limits import Limits
from holdfast.engine.opening import Mode
from holdfast.runtime import Runtime
from holdfast.testing.devices.device import Device, Peer
from holdfast.testing.devices.driver import Driver, DriverError, Pace
from holdfast.testing.devices.link import Link
from holdfast.testing.devices.server import Server

__all__ = ["Bench", "Setting"]

T = TypeVar("T")

@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where the suite runs. `virtual`: time is not real, so a case may take hours of it. `vectors`: the folder of the shared merge cases;
    without it the case that runs them has a few of its own."""

    runtime: Runtime
    pace: Pace = field(default_factory=Pace)
    virtual: bool = True
    mode: Mode = "inline"
    heartbeat_seconds: float = 15.0
    prefix: str = ""                # before the names of stores and windows, where those of earlier cases are still there
    vectors: Path | None = None


class Bench:
    """Made for one case. `folder` is empty."""

    def __init__(self, folder: Path, driver: Driver, link: Link, setting: Setting, limits: Limits) -> None:
        self.driver = driver
        self.link = link
        self.setting = setting
        self.runtime = setting.runtime
        self.pace = setting.pace
        self.patience = 600.0 if setting.virtual else 20.0
        self.windows: set[str] = set()
        self._past: list[dict[str, Any]] = []
        self.server = Server(folder, self.runtime, link, heartbeat_seconds=setting.heartbeat_seconds, mode=setting.mode, limits=limits)

    async def device(self, store: str = "a", person: str = "ada", *, window: str | None = None, **options: Any) -> Device:
        """A device of this person, opened."""
        return await Device(self, self.setting.prefix + (window or store), store, person).open(**options)

    def again(self, device: Device, person: str | None = None, store: str | None = None) -> Device:
        """The same for another person, or a copy of its store, not opened yet."""
        return Device(self, device.window if store is None else self.setting.prefix + store, store or device.store, person or device.person)

    async def copy(self, device: Device, to: str) -> Device:
        """A copy of a closed device's store, not opened yet."""
        await self.driver.copy(self.setting.prefix + device.store, self.setting.prefix + to)
        return self.again(device, store=to)

    def peer(self, person: str = "bob", device_id: str = "peer") -> Peer:
        return Peer(self.server, person, device_id)

    def new_id(self) -> str:
        return self.runtime.uuid7()

    def answer_id(self, question: str) -> str:
        """The id of the record of `answers` with this key."""
        return natural_id("answers", [question])

    async def note(self, device: Device, **fields: Any) -> str:
        """A note that device and server have; its name, "notes/id"."""
        record = f"notes/{self.new_id()}"
        await device.edit(record, {"op": "create", "value": fields})
        await device.synced()
        return record

    async def sleep(self, seconds: float) -> None:
        await self.runtime.sleep(seconds)

    async def until(self, condition: Callable[[], Awaitable[T]], what: str, seconds: float | None = None) -> T:
        """Wait until `condition` holds; what it came to. Raises AssertionError with `what`."""
        bound = self.patience if seconds is None else seconds
        end, pause = self.runtime.monotonic() + bound, 0.01
        while True:
            found = await condition()
            if found:
                return found
            if self.runtime.monotonic() > end:
                raise AssertionError(f"{bound:g} s, and not yet so: {what}")
            pause = min(pause * 1.2, 1.0 if self.setting.virtual else 0.05)
            await self.runtime.sleep(pause)

    async def until_seen(self, kind: str, device: Device, count: int = 1) -> None:
        """Wait until the link has seen so many messages of a kind."""
        async def enough() -> bool:
            return len(self.link.of(kind, device.store)) >= count

        await self.until(enough, f"{count} {kind} of {device.store} on the link")

    async def in_touch(self, device: Device) -> None:
        """Wait until the device has come into touch since it was opened: after a crash, another window's lease may have to run out."""
        async def there() -> bool:
            return any(one.kind in ("welcome", "pull") and one.device == device.store for one in self.link.seen[device.opened_at:])

        await self.until(there, f"{device.window} comes into touch")

    async def until_receipt(self, device: Device, record: str, receipt: str) -> None:
        async def there() -> bool:
            return await device.receipt(record) == receipt

        await self.until(there, f"the receipt of {record} is {receipt}")

    async def until_name(self, device: Device, *names: str) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            status = await device.status()
            return status if status["name"] in names else None

        found = await self.until(there, f"the status of {device.window} is {' or '.join(names)}")
        assert found is not None
        return found

    async def until_value(self, device: Device, record: str, field: str, value: Any) -> None:
        async def there() -> bool:
            return bool(await device.value(record, field) == value)

        await self.until(there, f"{record}'s {field} shows {value!r}")

    async def server_value(self, record: str, field: str) -> Any:
        collection, _, record_id = record.partition("/")
        found = await self.server.record(collection, record_id)
        return None if found is None else found["fields"][field]

    async def agree(self, record: str, *devices: Device) -> dict[str, Any]:
        """All of them show the record as it stands at the server; its fields."""
        for _ in range(2):
            for device in devices:
                await device.synced()
        collection, _, record_id = record.partition("/")
        stands = await self.server.record(collection, record_id)
        assert stands is not None, f"{record} is not at the server"
        for device in devices:
            shown = await device.read(record)
            expected = {"fields": stands["fields"], "deleted": stands["deleted"]}
            assert shown == expected, f"{device.window} shows {shown}, not {expected}"
        fields: dict[str, Any] = stands["fields"]
        return fields

    # -- what holds at the end of every case --------------------------------------------------------------------------------

    def check(self) -> None:
        """A mutation that may have been sent never changes, but where the server was put back: then what it lacks is made anew."""
        sent: dict[tuple[str, str], str] = {}
        pushes = [one for one in self.link.seen[:self.server.put_back_at] if one.kind == "push" and isinstance(one.body, dict)]
        for mutation, device in ((one, message.device_id) for message in pushes for one in message.body["mutations"]):
            content = json.dumps(mutation, sort_keys=True)
            first = sent.setdefault((device, mutation["mutation_id"]), content)
            assert first == content, f"{device} sent {mutation['mutation_id']} twice with other content:\n{first}\n{content}"

    async def end(self) -> None:
        """Close what is open, and stop the server."""
        self.link.heal()
        for window in sorted(self.windows):
            try:
                await self.driver.kill(window)
            except DriverError:
                continue
        await self.server.stop()
