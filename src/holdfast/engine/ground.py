"""The ground a batch stands on: one tenant's state as the earlier mutations of the batch left it.

Loaded set-wise, once; what is in a dictionary here was loaded (None: it does not exist). Everything is plain: sensitive values are
opened on the way in and sealed on the way out, entries of older contracts are upcast on the way in. `adopt` takes a decision over:
it seals the entry into the digest chain and makes its views the state that the next mutation meets. Nothing is written before
`writes`; `mark` and `back_to` let an action be taken back whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec

from holdfast.core import digest
from holdfast.core.access import Actor, All
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.facts import Context, Decision, Key, UniqueKey
from holdfast.core.schema import Collection, Schema
from holdfast.engine.memory import Memory, Place
from holdfast.engine.secrecy import Secrecy
from holdfast.engine.traits import Traits
from holdfast.model.builtin import MEMBERS, OWNER
from holdfast.storage.protocol import Batch, Device, Head, Query, Writes

__all__ = ["MEMBERS", "Adopted", "DeviceKey", "Ground", "Last", "is_pseudo"]

OWNERS_PAGE = 500
DeviceKey = tuple[str, str, str]
"""(device, collection, record id)"""


@runtime_checkable
class Rewriting(Protocol):
    """A batch that can write a row again which it has not read: all it must know of it is what it gave away before."""

    def indexed(self, place: Place) -> Any | None: ...
    def note_indexed(self, place: Place, values: Any) -> None: ...


class Last(NamedTuple):
    """A device's newest mutation of a record: its id, seq, and the newest stamp the device had then."""

    mutation_id: str
    seq: int
    stamp: int


class Adopted(NamedTuple):
    """What became of a decision: the sealed entry, and the record after it."""

    entry: Entry
    row: Row | None

    @property
    def position(self) -> str:
        return f"{self.entry.seq}.{self.entry.digest[:8]}"


def is_pseudo(device_id: str) -> bool:
    """Whether it stands for the server: nobody's context, no `after`."""
    return device_id.startswith("!")


class Ground:
    def __init__(self, batch: Batch, head: Head, *, schema: Schema, traits: Mapping[str, Traits], secrecy: Secrecy, memory: Memory,
                 now: int) -> None:
        self.batch = batch
        self.tenant_id = head.tenant_id
        self.start = head.seq
        self.seq = head.seq
        self.digest = head.digest
        self.schema = schema
        self.traits = traits
        self.secrecy = secrecy
        self.memory = memory
        self.now = now
        self.passing: set[Key] = set()      # records that are not likely to be saved again soon
        self._standing = memory.rows.at(head)
        self._rewriting = batch if isinstance(batch, Rewriting) else None
        self.rows: dict[Key, Row | None] = {}
        self.known: dict[tuple[str, str], Entry | None] = {}
        self.lasts: dict[DeviceKey, Last | None] = {}
        self.contexts: dict[DeviceKey, Context | None] = {}
        self.items: dict[DeviceKey, Item | None] = {}
        self.taken: dict[UniqueKey, str | None] = {}
        self.usage: dict[str, tuple[int, int]] = {}
        self.fresh: dict[Key, tuple[Entry, ...]] = {}
        self.arrived: dict[Key, None] = {}
        self.devices: dict[str, Device] = {}
        self._since: dict[Key, tuple[int, list[Entry]]] = {}
        self._entries: list[Entry] = []
        self._salts: dict[int, bytes] = {}
        self._dirty_rows: dict[Key, None] = {}
        self._dirty_contexts: dict[DeviceKey, None] = {}
        self._dirty_items: dict[DeviceKey, None] = {}
        self._closed_items: dict[str, None] = {}
        self._erased: list[int] = []

    # -- loading ------------------------------------------------------------------------------------------------------

    async def load_rows(self, keys: Iterable[Key]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self.rows and key[0] in self.schema.collections]
        if self._rewriting is not None:
            missing = [key for key in missing if key in self.passing or not self._recall(key, self._rewriting)]
        if missing:
            found = await self.batch.rows(self.tenant_id, missing)
            for key in missing:
                row = found.get(key)
                self.rows[key] = None if row is None else self.secrecy.open_row(row)

    def _recall(self, key: Key, rewriting: Rewriting) -> bool:
        """Whether the record is remembered as it stands; then it need not be read."""
        place = (self.tenant_id, *key)
        held = self.memory.rows.get(self._standing, place)
        if held is None:
            return False
        self.rows[key] = held.row
        rewriting.note_indexed(place, held.indexed)
        return True

    async def load_known(self, ids: Iterable[tuple[str, str]]) -> None:
        missing = [one for one in dict.fromkeys(ids) if one not in self.known]
        if missing:
            found = await self.batch.by_mutation(self.tenant_id, missing)
            for one in missing:
                self.known[one] = found.get(one)

    async def load_lasts(self, keys: Iterable[DeviceKey]) -> None:
        by_device: dict[str, list[Key]] = {}
        for key in dict.fromkeys(keys):
            if key not in self.lasts:
                by_device.setdefault(key[0], []).append(key[1:])
        for device_id, wanted in by_device.items():
            found = await self.batch.last_of_device(self.tenant_id, device_id, wanted)
            for collection, record_id in wanted:
                entry = found.get((collection, record_id))
                last = None if entry is None else Last(entry.mutation_id, entry.seq, entry.top or entry.stamp)
                self.lasts[device_id, collection, record_id] = last

    async def load_contexts(self, keys: Iterable[DeviceKey]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self.contexts]
        if missing:
            found = await self.batch.contexts(self.tenant_id, missing)
            for key in missing:
                self.contexts[key] = found.get(key)

    async def load_items(self, keys: Iterable[DeviceKey]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self.items]
        if missing and not await self._any_items():
            self.items.update(dict.fromkeys(missing))
        elif missing:
            found = await self.batch.items(self.tenant_id, missing)
            for key in missing:
                item = found.get(key)
                self.items[key] = None if item is None else self.secrecy.open_item(item)

    async def _any_items(self) -> bool:
        """Whether anything waits in the tenant's inboxes, but for what this batch has put there: mostly nothing does."""
        known = self.memory.items_open.get(self.tenant_id)
        if known is None:
            known = bool(await self.batch.inbox(self.tenant_id, limit=1))
            self.memory.items_open.put(self.tenant_id, known)
        return known

    async def load_taken(self, uniques: Iterable[UniqueKey]) -> None:
        missing = [one for one in dict.fromkeys(uniques) if one not in self.taken]
        if missing:
            found = await self.batch.holders(self.tenant_id, missing)
            for one in missing:
                holder = found.get(one)
                # A record changed in this batch may have given the value up.
                self.taken[one] = holder if holder is None or self._still_holds(holder, one) else None

    def _still_holds(self, record_id: str, unique: UniqueKey) -> bool:
        row = self.rows.get((unique[0], record_id))
        return row is None or (unique[0], record_id) not in self._dirty_rows or self._unique_values(row, unique[1]) == unique[2]

    def _unique_values(self, row: Row, name: str) -> tuple[Any, ...]:
        fields = next(unique.fields for unique in self.schema.collections[row.collection].unique if unique.name == name)
        return tuple(row.fields[field] for field in fields)

    async def load_usage(self, actor_id: str) -> tuple[int, int]:
        """(items, bytes) of the actor's open inbox items, as they stand now."""
        if actor_id not in self.usage:
            self.usage[actor_id] = await self.batch.inbox_usage(self.tenant_id, actor_id)
        return self.usage[actor_id]

    # -- one by one ---------------------------------------------------------------------------------------------------

    async def row(self, key: Key) -> Row | None:
        if key not in self.rows:
            await self.load_rows([key])
        return self.rows.get(key)

    async def prefix(self, seq: int) -> str | None:
        """First 8 hex digits of the digest of entry `seq`; None if the log has no such entry."""
        if seq > self.start:
            return self._entries[seq - self.start - 1].digest[:8] if seq <= self.seq else None
        found = self.memory.prefix(self.tenant_id, seq)
        if found is None:
            found = (await self.batch.prefixes(self.tenant_id, [seq])).get(seq)
            if found is not None:
                self.memory.note_prefix(self.tenant_id, seq, found)
        return found

    async def entry(self, seq: int) -> Entry | None:
        if seq > self.start:
            return next((entry for entries in self.fresh.values() for entry in entries if entry.seq == seq), None)
        entry = await self.batch.entry(self.tenant_id, seq)
        return None if entry is None else self.opened(entry)

    def opened(self, entry: Entry) -> Entry:
        return self.secrecy.open_entry(entry)

    async def entries_since(self, key: Key, after: int) -> list[Entry]:
        """All entries about the record with seq > `after`, rising, those of this batch included."""
        held = self._since.get(key)
        if held is None or held[0] > after:
            until = self.start if held is None else held[0]
            stored = await self.batch.record_entries(self.tenant_id, key, after=after, until=until)
            older = [self.opened(entry) for entry in stored]
            held = (after, older if held is None else [*older, *held[1]])
            self._since[key] = held
        entries = held[1] if held[0] == after else [entry for entry in held[1] if entry.seq > after]
        fresh = self.fresh.get(key)
        return [*entries, *(entry for entry in fresh if entry.seq > after)] if fresh else entries

    async def newest_first(self, key: Key, limit: int | None = None) -> list[Entry]:
        """The entries about the record, newest first: all of them, or those of this batch and so many older ones."""
        stored = await self.batch.record_entries(self.tenant_id, key, until=self.start, descending=True, limit=limit)
        return [*reversed(self.fresh.get(key, ())), *(self.opened(entry) for entry in stored)]

    def salt_of(self, seq: int) -> bytes:
        """The salt of an entry of this batch."""
        return self._salts[seq]

    async def children(self, collection: str, ref_field: str, parent_id: str) -> list[Row]:
        """The records of `collection` that refer to the parent, as they stand now."""
        for row in await self.batch.children(self.tenant_id, collection, ref_field, [parent_id]):
            key = (collection, row.id)
            if key not in self.rows:
                self.rows[key] = self.secrecy.open_row(row)
        return [row for key, row in list(self.rows.items())
                if key[0] == collection and row is not None and row.fields.get(ref_field) == parent_id]

    async def waiting_for(self, keys: Sequence[Key]) -> list[Item]:
        """Open items, as they stand now, of mutations that refer to one of `keys`, in the order in which they were held."""
        for item in await self.batch.waiting_for(self.tenant_id, keys):
            line = (item.device_id, item.collection, item.record_id)
            if line not in self.items and item.id not in self._closed_items:
                self.items[line] = self.secrecy.open_item(item)
        wanted = set(keys)
        found = [item for item in self.items.values() if item is not None
                 and any(part.reason == "missing_ref" and part.waits and part.ref in wanted for part in item.parts)]
        return sorted(found, key=lambda item: item.opened)

    async def item_of_id(self, item_id: str) -> Item | None:
        if item_id in self._closed_items:
            return None
        for item in self.items.values():
            if item is not None and item.id == item_id:
                return item
        found = await self.batch.item(self.tenant_id, item_id)
        if found is None:
            return None
        key = (found.device_id, found.collection, found.record_id)
        await self.load_items([key])
        return self.items[key]

    def actor(self, actor_id: str, narrowed: frozenset[str] | None) -> Actor | None:
        """The member as it stands in this batch; None if there is no such member. Loaded with the rows."""
        row = self.rows.get((MEMBERS, actor_id))
        if row is None or row.deleted:
            return None
        roles = frozenset(row.fields.get("roles") or ())
        return Actor(actor_id, roles if narrowed is None else roles & narrowed)

    async def other_owners(self, actor_id: str) -> int:
        """Whether (0 or 1, more are not counted) a member besides this one is an owner."""
        for key, row in self.rows.items():
            if key[0] == MEMBERS and key[1] != actor_id and row is not None and not row.deleted and OWNER in row.fields["roles"]:
                return 1
        after: tuple[str, ...] | None = None
        while True:
            page = await self.batch.page(self.tenant_id, Query(collection=MEMBERS, rule=All, actor=Actor(""), after=after,
                                                               limit=OWNERS_PAGE))
            for row in page:
                if row.id != actor_id and OWNER in row.fields["roles"] and (MEMBERS, row.id) not in self._dirty_rows:
                    return 1
            if len(page) < OWNERS_PAGE:
                return 0
            after = (page[-1].id,)

    # -- taking decisions over ------------------------------------------------------------------------------------------

    def adopt(self, decision: Decision, salt: bytes) -> Adopted:
        entry = decision.entry
        assert entry.seq == self.seq + 1, "decided for another place in the log"
        key = (entry.collection, entry.record_id)
        stored = self.secrecy.close_entry(entry)
        sealed = digest.seal(stored, self.digest, salt, digest.payload(stored))
        self.seq, self.digest = entry.seq, sealed.digest
        self._entries.append(sealed)
        self._salts[entry.seq] = salt
        plain = sealed if stored is entry else msgspec.structs.replace(entry, digest=sealed.digest)
        self.known[entry.device_id, entry.mutation_id] = sealed
        if entry.record_id:
            self.fresh[key] = (*self.fresh.get(key, ()), plain)
        row = decision.row
        if row is not None and decision.row_changed:
            row.last_prefix = sealed.digest[:8]
            self._take_row(key, row)
        if entry.kind == "change" and not is_pseudo(entry.device_id):
            line = (entry.device_id, *key)
            self.lasts[line] = Last(entry.mutation_id, entry.seq, entry.top or entry.stamp)
            if decision.context is not None or self.contexts.get(line) is not None:
                self.contexts[line] = decision.context
                self._dirty_contexts[line] = None
        self._take_items(decision)
        return Adopted(plain, row)

    def _take_row(self, key: Key, row: Row) -> None:
        before = self.rows.get(key)
        collection = self.schema.collections[row.collection]
        for unique in collection.unique:
            if before is not None:
                given_up = (row.collection, unique.name, tuple(before.fields[name] for name in unique.fields))
                if self.taken.get(given_up, row.id) == row.id:
                    self.taken[given_up] = None
            self.taken[row.collection, unique.name, tuple(row.fields[name] for name in unique.fields)] = row.id
        self.rows[key] = row
        self._dirty_rows[key] = None

    def _take_items(self, decision: Decision) -> None:
        if decision.closed is not None:
            self.close_item(decision.closed)
        if decision.item is not None:
            self.put_item(decision.item)

    def put_item(self, item: Item) -> None:
        key = (item.device_id, item.collection, item.record_id)
        before = self.items.get(key)
        self._count(item.actor_id, 0 if before is not None else 1, item.bytes - (before.bytes if before is not None else 0))
        self.items[key] = item
        self._dirty_items[key] = None
        self._closed_items.pop(item.id, None)

    def close_item(self, item: Item) -> None:
        key = (item.device_id, item.collection, item.record_id)
        self._count(item.actor_id, -1, -item.bytes)
        self.items[key] = None
        self._dirty_items.pop(key, None)
        self._closed_items[item.id] = None

    def _count(self, actor_id: str, items: int, size_bytes: int) -> None:
        if actor_id in self.usage:
            standing = self.usage[actor_id]
            self.usage[actor_id] = (standing[0] + items, standing[1] + size_bytes)

    def put_row(self, row: Row) -> None:
        """Replace a record without an entry of its own kind of change (erasing)."""
        self._take_row((row.collection, row.id), row)

    def put_context(self, key: DeviceKey, context: Context | None) -> None:
        """Replace a device's context row without an entry of the device (erasing). None: there is none from now on."""
        self.contexts[key] = context
        self._dirty_contexts[key] = None

    def erase(self, seqs: Iterable[int]) -> None:
        self._erased.extend(seqs)

    # -- taking back, writing out ---------------------------------------------------------------------------------------

    def mark(self) -> tuple[Any, ...]:
        """The state now, to come `back_to`."""
        return (self.seq, self.digest, len(self._entries), len(self._erased), *(dict(part) for part in self._changing()))

    def back_to(self, mark: tuple[Any, ...]) -> None:
        self.seq, self.digest = mark[0], mark[1]
        for gone in self._entries[mark[2]:]:
            del self._salts[gone.seq]
        del self._entries[mark[2]:]
        del self._erased[mark[3]:]
        for part, before in zip(self._changing(), mark[4:], strict=True):
            part.clear()
            part.update(before)

    def _changing(self) -> tuple[dict[Any, Any], ...]:
        return (self.rows, self.known, self.lasts, self.contexts, self.items, self.taken, self.usage, self.fresh, self.arrived,
                self._dirty_rows, self._dirty_contexts, self._dirty_items, self._closed_items)

    def writes(self) -> Writes | None:
        """Everything that changed, sealed; None if nothing did."""
        if not self._entries and not self.devices:
            return None
        close = self.secrecy
        return Writes(
            head=Head(self.tenant_id, self.seq, self.digest),
            rows=[close.close_row(row) for key in self._dirty_rows if (row := self.rows[key]) is not None],
            entries=self._entries,
            salts=self._salts,
            contexts={key: self.contexts[key] for key in self._dirty_contexts},
            items=[close.close_item(item) for key in self._dirty_items if (item := self.items[key]) is not None],
            closed_items=list(self._closed_items),
            erased=self._erased,
            devices=list(self.devices.values()),
        )

    def remember(self) -> None:
        """All this is committed: what the next batches will ask for goes into the writer's memory."""
        memory, tenant_id = self.memory, self.tenant_id
        if self._rewriting is not None:
            self._remember_rows(self._rewriting)
        for entry in self._entries:
            memory.note_prefix(tenant_id, entry.seq, entry.digest[:8])
        for device_id, device in self.devices.items():
            memory.devices.put((tenant_id, device_id), (device.actor_id, device.last_seen))
        if self._dirty_items:
            memory.items_open.put(tenant_id, True)
        elif self._closed_items:
            memory.items_open.drop(tenant_id)

    def _remember_rows(self, rewriting: Rewriting) -> None:
        """As they stand now. Those with sensitive fields stay out: their values are plain here, and are so for no longer than a batch."""
        remembered, standing = self.memory.rows, self._standing
        hidden = {name for name in {key[0] for key in self.rows} if self.secrecy.hides(name)}
        for key, row in self.rows.items():
            place = (self.tenant_id, *key)
            if row is None or key[0] in hidden or (key in self.passing and place not in remembered):
                continue
            indexed = rewriting.indexed(place)
            if indexed is None:
                remembered.drop(place)
            else:
                remembered.put(standing, place, row, indexed)
        standing.seq, standing.digest = self.seq, self.digest

    @property
    def sealed(self) -> Sequence[Entry]:
        """The entries of this batch so far."""
        return self._entries

    def collection(self, name: str) -> Collection | None:
        return self.schema.collections.get(name)
