"""Erasing takes payload and salt of an entry; that there was one, and the chain, stay (P3 Never dropped, P4 Apart)."""

from __future__ import annotations

from holdfast.core import digest
from holdfast.core.entry import Request, Unapplied
from holdfast.core.ops import SetOp, SpliceOp
from holdfast.storage.erasure import erased
from holdfast.testing.storage.samples import TENANT, Log
from holdfast.testing.storage.subject import Subject

__all__ = ["ErasingCases"]


class ErasingCases(Subject):
    async def _with_erased(self) -> Log:
        log = Log()
        for text in ("first", "second"):
            log.add(ops=[SpliceOp("/notes", [(0, 0, text)])], undo=[SpliceOp("/notes", [(0, len(text), "")])], extra={"note": text},
                    sent=[SetOp("/notes", text)], sent_hash="cd" * 32, unapplied=[Unapplied(reason="superseded", mine=text)],
                    request=Request("192.0.2.1", text))
        return log

    async def test_what_is_left_says_that_it_was_and_not_what(self) -> None:
        async with self.opened() as storage:
            log = await self._with_erased()
            first, second = log.pending
            await log.save(storage)
            log.add(kind="erase", ops=[], undo=[], extra={"seqs": [1]})
            await log.save(storage, erased=[1])
            async with storage.reader() as reader:
                entries = await reader.entries(TENANT, after=0, limit=9)
                assert (await reader.by_mutation(TENANT, [(first.device_id, first.mutation_id)])).popitem()[1].erased
            assert entries[0] == erased(first)
            assert (entries[0].ops, entries[0].sent, entries[0].extra, entries[0].request) == ([], None, {}, Request())
            assert (entries[0].outcome, entries[0].sent_hash, entries[0].digest) == (first.outcome, first.sent_hash, first.digest)
            assert entries[1] == second

    async def test_the_chain_can_still_be_checked(self) -> None:
        async with self.opened() as storage:
            log = await self._with_erased()
            await log.save(storage)
            log.add(kind="erase", ops=[], undo=[], extra={"seqs": [1, 2]})
            await log.save(storage, erased=[1, 2])
            async with storage.reader() as reader:
                entries = await reader.entries(TENANT, after=0, limit=9)
                seals = await reader.seals(TENANT, [1, 2, 3])
            assert [seals[seq].salt for seq in (1, 2, 3)] == [b"", b"", log.salts[3]]
            previous = digest.FIRST
            for entry in entries:
                kept = seals[entry.seq].payload_digest
                previous = digest.chain(previous, entry, kept or digest.payload_digest(seals[entry.seq].salt, digest.payload(entry)))
                assert entry.digest == previous

    async def test_erasing_again_changes_nothing(self) -> None:
        async with self.opened() as storage:
            log = await self._with_erased()
            await log.save(storage)
            await log.save(storage, erased=[1])
            async with storage.reader() as reader:
                before = await reader.seals(TENANT, [1]), await reader.entry(TENANT, 1)
            await log.save(storage, erased=[1, 99])
            async with storage.reader() as reader:
                assert before == (await reader.seals(TENANT, [1]), await reader.entry(TENANT, 1))

    async def test_a_batch_that_fails_erases_nothing(self) -> None:
        async with self.opened() as storage:
            log = await self._with_erased()
            first = log.pending[0]
            await log.save(storage)
            try:
                async with storage.batch([TENANT]) as batch:
                    await batch.write(log.writes(erased=[1]))
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
            async with storage.reader() as reader:
                assert await reader.entry(TENANT, 1) == first
