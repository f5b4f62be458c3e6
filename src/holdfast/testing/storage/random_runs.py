"""Whatever is written and asked, a backend answers as the memory backend does: the reference (all promises)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.errors import HoldfastError
from holdfast.storage.memory import MemoryStorage
from holdfast.storage.protocol import Reader, Storage, Writes
from holdfast.testing.storage.samples import SCHEMA
from holdfast.testing.storage.subject import Subject
from holdfast.testing.storage.world import TENANTS, Question, World

__all__ = ["RandomCases"]

SEEDS: Final = range(12)
STEPS: Final = 40
QUESTIONS: Final = 12


class _TakenBack(Exception):
    """The world decides that a batch fails although it could be committed."""


class RandomCases(Subject):
    random_seeds: Sequence[int] = SEEDS

    async def test_random_batches_and_questions_are_answered_as_by_the_reference(self) -> None:
        for seed in self.random_seeds:
            async with self.opened() as storage:
                await self._run(storage, seed)
            self.forget()

    async def _run(self, storage: Storage, seed: int) -> None:
        world, reference = World(seed), MemoryStorage(SCHEMA)
        for step in range(STEPS):
            mark, together = world.mark(), world.rng.random() < 0.3
            tenants = TENANTS if together else (world.rng.choice(TENANTS),)
            batches = [world.writes(tenant) for tenant in tenants]
            fails, first = world.rng.random() < 0.1, world.rng.random() < 0.5
            outcomes = [await _write(one, tenants, batches, fails, first) for one in (reference, storage)]
            where = f"seed {seed}, step {step}"
            assert outcomes[0] == outcomes[1], f"{where}: the reference says {outcomes[0]}, the backend {outcomes[1]}"
            if outcomes[0] is not None:
                world.back_to(mark)
            async with reference.reader() as expected, storage.reader() as actual:
                for question in world.questions(QUESTIONS):
                    wanted, found = await _ask(expected, question), await _ask(actual, question)
                    assert wanted == found, f"{where}: {question}\nreference: {wanted}\nbackend: {found}"


async def _write(storage: Storage, tenants: Sequence[str], batches: Sequence[Writes], fails: bool, read_first: bool) -> str | None:
    """None if it was committed, else the kind of error."""
    try:
        async with storage.batch(tenants) as batch:
            for writes in batches:
                if read_first:
                    await batch.rows(writes.head.tenant_id, [(row.collection, row.id) for row in writes.rows])
                await batch.write(writes)
            if fails:
                raise _TakenBack
    except (HoldfastError, _TakenBack) as error:
        # A constraint may fire at once or at commit, so in a batch that is taken back anyway it may or may not.
        return _TakenBack.__name__ if fails else type(error).__name__
    return None


async def _ask(reader: Reader, question: Question) -> Any:
    method, positional, named = question
    return await getattr(reader, method)(*positional, **named)
