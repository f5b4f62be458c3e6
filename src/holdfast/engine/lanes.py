"""The committer for a database that takes several transactions at once: a lane per organisation, batches side by side.

What arrives for an organisation while its commit is in flight forms its next batch, as with one writer; different organisations do not wait
for each other, but for a free connection. Rules of the file:

- A work that was let in gets exactly one answer, whatever happens: its own, the storage's error, or WriterStopped.
- The works of one organisation are written in the order in which they came, by one batch at a time.
- Other servers write to the same database, so nothing that they change is remembered from one batch to the next.
- A transaction that another one came in between of, or whose connection was lost, is done again whole. If it was committed after all,
  its mutations are found by their ids and answered with their first outcome.
- What waits is bounded (`Room`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from holdfast.core.errors import HoldfastError, WorldError, WriterStopped
from holdfast.core.limits import Limits
from holdfast.core.messages import Result
from holdfast.engine.committer import Batch, Written
from holdfast.engine.room import Room
from holdfast.engine.work import Answer, Failure, Results, Unfinished, Upkeep, Work, error_of, failure_of, mutations_in
from holdfast.runtime import Runtime

__all__ = ["AGAIN_FOR_S", "Lanes", "SharedBatch"]

log: Final = logging.getLogger("holdfast.engine")

AGAIN_FOR_S: Final = 20.0
"""So long a batch is tried anew, in which a standby can take over; then those who wait are told."""
AGAIN_AFTER_S: Final = 0.02
AGAIN_AFTER_MAX_S: Final = 1.0
OUTSIDE: Final = ""
"""The lane of what lies outside the organisations' logs."""


class SharedBatch(Batch, Protocol):
    """Writes batches beside other servers."""

    def forget_what_others_change(self) -> None: ...


class _Waiting:
    __slots__ = ("answered", "earlier", "mutations", "size_bytes", "work")

    def __init__(self, work: Work, size_bytes: int) -> None:
        self.work = work
        self.mutations = mutations_in(work)
        self.size_bytes = size_bytes
        self.earlier: list[Result] = []     # of a push that goes on: what is committed of it
        self.answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answer(self, answer: Answer) -> None:
        if self.earlier and isinstance(answer, Results):
            answer = Results([*self.earlier, *answer.results], answer.head)
        if not self.answered.done():
            self.answered.set_result(answer)


class Lanes:
    """`commits`: as many as may write at once. `may_again(error)`: whether the storage says that the same transaction may go through when
    it is done again. `on_grown` is called after each commit with the tenant's newest seq."""

    def __init__(self, commits: Sequence[SharedBatch], *, runtime: Runtime, limits: Limits, may_again: Callable[[BaseException], bool],
                 on_grown: Callable[[str, int], None]) -> None:
        self._runtime = runtime
        self._limits = limits
        self._may_again = may_again
        self._on_grown = on_grown
        self._room = Room(limits)
        self._free: asyncio.LifoQueue[SharedBatch] = asyncio.LifoQueue()
        for commit in commits:
            self._free.put_nowait(commit)
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Answer:
        """See `Gate.submit`."""
        if self._closing:
            raise WriterStopped("The store is closed.")
        waiting = _Waiting(work, size_bytes)
        self._room.enter(waiting.mutations, size_bytes)
        tenant = OUTSIDE if isinstance(work, Upkeep) else work.who.tenant_id
        lane = self._lanes.get(tenant)
        if lane is None:
            lane = self._lanes[tenant] = deque()
            task = self._runtime.spawn(self._empty(tenant, lane), name="holdfast-lane")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lane.append(waiting)
        answer = await waiting.answered
        if isinstance(answer, Failure):
            raise error_of(answer)
        return answer

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # -- one lane -----------------------------------------------------------------------------------------------------

    async def _empty(self, tenant: str, lane: deque[_Waiting]) -> None:
        batch: list[_Waiting] = []
        try:
            while lane:
                commit = await self._free.get()
                batch = self._take(lane)
                try:
                    await self._write(commit, batch, lane)
                except BaseException:
                    commit.forget()
                    raise
                finally:
                    self._free.put_nowait(commit)
        except Exception:
            log.exception("The writer failed and starts anew.")
            self._fail([*batch, *lane], WriterStopped("The writer failed while this save waited."))
        except BaseException:
            self._fail([*batch, *lane], WriterStopped("The writer was stopped while this save waited."))
            raise
        finally:
            del self._lanes[tenant]

    def _take(self, lane: deque[_Waiting]) -> list[_Waiting]:
        batch: list[_Waiting] = []
        mutations = 0
        while lane and (not batch or mutations + lane[0].mutations <= self._limits.batch_mutations_max):
            batch.append(lane.popleft())
            mutations += batch[-1].mutations
        return batch

    async def _write(self, commit: SharedBatch, batch: list[_Waiting], lane: deque[_Waiting]) -> None:
        began = self._runtime.monotonic()
        try:
            written = await self._written(commit, batch)
        except WorldError as error:
            self._fail(batch, error)
            return
        mutations = 0
        unfinished: list[_Waiting] = []
        for waiting, answer in zip(batch, written.answers, strict=True):
            if isinstance(answer, Unfinished):
                waiting.work = answer.rest
                waiting.earlier.extend(answer.results)
                unfinished.append(waiting)
                continue
            mutations += waiting.mutations
            self._room.leave(waiting.mutations, waiting.size_bytes)
            waiting.answer(answer)
        lane.extendleft(reversed(unfinished))
        self._room.note_rate(mutations, self._runtime.monotonic() - began)
        for tenant_id, seq in written.grown.items():
            self._on_grown(tenant_id, seq)

    async def _written(self, commit: SharedBatch, batch: list[_Waiting]) -> Written:
        """Raises WorldError when it is not done within `AGAIN_FOR_S`, or would not be."""
        until = self._runtime.monotonic() + AGAIN_FOR_S
        pause = AGAIN_AFTER_S
        while True:
            commit.forget_what_others_change()
            try:
                return await commit.write([waiting.work for waiting in batch])
            except WorldError as error:
                commit.forget()
                outside = any(isinstance(waiting.work, Upkeep) for waiting in batch)
                if outside or not self._may_again(error) or self._runtime.monotonic() + pause > until:
                    raise
                log.warning("A batch is written again: %s", error.detail)
            await self._runtime.sleep(pause * (0.5 + self._runtime.random_bytes(1)[0] / 255))
            pause = min(AGAIN_AFTER_MAX_S, 2 * pause)

    def _fail(self, waiting: Sequence[_Waiting], error: HoldfastError) -> None:
        failure = failure_of(error)
        for one in waiting:
            if not one.answered.done():
                self._room.leave(one.mutations, one.size_bytes)
                one.answer(failure)
