"""Reads of the memory backend: every answer by a plain scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from holdfast.core.access import allows
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.facts import Context, Key, UniqueKey
from holdfast.core.schema import Collection, Kind, Schema
from holdfast.storage.columns import to_minor
from holdfast.storage.conditions import checked, column_field, order_of, raise_if_not_text
from holdfast.storage.memory_state import CODECS, State
from holdfast.storage.protocol import Account, Credential, Device, Filter, Head, Query, Seal, Tenant

__all__ = ["MemoryReader"]


class MemoryReader:
    """Reads of one state."""

    def __init__(self, schema: Schema, state: State) -> None:
        self.schema = schema
        self.state = state

    async def head(self, tenant: str) -> Head:
        return self.state.log(tenant).head

    # -- rows ---------------------------------------------------------------------------------------------------------

    async def rows(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Row]:
        log = self.state.log(tenant)
        return {key: row for key in keys if (row := log.row(key)) is not None}

    def _rows_of(self, tenant: str, collection: str) -> Iterable[Row]:
        log = self.state.log(tenant)
        for key in sorted(key for key in log.rows if key[0] == collection):
            yield CODECS[Row].load(log.rows[key])

    async def page(self, tenant: str, query: Query) -> list[Row]:
        collection = checked(self.schema.collections[query.collection], query)
        found = [row for row in self._rows_of(tenant, query.collection) if _wanted(row, query, collection)]
        order = order_of(query)
        for name, descending in reversed(order):
            found.sort(key=_order_key(collection, name), reverse=descending)
        if query.after is not None:
            found = [row for row in found if _stands_after(row, query.after, order, collection)]
        return found[: query.limit]

    async def holders(self, tenant: str, uniques: Sequence[UniqueKey]) -> dict[UniqueKey, str]:
        found: dict[UniqueKey, str] = {}
        for wanted in uniques:
            collection_name, unique_name, values = wanted
            collection = self.schema.collections[collection_name]
            fields = next(unique.fields for unique in collection.unique if unique.name == unique_name)
            for row in self._rows_of(tenant, collection_name):
                if None not in values and tuple(row.fields[name] for name in fields) == tuple(values):
                    found[wanted] = row.id
        return found

    async def children(self, tenant: str, collection: str, ref_field: str, parents: Sequence[str]) -> list[Row]:
        return [row for row in self._rows_of(tenant, collection) if row.fields[ref_field] in set(parents)]

    async def counts(self, tenant: str, query: Query, by: str) -> dict[str, int]:
        collection = checked(self.schema.collections[query.collection], query)
        raise_if_not_text(collection, by)
        wanted = (row for row in self._rows_of(tenant, query.collection) if _wanted(row, query, collection))
        return dict(Counter(row.fields[by] for row in wanted if row.fields[by] is not None))

    # -- the log ------------------------------------------------------------------------------------------------------

    async def entries(self, tenant: str, *, after: int, until: int | None = None, limit: int,
                      collections: Sequence[str] | None = None) -> list[Entry]:
        log = self.state.log(tenant)
        last = log.head.seq if until is None else min(until, log.head.seq)
        found: list[Entry] = []
        for seq in range(max(after, 0) + 1, last + 1):
            if len(found) >= limit:
                break
            entry = log.entry(seq)
            if collections is None or not entry.collection or entry.collection in collections:
                found.append(entry)
        return found

    async def entry(self, tenant: str, seq: int) -> Entry | None:
        log = self.state.log(tenant)
        return log.entry(seq) if seq in log.entries else None

    async def seals(self, tenant: str, seqs: Sequence[int]) -> dict[int, Seal]:
        log = self.state.log(tenant)
        return {seq: log.seals[seq] for seq in seqs if seq in log.seals}

    async def record_entries(self, tenant: str, key: Key, *, after: int = 0, until: int | None = None, not_device: str | None = None,
                             device: str | None = None, descending: bool = False, limit: int | None = None) -> list[Entry]:
        log = self.state.log(tenant)
        entries = [log.entry(seq) for seq in log.by_record.get(key, ()) if after < seq and (until is None or seq <= until)]
        found = [entry for entry in entries
                 if (device is None or entry.device_id == device) and (not_device is None or entry.device_id != not_device)]
        if descending:
            found.reverse()
        return found if limit is None else found[:limit]

    async def by_mutation(self, tenant: str, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        log = self.state.log(tenant)
        return {one: log.entry(log.by_mutation[one]) for one in ids if one in log.by_mutation}

    async def prefixes(self, tenant: str, seqs: Sequence[int]) -> dict[int, str]:
        log = self.state.log(tenant)
        return {seq: log.entry(seq).digest[:8] for seq in seqs if seq in log.entries}

    async def activity(self, tenant: str, *, before: int | None, limit: int, actor_id: str | None = None, device_id: str | None = None,
                       collection: str | None = None, record_id: str | None = None, kind: str | None = None,
                       since: int | None = None, until: int | None = None) -> list[Entry]:
        log = self.state.log(tenant)
        wanted = {"actor_id": actor_id, "device_id": device_id, "collection": collection, "record_id": record_id, "kind": kind}
        equal = [(name, value) for name, value in wanted.items() if value is not None]
        found: list[Entry] = []
        for seq in range(log.head.seq if before is None else min(before - 1, log.head.seq), 0, -1):
            if len(found) >= limit:
                break
            entry = log.entry(seq)
            if (all(getattr(entry, name) == value for name, value in equal)
                    and (since is None or entry.committed_at >= since) and (until is None or entry.committed_at < until)):
                found.append(entry)
        return found

    async def last_of_device(self, tenant: str, device: str, keys: Sequence[Key]) -> dict[Key, Entry]:
        log = self.state.log(tenant)
        found: dict[Key, Entry] = {}
        for key in keys:
            for seq in reversed(log.by_record.get(key, ())):
                entry = log.entry(seq)
                if entry.device_id == device and entry.kind == "change":
                    found[key] = entry
                    break
        return found

    # -- what waits ---------------------------------------------------------------------------------------------------

    async def contexts(self, tenant: str, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Context]:
        stored = self.state.log(tenant).contexts
        return {key: CODECS[Context].load(stored[key]) for key in keys if key in stored}

    async def items(self, tenant: str, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Item]:
        wanted = set(keys)
        found = {(item.device_id, item.collection, item.record_id): item for item in self.state.log(tenant).open_items()}
        return {key: item for key, item in found.items() if key in wanted}

    async def item(self, tenant: str, item_id: str) -> Item | None:
        stored = self.state.log(tenant).items.get(item_id)
        return None if stored is None else CODECS[Item].load(stored)

    async def inbox(self, tenant: str, *, actor_id: str | None = None, after: str | None = None, limit: int = 50) -> list[Item]:
        since = 0 if after is None else int(after)
        found = [item for item in self.state.log(tenant).open_items()
                 if item.opened > since and (actor_id is None or actor_id in (item.actor_id, item.assigned_to))]
        return found[:limit]

    async def inbox_usage(self, tenant: str, actor_id: str) -> tuple[int, int]:
        own = [item for item in self.state.log(tenant).open_items() if item.actor_id == actor_id]
        return len(own), sum(item.bytes for item in own)

    async def waiting_for(self, tenant: str, keys: Sequence[Key]) -> list[Item]:
        wanted = set(keys)
        return [item for item in self.state.log(tenant).open_items()
                if any(part.reason == "missing_ref" and part.waits and part.ref in wanted for part in item.parts)]

    # -- who and from where -------------------------------------------------------------------------------------------

    async def devices(self, tenant: str, actor_id: str | None = None) -> list[Device]:
        found: list[Device] = [CODECS[Device].load(stored) for _, stored in sorted(self.state.log(tenant).devices.items())]
        return [device for device in found if actor_id is None or device.actor_id == actor_id]

    async def devices_named(self, tenant: str, ids: Sequence[str]) -> dict[str, Device]:
        stored = self.state.log(tenant).devices
        return {one: CODECS[Device].load(stored[one]) for one in ids if one in stored}

    async def tenant(self, tenant: str) -> Tenant | None:
        stored = self.state.tenants.get(tenant)
        return None if stored is None else CODECS[Tenant].load(stored)

    async def tenants(self) -> list[Tenant]:
        return [CODECS[Tenant].load(stored) for _, stored in sorted(self.state.tenants.items())]

    async def account(self, *, account_id: str | None = None, email: str | None = None) -> Account | None:
        if account_id is not None:
            stored = self.state.accounts.get(account_id)
            return None if stored is None else CODECS[Account].load(stored)
        found: list[Account] = [CODECS[Account].load(stored) for stored in self.state.accounts.values()]
        return next((account for account in found if account.email == email), None)

    async def memberships(self, account_id: str) -> list[str]:
        return [tenant for tenant in sorted(self.state.tenants)
                if (row := self.state.log(tenant).row(("members", account_id))) is not None and not row.deleted]

    async def credential(self, hash: str) -> Credential | None:
        stored = self.state.credentials.get(hash)
        return None if stored is None else CODECS[Credential].load(stored)

    async def credentials(self, tenant: str, account_id: str | None = None) -> list[Credential]:
        found: list[Credential] = [CODECS[Credential].load(stored) for _, stored in sorted(self.state.credentials.items())]
        return [one for one in found if one.tenant_id == tenant and (account_id is None or one.account_id == account_id)]

    async def setting(self, tenant: str, name: str) -> Any:
        stored = self.state.log(tenant).settings.get(name)
        return None if stored is None else CODECS[object].load(stored)


def _wanted(row: Row, query: Query, collection: Collection) -> bool:
    if row.deleted and not (query.include_deleted or query.only_deleted):
        return False
    if query.only_deleted and not row.deleted:
        return False
    return allows(query.rule, row.columns(), query.actor) and all(_holds(row, one, collection) for one in query.filters)


def _value(row: Row, name: str) -> Any:
    return row.id if name == "id" else row.rev if name == "rev" else row.fields[name]


def _comparable(collection: Collection, name: str, value: Any) -> Any:
    field = column_field(collection, name)
    return to_minor(value, field.scale) if field.kind is Kind.MONEY and value is not None else value


def _holds(row: Row, condition: Filter, collection: Collection) -> bool:
    name, op = condition.field, condition.op
    value = _comparable(collection, name, _value(row, name))
    if op == "null":
        return (value is None) is condition.value
    if op == "in":
        return any(value == _comparable(collection, name, one) for one in condition.value)
    wanted = _comparable(collection, name, condition.value)
    if op in ("eq", "ne"):
        return (value == wanted) is (op == "eq")
    if value is None:
        return False
    if op == "prefix":
        return bool(value.startswith(wanted))
    return bool({"lt": value < wanted, "lte": value <= wanted, "gt": value > wanted, "gte": value >= wanted}[op])


def _order_key(collection: Collection, name: str) -> Callable[[Row], tuple[Any, ...]]:
    def key(row: Row) -> tuple[Any, ...]:
        return _rank(_comparable(collection, name, _value(row, name)))

    return key


def _rank(value: Any) -> tuple[Any, ...]:
    return (0,) if value is None else (1, value)


def _stands_after(row: Row, after: Sequence[Any], order: Sequence[tuple[str, bool]], collection: Collection) -> bool:
    for (name, descending), bound in zip(order, after, strict=True):
        here, there = _order_key(collection, name)(row), _rank(_comparable(collection, name, bound))
        if here != there:
            return (here < there) if descending else (here > there)
    return False
