"""Fields that the server fills from the entry itself: who made a record and when, who changed it last and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from holdfast.core.facts import Facts
from holdfast.core.schema import Collection, Stamped

__all__ = ["iso", "stamped_fields"]


def iso(ms: int) -> str:
    """Milliseconds since 1970 as "2026-11-20T13:58:00.000Z"."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def stamped_fields(collection: Collection, facts: Facts, fields: Mapping[str, Any], *, fresh: bool) -> dict[str, Any]:
    """The stamped fields after a change: all of them on create, the updated ones after."""
    found: dict[str, Any] = {}
    for field in collection.fields.values():
        if field.stamped is None:
            continue
        if field.stamped in (Stamped.CREATED_BY, Stamped.CREATED_AT) and not fresh:
            found[field.name] = fields.get(field.name)
        elif field.stamped in (Stamped.CREATED_BY, Stamped.UPDATED_BY):
            found[field.name] = facts.on_behalf_of or facts.actor.id
        else:
            found[field.name] = iso(facts.now)
    return found
