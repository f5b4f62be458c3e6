"""The past of one record, from its entries: history, a version, a difference, and why a value is what it is."""

from __future__ import annotations

from typing import Any

from holdfast.core import clock, history, position
from holdfast.core.entry import Entry, Row
from holdfast.core.errors import NotFound
from holdfast.core.pointer import parse
from holdfast.core.stamping import iso
from holdfast.engine.api import RecordView
from holdfast.engine.paging import number_cursor, read_number
from holdfast.engine.settling import SEES_ALL_ITEMS
from holdfast.engine.sight import Sight
from holdfast.engine.views import plain, record_view

__all__ = ["difference", "entry_view", "history_page", "provenance", "version_at"]

VERSIONS_MAX = 1_000
PAGE_MAX = 1_000
BOOKKEEPING_ENTRIES = 50
"""Older entries that are looked through for the one that changed the record last."""


async def history_page(sight: Sight, collection: str, record_id: str, cursor: str | None, limit: int) -> dict[str, Any]:
    """{"entries": newest first, "cursor"}: who changed what, when, from which device, what was left out, and versions' names."""
    row = await sight.row(collection, record_id)
    before = read_number(cursor)
    limit = max(1, min(limit, PAGE_MAX))
    key = (row.collection, row.id)
    entries = await sight.entries(key, until=None if before is None else before - 1, descending=True, limit=limit + 1)
    names = await _version_names(sight, row)
    shown = [entry_view(sight, entry, names.get(entry.seq)) for entry in entries[:limit]]
    return {"entries": shown, "cursor": number_cursor(entries[limit - 1].seq) if len(entries) > limit else None}


async def _version_names(sight: Sight, row: Row) -> dict[int, list[str]]:
    named = await sight.reader.activity(sight.tenant_id, before=None, limit=VERSIONS_MAX, collection=row.collection, record_id=row.id,
                                        kind="version")
    found: dict[int, list[str]] = {}
    for entry in reversed(named):
        if not entry.erased:
            found.setdefault(entry.extra["rev"], []).append(entry.extra["name"])
    return found


def entry_view(sight: Sight, entry: Entry, names: list[str] | None = None) -> dict[str, Any]:
    """An entry for those who may read its record. What waits in somebody else's inbox item shows its place, not its value."""
    mine = entry.actor_id == sight.actor.id or not sight.actor.roles.isdisjoint(SEES_ALL_ITEMS)
    view: dict[str, Any] = {
        "seq": entry.seq, "position": position.render(entry.seq, entry.digest), "kind": entry.kind, "outcome": entry.outcome,
        "actor_id": entry.actor_id, "device_id": entry.device_id, "mutation_id": entry.mutation_id, "committed_at": iso(entry.committed_at),
        "ops": plain(entry.ops), "undo": plain(entry.undo),
    }
    if entry.edited_at is not None:
        view["edited_at"] = clock.render(entry.edited_at)
    if entry.on_behalf_of is not None:
        view["on_behalf_of"] = entry.on_behalf_of
    if entry.unapplied:
        view["unapplied"] = [plain(part) if mine or not part.waits else {"reason": part.reason, "path": part.path, "waits": True}
                             for part in entry.unapplied]
    if entry.reverts is not None:
        view["reverts"] = entry.reverts
    if entry.resolves:
        view["resolves"] = entry.resolves
    if entry.kind in ("restore", "version", "resolve", "erase") and entry.extra:
        view["extra"] = plain(entry.extra)
    if names:
        view["names"] = names
    if entry.erased:
        view["erased"] = True
    return view


async def version_at(sight: Sight, collection: str, record_id: str, rev: int) -> RecordView:
    """The record as it stood after entry `rev`. Raises NotFound, also where the past was erased."""
    row = await sight.row(collection, record_id)
    return record_view(await _as_of(sight, row, rev))


async def _as_of(sight: Sight, row: Row, rev: int) -> Row:
    if rev > row.last or rev < 1:
        raise NotFound(f"The record has no version {rev}.")
    key = (row.collection, row.id)
    newer = await sight.entries(key, after=rev, descending=True)
    older = await sight.entries(key, until=rev, descending=True, limit=BOOKKEEPING_ENTRIES)
    then = history.rewind(row, [*newer, *older], rev, sight.schema.collections[row.collection])
    if then is None:
        raise NotFound(f"The record has no version {rev}.")
    return then


async def difference(sight: Sight, collection: str, record_id: str, frm: int, to: int | None) -> dict[str, Any]:
    """{"from", "to", "fields": [what differs]}"""
    row = await sight.row(collection, record_id)
    now = row if to is None else await _as_of(sight, row, to)
    then = await _as_of(sight, row, frm)
    fields = history.diff(then, now, sight.schema.collections[collection])
    return {"from": frm, "to": row.rev if to is None else to, "fields": plain(fields)}


async def provenance(sight: Sight, collection: str, record_id: str, path: str) -> dict[str, Any]:
    """Why the value at `path` is what it is: the last entry that touched the place. Raises NotFound, Malformed (no JSON Pointer)."""
    row = await sight.row(collection, record_id)
    parts = parse(path)
    if not parts or parts[0] not in sight.schema.collections[collection].fields:
        raise NotFound("There is no such place in this record.")
    entries = await sight.entries((row.collection, row.id), descending=True)
    found = history.why(entries, path, sight.schema.collections[collection])
    if found is None:
        return {"path": path, "why": None}
    # Times as everywhere on the wire; a packed stamp is beyond what a number in JSON carries exactly.
    return {"path": path, "why": {**plain(found), "committed_at": iso(found.committed_at), "stamp": clock.render(found.stamp)}}
