"""What follows from an entry in the same transaction: children's copied columns, and held mutations whose missing record arrived.

A rule reads the row and the actor, nothing else; what `via` needs is copied into the child's columns. When the parent's column changes,
every child gets an `access` entry with its new columns, and so on down to grandchildren, before the next mutation is judged: so
every change of visibility is an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast.core.access import Actor
from holdfast.core.decide import rewrite_copied
from holdfast.core.entry import Entry, Row
from holdfast.core.facts import Facts
from holdfast.core.identity import pseudo_device
from holdfast.engine.traits import Traits

if TYPE_CHECKING:
    from holdfast.engine.judge import Judge

__all__ = ["came_into_view", "follow"]


def came_into_view(traits: Traits, before: Row | None, after: Row) -> bool:
    """Whether somebody may see the record now who could not refer to it before."""
    if after.deleted:
        return False
    if before is None or before.deleted:
        return True
    if not traits.ruled_by:
        return False
    was, now = before.columns(), after.columns()
    return any(was.get(column) != now.get(column) for column in traits.ruled_by)


async def follow(judge: Judge, before: Row, after: Row, cause: Entry, actor: Actor) -> None:
    """Rewrite the copied columns of the children of a record that changed."""
    was, now = before.columns(), after.columns()
    changed = {source for source in judge.ground.traits[after.collection].copied_from if was.get(source) != now.get(source)}
    if not changed:
        return
    for child in judge.schema.collections.values():
        by_field: dict[str, dict[str, Any]] = {}
        for copied in child.copied:
            if copied.parent == after.collection and copied.source in changed:
                by_field.setdefault(copied.ref_field, {})[copied.column] = now.get(copied.source)
        for ref_field, columns in by_field.items():
            for row in await judge.ground.children(child.name, ref_field, after.id):
                await _rewrite(judge, row, columns, cause, actor)


async def _rewrite(judge: Judge, row: Row, columns: Mapping[str, Any], cause: Entry, actor: Actor) -> None:
    if all(row.copied.get(name) == value for name, value in columns.items()):
        return
    ground = judge.ground
    facts = Facts(tenant_id=ground.tenant_id, seq=ground.seq + 1, now=ground.now, actor=actor,
                  device_id=pseudo_device(cause.actor_id), stamp=cause.stamp, on_behalf_of=cause.on_behalf_of, request=cause.request,
                  kind="access")
    collection = judge.schema.collections[row.collection]
    await judge.adopt(rewrite_copied(row, columns, facts, collection, judge.runtime.uuid7()), judge.salt(), actor)
