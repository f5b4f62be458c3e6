"""An action's outcome under the lock: what it read must still be so, then all its mutations and its reply are kept, or nothing."""

from __future__ import annotations

from typing import Any

from holdfast.core import clock
from holdfast.core.access import Actor, allows
from holdfast.core.entry import Entry
from holdfast.core.errors import Conflict, Forbidden, HoldfastError
from holdfast.core.facts import Decision
from holdfast.core.identity import pseudo_device
from holdfast.core.messages import Result
from holdfast.core.ops import CreateOp
from holdfast.engine.actions import kept_promises
from holdfast.engine.changing import raise_if_not_applicable
from holdfast.engine.judge import Judge
from holdfast.engine.views import plain, record_view
from holdfast.engine.work import Act, Value, error_of

__all__ = ["READ_CHANGED", "act"]

READ_CHANGED = "read_changed"
"""In `extra` of the Conflict that means: run the action again on what stands now."""

ENTRIES_CHUNK = 500


async def act(judge: Judge, actor: Actor, work: Act) -> Value:
    """The stored reply. Raises Conflict (with `read_changed` if something read is no longer so), Reused, and what a change raises."""
    ground = judge.ground
    await ground.load_known([(work.device_id, work.call.mutation_id)])
    repeated = await judge.repeated(actor, work.device_id, work.call)
    if repeated is not None:
        if repeated.error is not None:
            raise error_of(repeated.error)
        known = ground.known[work.device_id, work.call.mutation_id]
        assert known is not None
        return await _stored_reply(judge, actor, known, repeated)
    await _raise_if_read_changed(judge, work)
    mark = ground.mark()
    try:
        return await _kept(judge, actor, work)
    except HoldfastError:
        ground.back_to(mark)
        raise


async def _raise_if_read_changed(judge: Judge, work: Act) -> None:
    ground = judge.ground
    for read in work.reads:
        row = await ground.row((read.collection, read.record_id))
        if (0 if row is None else row.rev) != read.rev:
            raise Conflict("What the action read has changed meanwhile.", read_changed=True)
    for listed in work.lists:
        if await _changed_since(judge, listed.collection, listed.seq):
            raise Conflict("What the action read has changed meanwhile.", read_changed=True)


async def _changed_since(judge: Judge, collection: str, seq: int) -> bool:
    ground = judge.ground
    if any(entry.collection == collection and entry.seq > seq for entry in ground.sealed):
        return True
    after = seq
    while after < ground.start:
        entries = await ground.batch.entries(ground.tenant_id, after=after, until=ground.start, limit=ENTRIES_CHUNK,
                                             collections=[collection])
        if any(entry.collection == collection for entry in entries):
            return True
        if len(entries) < ENTRIES_CHUNK:
            return False
        after = entries[-1].seq
    return False


async def _kept(judge: Judge, actor: Actor, work: Act) -> Value:
    ground = judge.ground
    results: list[Result] = []
    for mutation in work.mutations:
        salt = judge.salt()
        on_current = mutation.base is None and not isinstance(mutation.ops[0], CreateOp)
        decision = await judge.decision(work.who, actor, pseudo_device(actor.id), mutation, salt, on_current=on_current)
        raise_if_not_applicable(decision)
        if decision.entry.outcome == "held":
            raise Conflict("A change of this action would have to wait for a decision.")
        adopted = await judge.adopt(decision, salt, actor)
        result = judge.result(actor, decision, adopted)
        if result.rev is not None and adopted.row is not None:
            result.record = record_view(adopted.row)
        results.append(result)
    shown = plain(results)
    reply = kept_promises(work.reply, shown)
    touched = sorted({*((read.collection, read.record_id) for read in work.reads), *work.listed,
                      *((mutation.collection, mutation.record_id) for mutation in work.mutations)})
    extra = {"name": work.call.record_id, "reply": work.reply, "seqs": [result.seq for result in results],
             "touched": [list(key) for key in touched]}
    salt = judge.salt()
    stamp = clock.decided(None, offset_ms=0, now=ground.now, seen=0, limits=judge.limits)
    entry = Entry(tenant_id=ground.tenant_id, seq=ground.seq + 1, committed_at=ground.now, stamp=stamp, actor_id=actor.id,
                  device_id=work.device_id, mutation_id=work.call.mutation_id, kind="action", on_behalf_of=work.who.on_behalf_of,
                  sent_hash=judge.sent_hash(salt, work.call), extra=extra, request=work.who.request)
    adopted = await judge.adopt(Decision(entry, None, False, None), salt, actor)
    answer = {"reply": reply, "outcome": "applied", "receipt": "committed", "position": adopted.position, "results": shown}
    return Value(answer, ground.seq)


async def _stored_reply(judge: Judge, actor: Actor, known: Entry, repeated: Result) -> Value:
    """The reply again, its promises filled in with the records as they stand now, if the caller may still see all that the action touched.
    Kept was the reply with its promises open: a record's content is in the record's own entries alone, where it can be erased.
    Raises Forbidden."""
    known = judge.ground.opened(known)
    if known.erased:
        raise Conflict("The answer of this call was erased.", hint="It took effect once; read what stands now.")
    touched = [(collection, record_id) for collection, record_id in known.extra["touched"]]
    await judge.ground.load_rows(touched)
    for collection, record_id in touched:
        row = judge.ground.rows.get((collection, record_id))
        if row is not None and not allows(judge.schema.collections[collection].read, row.columns(), actor):
            raise Forbidden("You may no longer see what this call answered.")
    shown = plain([await _result_again(judge, actor, seq) for seq in known.extra["seqs"]])
    answer: dict[str, Any] = {"reply": kept_promises(known.extra["reply"], shown), "outcome": "duplicate", "first_outcome": known.outcome,
                              "receipt": repeated.receipt, "position": repeated.position, "results": shown}
    return Value(answer, judge.ground.seq)


async def _result_again(judge: Judge, actor: Actor, seq: int) -> Result:
    entry = await judge.ground.entry(seq)
    assert entry is not None, "an action's entries stand before its own"
    result = await judge.first_outcome(actor, entry)
    row = await judge.ground.row((entry.collection, entry.record_id))
    if result.rev is not None and row is not None:
        result.record = record_view(row)
    return result
