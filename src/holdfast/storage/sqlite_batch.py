"""A transaction that writes, on SQLite: one statement per table and batch, run for many rows.

What a batch reads it remembers as far as writing again needs it: of rows the values that stand in indexes (rows in which they stay are
updated without touching those), and which seq a device's mutation has (an entry names the one before it by its distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import orjson

from holdfast.core.digest import FIRST, payload, payload_digest
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.errors import StorageConstraint, StorageFailed
from holdfast.core.facts import Context
from holdfast.core.schema import Schema
from holdfast.storage.columns import SqlValue
from holdfast.storage.compact import split_id
from holdfast.storage.entry_codec import COLUMNS, Names, SqlRow, encode_entry
from holdfast.storage.erasure import erased
from holdfast.storage.numbering import NewNumbers
from holdfast.storage.protocol import Account, Credential, Device, Tenant, Writes
from holdfast.storage.row_codec import RowCodec
from holdfast.storage.sqlite_log import SqliteLog
from holdfast.storage.sqlite_people import ACCOUNT, CREDENTIAL, DEVICE, TENANT, SqlitePeople
from holdfast.storage.sqlite_remains import REMAINS
from holdfast.storage.sqlite_rows import SqliteRows
from holdfast.storage.sqlite_waiting import SqliteWaiting, dump

__all__ = ["SqliteBatch", "SqliteReader"]


def _put(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """An upsert of whole rows."""
    taken = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return (f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {taken}")


_APPEND: Final = f"INSERT INTO hf_log ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_REWRITE: Final = "UPDATE hf_log SET body = ?, salt = NULL, request_no = NULL WHERE no = ?"
_PUT_CONTEXT: Final = _put("hf_contexts", ("record_no", "device_no", "body"), ("record_no", "device_no"))
_PUT_ITEM: Final = _put("hf_items", ("tenant_no", "opened", "record_no", "device_no", "actor_no", "assigned_no", "bytes", "body"),
                        ("tenant_no", "opened"))
_PUT_DEVICE: Final = _put("hf_devices", DEVICE, ("tenant_id", "device_id"))
_PUT_TENANT: Final = _put("hf_tenants", TENANT, ("tenant_id",))
_PUT_ACCOUNT: Final = _put("hf_accounts", ACCOUNT, ("id",))
_PUT_CREDENTIAL: Final = _put("hf_credentials", CREDENTIAL, ("hash",))
_PUT_SETTING: Final = _put("hf_settings", ("tenant_id", "name", "value"), ("tenant_id", "name"))
_REMAINS: Final = f"INSERT OR REPLACE INTO hf_meta (name, value) VALUES ('{REMAINS}', '1')"
_BODY: Final = COLUMNS.index("body")
_DEVICE: Final = COLUMNS.index("device_no")
_FIRST: Final = bytes.fromhex(FIRST)


class SqliteReader(SqliteLog, SqliteRows, SqliteWaiting, SqlitePeople):
    """Reads of one snapshot."""


class SqliteBatch(SqliteReader):
    numbers: NewNumbers

    def __init__(self, connection: apsw.Connection, numbers: NewNumbers, schema: Schema, codecs: dict[str, RowCodec],
                 tenants: Sequence[str]) -> None:
        super().__init__(connection, numbers, schema, codecs)
        self.erased_any = False
        self._locked = frozenset(tenants)
        self._indexed: dict[tuple[str, str, str], tuple[Any, ...]] = {}
        self._absent: set[tuple[str, str, str]] = set()

    # -- what is remembered ---------------------------------------------------------------------------------------------

    def indexed(self, place: tuple[str, str, str]) -> tuple[Any, ...] | None:
        """What of a row (tenant, collection, id) stands in indexes, as this batch has read, written or been told."""
        return self._indexed.get(place)

    def note_indexed(self, place: tuple[str, str, str], values: tuple[Any, ...]) -> None:
        """What `indexed` of an earlier batch said, if nothing was written since: then the row need not be read to be written again."""
        self._indexed[place] = values

    def note_raw(self, tenant: str, collection: str, raw: tuple[Any, ...]) -> None:
        self._indexed[tenant, collection, raw[0]] = self.codecs[collection].indexed(raw)

    def decoded(self, tenant: str, tenant_no: int, rows: list[SqlRow]) -> list[Entry]:
        found = super().decoded(tenant, tenant_no, rows)
        for row, entry in zip(rows, found, strict=True):
            self.numbers.note_seq(row[_DEVICE], entry.mutation_id, entry.seq)
        return found

    async def by_mutation(self, tenant: str, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        found = await super().by_mutation(tenant, ids)
        self._absent.update((tenant, *one) for one in ids if one not in found)
        return found

    # -- one tenant's batch ---------------------------------------------------------------------------------------------

    async def write(self, writes: Writes) -> None:
        tenant = writes.head.tenant_id
        if tenant not in self._locked:
            raise StorageFailed(f"The batch has not locked the head of tenant {tenant!r}.")
        tenant_no = self.numbers.new_tenant(tenant, _FIRST)
        if writes.entries or writes.head.seq:
            self._append(tenant_no, writes)
        if writes.rows:
            self._write_rows(tenant, tenant_no, writes.rows)
        if writes.contexts:
            self._write_contexts(tenant_no, writes.contexts)
        if writes.items or writes.closed_items:
            self._write_items(tenant_no, writes.items, writes.closed_items)
        if writes.erased:
            self._erase(tenant, tenant_no, writes.erased)
        if writes.devices:
            self.connection.executemany(_PUT_DEVICE, [_device_values(device) for device in writes.devices])

    def _append(self, tenant_no: int, writes: Writes) -> None:
        head, entries = writes.head, writes.entries
        first = head.seq - len(entries)
        if [entry.seq for entry in entries] != list(range(first + 1, head.seq + 1)):
            raise StorageConstraint(f"The entries of tenant {head.tenant_id!r} do not end at their head.")
        self.connection.execute("UPDATE hf_heads SET seq = ?, digest = ? WHERE no = ? AND seq = ?",
                                (head.seq, bytes.fromhex(head.digest), tenant_no, first))
        if not self.connection.changes():
            raise StorageConstraint(f"The log of tenant {head.tenant_id!r} does not end where the batch continues it.")
        if entries:
            names = self._names(tenant_no, entries)
            self._raise_if_repeated(entries, names)
            afters, salts = self._after_seqs(entries, names), writes.salts
            self.connection.executemany(_APPEND, [
                encode_entry(entry, name, None if entry.erased else salts[entry.seq], after_seq)
                for entry, name, after_seq in zip(entries, names, afters, strict=True)])

    def _raise_if_repeated(self, entries: list[Entry], names: list[Names]) -> None:
        """Once: the index of mutations is not unique (it holds half an id), so the promise is kept here. An id above all that its device
        has used so far is new (UUIDv7 rise), and so is one that this batch asked for and did not find; any other is looked up."""
        numbers, absent = self.numbers, self._absent
        suspects = [(entry, name) for entry, name in zip(entries, names, strict=True)
                    if not numbers.rises(name.device_no, split_id(entry.mutation_id)[0])]
        if suspects:
            if len({(entry.device_id, entry.mutation_id) for entry in entries}) < len(entries):
                raise StorageConstraint("A device's mutation id comes twice in one batch.")
            wanted = [(name.device_no, *split_id(entry.mutation_id)) for entry, name in suspects
                      if (entry.tenant_id, entry.device_id, entry.mutation_id) not in absent]
            if wanted and self.each("SELECT 1 FROM hf_log WHERE device_no = ? AND mutation_key = ? AND mutation_rest = ?", wanted):
                raise StorageConstraint("A device's mutation id is in the log already.")
        if absent:
            absent.difference_update([(entry.tenant_id, entry.device_id, entry.mutation_id) for entry in entries])

    def _after_seqs(self, entries: list[Entry], names: list[Names]) -> list[int | None]:
        """Of each entry: the seq of the one that its `after` names; None where that is nothing or not in the log. Taken from entries
        alone, never from what a row says of its last one: a wrong distance would read back as another id."""
        numbers = self.numbers
        for entry, name in zip(entries, names, strict=True):
            numbers.note_seq(name.device_no, entry.mutation_id, entry.seq)
        found = [None if entry.after is None else numbers.seq(name.device_no, entry.after)
                 for entry, name in zip(entries, names, strict=True)]
        if None not in found:
            return found
        wanted = {(name.device_no, *split_id(entry.after)): entry.after for entry, name, seq in zip(entries, names, found, strict=True)
                  if seq is None and entry.after is not None}
        if wanted:
            for device_no, key, rest, seq in self.each("SELECT device_no, mutation_key, mutation_rest, seq FROM hf_log WHERE "
                                                       "device_no = ? AND mutation_key = ? AND mutation_rest = ?", wanted):
                numbers.note_seq(device_no, wanted[device_no, key, rest], seq)
        return [None if entry.after is None else numbers.seq(name.device_no, entry.after)
                for entry, name in zip(entries, names, strict=True)]

    def _names(self, tenant_no: int, entries: list[Entry]) -> list[Names]:
        """Of each entry. Those of one push stand together, and say of one and the same sender."""
        found: list[Names] = []
        before, numbers = None, self.numbers
        device_no = actor_no = 0
        request_no = behalf_no = None
        for entry in entries:
            if before is None or not _of_one_sender(entry, before):
                before = entry
                device_no, actor_no = numbers.new_label(tenant_no, entry.device_id), numbers.new_label(tenant_no, entry.actor_id)
                request_no = None if entry.erased else numbers.new_request(tenant_no, entry.request)
                behalf_no = None if entry.on_behalf_of is None else numbers.new_label(tenant_no, entry.on_behalf_of)
            record_no = numbers.new_record(tenant_no, (entry.collection, entry.record_id)) if entry.collection else None
            found.append(Names(tenant_no, record_no, device_no, actor_no, request_no, behalf_no))
        return found

    # -- rows -------------------------------------------------------------------------------------------------------------

    def _write_rows(self, tenant: str, tenant_no: int, rows: list[Row]) -> None:
        by_collection: dict[str, dict[str, Row]] = {}
        for row in rows:
            by_collection.setdefault(row.collection, {})[row.id] = row
        for collection, latest in by_collection.items():
            self._write_table(tenant, tenant_no, self.codecs[collection], latest)

    def _write_table(self, tenant: str, tenant_no: int, codec: RowCodec, rows: dict[str, Row]) -> None:
        numbers = self.numbers
        updated: list[list[SqlValue]] = []
        written: list[list[SqlValue]] = []
        for record_id, row in rows.items():
            values = codec.encode(row, lambda text: numbers.new_label(tenant_no, text))
            key, heavy = (tenant, codec.collection.name, record_id), codec.heavy(values)
            if self._indexed.get(key) == heavy:
                updated.append([*codec.light(values), tenant, record_id])
            else:
                written.append([tenant, record_id, *values])
                self._indexed[key] = heavy
        if updated:
            self.connection.executemany(codec.update, updated)
        if codec.has_uniques and len(written) > 1:
            # Two records may have swapped a unique value: without the old rows no order of writing can collide.
            self.connection.executemany(codec.delete, [(tenant, values[1]) for values in written])
        if written:
            self.connection.executemany(codec.upsert, written)

    # -- what waits -------------------------------------------------------------------------------------------------------

    def _write_contexts(self, tenant_no: int, contexts: dict[tuple[str, str, str], Context | None]) -> None:
        kept, gone = [], []
        for (device, collection, record_id), context in contexts.items():
            key = (self.numbers.new_record(tenant_no, (collection, record_id)), self.numbers.new_label(tenant_no, device))
            if context is None:
                gone.append(key)
            else:
                kept.append((*key, dump(context)))
        if kept:
            self.connection.executemany(_PUT_CONTEXT, kept)
        if gone:
            self.connection.executemany("DELETE FROM hf_contexts WHERE record_no = ? AND device_no = ?", gone)

    def _write_items(self, tenant_no: int, items: list[Item], closed: list[str]) -> None:
        gone = [(tenant_no, int(item_id)) for item_id in [*closed, *(item.id for item in items)]]
        if gone:
            self.connection.executemany("DELETE FROM hf_item_refs WHERE tenant_no = ? AND opened = ?", gone)
            self.connection.executemany("DELETE FROM hf_items WHERE tenant_no = ? AND opened = ?", gone[:len(closed)])
        if not items:
            return
        self.connection.executemany(_PUT_ITEM, [self._item_values(tenant_no, item) for item in items])
        self.connection.executemany(
            "INSERT OR IGNORE INTO hf_item_refs (record_no, tenant_no, opened) VALUES (?, ?, ?)",
            [(self.numbers.new_record(tenant_no, part.ref), tenant_no, item.opened) for item in items for part in item.parts
             if part.reason == "missing_ref" and part.waits and part.ref is not None])

    def _item_values(self, tenant_no: int, item: Item) -> tuple[SqlValue, ...]:
        if item.id != str(item.opened):
            raise StorageFailed("An inbox item's id is the seq that opened it.")
        numbers = self.numbers
        return (tenant_no, item.opened, numbers.new_record(tenant_no, (item.collection, item.record_id)),
                numbers.new_label(tenant_no, item.device_id), numbers.new_label(tenant_no, item.actor_id),
                None if item.assigned_to is None else numbers.new_label(tenant_no, item.assigned_to), item.bytes, dump(item))

    # -- erasing ----------------------------------------------------------------------------------------------------------

    def _erase(self, tenant: str, tenant_no: int, seqs: list[int]) -> None:
        """Payload, salt and request of the entries go. Where their bytes still lie is for `sqlite_remains`, after the commit."""
        self.connection.pragma("secure_delete", True)
        self.connection.execute(_REMAINS)
        self.erased_any = True
        requests: set[int] = set()
        for seq in seqs:
            row = self.one("SELECT no, salt, request_no FROM hf_log WHERE tenant_no = ? AND seq = ?", tenant_no, seq)
            entry = None if row is None else self.entry_at(tenant, tenant_no, seq)
            if row is None or entry is None or entry.erased:
                continue
            number, salt, request_no = row
            self.connection.execute("INSERT INTO hf_erased (no, payload_digest) VALUES (?, ?)",
                                    (number, payload_digest(salt, payload(entry))))
            body = encode_entry(erased(entry), Names(tenant_no, None, 0, 0, None, None), None, None)[_BODY]
            self.connection.execute(_REWRITE, (body, number))
            if request_no is not None:
                requests.add(request_no)
        self._forget_requests(requests)

    def _forget_requests(self, numbers: set[int]) -> None:
        """Addresses and agents that no entry names any more. Reads the whole log once; erasing is rare."""
        if not numbers:
            return
        wanted = ", ".join(map(str, sorted(numbers)))
        used = {row[0] for row in self.all(f"SELECT DISTINCT request_no FROM hf_log WHERE request_no IN ({wanted})")}
        self.connection.executemany("DELETE FROM hf_requests WHERE no = ?", [(number,) for number in numbers - used])
        self.numbers.forget_requests(numbers - used)

    # -- who and from where -----------------------------------------------------------------------------------------------

    async def put_tenant(self, tenant: Tenant) -> None:
        self.connection.execute(_PUT_TENANT, tuple(getattr(tenant, name) for name in TENANT))

    async def put_account(self, account: Account) -> None:
        self.connection.execute(_PUT_ACCOUNT, tuple(getattr(account, name) for name in ACCOUNT))

    async def put_credential(self, credential: Credential) -> None:
        values = {name: getattr(credential, name) for name in CREDENTIAL}
        values["roles"] = None if credential.roles is None else orjson.dumps(credential.roles).decode()
        self.connection.execute(_PUT_CREDENTIAL, tuple(values.values()))

    async def touch_credential(self, hash: str, last_used_at: int) -> None:
        self.connection.execute("UPDATE hf_credentials SET last_used_at = ? WHERE hash = ?", (last_used_at, hash))

    async def put_device(self, device: Device) -> None:
        self.connection.execute(_PUT_DEVICE, _device_values(device))

    async def put_setting(self, tenant: str, name: str, value: Any) -> None:
        self.connection.execute(_PUT_SETTING, (tenant, name, orjson.dumps(value).decode()))

    async def count_attempt(self, key: str, now: int, window_ms: int) -> int:
        found = self.one("SELECT count FROM hf_attempts WHERE key = ? AND started <= ? AND ends > ?", key, now, now)
        if found is None:
            self.connection.execute("DELETE FROM hf_attempts WHERE ends <= ? OR key = ?", (now, key))
            self.connection.execute("INSERT INTO hf_attempts (key, started, ends, count) VALUES (?, ?, ?, 1)", (key, now, now + window_ms))
            return 1
        self.connection.execute("UPDATE hf_attempts SET count = count + 1 WHERE key = ?", (key,))
        return int(found[0]) + 1


def _of_one_sender(entry: Entry, other: Entry) -> bool:
    """Whether both surely name the same device, actor and request."""
    return (entry.device_id is other.device_id and entry.actor_id is other.actor_id and entry.request is other.request
            and entry.on_behalf_of is other.on_behalf_of and entry.erased is other.erased)


def _device_values(device: Device) -> tuple[SqlValue, ...]:
    values = {name: getattr(device, name) for name in DEVICE}
    values["report"] = orjson.dumps(device.report).decode()
    return tuple(values.values())
