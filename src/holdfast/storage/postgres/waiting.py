"""Reads of what waits, on PostgreSQL: contexts of devices and open inbox items. Their bodies are JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from holdfast.core.entry import Item
from holdfast.core.facts import Context, Key
from holdfast.storage.postgres.base import PostgresBase
from holdfast.storage.postgres.names import qualified

__all__ = ["DeviceKey", "PostgresWaiting", "dump"]

DeviceKey = tuple[str, str, str]
"""(device, collection, record id)"""

_CONTEXT: Final = msgspec.json.Decoder(Context)
_ITEM: Final = msgspec.json.Decoder(Item)
_ENCODE: Final = msgspec.json.Encoder().encode

_OF_DEVICES: Final = "unnest($2::text[], $3::text[], $4::text[]) AS x(device, collection, record)"
_SAME: Final = "t.tenant_id = $1 AND t.device_id = x.device AND t.collection = x.collection AND t.record_id = x.record"
_CONTEXTS: Final = (f"SELECT t.device_id, t.collection, t.record_id, t.body FROM {_OF_DEVICES} JOIN {qualified('hf_contexts')} AS t "
                    f"ON {_SAME} WHERE t.tenant_id = $1")
_ITEMS: Final = f"SELECT t.body FROM {_OF_DEVICES} JOIN {qualified('hf_items')} AS t ON {_SAME} WHERE t.tenant_id = $1"
_BY_OPENING: Final = f"SELECT body FROM {qualified('hf_items')} WHERE tenant_id = $1 AND opened = $2"
_INBOX: Final = f"SELECT body FROM {qualified('hf_items')} WHERE tenant_id = $1 AND opened > $2"
_WAITING_FOR: Final = (
    f"SELECT DISTINCT i.opened, i.body FROM unnest($2::text[], $3::text[]) AS x(collection, record) JOIN {qualified('hf_item_refs')} AS r "
    "ON r.tenant_id = $1 AND r.collection = x.collection AND r.record_id = x.record "
    f"JOIN {qualified('hf_items')} AS i ON i.tenant_id = r.tenant_id AND i.opened = r.opened "
    "WHERE i.tenant_id = $1 AND r.tenant_id = $1 ORDER BY i.opened")


def dump(value: Any) -> str:
    return _ENCODE(value).decode()




def _columns(keys: Sequence[DeviceKey]) -> list[list[str]]:
    return [[key[at] for key in keys] for at in range(3)]


class PostgresWaiting(PostgresBase):
    async def contexts(self, tenant: str, keys: Sequence[DeviceKey]) -> dict[DeviceKey, Context]:
        rows = await self.tenant_rows(tenant, _CONTEXTS, *_columns(keys)) if keys else []
        return {(device, collection, record): _CONTEXT.decode(body) for device, collection, record, body in rows}

    async def items(self, tenant: str, keys: Sequence[DeviceKey]) -> dict[DeviceKey, Item]:
        rows = await self.tenant_rows(tenant, _ITEMS, *_columns(keys)) if keys else []
        return {(item.device_id, item.collection, item.record_id): item for item in (_ITEM.decode(row[0]) for row in rows)}

    async def item(self, tenant: str, item_id: str) -> Item | None:
        if not (item_id.isascii() and item_id.isdigit() and len(item_id) < 19):
            return None
        found = await self.tenant_one(tenant, _BY_OPENING, int(item_id))
        item = None if found is None else _ITEM.decode(found[0])
        return item if item is not None and item.id == item_id else None

    async def inbox(self, tenant: str, *, actor_id: str | None = None, after: str | None = None, limit: int = 50) -> list[Item]:
        since = 0 if after is None else int(after)
        if actor_id is None:
            rows = await self.tenant_rows(tenant, f"{_INBOX} ORDER BY opened LIMIT $3", since, limit)
        else:
            rows = await self.tenant_rows(tenant, f"{_INBOX} AND (actor_id = $3 OR assigned_to = $3) ORDER BY opened LIMIT $4", since,
                                          actor_id, limit)
        return [_ITEM.decode(row[0]) for row in rows]

    async def inbox_usage(self, tenant: str, actor_id: str) -> tuple[int, int]:
        found = await self.tenant_one(tenant, f"SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM {qualified('hf_items')} "
                                              "WHERE tenant_id = $1 AND actor_id = $2", actor_id)
        return (0, 0) if found is None else (found[0], found[1])

    async def waiting_for(self, tenant: str, keys: Sequence[Key]) -> list[Item]:
        if not keys:
            return []
        rows = await self.tenant_rows(tenant, _WAITING_FOR, [key[0] for key in keys], [key[1] for key in keys])
        return [_ITEM.decode(row[1]) for row in rows]
