"""The committer: what arrives while a commit is in flight forms the next batch.

So a lone save waits for nobody, and under load one fsync serves hundreds. Nothing here knows what a save is: works go in, `write`
turns a batch of them into answers in one commit. Rules of the file:

- A work that was let in gets exactly one answer, whatever happens: its own, the storage's error, or WriterStopped. A save that
  waits never hangs.
- An error of the storage (full disk, locked file, …) is the answer of the batch it befell; the next batch tries again.
- Any other failure is a bug: everybody who waits is told WriterStopped (their outcome is unknown, sending again is safe), and
  writing starts anew with nothing remembered.
- What waits is bounded (`Room`).

The same loop runs in three places: with `in_thread` each batch is written in a thread (embedded: the fsync does not hold up the
event loop), without it in place (the simulation, the writer's own process).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from holdfast.core.errors import HoldfastError, WorldError, WriterStopped
from holdfast.core.limits import Limits
from holdfast.core.messages import Result
from holdfast.engine.room import Room
from holdfast.engine.work import Answer, Failure, Progress, Results, Unfinished, Work, error_of, failure_of, mutations_in
from holdfast.runtime import Runtime
from holdfast.storage.drive import run_sync

__all__ = ["Batch", "Committer", "Gate", "Waiter", "Written"]

T = TypeVar("T")

log = logging.getLogger("holdfast.engine")

RESTART_DELAY_S = 0.1
QUIET_S = 0.05
"""After so long without a save the storage gets its turn (checkpoints)."""


class Gate(Protocol):
    """The way to the writer, wherever it runs."""

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Answer:
        """The answer of `work` once it is committed (fsynced). Raises the error that a `Failure` stands for, Overloaded (nothing was
        queued) or another WorldError (outcome unknown)."""

    async def close(self) -> None: ...


class Waiter(Protocol):
    """Who waits for an answer."""

    def answer(self, answer: Answer) -> None: ...


class Written:
    """What one commit did: the answers, one for each work (or how far it has come), and how far each tenant's log has grown."""

    __slots__ = ("answers", "grown")

    def __init__(self, answers: list[Progress], grown: dict[str, int]) -> None:
        self.answers = answers
        self.grown = grown


class Batch(Protocol):
    """Writes batches. `forget` drops everything it remembers between them."""

    async def write(self, works: list[Work]) -> Written: ...
    async def maintain(self) -> None:
        """Work that can wait until nothing else does."""

    def forget(self) -> None: ...


class _Queued:
    __slots__ = ("earlier", "mutations", "size_bytes", "waiter", "work")

    def __init__(self, work: Work, waiter: Waiter, mutations: int, size_bytes: int) -> None:
        self.work = work
        self.waiter = waiter
        self.mutations = mutations
        self.size_bytes = size_bytes
        self.earlier: list[Result] = []     # of a push that goes on: what is committed of it

    def answer(self, answer: Answer) -> None:
        if self.earlier and isinstance(answer, Results):
            answer = Results([*self.earlier, *answer.results], answer.head)
        self.waiter.answer(answer)


class _Promise:
    """A waiter within this event loop."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Answer]) -> None:
        self.future = future

    def answer(self, answer: Answer) -> None:
        if not self.future.done():
            self.future.set_result(answer)


class Committer:
    """Owns the queue and the task that empties it. `on_grown` is called after each commit with each tenant's newest seq,
    `on_answered` once the answers of a batch are out."""

    def __init__(self, batch: Batch, *, runtime: Runtime, limits: Limits, in_thread: bool, on_grown: Callable[[str, int], None],
                 on_answered: Callable[[], None] | None = None) -> None:
        self._batch = batch
        self._runtime = runtime
        self._limits = limits
        self._in_thread = in_thread
        self._on_grown = on_grown
        self._on_answered = on_answered
        self._room = Room(limits)
        self._queue: deque[_Queued] = deque()
        self._in_flight: list[_Queued] = []
        self._arrived = asyncio.Event()
        self._quiet: asyncio.TimerHandle | None = None
        self._is_quiet = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._runtime.spawn(self._supervise(), name="holdfast-writer")
        self._task.add_done_callback(self._ended)

    async def submit(self, work: Work, *, size_bytes: int = 0) -> Answer:
        promise = _Promise(asyncio.get_running_loop().create_future())
        self.enqueue(work, promise, size_bytes=size_bytes)
        answer = await promise.future
        if isinstance(answer, Failure):
            raise error_of(answer)
        return answer

    def enqueue(self, work: Work, waiter: Waiter, *, size_bytes: int = 0) -> None:
        """Let `work` in; `waiter` gets its answer. Raises Overloaded or WriterStopped, and then nothing was queued."""
        if self._closing or self._task is None or self._task.done():
            raise WriterStopped("The store is closed.")
        mutations = mutations_in(work)
        self._room.enter(mutations, size_bytes)
        self._queue.append(_Queued(work, waiter, mutations, size_bytes))
        self._arrived.set()

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._arrived.set()
        if self._quiet is not None:
            self._quiet.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _supervise(self) -> None:
        while not self._closing or self._queue:
            try:
                await self._empty_queue()
            except Exception:
                log.exception("The writer failed and starts anew.")
                self._fail_all(WriterStopped("The writer failed while this save waited."))
                self._batch.forget()
                await self._runtime.sleep(RESTART_DELAY_S)

    async def _empty_queue(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                if self._is_quiet:
                    self._is_quiet = False
                    await self._run(self._batch.maintain())
                    continue
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._write_one(self._take())
            self._listen_for_quiet()

    def _listen_for_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = None if self._queue else asyncio.get_running_loop().call_later(QUIET_S, self._note_quiet)

    def _note_quiet(self) -> None:
        self._is_quiet = True
        self._arrived.set()

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """In a thread, if this committer has one, else in place."""
        if self._in_thread:
            return await self._runtime.blocking(lambda: run_sync(work))
        return await work

    def _take(self) -> list[_Queued]:
        batch: list[_Queued] = []
        mutations = 0
        while self._queue and (not batch or mutations + self._queue[0].mutations <= self._limits.batch_mutations_max):
            queued = self._queue.popleft()
            batch.append(queued)
            mutations += queued.mutations
        return batch

    async def _write_one(self, batch: list[_Queued]) -> None:
        self._in_flight = batch
        began = self._runtime.monotonic()
        works = [queued.work for queued in batch]
        try:
            written = await self._run(self._batch.write(works))
            answers = written.answers
        except WorldError as error:
            self._batch.forget()
            failure: Progress = failure_of(error)
            answers, written = [failure] * len(batch), Written([], {})
        self._in_flight = []
        mutations = 0
        unfinished: list[_Queued] = []
        for queued, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Unfinished):
                queued.work = answer.rest
                queued.earlier.extend(answer.results)
                unfinished.append(queued)
                continue
            mutations += queued.mutations
            self._room.leave(queued.mutations, queued.size_bytes)
            queued.answer(answer)
        self._queue.extendleft(reversed(unfinished))        # before whatever came after it: a device's line keeps its order
        self._room.note_rate(mutations, self._runtime.monotonic() - began)
        for tenant_id, seq in written.grown.items():
            self._on_grown(tenant_id, seq)
        if self._on_answered is not None:
            self._on_answered()
        if not self._in_thread:
            await self._runtime.sleep(0)      # let what arrived meanwhile be read: it is the next batch

    def _fail_all(self, error: HoldfastError) -> None:
        waiting = [*self._in_flight, *self._queue]
        self._in_flight = []
        self._queue.clear()
        failure = failure_of(error)
        for queued in waiting:
            self._room.leave(queued.mutations, queued.size_bytes)
            queued.answer(failure)
        if self._on_answered is not None:
            self._on_answered()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """The task is gone, cancelled perhaps: whoever still waits must know."""
        self._fail_all(WriterStopped("The writer was stopped while this save waited."))
        if not task.cancelled() and task.exception() is not None:
            log.error("The writer ended.", exc_info=task.exception())


