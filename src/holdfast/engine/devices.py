"""What the server knows of devices: whose each is, when it was last there, how far it has pulled (which decides what must be kept for
it), and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from holdfast.core.errors import Forbidden, LimitExceeded, WorldError
from holdfast.engine.api import Caller
from holdfast.engine.committer import Gate
from holdfast.engine.memory import Newest
from holdfast.engine.sight import Sight
from holdfast.engine.work import Upkeep
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Device

__all__ = ["Devices"]

REPORT_BYTES_MAX = 10_000
NOTED_EVERY_MS = 600_000
NOTED_MAX = 20_000


class Devices:
    def __init__(self, gate: Gate, runtime: Runtime) -> None:
        self._gate = gate
        self._runtime = runtime
        self._noted: Newest[tuple[str, str, str], int] = Newest(NOTED_MAX)

    async def report(self, sight: Sight, caller: Caller, device_id: str, report: Mapping[str, Any]) -> Device:
        """The device with what it tells, to be kept. Raises Forbidden if it belongs to somebody else, LimitExceeded."""
        if len(msgspec.json.encode(report)) > REPORT_BYTES_MAX:
            raise LimitExceeded(f"A report has at most {REPORT_BYTES_MAX:,} bytes.")
        device = await self._own(sight, caller, device_id)
        if device is None:
            raise Forbidden("This device belongs to another person.", hint="Take a new device id for yourself.")
        device.report = dict(report)
        return device

    async def note_pull(self, sight: Sight, caller: Caller, device_id: str, seq: int) -> None:
        """Keep, now and then, how far a device has pulled. A device of somebody else is passed over: pulling as such is no offence."""
        key = (caller.tenant_id, caller.actor_id, device_id)
        now = self._runtime.now_ms()
        noted = self._noted.get(key)
        if noted is not None and now - noted < NOTED_EVERY_MS:
            return
        self._noted.put(key, now)
        device = await self._own(sight, caller, device_id)
        if device is not None:
            device.cursor = max(device.cursor, seq)
            self._runtime.spawn(self._keep(device), name="note how far a device has pulled")

    async def _own(self, sight: Sight, caller: Caller, device_id: str) -> Device | None:
        """The caller's device, made if it is new; None if it is somebody else's."""
        now = self._runtime.now_ms()
        device = (await sight.reader.devices_named(caller.tenant_id, [device_id])).get(device_id)
        if device is None:
            return Device(tenant_id=caller.tenant_id, device_id=device_id, actor_id=caller.actor_id, first_seen=now, last_seen=now)
        device.last_seen = now
        return device if device.actor_id == caller.actor_id else None

    async def _keep(self, device: Device) -> None:
        try:
            await self._gate.submit(Upkeep(devices=[device]))
        except WorldError:
            return      # it pulls again, and then it is noted again
