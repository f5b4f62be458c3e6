"""The usual save, decided without asking the storage or waiting for anything: a device goes on where it stopped, or begins on a record
whose newest entry it has seen, in a collection in which a change of one record concerns no other.

The same questions as `Judge` asks, in the same order, for the case in which the row and what was loaded for the batch answer all of them.
None wherever they do not: then the general way is gone. `tests/engine/test_usual.py` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.core import clock, position
from holdfast.core.access import Actor
from holdfast.core.entry import Mutation, Request, Row
from holdfast.core.errors import HoldfastError
from holdfast.core.facts import Decision, Facts
from holdfast.core.straight import decide_straight
from holdfast.engine.ground import DeviceKey, Ground, is_pseudo
from holdfast.engine.work import Arrival, Who

__all__ = ["Sender", "decide_usual"]

_UNKNOWN: Final = object()


class Sender:
    """Whose mutations come, worked out once for all that come together."""

    __slots__ = ("actor", "device_id", "is_pseudo", "offset_ms", "request", "who")

    def __init__(self, who: Who, actor: Actor, device_id: str, offset_ms: int) -> None:
        self.who = who
        self.actor = actor
        self.device_id = device_id
        self.offset_ms = offset_ms
        self.request: Request = who.request
        self.is_pseudo = is_pseudo(device_id)


def decide_usual(ground: Ground, sender: Sender, mutation: Mutation, arrival: Arrival,
                 sent_hash: Callable[[bytes, Mutation], str]) -> Decision | None:
    """The decision, not taken over yet; None: ask the general rules. `sent_hash`: makes the hash of a mutation that came without."""
    device_id, name = sender.device_id, mutation.collection
    key = (name, mutation.record_id)
    row = ground.rows.get(key)
    if row is None or sender.is_pseudo or mutation.forked_from is not None:
        return None
    line = (device_id, name, mutation.record_id)
    if not _follows(ground, row, line, mutation.after) or ground.items.get(line, _UNKNOWN) is not None:
        return None
    if ground.known.get((device_id, mutation.mutation_id)) is not None:
        return None
    collection = ground.schema.collections[name]
    if not ground.traits[name].stands_alone or mutation.contract != collection.contract:
        return None
    try:
        base = None if mutation.base is None else _base(ground, row, mutation.base)
        edited_at = arrival.edited_at
        if edited_at is None and mutation.edited_at is not None:
            edited_at = clock.parse(mutation.edited_at)
    except HoldfastError:
        return None
    if base is None and mutation.base is not None:
        return None
    if row.last > (base or 0) and not (row.last_device == device_id and row.last_foreign <= (base or 0)):
        return None
    limits = ground.schema.limits
    stamp = clock.decided(edited_at, offset_ms=sender.offset_ms, now=ground.now, seen=row.stamp, limits=limits)
    facts = Facts(tenant_id=ground.tenant_id, seq=ground.seq + 1, now=ground.now, actor=sender.actor, device_id=device_id, stamp=stamp,
                  base=base, edited_at=edited_at, on_behalf_of=sender.who.on_behalf_of, request=sender.request,
                  sent_hash=arrival.sent_hash or sent_hash(arrival.salt, mutation))
    return decide_straight(row, mutation, None, facts, collection, limits)


def _follows(ground: Ground, row: Row, line: DeviceKey, after: str | None) -> bool:
    """Whether the mutation before this one is surely the newest of its device's line."""
    if row.last_device == line[0]:
        return after == row.last_mutation
    if line not in ground.lasts:
        return False
    last = ground.lasts[line]
    return after == (None if last is None else last.mutation_id)


def _base(ground: Ground, row: Row, given: str) -> int | None:
    """The seq of a base that the row or the memory knows; None: neither does. Raises Malformed."""
    if given == f"{row.last}.{row.last_prefix}":
        return row.last if row.last <= ground.start else None
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
