"""A batch is kept whole or not at all, and readers never see it half (P1 Kept, P2 Once, P3 Never dropped)."""

from __future__ import annotations

import asyncio

from holdfast.core.errors import StorageConstraint, StorageFailed, StorageLocked
from holdfast.storage.protocol import Head, Storage, Writes
from holdfast.testing.storage.samples import SCHEMA, TENANT, Log, a_page, an_id, project, query, raising, task, turn
from holdfast.testing.storage.subject import Subject

__all__ = ["CommitCases"]


class CommitCases(Subject):
    async def test_an_empty_store_has_the_first_head(self) -> None:
        async with self.opened() as storage, storage.reader() as reader:
            assert await reader.head(TENANT) == Head(TENANT, 0, "0" * 64)

    async def test_a_batch_that_ends_well_is_there_for_the_next_reader(self) -> None:
        async with self.opened() as storage:
            log = Log()
            entry = log.add()
            await log.save(storage, rows=[task("r")])
            async with storage.reader() as reader:
                assert await reader.head(TENANT) == log.head
                assert await reader.entry(TENANT, 1) == entry
                assert list(await reader.rows(TENANT, [("tasks", an_id("r"))])) == [("tasks", an_id("r"))]

    async def test_a_batch_reads_what_it_has_written(self) -> None:
        async with self.opened() as storage, storage.batch([TENANT]) as batch:
            log = Log()
            first = log.add()
            await batch.write(log.writes(rows=[task("r", code="a")]))
            assert await batch.head(TENANT) == log.head
            assert await batch.by_mutation(TENANT, [(first.device_id, first.mutation_id)]) == {
                (first.device_id, first.mutation_id): first}
            assert await batch.holders(TENANT, [("tasks", "code", ("a",))]) == {("tasks", "code", ("a",)): an_id("r")}
            second = log.add(after=first.mutation_id)
            await batch.write(log.writes())
            assert await batch.record_entries(TENANT, ("tasks", an_id("r"))) == [first, second]

    async def test_a_batch_that_ends_by_an_exception_leaves_nothing(self) -> None:
        async with self.opened() as storage:
            log = Log()
            log.add()
            with raising(ZeroDivisionError):
                async with storage.batch([TENANT]) as batch:
                    await batch.write(log.writes(rows=[task("r")]))
                    raise ZeroDivisionError
            assert await a_page(storage, query()) == []
            async with storage.reader() as reader:
                assert await reader.head(TENANT) == Head(TENANT, 0, "0" * 64)
            again = Log()
            again.add("other", device_id="another device")
            await again.save(storage)
            async with storage.reader() as reader:
                assert [entry.device_id for entry in await reader.entries(TENANT, after=0, limit=9)] == ["another device"]

    async def test_a_reader_sees_what_stood_when_it_opened(self) -> None:
        async with self.opened() as storage:
            log = Log()
            log.add()
            await log.save(storage, rows=[task("r", code="old")])
            async with storage.reader() as reader:
                log.add()
                await log.save(storage, rows=[task("r", code="new")])
                assert (await reader.head(TENANT)).seq == 1
                assert len(await reader.entries(TENANT, after=0, limit=9)) == 1
                assert [row.fields["code"] for row in await reader.page(TENANT, query())] == ["old"]
            async with storage.reader() as reader:
                assert (await reader.head(TENANT)).seq == 2

    async def test_several_tenants_in_one_batch_commit_together(self) -> None:
        async with self.opened() as storage:
            logs = [Log("acme"), Log("zenith")]
            with raising(ZeroDivisionError):
                async with storage.batch(["acme", "zenith"]) as batch:
                    for log in logs:
                        log.add()
                        await batch.write(log.writes())
                    raise ZeroDivisionError
            logs = [Log("acme"), Log("zenith")]
            async with storage.batch(["acme", "zenith"]) as batch:
                for log in logs:
                    log.add()
                    await batch.write(log.writes())
            async with storage.reader() as reader:
                for log in logs:
                    assert await reader.head(log.tenant) == log.head

    async def test_a_head_that_was_not_locked_is_not_written(self) -> None:
        async with self.opened() as storage:
            log = Log("zenith")
            log.add()
            with raising(StorageFailed):
                async with storage.batch(["acme"]) as batch:
                    await batch.write(log.writes())

    async def test_a_batch_that_does_not_continue_the_log_is_refused(self) -> None:
        async with self.opened() as storage:
            log = Log()
            log.add()
            await log.save(storage)
            for gap in (0, 2):
                late = Log()
                late.head = Head(TENANT, gap, log.head.digest)
                late.add()
                with raising(StorageConstraint):
                    await late.save(storage)

    async def test_a_mutation_id_of_a_device_is_there_once(self) -> None:
        async with self.opened() as storage:
            log = Log()
            first = log.add()
            await log.save(storage)
            log.add(mutation_id=first.mutation_id, device_id="device-2")
            await log.save(storage)
            head = log.head
            log.add(mutation_id=first.mutation_id)
            with raising(StorageConstraint):
                await log.save(storage)
            log.head = head
            log.add("a", mutation_id="twice")
            log.add("b", mutation_id="twice")
            with raising(StorageConstraint):
                await log.save(storage)

    async def test_a_unique_value_has_one_holder_and_null_has_none(self) -> None:
        async with self.opened() as storage:
            log = Log()
            await log.save_rows(storage, task("a", code="x"), task("b", code=None), task("c", code=None))
            with raising(StorageConstraint):
                await log.save_rows(storage, task("d", code="x"))
            await Log("zenith").save_rows(storage, task("a", code="x"))
            async with storage.reader() as reader:
                held = await reader.holders(TENANT, [("tasks", "code", ("x",)), ("tasks", "code", ("y",)), ("tasks", "code", (None,))])
            assert held == {("tasks", "code", ("x",)): an_id("a")}

    async def test_a_deleted_record_keeps_its_unique_value(self) -> None:
        async with self.opened() as storage:
            log, row = Log(), task("a", code="x")
            row.deleted = True
            await log.save_rows(storage, row)
            async with storage.reader() as reader:
                assert await reader.holders(TENANT, [("tasks", "code", ("x",))]) == {("tasks", "code", ("x",)): an_id("a")}
            with raising(StorageConstraint):
                await log.save_rows(storage, task("b", code="x"))

    async def test_two_records_swap_a_unique_value_in_one_batch(self) -> None:
        async with self.opened() as storage:
            log = Log()
            await log.save_rows(storage, task("a", code="x"), task("b", code="y"), task("c", code="z"))
            async with storage.batch([TENANT]) as batch:
                await batch.rows(TENANT, [("tasks", an_id(name)) for name in "abc"])
                await batch.write(log.writes(rows=[task("a", code="y"), task("b", code="x"), task("c", code="z", rank=1)]))
            async with storage.reader() as reader:
                rows = await reader.rows(TENANT, [("tasks", an_id(name)) for name in "abc"])
            assert [row.fields["code"] for row in rows.values()] == ["y", "x", "z"]

    async def test_a_reference_needs_its_record_by_the_end_of_the_batch(self) -> None:
        async with self.opened() as storage:
            log = Log()
            await log.save_rows(storage, task("a", project=an_id("p")), project("p"))
            with raising(StorageConstraint):
                await log.save_rows(storage, task("b", project=an_id("nowhere")))
            other = Log("zenith")
            with raising(StorageConstraint):
                await other.save_rows(storage, task("b", project=an_id("p")))
            assert await a_page(storage, query()) == [an_id("a")]

    async def test_devices_are_written_without_entries(self) -> None:
        async with self.opened() as storage:
            log = Log()
            log.add()
            await log.save(storage)
            async with storage.batch([TENANT]) as batch:
                await batch.write(Writes(head=log.head, rows=[task("a")]))
            assert await a_page(storage, query()) == [an_id("a")]

    async def test_two_writers_race_and_their_entries_become_visible_in_order(self) -> None:
        """A sequence is given out before commit, so a reader that follows it skips what commits late. Here a reader that always goes on
        from the last entry it saw must see every entry."""
        async with self.opened() as storage:
            seen: list[int] = []
            done = 0

            async def write(name: str) -> None:
                nonlocal done
                for _ in range(20):
                    await self._append_one(storage, name)
                    await turn()
                done += 1

            async def follow() -> None:
                while done < 2 or not seen or seen[-1] < 40:
                    async with storage.reader() as reader:
                        new = await reader.entries(TENANT, after=seen[-1] if seen else 0, limit=7)
                    seen.extend(entry.seq for entry in new)
                    await turn()

            await asyncio.wait_for(asyncio.gather(write("one"), write("two"), follow()), 60)
            assert seen == list(range(1, 41))

    async def _append_one(self, storage: Storage, device: str) -> None:
        while True:
            try:
                async with storage.batch([TENANT]) as batch:
                    log = Log()
                    log.head = await batch.head(TENANT)
                    await turn()
                    log.add(device_id=device)
                    await batch.write(log.writes())
                    await turn()
                return
            except StorageLocked:
                await turn()

    async def test_what_was_written_is_there_when_the_store_is_opened_again(self) -> None:
        if not self.survives_closing:
            return
        log = Log()
        async with self.opened() as storage:
            entry = log.add()
            await log.save(storage, rows=[task("r", code="x")])
        async with self.opened() as storage, storage.reader() as reader:
            assert await reader.head(TENANT) == log.head
            assert await reader.entry(TENANT, 1) == entry
            assert storage.schema is SCHEMA
