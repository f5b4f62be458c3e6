"""What waits in the inbox, settled under the lock: by a person (`resolve`), or because the record a mutation referred to has arrived
(`redecide_arrived`). Either way it is decided anew, on the state that stands, with the rights of whoever settles it."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.core import inbox as core_inbox
from holdfast.core.access import Actor, allows
from holdfast.core.entry import EntryKind, Item, Unapplied
from holdfast.core.errors import Forbidden, HoldfastError, InvalidValue, NotFound
from holdfast.core.facts import Key
from holdfast.core.items import part_place
from holdfast.core.ops import Op, UndeleteOp
from holdfast.engine.api import Resolution
from holdfast.engine.changing import raise_if_not_applicable, with_record
from holdfast.engine.ground import MEMBERS, Adopted
from holdfast.engine.judge import Judge
from holdfast.engine.reverting import asked_as_mutation, raise_if_erased, repeat_of
from holdfast.engine.work import Resolve, Results, Who

__all__ = ["NO_ITEM", "SEES_ALL_ITEMS", "may_see_item", "redecide_arrived", "resolve"]

NO_ITEM = "There is no such item in the inbox."
SEES_ALL_ITEMS = frozenset({"owner", "admin"})
ROUNDS_MAX = 20


def may_see_item(item: Item, actor: Actor, *, record_readable: bool) -> bool:
    """Own items and those assigned to one; owners and admins also those of records they may see."""
    if actor.id in (item.actor_id, item.assigned_to):
        return True
    return record_readable and not actor.roles.isdisjoint(SEES_ALL_ITEMS)


async def resolve(judge: Judge, actor: Actor, work: Resolve) -> Results:
    """Raises NotFound, Forbidden, InvalidValue, Conflict: then the item waits on."""
    ground, resolution = judge.ground, work.resolution
    arguments = {"item": work.item_id, "how": resolution.how, "values": resolution.values, "assign_to": resolution.assign_to}
    item = await ground.item_of_id(work.item_id) if work.item_id.isdigit() else None
    if item is None:
        settled = await _settled_before(judge, actor, work, arguments)
        if settled is not None:
            return settled
        # As many steps as for an item that may not be seen: time tells nothing.
        await ground.load_items([("", MEMBERS, work.item_id)])
        await ground.load_rows([(MEMBERS, work.item_id)])
        raise NotFound(NO_ITEM)
    key = (item.collection, item.record_id)
    asked = asked_as_mutation(work.mutation_id, *key, "resolve", arguments)
    again = await repeat_of(judge, actor, asked)
    if again is not None:
        return again
    row = await ground.row(key)
    readable = row is not None and allows(judge.schema.collections[item.collection].read, row.columns(), actor)
    if not may_see_item(item, actor, record_readable=readable):
        raise NotFound(NO_ITEM)
    mark = ground.mark()
    try:
        salt = judge.salt()
        step = _Step(judge, actor, work.who, "resolve", work.mutation_id, salt, judge.sent_hash(salt, asked), _extra(item, resolution))
        if resolution.how in ("assign", "discard"):
            adopted, result = await _without_applying(step, item, resolution)
        else:
            adopted, result = await _apply(step, item, resolution)
    except HoldfastError:
        ground.back_to(mark)
        raise
    return with_record(judge, actor, result, adopted.row)


async def _settled_before(judge: Judge, actor: Actor, work: Resolve, arguments: dict[str, Any]) -> Results | None:
    """The item is gone: perhaps by this very call, made before."""
    device_id = "!" + actor.id
    await judge.ground.load_known([(device_id, work.mutation_id)])
    known = judge.ground.known[device_id, work.mutation_id]
    if known is None or known.kind != "resolve":
        return None
    return await repeat_of(judge, actor, asked_as_mutation(work.mutation_id, known.collection, known.record_id, "resolve", arguments))


def _extra(item: Item, resolution: Resolution) -> dict[str, Any]:
    extra: dict[str, Any] = {"how": resolution.how, "item": item.id}
    if resolution.assign_to is not None:
        extra["assign"] = resolution.assign_to
    if resolution.reason:
        extra["reason"] = resolution.reason[:1_000]
    return extra


class _Step:
    """Makes the entries of one settlement: those before the last bear ids of their own, the last that of the call."""

    def __init__(self, judge: Judge, actor: Actor, who: Who, kind: EntryKind, mutation_id: str, salt: bytes, sent_hash: str,
                 extra: dict[str, Any]) -> None:
        self.judge, self.actor, self.who, self.kind = judge, actor, who, kind
        self._mutation_id, self._salt, self._sent_hash, self._extra = mutation_id, salt, sent_hash, extra

    async def make(self, key: Key, ops: list[Op], *, final: bool, resolves: list[int], closes: list[str]) -> tuple[Adopted, Any]:
        salt = self._salt if final else self.judge.salt()
        mutation_id = self._mutation_id if final else self.judge.runtime.uuid7()
        extra = {**self._extra, "closes": closes} if closes else self._extra
        decision = await self.judge.settled(self.who, self.actor, self.kind, mutation_id, key, ops, salt=salt,
                                            sent_hash=self._sent_hash if final else "", resolves=resolves, extra=extra)
        raise_if_not_applicable(decision)
        adopted = await self.judge.adopt(decision, salt, self.actor)
        return adopted, self.judge.result(self.actor, decision, adopted)


async def _without_applying(step: _Step, item: Item, resolution: Resolution) -> tuple[Adopted, Any]:
    ground = step.judge.ground
    key = (item.collection, item.record_id)
    if resolution.how == "discard":
        made = await step.make(key, [], final=True, resolves=item.seqs, closes=[])
        ground.close_item(item)
        return made
    if resolution.assign_to is None:
        raise InvalidValue("Name the member who shall decide.", field="assign")
    await ground.load_rows([(MEMBERS, resolution.assign_to)])
    if ground.actor(resolution.assign_to, None) is None:
        raise InvalidValue("There is no such member.", field="assign")
    made = await step.make(key, [], final=True, resolves=[], closes=[])
    ground.put_item(msgspec.structs.replace(item, assigned_to=resolution.assign_to))
    return made


async def _apply(step: _Step, item: Item, resolution: Resolution) -> tuple[Adopted, Any]:
    """Apply what waits, or the values given, in as many entries as it needs: an undelete, a create and later edits stand alone."""
    judge = step.judge
    key = (item.collection, item.record_id)
    collection = judge.schema.collections[item.collection]
    how: Any = resolution.how
    waiting = item
    for _ in range(ROUNDS_MAX):
        row = await judge.ground.row(key)
        later = await judge.ground.entries_since(key, item.opened)
        raise_if_erased(later)
        plan = core_inbox.plan(waiting, row, how, resolution.values, later, collection)
        if plan.undelete:
            await step.make(key, [UndeleteOp()], final=False, resolves=[], closes=[])
            continue
        if plan.remaining and how == "apply":
            await step.make(key, plan.ops, final=False, resolves=[], closes=[])
            waiting = msgspec.structs.replace(waiting, parts=plan.remaining)
            continue
        if plan.remaining:
            closed = sorted({part_place(part) for part in item.parts} - {part_place(part) for part in plan.remaining})
            made = await step.make(key, plan.ops, final=True, resolves=[], closes=closed)
            judge.ground.put_item(_left(item, plan.remaining))
            return made
        made = await step.make(key, plan.ops, final=True, resolves=item.seqs, closes=[])
        judge.ground.close_item(item)
        return made
    raise Forbidden("This cannot be applied in one go.", hint="Give the values you want, or discard it.")


def _left(item: Item, parts: list[Unapplied]) -> Item:
    """The item with only `parts` (and their texts) waiting on."""
    places = {part_place(part) for part in parts}
    texts = {name: held for name, held in item.texts.items() if "/" + name in places}
    return msgspec.structs.replace(item, parts=parts, texts=texts, bytes=len(msgspec.json.encode((parts, texts))))


# -- the missing record arrived ------------------------------------------------------------------------------------------


async def redecide_arrived(judge: Judge) -> None:
    """Decide again what was held because a record was missing that has arrived in this batch. What still cannot be applied waits on;
    what is applied may itself be what others waited for."""
    ground = judge.ground
    while ground.arrived:
        keys = list(ground.arrived)
        ground.arrived.clear()
        for item in await ground.waiting_for(keys):
            await _redecide(judge, item)


async def _redecide(judge: Judge, item: Item) -> None:
    ground = judge.ground
    await ground.load_rows([(MEMBERS, item.actor_id)])
    actor = ground.actor(item.actor_id, None)
    if actor is None:
        return
    missing = [part for part in item.parts if part.reason == "missing_ref"]
    rest = [part for part in item.parts if part.reason != "missing_ref"]
    arrived = _left(item, missing)
    extra: dict[str, Any] = {"item": item.id}
    if rest:
        arrived = msgspec.structs.replace(arrived, seqs=[])
        extra["closes"] = sorted(part_place(part) for part in missing)
    mark = ground.mark()
    step = _Step(judge, actor, Who(ground.tenant_id, item.actor_id), "redecide", judge.runtime.uuid7(), judge.salt(), "", extra)
    try:
        await _apply(step, arrived, Resolution(how="apply"))
    except HoldfastError:
        ground.back_to(mark)        # something else stands against it: it waits on, for a person
        return
    if rest:
        ground.put_item(_left(item, rest))
