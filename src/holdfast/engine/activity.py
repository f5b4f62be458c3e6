"""What happened in an organisation, newest first, within the rules of now: who changed which place of which record, never a value."""

from __future__ import annotations

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
ROUNDS_MAX = 20
FILTERS = frozenset({"actor_id", "device_id", "collection", "record_id", "kind", "since", "until"})


async def activity_page(sight: Sight, cursor: str | None, limit: int, filters: dict[str, Any]) -> dict[str, Any]:
    """{"entries", "cursor"}. `since` and `until` are times (ms, or ISO 8601). A page may hold fewer than `limit`
    and still not be the last."""
    unknown = sorted(set(filters) - FILTERS)
    if unknown:
        raise InvalidValue(f"Activity cannot be filtered by {unknown[0][:60]!r}.", field=unknown[0][:60])
    wanted: dict[str, Any] = {name: _moment(value) if name in ("since", "until") else value for name,
                              value in filters.items() if value is not None}
    before = read_number(cursor)
    limit = max(1, min(limit, PAGE_MAX))
    found: list[dict[str, Any]] = []
    for _ in range(ROUNDS_MAX):
        entries = await sight.reader.activity(sight.tenant_id, before=before, limit=limit - len(found), **wanted)
        if not entries:
            return {"entries": found, "cursor": None}
        rows = await sight.all_rows((entry.collection, entry.record_id) for entry in entries if entry.record_id)
        for entry in entries:
            row = rows.get((entry.collection, entry.record_id))
            if (row is not None and sight.may_read(row)) or entry.actor_id == sight.actor.id or (not entry.record_id and _sees_all(sight)):
                found.append(_view(sight, entry))
        before = entries[-1].seq
        if len(found) >= limit:
            break
    return {"entries": found, "cursor": None if before is None or before <= 1 else number_cursor(before)}


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
