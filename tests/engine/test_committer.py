"""The committer batches by itself and answers everybody: P1 (an error is told, never swallowed), P5 (a save that waits never hangs)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast import Limits, open_store
from holdfast.core import decide
from holdfast.core.errors import Overloaded, StorageFull, StorageLocked, WriterStopped
from holdfast.core.ops import AddOp, CreateOp, SpliceOp
from holdfast.engine.committer import Committer, Written
from holdfast.engine.room import Room
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from holdfast.engine.work import Upkeep, Value, Work
from holdfast.runtime import RealRuntime
from tests.engine.world import Device, Note, StillRuntime

NewId = Callable[[], str]


class Desk:
    """A batch writer whose commits take as long as the test says."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: list[BaseException] = []
        self.forgotten = 0
        self.maintained = 0

    async def write(self, works: list[Work]) -> Written:
        self.batches.append(len(works))
        await self.gate.wait()
        if self.fail:
            raise self.fail.pop(0)
        return Written([Value(number) for number, _ in enumerate(works)], {})

    async def maintain(self) -> None:
        self.maintained += 1

    def forget(self) -> None:
        self.forgotten += 1


@asynccontextmanager
async def committing(desk: Desk, **limits: int) -> AsyncIterator[Committer]:
    committer = Committer(desk, runtime=RealRuntime(), limits=Limits(**limits), in_thread=False, on_grown=lambda tenant_id, seq: None)
    committer.start()
    try:
        yield committer
    finally:
        desk.gate.set()
        await committer.close()


async def submitted(committer: Committer, count: int, size_bytes: int = 0) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.ensure_future(committer.submit(Upkeep(), size_bytes=size_bytes)) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def outcomes(tasks: list[asyncio.Task[Any]]) -> list[str]:
    return [type(found).__name__ for found in await asyncio.gather(*tasks, return_exceptions=True)]


async def test_what_arrives_while_a_commit_is_in_flight_forms_the_next_batch() -> None:
    desk = Desk()
    async with committing(desk) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 1) + await submitted(committer, 7)
        desk.gate.set()
        await asyncio.gather(*tasks)
    assert desk.batches == [1, 7]


async def test_a_lone_save_waits_for_nobody() -> None:
    desk = Desk()
    async with committing(desk) as committer:
        for _ in range(3):
            await committer.submit(Upkeep())
    assert desk.batches == [1, 1, 1]


async def test_a_batch_has_a_limit() -> None:
    desk = Desk()
    async with committing(desk, batch_mutations_max=4) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 10)
        desk.gate.set()
        await asyncio.gather(*tasks)
    assert desk.batches == [4, 4, 2]


async def test_a_full_queue_turns_away_at_once_and_says_when_to_come_again() -> None:
    desk = Desk()
    async with committing(desk, queue_mutations_max=5) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 5)
        with pytest.raises(Overloaded) as overloaded:
            await committer.submit(Upkeep())
        assert overloaded.value.retry_after >= 1
        desk.gate.set()
        assert await outcomes(tasks) == ["Value"] * 5
        await committer.submit(Upkeep())


async def test_the_queue_is_bounded_in_bytes_too() -> None:
    desk = Desk()
    async with committing(desk, queue_bytes_max=1_000) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 2, size_bytes=500)
        with pytest.raises(Overloaded):
            await committer.submit(Upkeep(), size_bytes=1)
        desk.gate.set()
        await asyncio.gather(*tasks)


def test_one_that_is_larger_than_all_room_is_let_in_alone() -> None:
    room = Room(Limits(queue_bytes_max=100))
    room.enter(1, 1_000)
    with pytest.raises(Overloaded):
        room.enter(1, 1)
    room.leave(1, 1_000)
    assert (room.mutations, room.bytes) == (0, 0)


def test_the_time_to_wait_follows_from_how_fast_the_queue_is_emptied() -> None:
    room = Room(Limits(queue_mutations_max=10_000))
    room.enter(10_000, 0)
    for _ in range(50):
        room.note_rate(100, 0.1)
    with pytest.raises(Overloaded) as overloaded:
        room.enter(1, 0)
    assert 10 <= overloaded.value.retry_after <= 11


@pytest.mark.parametrize("error", [StorageFull("full"), StorageLocked("locked")])
async def test_an_error_of_the_storage_is_the_answer_of_its_batch_and_the_next_one_goes_on(error: Exception) -> None:
    desk = Desk()
    async with committing(desk) as committer:
        desk.gate.clear()
        desk.fail.append(error)
        first = await submitted(committer, 1)
        second = await submitted(committer, 3)
        desk.gate.set()
        assert await outcomes(first) == [type(error).__name__]
        assert await outcomes(second) == ["Value"] * 3


async def test_if_the_writer_dies_everybody_is_told_and_it_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    async with committing(desk) as committer:
        desk.gate.clear()
        desk.fail.append(RuntimeError("a bug"))
        tasks = await submitted(committer, 1) + await submitted(committer, 4)
        desk.gate.set()
        assert await outcomes(tasks) == ["WriterStopped"] * 5
        assert isinstance(await committer.submit(Upkeep()), Value)
    assert desk.forgotten == 1 and "a bug" in caplog.text


async def test_a_cancelled_writer_leaves_nobody_waiting() -> None:
    desk = Desk()
    committer = Committer(desk, runtime=RealRuntime(), limits=Limits(), in_thread=False, on_grown=lambda tenant_id, seq: None)
    committer.start()
    desk.gate.clear()
    tasks = await submitted(committer, 3)
    assert committer._task is not None
    committer._task.cancel()
    assert await outcomes(tasks) == ["WriterStopped"] * 3
    with pytest.raises(WriterStopped):
        await committer.submit(Upkeep())


async def test_somebody_who_went_away_while_waiting_harms_nobody() -> None:
    desk = Desk()
    async with committing(desk) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 3)
        tasks[1].cancel()
        desk.gate.set()
        assert await outcomes(tasks) == ["Value", "CancelledError", "Value"]


async def test_closing_writes_what_waits() -> None:
    desk = Desk()
    async with committing(desk) as committer:
        desk.gate.clear()
        tasks = await submitted(committer, 6)
        desk.gate.set()
    assert await outcomes(tasks) == ["Value"] * 6


async def test_a_closed_one_says_so() -> None:
    async with committing(Desk()) as committer:
        pass
    with pytest.raises(WriterStopped):
        await committer.submit(Upkeep())


async def test_the_storage_gets_its_turn_when_it_is_quiet() -> None:
    desk = Desk()
    async with committing(desk) as committer:
        await committer.submit(Upkeep())
        for _ in range(200):
            if desk.maintained:
                break
            await asyncio.sleep(0.01)
        assert desk.maintained == 1
        await committer.submit(Upkeep())


# -- in a thread, on a real storage ------------------------------------------------------------------------------------------


async def test_saves_at_once_share_commits(store: Store, ann: MemberSession, new_id: NewId) -> None:
    devices = [Device(store, ann, f"d{number}") for number in range(60)]
    results = await asyncio.gather(*(device.create("notes", new_id(), {"title": "a"}) for device in devices))
    assert {result.outcome for result in results} == {"applied"}
    assert len({result.seq for result in results}) == 60


async def test_a_full_disk_is_told_and_saving_goes_on_by_itself(tmp_path: Path, new_id: NewId, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(tmp_path / "data", records=[Note], runtime=StillRuntime()) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        real: Callable[..., Any] = store.storage.batch
        full = [True]

        @asynccontextmanager
        async def batch(tenants: Any) -> AsyncIterator[Any]:
            async with real(tenants) as opened:
                yield opened
                if full[0]:
                    raise StorageFull("The disk is full.")

        monkeypatch.setattr(store.storage, "batch", batch)
        mutation = laptop.mutation("notes", new_id(), CreateOp({"title": "a"}))
        with pytest.raises(StorageFull):
            await laptop.push(mutation)
        full[0] = False
        assert (await laptop.push(mutation)).results[0].outcome == "applied"


async def test_a_bug_in_deciding_one_mutation_spares_its_neighbours(store: Store, ann: MemberSession, new_id: NewId,
                                                                   monkeypatch: pytest.MonkeyPatch,
                                                                   caplog: pytest.LogCaptureFixture) -> None:
    laptop = Device(store, ann, "laptop")
    note = new_id()
    await laptop.create("notes", note, {"title": "a"})
    real = decide.decide

    def broken(row: Any, mutation: Any, *more: Any) -> Any:
        if mutation.mutation_id == "bad":
            raise ZeroDivisionError("a bug")
        return real(row, mutation, *more)

    monkeypatch.setattr(decide, "decide", broken)
    bad = laptop.mutation("notes", new_id(), CreateOp({"title": "b"}), mutation_id="bad")
    good = laptop.mutation("notes", note, AddOp("/views", 1))
    results = (await laptop.push(bad, good)).results
    assert [(result.outcome, result.error.code if result.error else None) for result in results] == [("refused", "internal"),
                                                                                                     ("applied", None)]
    assert "a bug" in caplog.text




async def test_a_push_with_a_long_way_to_rebase_lets_others_in_between(tmp_path: Path, new_id: NewId) -> None:
    limits = Limits(rebase_pairs_under_lock_max=200)
    async with open_store(tmp_path / "data", records=[Note], limits=limits, mode="inline", runtime=StillRuntime()) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop, phone, tablet = (Device(store, ann, name) for name in ("laptop", "phone", "tablet"))
        note = new_id()
        await laptop.create("notes", note, {"title": "a"})
        await phone.catch_up()
        await laptop.push(*(laptop.mutation("notes", note, SpliceOp("/body", [(at, 0, "x")])) for at in range(50)))
        late = [phone.mutation("notes", note, SpliceOp("/body", [(at, 0, "y")])) for at in range(30)]
        order: list[str] = []

        async def push_late() -> None:
            results = (await phone.push(*late)).results
            assert [result.mutation_id for result in results] == [mutation.mutation_id for mutation in late]
            assert {result.outcome for result in results} == {"merged"}
            order.append("late")

        async def push_other() -> None:
            await tablet.create("notes", new_id(), {"title": "b"})
            order.append("other")

        await asyncio.gather(push_late(), push_other())
        assert order == ["other", "late"]
        assert (await ann.get(Note, note)).body in ("x" * 50 + "y" * 30, "y" * 30 + "x" * 50)
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings
