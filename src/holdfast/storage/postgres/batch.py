"""A transaction that writes, on PostgreSQL: one statement per table and batch, whatever the number of rows.

The row lock on the tenant's head is what puts one tenant's commits in order. It is taken first, so that everything read after it stands
until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from holdfast.core.digest import payload, payload_digest
from holdfast.core.entry import Item, Row
from holdfast.core.errors import StorageConstraint, StorageFailed
from holdfast.core.facts import Context, Key
from holdfast.core.schema import Schema
from holdfast.storage.erasure import erased
from holdfast.storage.layout import MEMBERS
from holdfast.storage.postgres.entry_codec import APPEND, REWRITE, SELECTED, body_text, decode_entry, encode_entry
from holdfast.storage.postgres.link import NO_TENANT, Link
from holdfast.storage.postgres.log import PostgresLog
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.people import ACCOUNT, CREDENTIAL, DEVICE, TENANT, PostgresPeople
from holdfast.storage.postgres.row_codec import RowCodec, anchored
from holdfast.storage.postgres.rows import PostgresRows
from holdfast.storage.postgres.waiting import DeviceKey, PostgresWaiting, dump
from holdfast.storage.protocol import Account, Credential, Device, Head, Tenant, Writes

__all__ = ["PostgresBatch", "PostgresReader"]


def _put(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """An upsert of one whole row."""
    taken = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return (f"INSERT INTO {qualified(table)} ({', '.join(columns)}) VALUES ({', '.join(f'${at + 1}' for at in range(len(columns)))}) "
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {taken}")


def _put_many(table: str, columns: Sequence[tuple[str, str]], key: Sequence[str]) -> str:
    """An upsert of one tenant's rows: parameter 1 is the tenant, then one text array per column. `columns`: names and casts."""
    taken, source = anchored([cast for _, cast in columns])
    changed = ", ".join(f"{name} = excluded.{name}" for name, _ in columns if name not in key)
    action = f"DO UPDATE SET {changed}" if changed else "DO NOTHING"
    return (f"INSERT INTO {qualified(table)} (tenant_id, {', '.join(name for name, _ in columns)}) SELECT {taken} FROM {source} "
            f"ON CONFLICT (tenant_id, {', '.join(key)}) {action}")


def _texts(*names: str) -> list[tuple[str, str]]:
    return [(name, "{}") for name in names]


_RECORD: Final = ("collection", "record_id")
_HEAD: Final = f"SELECT seq, digest FROM {qualified('hf_heads')} WHERE tenant_id = $1 FOR UPDATE"
_FIRST_HEAD: Final = (f"INSERT INTO {qualified('hf_heads')} (tenant_id, seq, digest) VALUES ($1, 0, decode(repeat('00', 32), 'hex')) "
                      "ON CONFLICT (tenant_id) DO NOTHING")
_DROP_HEAD: Final = f"DELETE FROM {qualified('hf_heads')} WHERE tenant_id = $1 AND seq = 0"
_MOVE_HEAD: Final = f"UPDATE {qualified('hf_heads')} SET seq = $2, digest = decode($3, 'hex') WHERE tenant_id = $1 AND seq = $4"
_PUT_CONTEXTS: Final = _put_many("hf_contexts", _texts("device_id", *_RECORD, "body"), ("device_id", *_RECORD))
_DROP_CONTEXTS: Final = (
    f"DELETE FROM {qualified('hf_contexts')} AS t USING unnest($2::text[], $3::text[], $4::text[]) AS x(device, collection, record) "
    "WHERE t.tenant_id = $1 AND t.device_id = x.device AND t.collection = x.collection AND t.record_id = x.record")
_PUT_ITEMS: Final = _put_many(
    "hf_items", [("opened", "{}::bigint"), *_texts("device_id", *_RECORD, "actor_id", "assigned_to"), ("bytes", "{}::bigint"),
                 ("body", "{}")], ("opened",))
_PUT_ITEM_REFS: Final = _put_many("hf_item_refs", [*_texts(*_RECORD), ("opened", "{}::bigint")], (*_RECORD, "opened"))
_OPENED: Final = "WHERE tenant_id = $1 AND opened = ANY(($2::text[])::bigint[])"
_PUT_DEVICES: Final = _put_many(
    "hf_devices", [*_texts("device_id", "actor_id"), *((name, "{}::bigint") for name in ("first_seen", "last_seen", "cursor")),
                   ("report", "{}")], ("device_id",))
_PUT_DEVICE: Final = _put("hf_devices", DEVICE, ("tenant_id", "device_id"))
_PUT_TENANT: Final = _put("hf_tenants", TENANT, ("tenant_id",))
_PUT_ACCOUNT: Final = _put("hf_accounts", ACCOUNT, ("id",))
_PUT_CREDENTIAL: Final = _put("hf_credentials", CREDENTIAL, ("hash",))
_PUT_SETTING: Final = _put("hf_settings", ("tenant_id", "name", "value"), ("tenant_id", "name"))
_PUT_MEMBERS: Final = (f"INSERT INTO {qualified('hf_memberships')} (tenant_id, account_id) SELECT $1, x.account "
                       "FROM unnest($2::text[]) AS x(account) ON CONFLICT (account_id, tenant_id) DO NOTHING")
_DROP_MEMBERS: Final = f"DELETE FROM {qualified('hf_memberships')} WHERE tenant_id = $1 AND account_id = ANY($2::text[])"
_TO_ERASE: Final = (f"SELECT {SELECTED} FROM {qualified('hf_log')} AS l WHERE l.tenant_id = $1 AND l.salt IS NOT NULL "
                    "AND l.seq = ANY(($2::text[])::bigint[])")
_ATTEMPT: Final = f"""
    INSERT INTO {qualified('hf_attempts')} AS a (key, started, ends, count) VALUES ($1, $2, $3, 1) ON CONFLICT (key) DO UPDATE SET
    started = CASE WHEN a.started <= excluded.started AND a.ends > excluded.started THEN a.started ELSE excluded.started END,
    ends = CASE WHEN a.started <= excluded.started AND a.ends > excluded.started THEN a.ends ELSE excluded.ends END,
    count = CASE WHEN a.started <= excluded.started AND a.ends > excluded.started THEN a.count + 1 ELSE 1 END RETURNING count"""
_OLD_ATTEMPTS: Final = f"DELETE FROM {qualified('hf_attempts')} WHERE ends <= $1"


def _by_column(rows: Sequence[Sequence[str | None]]) -> list[list[str | None]]:
    return [list(column) for column in zip(*rows, strict=True)]


class PostgresReader(PostgresLog, PostgresRows, PostgresWaiting, PostgresPeople):
    """Reads of one snapshot."""


class PostgresBatch(PostgresReader):
    def __init__(self, link: Link, schema: Schema, codecs: dict[str, RowCodec], tenants: Sequence[str]) -> None:
        super().__init__(link, schema, codecs)
        self._tenants = sorted(set(tenants))
        self._heads: dict[str, Head] = {}
        self._unused: set[str] = set()      # heads that were made here, so that there is something to lock
        self._uniques: dict[tuple[str, str, str], tuple[str | None, ...] | None] = {}    # of rows read here; None: there is none

    async def lock(self) -> None:
        """Always in the same order, so that two batches cannot wait for each other."""
        for tenant in self._tenants:
            found = await self.tenant_one(tenant, _HEAD)
            if found is None:
                await self.link.run(_FIRST_HEAD, tenant)
                found = await self.tenant_one(tenant, _HEAD)
                self._unused.add(tenant)
            self._heads[tenant] = Head(tenant, found[0], found[1].hex())

    async def finish(self) -> None:
        """Before the commit: a head that was made to be locked, and not written on, goes again."""
        for tenant in sorted(self._unused):
            await self.link.act(tenant)
            await self.link.run(_DROP_HEAD, tenant)

    async def head(self, tenant: str) -> Head:
        known = self._heads.get(tenant)
        return await super().head(tenant) if known is None else known

    def note_rows(self, tenant: str, collection: str, ids: Sequence[str], found: dict[Key, Row]) -> None:
        codec = self.codecs[collection]
        if codec.uniques:
            for record_id in ids:
                row = found.get((collection, record_id))
                self._uniques[tenant, collection, record_id] = None if row is None else codec.unique_values(row)

    # -- one tenant's batch ---------------------------------------------------------------------------------------------

    async def write(self, writes: Writes) -> None:
        tenant = writes.head.tenant_id
        if tenant not in self._tenants:
            raise StorageFailed(f"The batch has not locked the head of tenant {tenant!r}.")
        await self.link.act(tenant)
        self._unused.discard(tenant)
        if writes.entries or writes.head.seq:
            await self._append(tenant, writes)
        if writes.rows:
            await self._write_rows(tenant, writes.rows)
        if writes.contexts:
            await self._write_contexts(tenant, writes.contexts)
        if writes.items or writes.closed_items:
            await self._write_items(tenant, writes.items, writes.closed_items)
        if writes.erased:
            await self._erase(tenant, writes.erased)
        if writes.devices:
            latest = {device.device_id: device for device in writes.devices}
            await self.link.run(_PUT_DEVICES, tenant, *_by_column([_device_texts(device) for device in latest.values()]))

    async def _append(self, tenant: str, writes: Writes) -> None:
        head, entries = writes.head, writes.entries
        first = head.seq - len(entries)
        if [entry.seq for entry in entries] != list(range(first + 1, head.seq + 1)):
            raise StorageConstraint(f"The entries of tenant {tenant!r} do not end at their head.")
        if not await self.link.run(_MOVE_HEAD, tenant, head.seq, head.digest, first):
            raise StorageConstraint(f"The log of tenant {tenant!r} does not end where the batch continues it.")
        self._heads[tenant] = head
        if entries:
            texts = [encode_entry(entry, None if entry.erased else writes.salts[entry.seq]) for entry in entries]
            await self.link.run(APPEND, tenant, *_by_column(texts))

    # -- rows -------------------------------------------------------------------------------------------------------------

    async def _write_rows(self, tenant: str, rows: list[Row]) -> None:
        by_collection: dict[str, dict[str, Row]] = {}
        for row in rows:
            by_collection.setdefault(row.collection, {})[row.id] = row
        for collection in sorted(by_collection):
            latest = by_collection[collection]
            codec = self.codecs[collection]
            if codec.uniques and len(latest) > 1:
                await self._release(tenant, codec, latest)
            await self.link.run(codec.upsert, tenant, *_by_column([[record_id, *codec.encode(latest[record_id])]
                                                                   for record_id in sorted(latest)]))
            if codec.uniques:
                self.note_rows(tenant, collection, list(latest), {(collection, one): row for one, row in latest.items()})
            if collection == MEMBERS:
                await self._write_members(tenant, latest)

    async def _release(self, tenant: str, codec: RowCodec, rows: dict[str, Row]) -> None:
        """Two records may have swapped a unique value: those that may hold another one now let it go first, so that no order of writing
        can collide."""
        unread: tuple[str | None, ...] = ("", "not read here")
        releasing = []
        for record_id, row in rows.items():
            held = self._uniques.get((tenant, codec.collection.name, record_id), unread)
            if held is not None and held != codec.unique_values(row):
                releasing.append(record_id)
        if releasing:
            await self.link.run(codec.release, tenant, sorted(releasing))

    async def _write_members(self, tenant: str, rows: dict[str, Row]) -> None:
        """The directory that says in which tenants an account is a member."""
        await self.link.act(NO_TENANT)
        here = sorted(record_id for record_id, row in rows.items() if not row.deleted)
        gone = sorted(rows.keys() - set(here))
        if here:
            await self.link.run(_PUT_MEMBERS, tenant, here)
        if gone:
            await self.link.run(_DROP_MEMBERS, tenant, gone)
        await self.link.act(tenant)

    # -- what waits -------------------------------------------------------------------------------------------------------

    async def _write_contexts(self, tenant: str, contexts: dict[DeviceKey, Context | None]) -> None:
        kept = [[*key, dump(context)] for key, context in sorted(contexts.items(), key=lambda one: one[0]) if context is not None]
        gone = [list(key) for key, context in sorted(contexts.items(), key=lambda one: one[0]) if context is None]
        if kept:
            await self.link.run(_PUT_CONTEXTS, tenant, *_by_column(kept))
        if gone:
            await self.link.run(_DROP_CONTEXTS, tenant, *_by_column(gone))

    async def _write_items(self, tenant: str, items: list[Item], closed: list[str]) -> None:
        latest = {item.id: item for item in items}
        await self.link.run(f"DELETE FROM {qualified('hf_item_refs')} {_OPENED}", tenant, [*closed, *latest])
        if closed:
            await self.link.run(f"DELETE FROM {qualified('hf_items')} {_OPENED}", tenant, closed)
        if not latest:
            return
        await self.link.run(_PUT_ITEMS, tenant, *_by_column([_item_texts(item) for item in latest.values()]))
        refs = {(*part.ref, item.id) for item in latest.values() for part in item.parts
                if part.reason == "missing_ref" and part.waits and part.ref is not None}
        if refs:
            await self.link.run(_PUT_ITEM_REFS, tenant, *_by_column(sorted(refs)))

    # -- erasing ----------------------------------------------------------------------------------------------------------

    async def _erase(self, tenant: str, seqs: list[int]) -> None:
        """Payload, salt and request of the entries go; the digest of the payload stays."""
        wanted = [str(seq) for seq in sorted(set(seqs))]
        rewritten: list[list[str | None]] = []
        for raw in await self.link.fetch(_TO_ERASE, tenant, wanted):
            entry = decode_entry(raw, tenant)
            rewritten.append([str(entry.seq), body_text(erased(entry)), payload_digest(raw["salt"], payload(entry)).hex()])
        if rewritten:
            await self.link.run(REWRITE, tenant, *_by_column(rewritten))

    # -- who and from where -----------------------------------------------------------------------------------------------

    async def put_tenant(self, tenant: Tenant) -> None:
        await self._put(NO_TENANT, _PUT_TENANT, [getattr(tenant, name) for name in TENANT])

    async def _put(self, tenant: str, sql: str, values: list[Any]) -> None:
        await self.link.act(tenant)
        await self.link.run(sql, *values)

    async def put_account(self, account: Account) -> None:
        await self._put(NO_TENANT, _PUT_ACCOUNT, [getattr(account, name) for name in ACCOUNT])

    async def put_credential(self, credential: Credential) -> None:
        values = {name: getattr(credential, name) for name in CREDENTIAL}
        values["roles"] = None if credential.roles is None else orjson.dumps(credential.roles).decode()
        await self._put(NO_TENANT, _PUT_CREDENTIAL, list(values.values()))

    async def touch_credential(self, hash: str, last_used_at: int) -> None:
        await self._put(NO_TENANT, f"UPDATE {qualified('hf_credentials')} SET last_used_at = $1 WHERE hash = $2", [last_used_at, hash])

    async def put_device(self, device: Device) -> None:
        values = {name: getattr(device, name) for name in DEVICE}
        values["report"] = orjson.dumps(device.report).decode()
        await self._put(device.tenant_id, _PUT_DEVICE, list(values.values()))

    async def put_setting(self, tenant: str, name: str, value: Any) -> None:
        await self._put(tenant, _PUT_SETTING, [tenant, name, orjson.dumps(value).decode()])

    async def count_attempt(self, key: str, now: int, window_ms: int) -> int:
        count = int((await self.directory_one(_ATTEMPT, key, now, now + window_ms))[0])
        if count == 1:
            await self.link.run(_OLD_ATTEMPTS, now)
        return count


def _device_texts(device: Device) -> list[str | None]:
    return [device.device_id, device.actor_id, str(device.first_seen), str(device.last_seen), str(device.cursor),
            orjson.dumps(device.report).decode()]


def _item_texts(item: Item) -> list[str | None]:
    if item.id != str(item.opened):
        raise StorageFailed("An inbox item's id is the seq that opened it.")
    return [item.id, item.device_id, item.collection, item.record_id, item.actor_id, item.assigned_to, str(item.bytes), dump(item)]
