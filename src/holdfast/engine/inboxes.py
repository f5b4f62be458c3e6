"""The inbox as people see it: their own items and those assigned to them; owners and admins also those of records they may see.
Whoever may not see the record gets the own value alone; of an item that somebody else made, and was assigned to him, the places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.core import inbox as core_inbox
from holdfast.core import text
from holdfast.core.access import Actor
from holdfast.core.entry import HeldText, Item, Row, Unapplied
from holdfast.core.errors import NotFound
from holdfast.core.stamping import iso
from holdfast.engine.ground import MEMBERS
from holdfast.engine.judge import shown
from holdfast.engine.paging import number_cursor, read_number
from holdfast.engine.settling import NO_ITEM, SEES_ALL_ITEMS, may_see_item
from holdfast.engine.sight import Sight
from holdfast.engine.views import record_view

__all__ = ["inbox_page", "one_item"]

PAGE_MAX = 200


async def inbox_page(sight: Sight, cursor: str | None, limit: int) -> dict[str, Any]:
    """{"items", "cursor"}, oldest first. A page ends at its last item: what was left out of it must not show in the cursor."""
    after = read_number(cursor)
    limit = max(1, min(limit, PAGE_MAX))
    all_items = not sight.actor.roles.isdisjoint(SEES_ALL_ITEMS)
    found: list[dict[str, Any]] = []
    while True:
        items = await sight.reader.inbox(sight.tenant_id, actor_id=None if all_items else sight.actor.id,
                                         after=None if after is None else str(after), limit=PAGE_MAX)
        rows = await sight.all_rows((item.collection, item.record_id) for item in items)
        for item in items:
            row = _readable(sight, rows.get((item.collection, item.record_id)))
            if may_see_item(item, sight.actor, record_readable=row is not None):
                found.append(_item_view(sight.secrecy.open_item(item), row, sight.actor))
                if len(found) == limit:
                    return {"items": found, "cursor": number_cursor(item.opened)}
        if len(items) < PAGE_MAX:
            return {"items": found, "cursor": None}
        after = items[-1].opened


def _readable(sight: Sight, row: Row | None) -> Row | None:
    return row if row is not None and sight.may_read(row) else None


def _item_view(item: Item, row: Row | None, actor: Actor) -> dict[str, Any]:
    return {"id": item.id, "collection": item.collection, "record_id": item.record_id, "device_id": item.device_id,
            "actor_id": item.actor_id,
            "opened_at": iso(item.opened_at), "assigned_to": item.assigned_to, "reasons": sorted({part.reason for part in item.parts}),
            "parts": [_part_view(part, item, row, actor) for part in item.parts], "seqs": item.seqs}


def _part_view(part: Unapplied, item: Item, row: Row | None, actor: Actor) -> dict[str, Any]:
    if row is None and actor.id != item.actor_id:
        return {"reason": part.reason, "path": part.path or getattr(part.op, "path", ""), "waits": part.waits}
    return shown(part, readable=row is not None)


async def one_item(sight: Sight, item_id: str) -> dict[str, Any]:
    """One item with both values: `record` as it stands, and each held text as it would read if it were applied. Raises NotFound."""
    stored = await sight.reader.item(sight.tenant_id, item_id) if item_id.isascii() and item_id.isdigit() else None
    if stored is None:
        await sight.all_rows([(MEMBERS, item_id)])      # as many steps as for an item that may not be seen: time tells nothing
        raise NotFound(NO_ITEM)
    item = sight.secrecy.open_item(stored)
    key = (item.collection, item.record_id)
    row = _readable(sight, (await sight.all_rows([key])).get(key))
    if not may_see_item(item, sight.actor, record_readable=row is not None):
        raise NotFound(NO_ITEM)
    view = _item_view(item, row, sight.actor)
    if row is not None:
        view["record"] = record_view(row)
        view["texts"] = await _texts_if_applied(sight, item, row)
    elif sight.actor.id == item.actor_id:
        view["texts"] = {name: {"mine": _typed(texts)} for name, texts in item.texts.items()}
    else:
        view["texts"] = {}
    return view


async def _texts_if_applied(sight: Sight, item: Item, row: Row) -> dict[str, dict[str, Any]]:
    if not item.texts:
        return {}
    later = await sight.entries((item.collection, item.record_id), after=item.opened)
    if any(entry.erased for entry in later):
        return {name: {"mine": _typed(texts), "theirs": row.fields[name]} for name, texts in item.texts.items()}
    collection = sight.schema.collections[item.collection]
    found: dict[str, dict[str, Any]] = {}
    for name, texts in item.texts.items():
        stands = row.fields[name]
        change = core_inbox.text_as_applied(item, texts, name, later, collection)
        mine = text.apply(stands, change) if text.fits(change, len(stands)) else _typed(texts)     # an edit outside of the text waits too
        found[name] = {"mine": mine, "theirs": stands}
    return found


def _typed(texts: Sequence[HeldText]) -> str:
    """What somebody typed, without the text around it."""
    return "".join(part for held in texts for part in held.change if isinstance(part, str))
