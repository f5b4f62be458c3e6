"""What a device had seen of a record when it made a mutation: its base on this history, the entries of others since, its context, and
the newest stamp it knew.

The usual save needs nothing read: its device made the newest entry of the record, or has seen the newest, and then the row itself says so
(`Row.last`, `last_device`, `last_foreign`). The rest comes from the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.core import position
from holdfast.core.entry import Entry, Mutation, Row
from holdfast.core.facts import Context, Key
from holdfast.core.waiting import rebuild
from holdfast.engine.ground import DeviceKey, Ground, is_pseudo

__all__ = ["Seen", "may_wait", "number_of", "seen_of"]

FORKS_MAX = 100


@dataclass(slots=True)
class Seen:
    """What the device had seen of the record when it made the mutation."""

    base: int | None = None
    same_history: bool = True
    base_kept: bool = True
    stamp: int = 0                          # the newest stamp it had seen there
    entries_since: list[Entry] = field(default_factory=list)
    context: Context | None = None


def may_wait(ground: Ground, row: Row, line: DeviceKey, base: int) -> bool:
    """Whether something may wait for the device in a text: others' entries newer than its base, or a text of its own that was held
    (which it took off its screen)."""
    if row.last <= base:
        return False
    return not _saw_all(row, line[0], base) or ground.items[line] is not None


async def seen_of(ground: Ground, mutation: Mutation, key: Key, row: Row | None, device_id: str, *, actor_id: str, readable: bool) -> Seen:
    base = ground.memory.positions.get((ground.tenant_id, mutation.base)) if mutation.base is not None else None
    if base is None:
        base = await _base(ground, mutation.base)
    if row is not None and readable and base is not None and row.last <= base and mutation.forked_from is None:
        return Seen(base=base, stamp=row.stamp)
    same_history = base is not None or mutation.base is None
    number = base or 0
    if row is None or (not readable and not number):
        last = ground.lasts.get((device_id, *key))
        return Seen(base=base, same_history=same_history, stamp=0 if last is None else last.stamp)
    if same_history and _saw_all(row, device_id, number) and mutation.forked_from is None:
        return Seen(base=base, stamp=row.stamp, context=await _context(ground, (device_id, *key), row, number))
    return await _seen_in_log(ground, mutation, key, row, device_id, base, actor_id=actor_id, same_history=same_history)


async def _seen_in_log(ground: Ground, mutation: Mutation, key: Key, row: Row, device_id: str, base: int | None, *, actor_id: str,
                       same_history: bool) -> Seen:
    """Somebody else's entries are newer than the base: read them."""
    number = base or 0
    line = (device_id, *key)
    entries = await ground.entries_since(key, max(number - 1, 0))
    stamp = 0
    if entries and entries[0].seq == number:
        stamp, entries = entries[0].top or entries[0].stamp, entries[1:]
    elif number:
        before = await ground.batch.record_entries(ground.tenant_id, key, until=number, descending=True, limit=1)
        stamp = before[0].top or before[0].stamp if before else 0
    if not is_pseudo(device_id):
        await ground.load_lasts([line])
        last = ground.lasts[line]
        stamp = max(stamp, 0 if last is None else last.stamp)
    mine = await _own_lines(ground, mutation, device_id, actor_id, key)
    others = [entry for entry in entries if not _is_own(entry, mine)]
    if mutation.forked_from is not None:
        context = await _forked_context(ground, key, mine, device_id, base)
    else:
        context = await _context(ground, line, row, number)
    kept = not any(entry.erased for entry in entries)
    return Seen(base=base, same_history=same_history, base_kept=kept, stamp=stamp, entries_since=others, context=context)


async def _forked_context(ground: Ground, key: Key, mine: tuple[tuple[str, int], ...], device_id: str, base: int | None) -> Context | None:
    """A forked device begins with the context of the one it was copied from, as that stood then: replayed from the record's log."""
    if not ground.traits[key[0]].has_texts:
        return None
    entries = await ground.entries_since(key, 0)
    return rebuild(entries, lambda entry: _is_own(entry, mine), device_id, base, ground.schema.collections[key[0]])


async def _context(ground: Ground, line: DeviceKey, row: Row, base: int) -> Context | None:
    if is_pseudo(line[0]) or not ground.traits[line[1]].has_texts:
        return None
    await ground.load_items([line])
    if not may_wait(ground, row, line, base):
        return None
    await ground.load_contexts([line])
    return ground.contexts[line]


async def _base(ground: Ground, given: str | None) -> int | None:
    """The seq of a base; None: it is null, or belongs to another history."""
    if given is None:
        return None
    seq, prefix = position.parse(given)
    if seq == 0:
        return 0
    if seq > ground.start or await ground.prefix(seq) != prefix:
        return None
    ground.memory.positions.put((ground.tenant_id, given), seq)
    return seq


async def _own_lines(ground: Ground, mutation: Mutation, device_id: str, actor_id: str, key: Key) -> tuple[tuple[str, int], ...]:
    """(device, up to seq) whose entries of this record are the device's own context: itself, and what it was forked from, as far as those
    are the same person's. (Whoever named another's device would overwrite his changes as if they were his own.)"""
    if is_pseudo(device_id):
        return ()
    memory_key = (ground.tenant_id, device_id, *key)
    held = ground.memory.lines.get(memory_key)
    if held is not None:
        return held
    forked = mutation.forked_from
    first = await ground.batch.record_entries(ground.tenant_id, key, device=device_id, limit=1)
    fresh = [entry for entry in ground.fresh.get(key, ()) if entry.device_id == device_id]
    if first or fresh:
        forked = (first or fresh)[0].forked_from
    lines: list[tuple[str, int]] = [(device_id, 1 << 62)]
    while forked is not None and len(lines) < FORKS_MAX:
        await ground.load_known([(forked.device_id, forked.mutation_id)])
        last = ground.known[forked.device_id, forked.mutation_id]
        if last is None or last.actor_id != actor_id:
            break
        lines.append((forked.device_id, last.seq))
        older = await ground.batch.record_entries(ground.tenant_id, key, device=forked.device_id, limit=1)
        forked = older[0].forked_from if older else None
    if first:
        ground.memory.lines.put(memory_key, tuple(lines))
    return tuple(lines)


def number_of(given: str | None) -> int:
    """The seq a base names, unchecked: enough to know what to load."""
    head = (given or "0").partition(".")[0]
    return int(head) if head.isdigit() and len(head) < 17 else 0


def _saw_all(row: Row, device_id: str, base: int) -> bool:
    return row.last <= base or (row.last_device == device_id and row.last_foreign <= base and not is_pseudo(device_id))


def _is_own(entry: Entry, lines: Sequence[tuple[str, int]]) -> bool:
    return any(entry.device_id == device_id and entry.seq <= until for device_id, until in lines)
