"""The usual save, decided without asking the storage or waiting for anything: a device goes on where it stopped, in a record whose newest
entry is its own, of a collection in which a change of one record concerns no other.

The same questions as `Judge` asks, in the same order, for the case in which the row and what the writer remembers answer all of them. None
wherever they do not: then the general way is gone. `tests/engine/test_usual.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core import clock, position
from holdfast.core.access import Actor
from holdfast.core.entry import Mutation, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Decision, Facts
from holdfast.core.straight import decide_straight
from holdfast.engine.ground import Ground, is_pseudo
from holdfast.engine.work import Who

__all__ = ["decide_usual"]


def decide_usual(ground: Ground, who: Who, actor: Actor, device_id: str, offset_ms: int, mutation: Mutation,
                 sent_hash: Callable[[], str]) -> Decision | None:
    """The decision, not taken over yet; None: ask the general rules. `sent_hash`: gives that of the mutation."""
    if is_pseudo(device_id):
        return None
    key = (mutation.collection, mutation.record_id)
    row = ground.rows.get(key)
    if row is None or row.last_device != device_id or mutation.after != row.last_mutation or mutation.forked_from is not None:
        return None
    line = (device_id, *key)
    if ground.known.get((device_id, mutation.mutation_id)) is not None or line not in ground.items or ground.items[line] is not None:
        return None
    collection = ground.schema.collections[mutation.collection]
    if not ground.traits[mutation.collection].stands_alone or mutation.contract != collection.contract:
        return None
    try:
        base = _base(ground, row, mutation.base)
        edited_at = None if mutation.edited_at is None else clock.parse(mutation.edited_at)
    except HoldfastError:
        return None
    if base is None and mutation.base is not None:
        return None
    if row.last > (base or 0) < row.last_foreign:
        return None
    limits = ground.schema.limits
    stamp = clock.decided(edited_at, offset_ms=offset_ms, now=ground.now, seen=row.stamp, limits=limits)
    facts = Facts(tenant_id=ground.tenant_id, seq=ground.seq + 1, now=ground.now, actor=actor, device_id=device_id, stamp=stamp, base=base,
                  edited_at=edited_at, on_behalf_of=who.on_behalf_of, request=who.request, sent_hash=sent_hash())
    return decide_straight(row, mutation, None, facts, collection, limits)


def _base(ground: Ground, row: Row, given: str | None) -> int | None:
    """The seq of a base that the row or the memory knows; None: neither does. Raises Malformed."""
    if given is None:
        return None
    known = ground.memory.positions.get((ground.tenant_id, given))
    if known is not None:
        return known
    seq, prefix = position.parse(given)
    if seq == 0:
        return 0
    if seq > ground.start:
        return None
    if seq == row.last:
        return seq if prefix == row.last_prefix else None
    return seq if ground.memory.prefix(ground.tenant_id, seq) == prefix else None
