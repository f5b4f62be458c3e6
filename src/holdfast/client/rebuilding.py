"""Building the replica anew: a snapshot, and the way back to a server that was restored from an older backup.

**Another history.** The newest kept entry that the server still has is found by a binary search over cursors. What was pulled after it is
undone by the exact inverses, and own mutations from there on go back into the outbox, before what is pending. Then everything up to the
server's head is pulled as usual: own mutations that the server still has (or has again) come back and leave the outbox; what is left is
sent again, made anew on the shared state (`recovery`). What may have been sent and was never answered keeps its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from holdfast.client.device import Device
from holdfast.client.machine import Event
from holdfast.client.recovery import forget_history, rewind
from holdfast.client.taking import begin_snapshot, end_snapshot, take_page, take_snapshot_lines
from holdfast.client.transport import Unreachable
from holdfast.client.wire import Wire
from holdfast.core.messages import PullReply

__all__ = ["Rebuilding", "needs_snapshot"]

LINES_AT_ONCE: Final = 500
PENDING_NAMED_MAX: Final = 4_000


def outdated(device: Device) -> list[str]:
    """Collections that were pulled under an older contract than the program's, or never."""
    known: Mapping[str, int] = device.meta.get("contracts", {})
    return sorted(name for name, one in device.schema.collections.items() if known.get(name, 0) < one.contract)


def needs_snapshot(device: Device) -> bool:
    return (device.meta.get("cursor") is None or bool(device.meta.get("reset")) or device.meta.get("snapshot") is not None
            or bool(outdated(device)))


class Rebuilding:
    def __init__(self, device: Device, wire: Wire) -> None:
        self._device = device
        self._wire = wire

    # -- snapshot ---------------------------------------------------------------------------------------------------------

    async def take_snapshot(self) -> Event:
        """Take a snapshot, or go on with one that was cut off. Raises Unreachable, HoldfastError."""
        device = self._device
        progress = device.meta.get("snapshot")
        if progress is None:
            whole = device.meta.get("cursor") is None or device.meta.get("reset")
            names = None if whole else outdated(device)
            after = None
        else:
            names, after = progress["collections"], progress["after"]
        wanted = names or list(device.schema.collections)
        lines: list[dict[str, Any]] = []
        began = progress is not None
        async for line in self._wire.snapshot(wanted, after, self._pending(wanted)):
            if "cursor" in line and "id" not in line:
                if not began:
                    begin_snapshot(device, line["cursor"], names)
                    began = True
                continue
            lines.append(line)
            if len(lines) >= LINES_AT_ONCE:
                take_snapshot_lines(device, lines)
                lines = []
        if not began:
            raise Unreachable("The snapshot did not say where it starts.")
        if lines:
            take_snapshot_lines(device, lines)
        end_snapshot(device)
        return Event.REBUILT

    def _pending(self, collections: list[str]) -> dict[str, str | None]:
        """The records with own work, each with the position that is here."""
        device = self._device
        found: dict[str, str | None] = {}
        for key in sorted(device.lanes):
            if key[0] in collections and len(found) < PENDING_NAMED_MAX:
                row = device.pulled(key)
                found[f"{key[0]}/{key[1]}"] = None if row is None else f"{row.last}.{row.last_prefix}"
        return found

    # -- another history --------------------------------------------------------------------------------------------------

    async def recover(self) -> Event:
        """After `reset: history`. Raises Unreachable, HoldfastError; then it is begun again."""
        device = self._device
        if not device.meta.get("rewound"):
            floor = device.meta.get("floor")
            shared = await self._shared([*([floor] if floor else []), *device.store.kept_positions()])
            if shared is None:
                forget_history(device)
                return Event.NEEDS_SNAPSHOT
            rewind(device, shared)
        await self._pull_all()
        device.put_meta(rewound=False)
        return Event.REBUILT

    async def _shared(self, positions: list[str]) -> str | None:
        """The newest of these positions (rising) that the server's history has; None: not even the oldest."""
        low, high = 0, len(positions)
        while low < high:
            middle = (low + high) // 2
            if (await self._pull(positions[middle], limit=1)).reset == "history":
                high = middle
            else:
                low = middle + 1
        return positions[low - 1] if low else None

    async def _pull(self, cursor: str | None, *, limit: int = 1_000) -> PullReply:
        device = self._device
        contracts = {name: one.contract for name, one in device.schema.collections.items()}
        return await self._wire.pull(cursor, collections=list(device.schema.collections), contracts=contracts, device_id=device.device_id,
                                     limit=limit)

    async def _pull_all(self) -> None:
        more = True
        while more:
            start = self._device.meta.get("cursor")
            reply = await self._pull(start)
            if reply.reset == "history":
                self._device.put_meta(rewound=False)
                raise Unreachable("The server's history has changed again.")
            take_page(self._device, reply, start=start)
            more = reply.more
