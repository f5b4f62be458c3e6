"""The memory backend: the reference model of the storage protocol and the oracle of its conformance suite. Plain dictionaries,
whole scans, no index but two: what it answers can be read off the code. Nothing survives the process.

One batch is open at a time; a second one is StorageLocked, because waiting for the first in the same thread could never end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from holdfast.core.digest import payload, payload_digest
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.errors import StorageConstraint, StorageFailed, StorageLocked
from holdfast.core.facts import Context
from holdfast.core.schema import Schema
from holdfast.storage.erasure import erased
from holdfast.storage.memory_reader import MemoryReader
from holdfast.storage.memory_state import CODECS, Log, State, stored_row, unique_values
from holdfast.storage.protocol import Account, Batch, Credential, Device, Reader, Seal, Tenant, Writes

__all__ = ["MemoryStorage"]


class MemoryBatch(MemoryReader):
    """Works on a copy of the state; `MemoryStorage.batch` puts it in place of the old one when all went well."""

    def __init__(self, schema: Schema, state: State, tenants: Sequence[str]) -> None:
        super().__init__(schema, state.copy())
        self._locked = frozenset(tenants)
        self._copied: set[str] = set()

    def _own(self, tenant: str) -> Log:
        """The tenant's log, to be changed."""
        if tenant not in self._copied:
            self.state.logs[tenant] = self.state.log(tenant).copy()
            self._copied.add(tenant)
        return self.state.logs[tenant]

    async def write(self, writes: Writes) -> None:
        tenant = writes.head.tenant_id
        if tenant not in self._locked:
            raise StorageFailed(f"The batch has not locked the head of tenant {tenant!r}.")
        log = self._own(tenant)
        self._append(log, writes)
        for row in writes.rows:
            log.rows[row.collection, row.id] = CODECS[Row].dump(stored_row(row, self.schema))
        for key, context in writes.contexts.items():
            if context is None:
                log.contexts.pop(key, None)
            else:
                log.contexts[key] = CODECS[Context].dump(context)
        for item in writes.items:
            log.items[item.id] = CODECS[Item].dump(item)
        for item_id in writes.closed_items:
            log.items.pop(item_id, None)
        for seq in writes.erased:
            self._erase(log, seq)
        for device in writes.devices:
            log.devices[device.device_id] = CODECS[Device].dump(device)

    def _append(self, log: Log, writes: Writes) -> None:
        expected = range(log.head.seq + 1, writes.head.seq + 1)
        if [entry.seq for entry in writes.entries] != list(expected):
            raise StorageConstraint(f"The log of tenant {writes.head.tenant_id!r} ends at {log.head.seq}: the batch does not continue it.")
        for entry in writes.entries:
            key = (entry.device_id, entry.mutation_id)
            if key in log.by_mutation:
                raise StorageConstraint("A device's mutation id is in the log already.")
            log.entries[entry.seq] = CODECS[Entry].dump(entry)
            log.seals[entry.seq] = Seal(salt=writes.salts[entry.seq])
            log.by_mutation[key] = entry.seq
            if entry.record_id:
                record = (entry.collection, entry.record_id)
                log.by_record[record] = (*log.by_record.get(record, ()), entry.seq)
        log.head = writes.head

    def _erase(self, log: Log, seq: int) -> None:
        entry = log.entry(seq) if seq in log.entries else None
        if entry is not None and not entry.erased:
            kept = payload_digest(log.seals[seq].salt, payload(entry))
            log.entries[seq] = CODECS[Entry].dump(erased(entry))
            log.seals[seq] = Seal(salt=b"", payload_digest=kept)

    async def put_tenant(self, tenant: Tenant) -> None:
        self.state.tenants[tenant.tenant_id] = CODECS[Tenant].dump(tenant)

    async def put_account(self, account: Account) -> None:
        held = await self.account(email=account.email)
        if held is not None and held.id != account.id:
            raise StorageConstraint("Another account has this e-mail address.")
        self.state.accounts[account.id] = CODECS[Account].dump(account)

    async def put_credential(self, credential: Credential) -> None:
        self.state.credentials[credential.hash] = CODECS[Credential].dump(credential)

    async def touch_credential(self, hash: str, last_used_at: int) -> None:
        found = await self.credential(hash)
        if found is not None:
            found.last_used_at = last_used_at
            await self.put_credential(found)

    async def put_device(self, device: Device) -> None:
        self._own(device.tenant_id).devices[device.device_id] = CODECS[Device].dump(device)

    async def put_setting(self, tenant: str, name: str, value: Any) -> None:
        self._own(tenant).settings[name] = CODECS[object].dump(value)

    async def count_attempt(self, key: str, now: int, window_ms: int) -> int:
        started, ends, count = self.state.attempts.get(key, (now, now + window_ms, 0))
        if not started <= now < ends:
            started, ends, count = now, now + window_ms, 0
        self.state.attempts[key] = (started, ends, count + 1)
        return count + 1

    def raise_if_broken(self) -> None:
        """What a database checks by its constraints, over the tenants that changed. Raises StorageConstraint."""
        for tenant in self._copied:
            log = self.state.logs[tenant]
            held: set[tuple[Any, ...]] = set()
            for stored in log.rows.values():
                row: Row = CODECS[Row].load(stored)
                collection = self.schema.collections[row.collection]
                for declared in collection.fields.values():
                    target = row.fields[declared.name]
                    if declared.ref is not None and target is not None and (declared.ref, target) not in log.rows:
                        raise StorageConstraint(f"{row.collection}.{declared.name} refers to a record that is not there.")
                for unique in collection.unique:
                    values = unique_values(collection, unique.fields, row)
                    if values is not None:
                        if (row.collection, unique.name, *values) in held:
                            raise StorageConstraint(f"{row.collection}: two records hold one value of {unique.name}.")
                        held.add((row.collection, unique.name, *values))


class MemoryStorage:
    """Storage that lives as long as the object."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._state = State()
        self._batch_open = False

    async def open(self) -> None:
        """Nothing to check."""

    async def close(self) -> None:
        """Nothing to release."""

    async def maintain(self) -> None:
        """Nothing to do."""

    @asynccontextmanager
    async def batch(self, tenants: Sequence[str]) -> AsyncIterator[Batch]:
        if self._batch_open:
            raise StorageLocked("Another batch is open.", hint="One batch is open at a time; try again when it is done.")
        self._batch_open = True
        try:
            batch = MemoryBatch(self.schema, self._state, tenants)
            yield batch
            batch.raise_if_broken()
            self._state = batch.state
        finally:
            self._batch_open = False

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        yield MemoryReader(self.schema, self._state)

    async def sizes(self) -> Mapping[str, int]:
        logs = self._state.logs.values()
        log_bytes = sum(len(stored) for log in logs for stored in log.entries.values())
        table_bytes = sum(len(stored) for log in logs for stored in log.rows.values())
        return {"log": log_bytes, "tables": table_bytes, "indexes": 0, "file": 0, "wal": 0}
