"""Reads of the log on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.digest import FIRST
from holdfast.core.entry import Entry
from holdfast.core.facts import Key
from holdfast.storage.entry_codec import KIND_NUMBERS
from holdfast.storage.postgres.base import PostgresBase
from holdfast.storage.postgres.binding import Binder
from holdfast.storage.postgres.entry_codec import SELECTED, decode_entry
from holdfast.storage.postgres.names import qualified
from holdfast.storage.protocol import Head, Seal

__all__ = ["PostgresLog"]

_LOG: Final = f"{qualified('hf_log')} AS l"
_SELECT: Final = f"SELECT {SELECTED} FROM {_LOG} WHERE l.tenant_id = $1"
_BY_MUTATION: Final = (f"SELECT {SELECTED} FROM unnest($2::text[], $3::text[]) AS x(device, mutation) JOIN {_LOG} "
                       "ON l.tenant_id = $1 AND l.device_id = x.device AND l.mutation_id = x.mutation WHERE l.tenant_id = $1")
_LAST_OF_DEVICE: Final = (
    f"SELECT l.* FROM unnest($2::text[], $3::text[]) AS x(collection, record) CROSS JOIN LATERAL (SELECT {SELECTED} FROM {_LOG} "
    "WHERE l.tenant_id = $1 AND l.collection = x.collection AND l.record_id = x.record AND l.device_id = $4 AND l.kind = 0 "
    "ORDER BY l.seq DESC LIMIT 1) AS l")
_SEQS: Final = "l.seq = ANY(($2::text[])::bigint[])"


def _texts(seqs: Sequence[int]) -> list[str]:
    return [str(seq) for seq in seqs if abs(seq) < 1 << 63]


class PostgresLog(PostgresBase):
    async def head(self, tenant: str) -> Head:
        found = await self.tenant_one(tenant, f"SELECT seq, digest FROM {qualified('hf_heads')} WHERE tenant_id = $1")
        return Head(tenant, 0, FIRST) if found is None else Head(tenant, found[0], found[1].hex())

    async def entries(self, tenant: str, *, after: int, until: int | None = None, limit: int,
                      collections: Sequence[str] | None = None) -> list[Entry]:
        binder = Binder(tenant)
        where = f"AND l.seq > {binder.bind(after)}"
        if until is not None:
            where = f"{where} AND l.seq <= {binder.bind(until)}"
        if collections is not None:
            where = f"{where} AND l.collection = ANY({binder.bind_texts(['', *collections])})"
        return await self._entries(tenant, f"{_SELECT} {where} ORDER BY l.seq LIMIT {binder.bind(limit)}", binder.values)

    async def _entries(self, tenant: str, sql: str, values: Sequence[Any]) -> list[Entry]:
        """`values` begin with the tenant."""
        return [decode_entry(raw, tenant) for raw in await self.tenant_rows(tenant, sql, *values[1:])]

    async def entry(self, tenant: str, seq: int) -> Entry | None:
        found = await self._entries(tenant, f"{_SELECT} AND l.seq = $2", [tenant, seq])
        return found[0] if found else None

    async def seals(self, tenant: str, seqs: Sequence[int]) -> dict[int, Seal]:
        rows = await self.tenant_rows(
            tenant, f"SELECT l.seq, l.salt, l.payload_digest FROM {_LOG} WHERE l.tenant_id = $1 AND {_SEQS}", _texts(seqs))
        return {seq: Seal(salt=salt or b"", payload_digest=payload_digest or b"") for seq, salt, payload_digest in rows}

    async def record_entries(self, tenant: str, key: Key, *, after: int = 0, until: int | None = None, not_device: str | None = None,
                             device: str | None = None, descending: bool = False, limit: int | None = None) -> list[Entry]:
        if not key[1]:
            return []
        binder = Binder(tenant)
        where = f"AND l.collection = {binder.bind(key[0])} AND l.record_id = {binder.bind(key[1])} AND l.seq > {binder.bind(after)}"
        if until is not None:
            where = f"{where} AND l.seq <= {binder.bind(until)}"
        if device is not None:
            where = f"{where} AND l.device_id = {binder.bind(device)}"
        if not_device is not None:
            where = f"{where} AND l.device_id <> {binder.bind(not_device)}"
        order = "ORDER BY l.collection DESC, l.record_id DESC, l.seq DESC" if descending else "ORDER BY l.collection, l.record_id, l.seq"
        return await self._entries(tenant, f"{_SELECT} {where} {order} LIMIT {binder.bind(limit)}", binder.values)

    async def by_mutation(self, tenant: str, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        if not ids:
            return {}
        found = await self._entries(tenant, _BY_MUTATION, [tenant, [device for device, _ in ids], [mutation for _, mutation in ids]])
        return {(entry.device_id, entry.mutation_id): entry for entry in found}

    async def prefixes(self, tenant: str, seqs: Sequence[int]) -> dict[int, str]:
        rows = await self.tenant_rows(tenant, f"SELECT l.seq, l.digest FROM {_LOG} WHERE l.tenant_id = $1 AND {_SEQS}", _texts(seqs))
        return {seq: digest.hex()[:8] for seq, digest in rows}

    async def activity(self, tenant: str, *, before: int | None, limit: int, actor_id: str | None = None, device_id: str | None = None,
                       collection: str | None = None, record_id: str | None = None, kind: str | None = None,
                       since: int | None = None, until: int | None = None) -> list[Entry]:
        binder = Binder(tenant)
        conditions = [("l.seq <", before), ("l.actor_id =", actor_id), ("l.device_id =", device_id), ("l.collection =", collection),
                      ("l.record_id =", record_id), ("l.committed_at >=", since), ("l.committed_at <", until),
                      ("l.kind =", None if kind is None else KIND_NUMBERS.get(kind, -1))]  # type: ignore[call-overload]
        where = " ".join(f"AND {condition} {binder.bind(value)}" for condition, value in conditions if value is not None)
        return await self._entries(tenant, f"{_SELECT} {where} ORDER BY l.seq DESC LIMIT {binder.bind(limit)}", binder.values)

    async def last_of_device(self, tenant: str, device: str, keys: Sequence[Key]) -> dict[Key, Entry]:
        if not keys:
            return {}
        found = await self._entries(tenant, _LAST_OF_DEVICE, [tenant, [key[0] for key in keys], [key[1] for key in keys], device])
        return {(entry.collection, entry.record_id): entry for entry in found}
