"""Two databases, the second a synchronous standby of the first: the first dies under load, the second takes over, the store goes on by
itself and nothing that was acknowledged is lost (P1 Kept, P2 Once)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import asyncpg
import pytest

from holdfast import open_store
from holdfast.engine.database import migrate_database
from holdfast.engine.keeping import Declarations
from holdfast.runtime import RealRuntime
from holdfast.storage.postgres.names import APP_ROLE
from holdfast.testing.postgres import PostgresServer
from tests.engine.on_postgres import MASTER_KEYS
from tests.postgres.test_failures import RECORDS, come_to, entries, record, save_many


@pytest.fixture
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """The second is not there yet."""
    servers = (PostgresServer(), PostgresServer())
    servers[0].start()
    try:
        yield servers
    finally:
        for server in servers:
            server.end()


async def stand_by(primary: PostgresServer, standby: PostgresServer) -> None:
    """Synchronous streaming from the first to the second."""
    await asyncio.to_thread(standby.follow, primary, "second")
    await asyncio.to_thread(standby.start)
    admin = await asyncpg.connect(primary.url("postgres"))
    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'second'")
    await admin.execute("SELECT pg_reload_conf()")
    for _ in range(200):
        if await admin.fetchval("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"):
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the standby never became synchronous")
    await admin.close()


async def test_a_standby_that_takes_over_has_all_that_was_acknowledged(pair: tuple[PostgresServer, PostgresServer]) -> None:
    primary, standby = pair
    await primary.make_database("failover")
    await migrate_database(primary.url("failover"), Declarations.of(RECORDS, (), None), RealRuntime(), MASTER_KEYS)
    await stand_by(primary, standby)
    address = (f"postgresql://{APP_ROLE}@/failover?host={primary.folder},{standby.folder}&port={primary.port},{standby.port}"
               "&target_session_attrs=read-write")
    async with open_store(address, records=RECORDS, master_keys=MASTER_KEYS) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        found: Counter[str] = Counter()
        saving = asyncio.create_task(save_many(store, ann, 4, 40, found=found))
        await come_to(found, 50)
        await asyncio.to_thread(primary.stop, "immediate")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(standby.promote)
        assert await saving == {"applied": 160}
        assert sorted(await entries(store)) == sorted(record(at * 1000 + turn) for at in range(1, 5) for turn in range(40))
