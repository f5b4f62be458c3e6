"""What can go wrong between server and database: a crash, connections that are cut, a commit whose answer is lost, transactions that get in
each other's way. Whoever saves gets an answer, and what was acknowledged took effect once (P1 Kept, P2 Once)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from holdfast import open_store
from holdfast.core.errors import StorageFailed, StorageLocked, UnsafeSettings
from holdfast.engine.database import migrate_database
from holdfast.engine.keeping import Declarations
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.runtime import RealRuntime
from holdfast.storage.postgres import PostgresStorage, storage
from holdfast.storage.postgres.errors import is_transient, world_error
from holdfast.storage.postgres.link import Link
from holdfast.storage.postgres.names import APP_ROLE
from holdfast.testing.postgres import PostgresServer
from tests.engine.on_postgres import MASTER_KEYS, on_postgres
from tests.engine.world import ALL, Device, Secret
from tests.postgres.cluster import Place

RECORDS = [*ALL, Secret]
NAME = "failures"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(await on_postgres(RECORDS, NAME), records=RECORDS, master_keys=MASTER_KEYS) as opened:
        yield opened


@pytest.fixture
async def ann(store: Store) -> MemberSession:
    return await store.member("acme", "ann@example.org", roles={"owner"})


def record(at: int) -> str:
    return f"00000000-0000-7000-8000-{at:012d}"


async def save_many(store: Store, member: MemberSession, devices: int, turns: int, line: str = "",
                    found: Counter[str] | None = None) -> Counter[str]:
    """Several devices create records, one after another; how often each outcome came, counted in `found` as they come. `line`: tells one
    call's devices and records from another's."""
    found = Counter() if found is None else found

    async def work(at: int) -> None:
        device = Device(store, member, f"device-{line}{at}")
        for turn in range(turns):
            result = await device.create("notes", record(int(line or 0) * 100_000 + at * 1000 + turn), {"title": f"{turn}"})
            found[result.first_outcome or result.outcome] += 1

    await asyncio.gather(*(work(at) for at in range(1, devices + 1)))
    return found


async def come_to(found: Counter[str], count: int) -> None:
    """Wait until so many saves are acknowledged."""
    for _ in range(6_000):
        if found.total() >= count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"no more than {found} were acknowledged")


async def entries(store: Store) -> list[str]:
    async with store.storage.reader() as reader:
        return [entry.record_id for entry in await reader.entries("acme", after=0, limit=10_000) if entry.collection == "notes"]


async def test_a_commit_whose_answer_was_lost_is_found_by_its_mutations(store: Store, ann: MemberSession,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    lost, run = [0], Link.run

    async def lossy(self: Link, sql: str, *values: object) -> int:
        done = await run(self, sql, *values)
        if sql == "COMMIT" and lost[0] < 2:
            lost[0] += 1
            cut = asyncpg.ConnectionDoesNotExistError("cut")
            raise world_error(cut, "testing") from cut
        return done

    monkeypatch.setattr(Link, "run", lossy)
    result = await Device(store, ann, "phone").create("notes", record(1), {"title": "x"})
    assert lost == [2]
    assert (result.outcome, result.first_outcome) == ("duplicate", "applied")
    assert await entries(store) == [record(1)]


@pytest.mark.parametrize("kind", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError,
                                  asyncpg.AdminShutdownError, ConnectionResetError])
async def test_a_transaction_that_may_go_through_the_next_time_is_done_again_whole(
        store: Store, ann: MemberSession, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    failed, run = [0], Link.run

    async def failing(self: Link, sql: str, *values: object) -> int:
        if sql == "COMMIT" and failed[0] < 3 and "writing" in self._doing:
            failed[0] += 1
            error = kind("no")
            raise world_error(error, "testing") from error
        return await run(self, sql, *values)

    monkeypatch.setattr(Link, "run", failing)
    assert (await Device(store, ann, "phone").create("notes", record(1), {"title": "x"})).outcome == "applied"
    assert failed == [3]
    assert await entries(store) == [record(1)]


async def test_whoever_waits_for_a_head_that_is_held_too_long_is_told(store: Store, ann: MemberSession) -> None:
    holder = await asyncpg.connect(Place(NAME).app)
    transaction = holder.transaction()
    await transaction.start()
    await Link(holder, "testing").act("acme")
    await holder.execute("SELECT 1 FROM holdfast.hf_heads WHERE tenant_id = 'acme' FOR UPDATE")
    waiting = asyncio.create_task(Device(store, ann, "phone").create("notes", record(1), {"title": "x"}))
    with pytest.raises(StorageLocked) as told:
        async with store.storage.batch(["acme"]):
            raise AssertionError("the head is held")
    assert is_transient(told.value)
    await transaction.rollback()
    await holder.close()
    assert (await waiting).outcome == "applied"


async def test_connections_that_are_cut_again_and_again_lose_nothing_and_double_nothing(store: Store, ann: MemberSession) -> None:
    admin = await asyncpg.connect(Place(NAME).admin)
    rounds = cut = 0
    while cut < 8 and rounds < 20:
        rounds += 1
        saving = asyncio.create_task(save_many(store, ann, 6, 10, str(rounds)))
        while not saving.done():
            cut += await admin.fetchval("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1 "
                                        "AND datname = current_database() AND random() < 0.4", APP_ROLE)
            await asyncio.sleep(0.15)
        assert (await saving) == {"applied": 60}
    await admin.close()
    assert cut >= 8
    assert sorted(await entries(store)) == sorted(record(line * 100_000 + at * 1000 + turn)
                                                  for line in range(1, rounds + 1) for at in range(1, 7) for turn in range(10))


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.end()


async def test_a_database_that_crashes_and_comes_back_has_all_that_was_acknowledged(own_server: PostgresServer) -> None:
    await own_server.make_database("crash")
    await migrate_database(own_server.url("crash"), Declarations.of(RECORDS, (), None), RealRuntime(), MASTER_KEYS)
    async with open_store(own_server.url("crash", APP_ROLE), records=RECORDS, master_keys=MASTER_KEYS) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        found: Counter[str] = Counter()
        saving = asyncio.create_task(save_many(store, ann, 4, 40, found=found))
        for acknowledged in (30, 90):
            await come_to(found, acknowledged)
            await asyncio.to_thread(own_server.stop, "immediate")
            await asyncio.to_thread(own_server.start)
        assert (await saving) == {"applied": 160}
        assert sorted(await entries(store)) == sorted(record(at * 1000 + turn) for at in range(1, 5) for turn in range(40))


async def test_a_server_whose_settings_break_a_promise_is_refused(own_server: PostgresServer) -> None:
    await own_server.make_database("unsafe")
    schema = Declarations.of(RECORDS, (), None).schema
    await migrate_database(own_server.url("unsafe"), Declarations.of(RECORDS, (), None), RealRuntime(), MASTER_KEYS)
    admin = await asyncpg.connect(own_server.url("unsafe"))
    for name, value in (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")):
        await admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        await admin.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.2)
        with pytest.raises(UnsafeSettings, match=f"{name} = off"):
            await PostgresStorage(own_server.url("unsafe", APP_ROLE), schema).open()
        await admin.execute(f"ALTER SYSTEM RESET {name}")
    await admin.close()


async def test_a_database_that_does_not_answer_is_an_error_and_not_a_wait(store: Store, ann: MemberSession,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "ANSWER_TIMEOUT_S", 0.3)
    one = PostgresStorage(Place(NAME).app, store.schema, connections_max=1)
    await one.open()
    async with one.reader():
        with pytest.raises(StorageFailed):
            async with one.reader():
                raise AssertionError("there is one connection, and it is taken")
    async with one.reader() as reader:
        with pytest.raises(StorageFailed):
            await reader.link.fetch("SELECT pg_sleep(5)")  # type: ignore[attr-defined]
    async with one.reader() as reader:
        assert (await reader.head("acme")).seq > 0
    await one.close()
