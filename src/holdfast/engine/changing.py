"""One change with an answer for a person or a program that waits (REST, embedded use): what cannot be applied is an error and
nothing is kept of it; only a question (`merge.ask`) is kept in the inbox, because both values are somebody's.
"""

from __future__ import annotations

from holdfast.core.access import Actor, allows
from holdfast.core.entry import Mutation, Row, Unapplied
from holdfast.core.errors import Conflict, Forbidden, HoldfastError, InvalidValue, NotFound, Stale
from holdfast.core.facts import Decision, Key
from holdfast.core.identity import pseudo_device
from holdfast.core.messages import Problem, Result
from holdfast.core.ops import CreateOp, SetOp
from holdfast.core.schema import Collection
from holdfast.core.whole import NEVER_CHANGED
from holdfast.engine.judge import Judge
from holdfast.engine.views import ABSENT, record_view
from holdfast.engine.work import Change, Results, error_of

__all__ = ["answer_again", "change", "raise_if_not_applicable", "raise_if_over_limit", "readable_row", "with_record"]


async def change(judge: Judge, actor: Actor, work: Change) -> Results:
    """Raises NotFound, Forbidden, InvalidValue, Stale, Conflict, Reused and RateLimited."""
    mutation, who = work.mutation, work.who
    device_id = pseudo_device(actor.id)
    again = await answer_again(judge, actor, device_id, mutation)
    if again is not None:
        return again
    key = (mutation.collection, mutation.record_id)
    if work.if_match is not None:
        raise_if_stale(await readable_row(judge, actor, key), work.if_match, judge.schema.collections[mutation.collection])
    salt = judge.salt()
    decision = await judge.decision(who, actor, device_id, mutation, salt, on_current=work.on_current)
    raise_if_not_applicable(decision)
    raise_if_over_limit(await judge.over_limit(who, decision))
    adopted = await judge.adopt(decision, salt, actor)
    return with_record(judge, actor, judge.result(actor, decision, adopted), adopted.row)


async def answer_again(judge: Judge, actor: Actor, device_id: str, asked: Mutation) -> Results | None:
    """The answer of a call that was made before, rights judged anew. Raises Reused, NotFound."""
    repeated = await judge.repeated(actor, device_id, asked)
    if repeated is None:
        return None
    if repeated.error is not None:
        raise error_of(repeated.error)
    if repeated.rev is None:
        raise NotFound(ABSENT)
    row = await judge.ground.row((asked.collection, asked.record_id))
    return with_record(judge, actor, repeated, row)


def with_record(judge: Judge, actor: Actor, result: Result, row: Row | None) -> Results:
    """The answer with the record as it stands. If a question was kept, its outcome is `held` and it names the inbox item; what could
    be applied was."""
    if row is not None and allows(judge.schema.collections[row.collection].read, row.columns(), actor):
        result.record = record_view(row)
    return Results([result], judge.ground.seq)


async def readable_row(judge: Judge, actor: Actor, key: Key) -> Row:
    """Raises NotFound, in the same words for absent and hidden."""
    collection = judge.schema.collections.get(key[0])
    row = await judge.ground.row(key) if collection is not None else None
    if collection is None or row is None or not allows(collection.read, row.columns(), actor):
        raise NotFound(ABSENT)
    return row


def raise_if_stale(row: Row, if_match: int, collection: Collection) -> None:
    """Raises Stale with what stands now; without sensitive values, which no error holds."""
    if row.rev != if_match:
        sensitive = {field.name for field in collection.fields.values() if field.sensitive}
        fields = {name: value for name, value in row.fields.items() if name not in sensitive}
        raise Stale(f"The record stands at revision {row.rev}, not {if_match}.", rev=row.rev, record={**record_view(row), "fields": fields})


def raise_if_over_limit(problem: Problem | None) -> None:
    if problem is not None:
        raise error_of(problem)


def raise_if_not_applicable(decision: Decision) -> None:
    """Raises what a person must mend before it can be applied; a question is no such thing."""
    parts = [part for part in decision.entry.unapplied if part.waits and part.reason not in ("conflict", "atomic")]
    if parts:
        raise _error_for(next((part for part in parts if _place_of_ref(part) is not None), parts[0]))


def _place_of_ref(part: Unapplied) -> str | None:
    """Where the reference stands to what is missing: the whole change is held for its sake, in parts that are not at fault too."""
    if part.ref is None:
        return None
    if isinstance(part.op, CreateOp):
        return next(("/" + name for name, value in part.op.value.items() if value == part.ref[1]), None)
    return part.op.path if isinstance(part.op, SetOp) and part.op.value == part.ref[1] else None


def _error_for(part: Unapplied) -> HoldfastError:
    path = _place_of_ref(part) or (part.path if part.path is not None else getattr(part.op, "path", None))
    if part.reason == "unavailable":
        return NotFound(ABSENT)
    if part.reason == "deleted":
        return NotFound("This record was deleted.", hint="Undelete it first.")
    if part.reason == "forbidden":
        hint = "Make another record instead." if part.message == NEVER_CHANGED else None
        return Forbidden(part.message or "You may not change this record.", hint=hint)
    if part.reason in ("invalid", "missing_ref", "old_contract"):
        return InvalidValue(part.message or "This value does not fit.", field=path)
    return Conflict(part.message or "The record has changed in a way that this change does not fit.", field=path)
