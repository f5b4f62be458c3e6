"""Reads of what waits, on SQLite: contexts of devices and open inbox items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from holdfast.core.entry import Item
from holdfast.core.facts import Context, Key
from holdfast.storage.sqlite_base import SqliteBase

__all__ = ["CONTEXT", "ITEM", "SqliteWaiting", "dump"]

DeviceKey = tuple[str, str, str]

CONTEXT: Final = msgspec.msgpack.Decoder(Context)
ITEM: Final = msgspec.msgpack.Decoder(Item)
dump: Final[Callable[[Any], bytes]] = msgspec.msgpack.Encoder().encode


class SqliteWaiting(SqliteBase):
    def _device_records(self, tenant: str, keys: Sequence[DeviceKey]) -> dict[tuple[int, int], DeviceKey]:
        """(record number, device number) -> key, of those that have numbers."""
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return {}
        found: dict[tuple[int, int], DeviceKey] = {}
        for key in keys:
            record_no = self.numbers.record(tenant_no, (key[1], key[2]))
            device_no = None if record_no is None else self.numbers.label(tenant_no, key[0])
            if record_no is not None and device_no is not None:
                found[record_no, device_no] = key
        return found

    async def contexts(self, tenant: str, keys: Sequence[DeviceKey]) -> dict[DeviceKey, Context]:
        wanted = self._device_records(tenant, keys)
        rows = self.each("SELECT record_no, device_no, body FROM hf_contexts WHERE record_no = ? AND device_no = ?", wanted)
        return {wanted[record_no, device_no]: CONTEXT.decode(body) for record_no, device_no, body in rows}

    async def items(self, tenant: str, keys: Sequence[DeviceKey]) -> dict[DeviceKey, Item]:
        wanted = self._device_records(tenant, keys)
        rows = self.each("SELECT record_no, device_no, body FROM hf_items WHERE record_no = ? AND device_no = ?", wanted)
        return {wanted[record_no, device_no]: ITEM.decode(body) for record_no, device_no, body in rows}

    async def item(self, tenant: str, item_id: str) -> Item | None:
        if not (item_id.isascii() and item_id.isdigit() and len(item_id) < 19):
            return None
        found = self.one("SELECT body FROM hf_items WHERE tenant_no = ? AND opened = ?", self.numbers.tenant(tenant), int(item_id))
        item = None if found is None else ITEM.decode(found[0])
        return item if item is not None and item.id == item_id else None

    async def inbox(self, tenant: str, *, actor_id: str | None = None, after: str | None = None, limit: int = 50) -> list[Item]:
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return []
        since = 0 if after is None else int(after)
        if actor_id is None:
            rows = self.all("SELECT body FROM hf_items WHERE tenant_no = ? AND opened > ? ORDER BY opened LIMIT ?", tenant_no, since, limit)
        else:
            actor_no = self.numbers.label(tenant_no, actor_id)
            rows = self.all("SELECT body FROM hf_items WHERE tenant_no = ? AND opened > ? AND (actor_no = ? OR assigned_no = ?) "
                            "ORDER BY opened LIMIT ?", tenant_no, since, actor_no, actor_no, limit)
        return [ITEM.decode(row[0]) for row in rows]

    async def inbox_usage(self, tenant: str, actor_id: str) -> tuple[int, int]:
        tenant_no = self.numbers.tenant(tenant)
        actor_no = None if tenant_no is None else self.numbers.label(tenant_no, actor_id)
        found = self.one("SELECT count(*), ifnull(sum(bytes), 0) FROM hf_items WHERE tenant_no = ? AND actor_no = ?", tenant_no, actor_no)
        return (0, 0) if found is None else (found[0], found[1])

    async def waiting_for(self, tenant: str, keys: Sequence[Key]) -> list[Item]:
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return []
        wanted = [(number, tenant_no) for number in self.numbers.records(tenant_no, keys).values()]
        rows = self.each("SELECT i.opened, i.body FROM hf_item_refs AS w JOIN hf_items AS i ON i.tenant_no = w.tenant_no AND "
                         "i.opened = w.opened WHERE w.record_no = ? AND w.tenant_no = ?", wanted)
        return [ITEM.decode(body) for _, body in sorted(dict(rows).items())]
