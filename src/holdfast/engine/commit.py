"""One batch in one transaction: lock the heads, load, judge each in order on the state the earlier ones left, write, commit.

Works of several tenants share a transaction, never a state. What lies outside the log (`Upkeep`) has a transaction of its own. If a
database constraint fires, which the checks before it should have caught, the batch is redone one by one, so that one mutation's
fault is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from holdfast.core.access import Actor
from holdfast.core.errors import Forbidden, HoldfastError, NotFound, StorageConstraint, WorldError
from holdfast.core.limits import Limits
from holdfast.core.messages import Problem, Result
from holdfast.core.schema import Schema
from holdfast.engine.acting import act
from holdfast.engine.changing import change
from holdfast.engine.committer import Written
from holdfast.engine.erasing import erase
from holdfast.engine.ground import Ground
from holdfast.engine.judge import Judge, refused
from holdfast.engine.memory import Memory
from holdfast.engine.reverting import name_version, restore_version, revert
from holdfast.engine.secrecy import Keyring
from holdfast.engine.settling import redecide_arrived, resolve
from holdfast.engine.traits import Traits
from holdfast.engine.usual import Sender
from holdfast.engine.work import (
    Act,
    Answer,
    Arrival,
    Change,
    Erase,
    Failure,
    NameVersion,
    Progress,
    PushWork,
    Resolve,
    Restore,
    Results,
    Revert,
    TenantWork,
    Unfinished,
    Upkeep,
    Value,
    Who,
    Work,
    failure_of,
)
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Batch, Device, Storage

__all__ = ["ACCOUNTS_GREW", "Commit"]

DEVICE_SEEN_EVERY_MS = 60_000


ACCOUNTS_GREW = "!accounts"
"""The name under which the feed says that accounts or credentials changed."""


@runtime_checkable
class Maintained(Protocol):
    """A storage with work that can wait until nothing else does."""

    async def maintain(self) -> None: ...


class Commit:
    """Writes batches for the committer. Knows one storage, and nothing of queues."""

    def __init__(self, storage: Storage, *, schema: Schema, keyring: Keyring, runtime: Runtime, limits: Limits) -> None:
        self._storage = storage
        self._schema = schema
        self._keyring = keyring
        self._runtime = runtime
        self._limits = limits
        self._memory = Memory(limits)
        self._traits = {name: Traits(collection, schema) for name, collection in schema.collections.items()}

    def forget(self) -> None:
        self._memory.forget()

    def forget_what_others_change(self) -> None:
        self._memory.forget_what_others_change()

    async def maintain(self) -> None:
        if isinstance(self._storage, Maintained):
            await self._storage.maintain()

    async def write(self, works: list[Work]) -> Written:
        """Raises the WorldErrors of the storage: then nothing is known of the batch, and all of it may be sent again."""
        answers: list[Progress] = [_NOT_YET] * len(works)
        by_tenant: dict[str, list[int]] = {}
        accounts_grew = False
        for at, work in enumerate(works):
            if isinstance(work, Upkeep):
                answers[at] = await self._keep_up(work)
                if work.accounts or work.credentials:
                    accounts_grew = True
            else:
                by_tenant.setdefault(work.who.tenant_id, []).append(at)
        grown: dict[str, int] = {}
        if by_tenant:
            try:
                await self._write_tenants(works, by_tenant, answers, grown)
            except StorageConstraint:
                self.forget()
                grown.clear()
                self._memory.doubt = True
                try:
                    await self._one_by_one(works, by_tenant, answers, grown)
                finally:
                    self._memory.doubt = False
        if accounts_grew:
            grown[ACCOUNTS_GREW] = self._runtime.now_ms()
        return Written(answers, grown)

    async def _write_tenants(self, works: Sequence[Work], by_tenant: dict[str, list[int]], answers: list[Progress],
                             grown: dict[str, int]) -> None:
        grounds: list[Ground] = []
        async with self._storage.batch(sorted(by_tenant)) as batch:
            for tenant_id in sorted(by_tenant):
                places = by_tenant[tenant_id]
                tenant_works: list[TenantWork] = [works[at] for at in places]  # type: ignore[misc]
                judge = await self._judge(batch, tenant_id)
                made = [failure_of(judge)] * len(places) if isinstance(judge, HoldfastError) else await self._judged(judge, tenant_works)
                for at, answer in zip(places, made, strict=True):
                    answers[at] = answer
                if isinstance(judge, HoldfastError):
                    continue
                writes = judge.ground.writes()
                if writes is not None:
                    await batch.write(writes)
                    grounds.append(judge.ground)
        for ground in grounds:
            ground.remember()
            if ground.seq > ground.start:
                grown[ground.tenant_id] = ground.seq

    async def _judge(self, batch: Batch, tenant_id: str) -> Judge | HoldfastError:
        secrecy = self._memory.tenants.get(tenant_id)
        if secrecy is None:
            tenant = await batch.tenant(tenant_id)
            if tenant is None:
                return NotFound("There is no such organisation.")
            if tenant.suspended:
                return Forbidden("This organisation is suspended: it can be read, not changed.", hint="Ask the operator of this server.")
            secrecy = self._keyring.secrecy(tenant)
            self._memory.tenants.put(tenant_id, secrecy)
        ground = Ground(batch, await batch.head(tenant_id), schema=self._schema, traits=self._traits, secrecy=secrecy, memory=self._memory,
                        now=self._runtime.now_ms())
        return Judge(ground, schema=self._schema, limits=self._limits, runtime=self._runtime)

    async def _judged(self, judge: Judge, works: list[TenantWork]) -> list[Progress]:
        await judge.prepare(works)
        answers: list[Progress] = []
        for work in works:
            before = judge.ground.seq
            try:
                answers.append(await self._one(judge, work))
            except WorldError as error:
                if error.code != "rate":
                    raise
                answers.append(failure_of(error))
            except HoldfastError as error:
                assert judge.ground.seq == before, "an error after something was taken over"
                answers.append(failure_of(error))
        await redecide_arrived(judge)
        return answers

    async def _one(self, judge: Judge, work: TenantWork) -> Progress:
        actor = judge.actor_of(work.who)
        if actor is None:
            raise Forbidden("You are not (any longer) a member of this organisation.")
        if isinstance(work, PushWork):
            return await self._push(judge, actor, work)
        if isinstance(work, Change):
            return await change(judge, actor, work)
        if isinstance(work, Revert):
            return await revert(judge, actor, work)
        if isinstance(work, Restore):
            return await restore_version(judge, actor, work)
        if isinstance(work, NameVersion):
            return await name_version(judge, actor, work)
        if isinstance(work, Resolve):
            return await resolve(judge, actor, work)
        if isinstance(work, Erase):
            return await erase(judge, actor, work)
        assert isinstance(work, Act)
        return await act(judge, actor, work)

    async def _push(self, judge: Judge, actor: Actor, work: PushWork) -> Results | Unfinished:
        await self._note_device(judge.ground, work.who, work.device_id)
        sender = Sender(work.who, actor, work.device_id, work.offset_ms)
        arrivals = work.arrivals or [Arrival(judge.salt()) for _ in work.mutations]
        results: list[Result] = []
        until = judge.rebase_pairs + self._limits.rebase_pairs_under_lock_max
        for mutation, arrival in zip(work.mutations, arrivals, strict=True):
            if judge.rebase_pairs > until:
                return Unfinished(results, work.rest(len(results)))
            results.append(judge.usual(sender, mutation, arrival) or await judge.pushed(sender, mutation, arrival))
        return Results(results, judge.ground.seq)

    async def _note_device(self, ground: Ground, who: Who, device_id: str) -> None:
        """A device belongs to the person who used it first. Raises Forbidden for another."""
        held = self._memory.devices.get((ground.tenant_id, device_id))
        if held is not None and held[0] == who.actor_id and ground.now - held[1] < DEVICE_SEEN_EVERY_MS:
            return
        device = ground.devices.get(device_id) or (await ground.batch.devices_named(ground.tenant_id, [device_id])).get(device_id)
        if device is None:
            device = Device(tenant_id=ground.tenant_id, device_id=device_id, actor_id=who.actor_id, first_seen=ground.now,
                            last_seen=ground.now)
        elif device.actor_id != who.actor_id:
            raise Forbidden("This device belongs to another person.", hint="Take a new device id for yourself.")
        device.last_seen = ground.now
        ground.devices[device_id] = device

    # -- a constraint fired ---------------------------------------------------------------------------------------------

    async def _one_by_one(self, works: Sequence[Work], by_tenant: dict[str, list[int]], answers: list[Progress],
                          grown: dict[str, int]) -> None:
        for tenant_id, places in by_tenant.items():
            for at in places:
                work = works[at]
                if isinstance(work, PushWork):
                    answers[at] = await self._push_one_by_one(work, grown)
                else:
                    answers[at] = await self._alone(work, tenant_id, grown)

    async def _push_one_by_one(self, work: PushWork, grown: dict[str, int]) -> Answer:
        results: list[Result] = []
        head = 0
        for mutation in work.mutations:
            answer = await self._alone(PushWork(work.who, work.device_id, work.offset_ms, [mutation]), work.who.tenant_id, grown)
            if isinstance(answer, Results):
                results.extend(answer.results)
                head = answer.head
            else:
                assert isinstance(answer, Failure)
                problem = Problem(code=answer.code, detail=answer.detail, hint=answer.hint, field=answer.field,
                                  retry_after=answer.retry_after)
                results.append(refused(mutation.mutation_id, problem))
        return Results(results, head)

    async def _alone(self, work: Work, tenant_id: str, grown: dict[str, int]) -> Answer:
        answers: list[Progress] = [_NOT_YET]
        try:
            await self._write_tenants([work], {tenant_id: [0]}, answers, grown)
        except StorageConstraint as error:
            self.forget()
            return Failure("conflict", "The database refused this change: it breaks one of its constraints.",
                           "Tell the operator; it stays on the device.", extra={"cause": type(error).__name__})
        answer = answers[0]
        assert not isinstance(answer, Unfinished), "a single mutation is never left for later"
        return answer

    # -- outside the log ------------------------------------------------------------------------------------------------

    async def _keep_up(self, work: Upkeep) -> Answer:
        """One transaction of its own; the count of an attempt is its value."""
        tenants = sorted({tenant.tenant_id for tenant in (*work.new_tenants, *work.tenants)} | {device.tenant_id for device in work.devices}
                         | {tenant_id for tenant_id, _, _ in work.settings})
        count = 0
        try:
            async with self._storage.batch(tenants) as batch:
                for tenant in work.new_tenants:
                    if await batch.tenant(tenant.tenant_id) is not None:
                        raise StorageConstraint(f"There is an organisation {tenant.tenant_id!r} already.")
                for tenant in (*work.new_tenants, *work.tenants):
                    await batch.put_tenant(tenant)
                for account in work.accounts:
                    await batch.put_account(account)
                for credential in work.credentials:
                    await batch.put_credential(credential)
                for hash_, last_used_at in work.touches:
                    await batch.touch_credential(hash_, last_used_at)
                for device in work.devices:
                    await batch.put_device(device)
                for tenant_id, name, value in work.settings:
                    await batch.put_setting(tenant_id, name, value)
                if work.attempt is not None:
                    count = await batch.count_attempt(work.attempt[0], self._runtime.now_ms(), work.attempt[1])
        except StorageConstraint as error:
            return Failure("conflict", error.detail, error.hint)
        for tenant in work.tenants:
            self._memory.tenants.drop(tenant.tenant_id)
        return Value(count)


_NOT_YET = Failure("internal", "Nothing was answered.")
