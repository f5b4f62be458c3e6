"""Verifying a tenant: the digest chain, and that every view of the log is what the log says.

Nothing is repaired and nothing is written. Works page by page, so that a store larger than memory can be verified, while it is in use
(the log is read up to where it ended at the beginning; rows that have changed since are read again).

What was erased is reported and taken as said: its chain still checks, its records' past cannot be replayed. Entries of an older contract
are replayed as the present one reads them; where a converter changed what they mean, the values are counted as not comparable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from holdfast.core import digest
from holdfast.core.access import Actor, All
from holdfast.core.entry import Entry, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Context
from holdfast.core.ops import SetOp, UnsetOp
from holdfast.core.schema import Collection
from holdfast.core.waiting import rebuild, shape, text_fields
from holdfast.engine.ground import is_pseudo
from holdfast.engine.replay import Replayed, open_items, replayed
from holdfast.engine.secrecy import Secrecy
from holdfast.engine.store import Store
from holdfast.storage.protocol import Query, Reader, Seal

__all__ = ["Finding", "Report", "verify_tenant"]

CHUNK = 500
FINDINGS_MAX = 100


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as the log says. `seq`: the entry, where it is one."""

    what: str
    seq: int | None = None
    collection: str = ""
    record_id: str = ""


class Report(msgspec.Struct, kw_only=True):
    """`findings` empty: all is well. `erased`: seqs whose payload is gone, by an erasure that the log has."""

    tenant_id: str
    entries: int = 0
    records: int = 0
    items: int = 0
    erased: list[int] = []
    not_comparable: int = 0
    findings: list[Finding] = []
    first_bad_seq: int | None = None

    @property
    def ok(self) -> bool:
        return not self.findings

    def add(self, what: str, *, seq: int | None = None, row: Row | None = None) -> None:
        if len(self.findings) < FINDINGS_MAX:
            collection, record_id = ("", "") if row is None else (row.collection, row.id)
            self.findings.append(Finding(what=what, seq=seq, collection=collection, record_id=record_id))


async def verify_tenant(store: Store, tenant_id: str) -> Report:
    """Check everything of one tenant. Raises WorldError if the storage cannot be read."""
    report = Report(tenant_id=tenant_id)
    async with store.storage.reader() as reader:
        tenant = await reader.tenant(tenant_id)
        assert tenant is not None, "verified are tenants that exist"
        secrecy = store.keyring.secrecy(tenant)
        await _verify_chain(reader, tenant_id, report)
        if report.first_bad_seq is not None:
            return report           # what follows replays the log: it would say the same again, a hundred times
        created = await _verify_rows(reader, tenant_id, store, secrecy, report)
        await _verify_nothing_missing(reader, tenant_id, created, report)
        await _verify_items(reader, tenant_id, store, secrecy, report)
    return report


# -- the chain -------------------------------------------------------------------------------------------------------------


async def _verify_chain(reader: Reader, tenant_id: str, report: Report) -> None:
    chain = _Chain(report)
    async for entries in _readable_chunks(reader, tenant_id, report):
        seals = await reader.seals(tenant_id, [entry.seq for entry in entries])
        for entry in entries:
            if not chain.goes_on(entry, seals.get(entry.seq)):
                return
        report.entries += len(entries)
    head = await reader.head(tenant_id)
    if report.ok and (head.seq, head.digest) != (chain.expected - 1, chain.previous):
        _bad(report, chain.expected, f"The head says {head.seq}, the log ends at {chain.expected - 1}, or with another digest.")
    for seq in sorted(set(report.erased) - chain.erasures):
        report.add(f"Entry {seq} is erased, and no entry says so.", seq=seq)


class _Chain:
    """Walks the digests. `erasures`: the seqs that entries say were erased."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.previous = digest.FIRST
        self.expected = 1
        self.erasures: set[int] = set()

    def goes_on(self, entry: Entry, seal: Seal | None) -> bool:
        if entry.seq != self.expected:
            _bad(self._report, self.expected, f"Entry {self.expected} is missing.")
            return False
        if seal is None:
            _bad(self._report, entry.seq, f"Entry {entry.seq} has no seal.")
            return False
        if entry.erased:
            self._report.erased.append(entry.seq)
            kept = seal.payload_digest
        else:
            kept = digest.payload_digest(seal.salt, digest.payload(entry))
        if digest.chain(self.previous, entry, kept) != entry.digest:
            _bad(self._report, entry.seq, f"Entry {entry.seq} is not what was written: its digest does not fit.")
            return False
        if entry.kind == "erase" and not entry.erased:
            self.erasures.update(entry.extra.get("seqs", ()))
        self.previous, self.expected = entry.digest, self.expected + 1
        return True


async def _readable_chunks(reader: Reader, tenant_id: str, report: Report) -> AsyncIterator[list[Entry]]:
    """The log, up to the first entry that cannot be read at all: what is damaged may not even decode."""
    after = 0
    while True:
        try:
            entries = await reader.entries(tenant_id, after=after, limit=CHUNK)
        except Exception:
            entries = await _up_to_the_unreadable(reader, tenant_id, after, report)
            yield entries
            return
        if not entries:
            return
        yield entries
        after = entries[-1].seq


async def _up_to_the_unreadable(reader: Reader, tenant_id: str, after: int, report: Report) -> list[Entry]:
    found: list[Entry] = []
    while True:
        seq = after + len(found) + 1
        try:
            entry = await reader.entry(tenant_id, seq)
        except Exception as error:
            _bad(report, seq, f"Entry {seq} cannot be read ({type(error).__name__}).")
            return found
        if entry is None:
            _bad(report, seq, f"Entry {seq} is missing.")
            return found
        found.append(entry)


def _bad(report: Report, seq: int, what: str) -> None:
    if report.first_bad_seq is None:
        report.first_bad_seq = seq
    report.add(what, seq=seq)


async def _chunks(reader: Reader, tenant_id: str) -> AsyncIterator[list[Entry]]:
    after = 0
    while entries := await reader.entries(tenant_id, after=after, limit=CHUNK):
        yield entries
        after = entries[-1].seq


# -- the tables ------------------------------------------------------------------------------------------------------------


async def _verify_rows(reader: Reader, tenant_id: str, store: Store, secrecy: Secrecy, report: Report) -> set[tuple[str, str]]:
    """Every row against the replay of its entries. Returns the records that have one."""
    seen: set[tuple[str, str]] = set()
    for collection in store.schema.collections.values():
        after: tuple[str, ...] | None = None
        while True:
            query = Query(collection=collection.name, rule=All, actor=Actor(""), after=after, limit=CHUNK, include_deleted=True)
            rows = await reader.page(tenant_id, query)
            for row in rows:
                seen.add((row.collection, row.id))
                report.records += 1
                try:
                    await _verify_row(reader, tenant_id, collection, row, secrecy, report)
                except HoldfastError as error:
                    report.add(f"Its entries cannot be replayed: {error.detail}", row=row)
            if len(rows) < CHUNK:
                break
            after = (rows[-1].id,)
    return seen


async def _verify_row(reader: Reader, tenant_id: str, collection: Collection, stored: Row, secrecy: Secrecy, report: Report) -> None:
    entries = [secrecy.open_entry(entry) for entry in await reader.record_entries(tenant_id, (stored.collection, stored.id))]
    row = secrecy.open_row(stored)
    made = replayed(entries, collection)
    if made is None:
        report.add("There is a row, but no entry made it.", row=row)
        return
    _compare(made, row, report)
    await _verify_copied(reader, tenant_id, collection, row, secrecy, report)
    await _verify_contexts(reader, tenant_id, collection, row, entries, report)


def _compare(made: Replayed, row: Row, report: Report) -> None:
    for name in ("last", "last_prefix", "last_device", "last_mutation", "last_foreign"):
        if getattr(made, name) != getattr(row, name):
            report.add(f"Its bookkeeping ({name}) is {getattr(row, name)!r}, the log says {getattr(made, name)!r}.", row=row)
    if made.uncertain:
        report.not_comparable += 1
        return
    if made.deleted is not row.deleted:
        report.add(f"It is {'' if row.deleted else 'not '}deleted, the log says otherwise.", row=row)
    if made.rev != row.rev:
        report.add(f"Its rev is {row.rev}, the log says {made.rev}.", row=row)
    for name, value in made.fields.items():
        if row.fields.get(name) != value:
            report.add(f"Field {name} is not what the log says.", row=row)


async def _verify_copied(reader: Reader, tenant_id: str, collection: Collection, row: Row, secrecy: Secrecy, report: Report) -> None:
    """A hidden column equals the parent's."""
    if row.deleted and not any(row.copied.values()):
        return
    for copied in collection.copied:
        ref = row.fields.get(copied.ref_field)
        if ref is None:
            continue
        key = (copied.parent, str(ref))
        parent = (await reader.rows(tenant_id, [key])).get(key)
        if parent is not None and secrecy.open_row(parent).columns().get(copied.source) != row.copied.get(copied.column):
            report.add(f"Its hidden column {copied.column} is not that of {copied.parent}.", row=row)


async def _verify_contexts(reader: Reader, tenant_id: str, collection: Collection, row: Row, entries: Sequence[Entry],
                           report: Report) -> None:
    """A device's context row is what the log makes of it, seen from the device's newest base."""
    if not text_fields(collection):
        return
    erased = max((entry.seq for entry in entries if entry.erased), default=0)
    own = [entry for entry in entries if entry.kind == "change" and not is_pseudo(entry.device_id)]
    elsewhere = {entry.device_id for entry in own if _without_context(entry, {"/" + name for name in text_fields(collection)})}
    bases = {entry.device_id: entry.base or 0 for entry in own if entry.device_id not in elsewhere}
    stored = await reader.contexts(tenant_id, [(device_id, row.collection, row.id) for device_id in bases])
    for device_id, base in bases.items():
        mine = [entry for entry in own if entry.device_id == device_id]
        needed = _needed_after(mine, base)
        if needed < erased or _went_back([entry for entry in mine if entry.seq > needed]):
            continue
        since = [entry for entry in entries if entry.seq > needed]
        made = rebuild(since, lambda entry, one=device_id: entry.device_id == one, device_id, base, collection)  # type: ignore[misc]
        kept = stored.get((device_id, row.collection, row.id))
        # Both say what waited up to some entry: they must agree up to the older one. What came later is in the log itself.
        until = min(0 if made is None else made.through, (1 << 62) if kept is None else kept.through)
        if _waiting(made, base, until) != _waiting(kept, base, until):
            report.add("What waits for a device in its texts is not what the log says.", row=row)


def _needed_after(own: Sequence[Entry], base: int) -> int:
    """The seq after which all entries are needed to say what waits for a device that has reached `base`: each of its own ones since was
    made on its base, back and back (`waiting.rebuild`). `own`: the device's entries of the record, rising."""
    needed = base
    for entry in reversed(own):
        if entry.seq > needed:
            needed = min(needed, entry.base or 0)
    return needed


def _went_back(own: Sequence[Entry]) -> bool:
    """Whether a device named an older base than before, as none does by itself: what it had seen already was dropped from its context, and
    comes again as if nothing had been typed on it."""
    bases = [entry.base or 0 for entry in own]
    return bases != sorted(bases)


def _without_context(entry: Entry, texts: set[str]) -> bool:
    """Whether the log does not say what its device's context is after the entry: a forked device began with another's, what was typed on no
    base into a record that might not be seen has none, and of a text that was set whole only the finer op, as applied, is kept."""
    sent = entry.ops if entry.sent is None else entry.sent
    return (entry.forked_from is not None or (not entry.base and any(part.reason == "unavailable" for part in entry.unapplied))
            or any(isinstance(op, SetOp | UnsetOp) and op.path in texts for op in sent))


def _waiting(context: Context | None, base: int, until: int) -> dict[str, list[Any]]:
    if context is None:
        return {}
    found = {name: [(other.seq, shape(other.change)) for other in waiting if base < other.seq <= until] for name,
             waiting in context.texts.items()}
    return {name: waiting for name, waiting in found.items() if waiting}


async def _verify_nothing_missing(reader: Reader, tenant_id: str, rows: set[tuple[str, str]], report: Report) -> None:
    """Every record that the log made has a row."""
    missing: set[tuple[str, str]] = set()
    async for entries in _chunks(reader, tenant_id):
        for entry in entries:
            key = (entry.collection, entry.record_id)
            if not entry.erased and entry.ops and entry.undo and key not in rows and key not in missing and entry.collection:
                missing.add(key)
                report.add(f"Entry {entry.seq} changed a record that has no row.", seq=entry.seq)


# -- the inbox -------------------------------------------------------------------------------------------------------------


async def _verify_items(reader: Reader, tenant_id: str, store: Store, secrecy: Secrecy, report: Report) -> None:
    made = await open_items((entry async for entries in _chunks(reader, tenant_id) for entry in entries), store.schema, secrecy)
    stored: dict[str, Any] = {}
    after: str | None = None
    while True:
        items = await reader.inbox(tenant_id, after=after, limit=CHUNK)
        stored.update({item.id: item for item in items})
        if len(items) < CHUNK:
            break
        after = str(items[-1].opened)
    report.items = len(stored)
    for item_id in sorted({*made, *stored}, key=int):
        if item_id not in stored:
            report.add(f"Inbox item {item_id} should be open, and is not there.", seq=int(item_id))
        elif item_id not in made:
            report.add(f"Inbox item {item_id} is open, and the log says that it is settled.", seq=int(item_id))
        elif made[item_id].seqs != stored[item_id].seqs or made[item_id].assigned_to != stored[item_id].assigned_to:
            report.add(f"Inbox item {item_id} is not what the log says.", seq=int(item_id))
