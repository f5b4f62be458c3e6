"""Ways back, executed under the lock: undo, redo, restore, and naming a version. The plans are core's; here they get what they must
know, and are judged with the caller's rights like any change."""

from __future__ import annotations

from typing import Any

from holdfast.core import history, restore, undo
from holdfast.core.access import Actor, allows
from holdfast.core.entry import Entry, EntryKind, Mutation, Row, Unapplied
from holdfast.core.errors import Conflict, Forbidden, InvalidValue, NotFound
from holdfast.core.identity import pseudo_device
from holdfast.core.ops import Op, SetOp
from holdfast.engine.changing import answer_again, raise_if_not_applicable, readable_row, with_record
from holdfast.engine.judge import Judge
from holdfast.engine.work import NameVersion, Restore, Results, Revert, Who

__all__ = ["asked_as_mutation", "name_version", "raise_if_erased", "restore_version", "revert", "settle_for"]

VERSION_NAME_CODE_POINTS_MAX = 200
FIRST_ENTRIES = 100


def asked_as_mutation(mutation_id: str, collection: str, record_id: str, verb: str, arguments: dict[str, Any]) -> Mutation:
    """A call in the form whose hash tells a repeat from an id that is used again for something else."""
    return Mutation(mutation_id=mutation_id, collection=collection, record_id=record_id, ops=[SetOp("/" + verb, arguments)])


async def revert(judge: Judge, actor: Actor, work: Revert) -> Results:
    """Undo or redo. Raises NotFound, Forbidden, Conflict (nothing to take back)."""
    key = (work.collection, work.record_id)
    verb: EntryKind = "redo" if work.redo else "undo"
    asked = asked_as_mutation(work.mutation_id, *key, verb, {"device_id": work.device_id, "seq": work.seq})
    again = await repeat_of(judge, actor, asked)
    if again is not None:
        return again
    row = await readable_row(judge, actor, key)
    chosen, since = await _target(judge, actor, work)
    target = undo.in_force(chosen, since)
    later = [entry for entry in since if entry.seq > target.seq]
    raise_if_erased([target, *later])
    plan = undo.plan(row, target, later, judge.schema.collections[work.collection])
    return await settle_for(judge, actor, work.who, verb, asked, plan.ops, unapplied=plan.unapplied, reverts=target.seq,
                            extra={"device": work.device_id})


async def _target(judge: Judge, actor: Actor, work: Revert) -> tuple[Entry, list[Entry]]:
    """The entry to take back, and all newer ones about the record, rising. Mostly it is one of the newest: they are read bit by bit."""
    key = (work.collection, work.record_id)
    if work.seq is not None:
        since = await judge.ground.entries_since(key, work.seq - 1)
        if not since or since[0].seq != work.seq:
            raise NotFound(f"The record has no entry {work.seq}.")
        undone = undo.taken_back_by(since[0], since[1:])
        if undone is not None:
            raise Conflict(f"Entry {work.seq} was taken back by entry {undone.seq} already.", hint="Redo brings it back.")
        return since[0], since[1:]
    limit = FIRST_ENTRIES
    while True:
        newest_first = await judge.ground.newest_first(key, limit)
        found = undo.choose(newest_first, work.device_id, redo=work.redo)
        if found is not None and found.actor_id == actor.id:
            return found, [entry for entry in reversed(newest_first) if entry.seq > found.seq]
        if found is not None or len(newest_first) < limit:
            raise Conflict(f"There is nothing to {'redo' if work.redo else 'undo'} here.",
                           hint="Only this device's own changes are taken back.")
        limit *= 4


async def restore_version(judge: Judge, actor: Actor, work: Restore) -> Results:
    """Write the difference to an old version onto what stands. Raises NotFound, Forbidden, InvalidValue."""
    key = (work.collection, work.record_id)
    asked = asked_as_mutation(work.mutation_id, *key, "restore", {"rev": work.rev, "paths": work.paths})
    again = await repeat_of(judge, actor, asked)
    if again is not None:
        return again
    row = await readable_row(judge, actor, key)
    if row.deleted:
        raise NotFound("This record was deleted.", hint="Undelete it first.")
    then = await _as_of(judge, row, work.rev)
    ops = restore.plan(row, then.fields, work.paths, judge.schema.collections[work.collection])
    return await settle_for(judge, actor, work.who, "restore", asked, ops, extra={"rev": work.rev})


async def _as_of(judge: Judge, row: Row, rev: int) -> Row:
    newer = await judge.ground.entries_since((row.collection, row.id), rev)
    raise_if_erased(newer)
    then = history.rewind(row, reversed(newer), rev, judge.schema.collections[row.collection])
    if then is None or rev > row.last:
        raise NotFound(f"The record has no version {rev}.")
    return then


async def name_version(judge: Judge, actor: Actor, work: NameVersion) -> Results:
    """Raises NotFound (the record or the version), Forbidden, InvalidValue."""
    key = (work.collection, work.record_id)
    asked = asked_as_mutation(work.mutation_id, *key, "version", {"rev": work.rev, "name": work.name})
    again = await repeat_of(judge, actor, asked)
    if again is not None:
        return again
    if not work.name.strip() or len(work.name) > VERSION_NAME_CODE_POINTS_MAX:
        raise InvalidValue(f"A version's name has 1 to {VERSION_NAME_CODE_POINTS_MAX} characters.", field="name")
    await readable_row(judge, actor, key)
    entry = await judge.ground.entry(work.rev)
    if entry is None or (entry.collection, entry.record_id) != key:
        raise NotFound(f"The record has no version {work.rev}.")
    return await settle_for(judge, actor, work.who, "version", asked, [], extra={"rev": work.rev, "name": work.name})


async def repeat_of(judge: Judge, actor: Actor, asked: Mutation) -> Results | None:
    """The first answer, if this call is in the log already."""
    device_id = pseudo_device(actor.id)
    await judge.ground.load_known([(device_id, asked.mutation_id)])
    return await answer_again(judge, actor, device_id, asked)


def raise_if_erased(entries: list[Entry]) -> None:
    if any(entry.erased for entry in entries):
        raise Conflict("Part of this record's past was erased: what came before cannot be reconstructed.",
                       hint="Choose a version after the erasure.")


async def settle_for(judge: Judge, actor: Actor, who: Who, kind: EntryKind, asked: Mutation, ops: list[Op], *,
                     unapplied: list[Unapplied] | None = None,
                     reverts: int | None = None, extra: dict[str, Any] | None = None) -> Results:
    """Settle `ops` for the caller and answer with the record. Raises what a change raises."""
    key = (asked.collection, asked.record_id)
    collection = judge.schema.collections[asked.collection]
    row = await judge.ground.row(key)
    if not ops and (row is None or not allows(collection.write, row.columns(), actor)):
        raise Forbidden("You may read this record, not change it.")
    salt = judge.salt()
    decision = await judge.settled(who, actor, kind, asked.mutation_id, key, ops, salt=salt, unapplied=unapplied or (),
                                   sent_hash=judge.sent_hash(salt, asked), reverts=reverts, extra=extra)
    raise_if_not_applicable(decision)
    adopted = await judge.adopt(decision, salt, actor)
    return with_record(judge, actor, judge.result(actor, decision, adopted), adopted.row)
