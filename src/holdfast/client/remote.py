"""What only the server can answer: a record's past, ways back, the inbox, actions. Each call needs the network and raises Unreachable as
a WorldError where there is none; nothing of it is queued but `Replica.queue_call`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.client.device import Device
from holdfast.client.transport import Unreachable
from holdfast.client.wire import Wire
from holdfast.core.errors import WorldError
from holdfast.model.record import Record
from holdfast.model.typed import collection_of

__all__ = ["Remote"]

PAGE = 200


class Remote:
    def __init__(self, device: Device, wire: Wire) -> None:
        self._device = device
        self._wire = wire

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, changes: bool = False) -> Any:
        """One call; one that changes something bears an id, so that it may be repeated. Raises HoldfastErrors."""
        key = self._device.runtime.uuid7() if changes else None
        try:
            return await self._wire.call(method, path, query=query, body=body, idempotency_key=key)
        except Unreachable as error:
            raise WorldError(str(error), hint="It needs the server: try again when there is a network.") from error

    # -- the past ---------------------------------------------------------------------------------------------------------

    async def history(self, record: Record) -> list[dict[str, Any]]:
        """All entries about the record that the server has, newest first."""
        return await self._all(f"{_path(record)}/history", "entries")

    async def at(self, record: Record, rev: int) -> dict[str, Any]:
        """The record view as of `rev`."""
        found: dict[str, Any] = await self.call("GET", f"{_path(record)}/at/{rev}")
        return found

    async def diff(self, record: Record, *, since: int, to: int | None = None) -> dict[str, Any]:
        query = {"from": str(since)} | ({} if to is None else {"to": str(to)})
        found: dict[str, Any] = await self.call("GET", f"{_path(record)}/diff", query=query)
        return found

    async def why(self, record: Record, field: str) -> dict[str, Any]:
        """Where the value of a field comes from."""
        found: dict[str, Any] = await self.call("GET", f"{_path(record)}/why", query={"path": "/" + field})
        return found

    async def undo(self, record: Record, seq: int | None = None) -> dict[str, Any]:
        """Take back this device's newest change of the record. Raises Conflict where there is none."""
        body = {"device_id": self._device.device_id} | ({} if seq is None else {"seq": seq})
        found: dict[str, Any] = await self.call("POST", f"{_path(record)}/undo", body=body, changes=True)
        return found

    async def redo(self, record: Record) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("POST", f"{_path(record)}/redo", body={"device_id": self._device.device_id}, changes=True)
        return found

    async def restore(self, record: Record, rev: int, *, fields: Sequence[str] | None = None) -> dict[str, Any]:
        body = {"rev": rev} | ({} if fields is None else {"paths": ["/" + name for name in fields]})
        found: dict[str, Any] = await self.call("POST", f"{_path(record)}/restore", body=body, changes=True)
        return found

    async def name_version(self, record: Record, name: str, *, rev: int | None = None) -> None:
        await self.call("POST", f"{_path(record)}/versions", body={"rev": record.rev if rev is None else rev, "name": name}, changes=True)

    # -- what waits -------------------------------------------------------------------------------------------------------

    async def inbox(self) -> list[dict[str, Any]]:
        """What waits for this person's decision, oldest first, with both values."""
        items = await self._all("/v1/inbox", "items")
        self._device.put_meta(inbox=[{name: item.get(name) for name in ("id", "collection", "record_id")} for item in items])
        return items

    async def resolve(self, item_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("POST", f"/v1/inbox/{item_id}", body=dict(body), changes=True)
        self._device.put_meta(inbox_stale=True)
        return found

    async def action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        answer = await self.call("POST", f"/v1/actions/{name}", body={**arguments, "mutation_id": self._device.runtime.uuid7()})
        return answer["reply"]

    async def report(self, *, version: str, held: int, oldest: str | None, cause: str | None) -> None:
        """Tell the server how this device is."""
        await self.call("POST", "/v1/devices/report", body={"device_id": self._device.device_id, "version": version, "held": held,
                                                            "pending": len(self._device.unanswered()), "oldest": oldest, "cause": cause})

    async def _all(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.call("GET", path, query={"limit": str(PAGE), **({"cursor": cursor} if cursor else {})})
            found += page[name]
            cursor = page.get("cursor")
            if not cursor:
                return found


def _path(record: Record) -> str:
    return f"/v1/records/{collection_of(type(record))}/{record.id}"
