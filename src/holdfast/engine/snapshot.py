"""Snapshot: a cursor, then every record that the caller may see, in short pages.

Each page is read in a snapshot of its own, so a record may be newer than the cursor: a device applies an entry only if it is newer
than the record's position. Whoever resumes keeps the cursor it was given first. Deleted records come too: a device that is told of
an undelete must have something to undelete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from holdfast.core import position
from holdfast.core.errors import Malformed
from holdfast.core.identity import is_record_id
from holdfast.engine.pull import NOTHING_YET, changes_of_record
from holdfast.engine.sight import Sight
from holdfast.engine.views import record_view
from holdfast.storage.protocol import Query

__all__ = ["records_since", "snapshot"]

PAGE_RECORDS = 200


async def snapshot(sights: Callable[[], AbstractAsyncContextManager[Sight]], *, collections: Sequence[str] | None, after: str | None,
                   pending: Mapping[str, str | None]) -> AsyncIterator[dict[str, Any]]:
    """`sights` opens a fresh look for each page, with the rights of that moment. Raises Malformed (`after`), NotFound (a collection)."""
    async with sights() as sight:
        head = await sight.reader.head(sight.tenant_id)
        names = sorted(sight.schema.collections if collections is None else {sight.collection(name).name for name in collections})
        first, last_id = _resume_at(after)
    yield {"cursor": position.render(head.seq, head.digest) if head.seq else NOTHING_YET}
    for name in names:
        if first is not None and name < first:
            continue
        at = last_id if name == first else None
        while True:
            async with sights() as sight:
                page = await _page(sight, name, at, pending)
            for view in page:
                yield view
            if len(page) < PAGE_RECORDS:
                break
            at = page[-1]["id"]


def _resume_at(after: str | None) -> tuple[str | None, str | None]:
    if after is None:
        return None, None
    collection, _, record_id = after.partition("/")
    if not is_record_id(record_id):
        raise Malformed("`after` is collection/id of the last record received.", field="after", hint="Or leave it out to start again.")
    return collection, record_id


async def _page(sight: Sight, name: str, after: str | None, pending: Mapping[str, str | None]) -> list[dict[str, Any]]:
    collection = sight.collection(name)
    rows = await sight.reader.page(sight.tenant_id, Query(collection=name, rule=collection.read, actor=sight.actor, limit=PAGE_RECORDS,
                                                          after=None if after is None else (after,), include_deleted=True,
                                                          bookkeeping=False))
    views = [record_view(sight.secrecy.open_row(row)) for row in rows]
    if not pending:
        return views
    return [await _one(sight, view["collection"], view["id"],
                       pending[f"{name}/{view['id']}"]) if f"{name}/{view['id']}" in pending else view
            for view in views]


async def records_since(sight: Sight, wanted: Sequence[tuple[str, str, str | None]]) -> list[dict[str, Any]]:
    """For each (collection, id, base): the changes since its base, the bare record where those are not to be had, or
    {"collection", "id", "forget": true} if the caller may not see it (any longer)."""
    return [await _one(sight, *one) for one in wanted]


async def _one(sight: Sight, collection: str, record_id: str, base: str | None) -> dict[str, Any]:
    row = (await sight.all_rows([(collection, record_id)])).get((collection, record_id))
    if row is None or not sight.may_read(row):
        return {"collection": collection, "id": record_id, "forget": True}
    changes = await changes_of_record(sight, row, base, await sight.reader.head(sight.tenant_id))
    if changes is None:
        return record_view(row)
    return {"collection": collection, "id": record_id, "base": base, "changes": changes}
