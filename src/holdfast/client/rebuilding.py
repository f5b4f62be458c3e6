"""Building the replica anew: a snapshot, and the way back to a server that was restored from an older backup.

**Another history.** The newest kept entry that the server still has is found by a binary search over cursors. What was pulled after it is
undone by the exact inverses, everything the server has since is taken in, and own mutations that are not among it are put back into the
outbox, made anew on the shared state. All of that is fetched first and done in one transaction (`recovery`): a person may go on typing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.client.device import Device
from holdfast.client.machine import Event
from holdfast.client.outbox import Key
from holdfast.client.recovery import recover, recover_unshared, worked_on
from holdfast.client.taking import begin_snapshot, end_snapshot, take_snapshot_lines
from holdfast.client.transport import Unreachable
from holdfast.client.wire import Wire
from holdfast.core.messages import Change, PullReply

__all__ = ["Rebuilding", "needs_snapshot"]

LINES_AT_ONCE: Final = 500
PENDING_NAMED_MAX: Final = 4_000
RECORDS_ASKED_MAX: Final = 200


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
        """After `reset: history`. Raises Unreachable, HoldfastError; then nothing was done, and it is begun again."""
        device = self._device
        floor = device.meta.get("floor")
        shared = await self._shared([*([floor] if floor else []), *device.store.kept_positions()])
        if shared is None:
            recover_unshared(device, await self._as_they_stand(worked_on(device)))
            return Event.NEEDS_SNAPSHOT
        pages, whole = await self._pages(shared)
        recover(device, shared, pages)
        if whole:
            return Event.REBUILT
        device.put_meta(reset=True)
        return Event.NEEDS_SNAPSHOT

    async def _as_they_stand(self, keys: list[Key]) -> dict[Key, list[Change] | None]:
        """All changes that the server has of these records; None: none that this person may see."""
        found: dict[Key, list[Change] | None] = {}
        for at in range(0, len(keys), RECORDS_ASKED_MAX):
            for line in await self._wire.records([(*key, None) for key in keys[at:at + RECORDS_ASKED_MAX]]):
                changes = line.get("changes")
                found[line["collection"], line["id"]] = None if changes is None else msgspec.convert(changes, list[Change])
        return found

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

    async def _pages(self, cursor: str) -> tuple[list[PullReply], bool]:
        """Everything the server has after a cursor; and whether that is all: where this person's roles changed, a snapshot tells the
        rest."""
        pages: list[PullReply] = []
        more = True
        while more:
            reply = await self._pull(cursor)
            if reply.reset == "history":
                raise Unreachable("The server's history has changed again.")
            if reply.reset is not None:
                return pages, False
            pages.append(reply)
            cursor, more = reply.cursor, reply.more
        return pages, True
