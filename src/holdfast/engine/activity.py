"""What happened in an organisation, newest first, within the rules of now: who changed which place of which record, never a value.

Where a page ends must not tell what was left out of it: a cursor at a hidden entry, or one that is there at all because hidden entries
fit the filter, would say that they exist and when. So a page is full, and ends at its last entry, or it ends at a number of the log that
depends on nothing but where it began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from holdfast.core import position
from holdfast.core.entry import Entry
from holdfast.core.errors import InvalidValue
from holdfast.core.stamping import iso
from holdfast.engine.paging import number_cursor, read_number
from holdfast.engine.settling import SEES_ALL_ITEMS
from holdfast.engine.sight import Sight

__all__ = ["activity_page"]

PAGE_MAX = 200
READ_AT_ONCE = 200
NUMBERS_PER_PAGE = 5_000
"""How far back one page looks, in numbers of the log."""
FILTERS = frozenset({"actor_id", "device_id", "collection", "record_id", "kind", "since", "until"})


async def activity_page(sight: Sight, cursor: str | None, limit: int, filters: dict[str, Any]) -> dict[str, Any]:
    """{"entries", "cursor"}. `since` and `until` are times (ms, or ISO 8601). A page may hold fewer than `limit`
    and still not be the last."""
    unknown = sorted(set(filters) - FILTERS)
    if unknown:
        raise InvalidValue(f"Activity cannot be filtered by {unknown[0][:60]!r}.", field=unknown[0][:60])
    wanted: dict[str, Any] = {name: _moment(value) if name in ("since", "until") else value for name,
                              value in filters.items() if value is not None}
    start = read_number(cursor)
    before = (await sight.reader.head(sight.tenant_id)).seq + 1 if start is None else start
    floor = max(1, before - NUMBERS_PER_PAGE)
    limit = max(1, min(limit, PAGE_MAX))
    found: list[dict[str, Any]] = []
    while before > floor:
        entries = await sight.reader.activity(sight.tenant_id, before=before, limit=READ_AT_ONCE, **wanted)
        for entry in await _visible(sight, [entry for entry in entries if entry.seq >= floor]):
            found.append(_view(sight, entry))
            if len(found) == limit:
                return {"entries": found, "cursor": number_cursor(entry.seq) if entry.seq > 1 else None}
        before = entries[-1].seq if len(entries) == READ_AT_ONCE else floor
    return {"entries": found, "cursor": number_cursor(floor) if floor > 1 else None}


async def _visible(sight: Sight, entries: Sequence[Entry]) -> list[Entry]:
    """Those about records that the caller may see; of those about no record (calls of actions) the caller's own, for owners and admins all.
    What somebody did to a record that he may not see (any longer), or what followed from it there, is not shown to him either."""
    rows = await sight.all_rows((entry.collection, entry.record_id) for entry in entries if entry.record_id)
    found = []
    for entry in entries:
        if entry.record_id:
            row = rows.get((entry.collection, entry.record_id))
            visible = row is not None and sight.may_read(row)
        else:
            visible = entry.actor_id == sight.actor.id or _sees_all(sight)
        if visible:
            found.append(entry)
    return found


def _moment(value: Any) -> int:
    if isinstance(value, int):
        return value
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidValue("A time is ISO 8601 with its offset.", hint='Such as "2025-11-20T13:58:00Z".')
    return int(moment.timestamp() * 1000)


def _sees_all(sight: Sight) -> bool:
    return not sight.actor.roles.isdisjoint(SEES_ALL_ITEMS)


def _view(sight: Sight, entry: Entry) -> dict[str, Any]:
    view: dict[str, Any] = {
        "seq": entry.seq, "position": position.render(entry.seq, entry.digest), "kind": entry.kind, "outcome": entry.outcome,
        "collection": entry.collection, "record_id": entry.record_id, "actor_id": entry.actor_id, "device_id": entry.device_id,
        "committed_at": iso(entry.committed_at),
        "changes": [{"op": op.__struct_config__.tag, "path": getattr(op, "path", "")} for op in entry.ops],
        "held": [{"reason": part.reason, "path": part.path or getattr(part.op, "path", "")} for part in entry.unapplied if part.waits],
    }
    if entry.kind == "action":
        view["action"] = entry.extra.get("name", "")
    if entry.on_behalf_of is not None:
        view["on_behalf_of"] = entry.on_behalf_of
    if entry.erased:
        view["erased"] = True
    if _sees_all(sight):
        view["address"], view["agent"] = entry.request.address, entry.request.agent
    return view
