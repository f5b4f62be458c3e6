"""Pull: what happened after a cursor, judged by the rules as of now.

- Entries of hidden records are left out; `limit` counts entries of the log, so a page may be empty and still move the cursor. It counts
  them also where only some collections are asked for: a cursor that stood at the last entry of one of them would tell of hidden ones.
- A record whose rule's columns changed on this page is judged twice, as it stands and as it stood at the cursor: one that came into view
  comes whole in `records` (and none of its changes), one that left it as `forget`. Changes of a record that comes into view on a
  later page may arrive before it: a device skips changes of a record it does not have.
- An entry that changes the caller's own roles answers `reset: access`; a cursor of another history answers `reset: history`.
- Outcome and inbox id come with one's own changes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.core import history, position
from holdfast.core.entry import Entry, Row
from holdfast.core.facts import Key
from holdfast.core.messages import Change, PullReply
from holdfast.core.ops import CreateOp, DeleteOp, UndeleteOp
from holdfast.engine.ground import MEMBERS
from holdfast.engine.sight import Sight
from holdfast.engine.traits import Traits
from holdfast.engine.views import change_of, record_view
from holdfast.storage.protocol import Head

__all__ = ["changes_of_record", "moves", "outdated", "pull", "start_of"]

NOTHING_YET = "0." + "0" * 8


async def start_of(sight: Sight, head: Head, cursor: str | None) -> int | None:
    """The seq a cursor stands at; None if it belongs to another history. Raises Malformed."""
    if cursor is None:
        return 0
    seq, prefix = position.parse(cursor)
    if seq == 0:
        return 0
    if seq == head.seq:
        return seq if head.digest[:8] == prefix else None
    if seq > head.seq:
        return None
    found = await sight.reader.prefixes(sight.tenant_id, [seq])
    return seq if found.get(seq) == prefix else None


def outdated(sight: Sight, contracts: Mapping[str, int] | None) -> list[str]:
    """Collections whose present contract the device does not speak yet."""
    spoken = contracts or {}
    return [name for name, collection in sight.schema.collections.items() if spoken.get(name, collection.contract) < collection.contract]


async def pull(sight: Sight, traits: Mapping[str, Traits], *, cursor: str | None, limit: int, collections: Sequence[str] | None,
               contracts: Mapping[str, int] | None) -> PullReply:
    """One page. Raises Malformed (the cursor)."""
    head = await sight.reader.head(sight.tenant_id)
    end = position.render(head.seq, head.digest) if head.seq else NOTHING_YET
    backed_up = await sight.backed_up_seq()
    start = await start_of(sight, head, cursor)
    if start is None:
        return PullReply(changes=[], cursor=end, head=head.seq, backed_up_seq=backed_up, more=False, reset="history")
    wanted = None if collections is None else list({*collections, MEMBERS})
    last = min(start + limit, head.seq)
    stored = await sight.reader.entries(sight.tenant_id, after=start, until=last, limit=limit, collections=wanted)
    if start and any(_changes_own_roles(entry, sight.actor.id) for entry in stored):
        return PullReply(changes=[], cursor=end, head=head.seq, backed_up_seq=backed_up, more=False, reset="access")
    reached = end if last == head.seq else f"{last}.{(await sight.reader.prefixes(sight.tenant_id, [last]))[last]}"
    reply = PullReply(changes=[], cursor=reached, head=head.seq, backed_up_seq=backed_up, more=last < head.seq)
    old = outdated(sight, contracts)
    entries = [entry for entry in stored if entry.record_id and (collections is None or entry.collection in collections)
               and entry.collection in sight.schema.collections]
    reply.upgrade_required = sorted({entry.collection for entry in entries if entry.collection in old})
    await _fill(sight, traits, reply, [entry for entry in entries if entry.collection not in old], start)
    return reply


def _changes_own_roles(entry: Entry, actor_id: str) -> bool:
    if entry.collection != MEMBERS or entry.record_id != actor_id:
        return False
    return any(isinstance(op, CreateOp | DeleteOp | UndeleteOp) or op.path.startswith("/roles") for op in entry.ops) or entry.erased


async def _fill(sight: Sight, traits: Mapping[str, Traits], reply: PullReply, stored: Sequence[Entry], start: int) -> None:
    rows = await sight.all_rows((entry.collection, entry.record_id) for entry in stored)
    entries = sight.opened(stored)
    moved = {(entry.collection, entry.record_id) for entry in entries if moves(entry, traits[entry.collection])}
    came: set[Key] = set()
    for key in sorted(moved):
        row = rows.get(key)
        if row is None:
            continue
        readable = sight.may_read(row)
        then = await _stood(sight, row, start)
        was_readable = then is not None and sight.may_read(then)
        if readable and ((then is not None and not was_readable) or any(_not_to_be_followed(entry, key) for entry in entries)):
            came.add(key)
            reply.records.append(record_view(row))
        elif not readable and was_readable:
            reply.forget.append({"collection": key[0], "id": key[1]})
    visible = [entry for entry in entries if (key := (entry.collection, entry.record_id)) not in came
               and (row := rows.get(key)) is not None and sight.may_read(row)]
    reply.changes = await _changes(sight, visible, rows)


def _not_to_be_followed(entry: Entry, key: Key) -> bool:
    return (entry.erased or _empties(entry)) and (entry.collection, entry.record_id) == key


def _empties(entry: Entry) -> bool:
    """Whether it erased its record whole: a device that had seen everything before keeps what was erased unless it is told."""
    return entry.kind == "erase" and not entry.erased and bool(entry.extra.get("whole"))


def moves(entry: Entry, traits: Traits) -> bool:
    """Whether the entry may change who sees its record, or cannot be followed by those who do."""
    if entry.erased or entry.kind == "access" or _empties(entry):
        return True
    return bool(traits.ruled_by) and any(
        not isinstance(op, CreateOp | DeleteOp | UndeleteOp) and op.path[1:].partition("/")[0] in traits.ruling_fields for op in entry.ops)


async def _stood(sight: Sight, row: Row, start: int) -> Row | None:
    """The record as it stood at the cursor, hidden columns included; None if it did not exist, or its past is gone."""
    newer = await sight.entries((row.collection, row.id), after=start, descending=True)
    if any(entry.erased for entry in newer):
        return row if row.last_prefix else None
    collection = sight.schema.collections[row.collection]
    then = history.rewind(row, newer, start, collection)
    if then is None:
        return None
    copied = dict(row.copied)
    for entry in newer:
        if entry.kind == "access":
            copied.update(entry.extra["before"])
    for column in collection.copied:
        ref = then.fields.get(column.ref_field)
        if ref != row.fields.get(column.ref_field):
            parent = None if ref is None else (await sight.all_rows([(column.parent, ref)])).get((column.parent, ref))
            copied[column.column] = None if parent is None else parent.columns().get(column.source)
    return msgspec.structs.replace(then, copied=copied)


async def _changes(sight: Sight, entries: Sequence[Entry], rows: Mapping[Key, Row]) -> list[Change]:
    held = [entry for entry in entries if entry.outcome == "held" and entry.actor_id == sight.actor.id]
    lines = list(dict.fromkeys((entry.device_id, entry.collection, entry.record_id) for entry in held))
    items = await sight.reader.items(sight.tenant_id, lines) if lines else {}
    found = []
    revs: dict[Key, int] = {}
    for entry in entries:
        key = (entry.collection, entry.record_id)
        rev = _rev_after(entry, rows[key], revs.get(key, 0))
        revs[key] = rev
        own = entry.actor_id == sight.actor.id
        item = items.get((entry.device_id, *key)) if own and entry.outcome == "held" else None
        found.append(change_of(entry, rev, own=own, inbox_id=item.id if item is not None and entry.seq in item.seqs else None))
    return found


def _rev_after(entry: Entry, row: Row, before: int) -> int:
    """The record's rev once the entry stood; 0 where only an earlier page would tell (the entry changed nothing)."""
    if entry.seq > row.rev:
        return row.rev
    changed = bool(entry.undo) and entry.ops != entry.undo[::-1]
    return entry.seq if changed else before


async def changes_of_record(sight: Sight, row: Row, base: str | None, head: Head) -> list[Change] | None:
    """All entries about a record since `base` (None: all of them), as changes; None if they cannot say how it came to stand (a base
    of another history, an erased entry, an erasure of the whole record)."""
    start = await start_of(sight, head, base)
    if start is None:
        return None
    entries = await sight.entries((row.collection, row.id), after=start)
    if any(entry.erased or _empties(entry) for entry in entries):
        return None
    return await _changes(sight, entries, {(row.collection, row.id): row})
