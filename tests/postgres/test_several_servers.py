"""Several servers on one database: what one commits the others hear of, in order and without gaps, also when hints are lost; what one
decides about accounts holds for all (P1 Kept, P2 Once, P4 Apart, P5 Answered). Here they share a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from holdfast import open_store
from holdfast.engine import hints
from holdfast.engine.accounts import secret_hash
from holdfast.engine.store import Store
from tests.engine.on_postgres import MASTER_KEYS, on_postgres
from tests.engine.world import ALL, Device, Secret
from tests.postgres.cluster import Place

RECORDS = [*ALL, Secret]
NAME = "several_servers"


@pytest.fixture
async def servers() -> AsyncIterator[list[Store]]:
    address = await on_postgres(RECORDS, NAME)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_store(address, records=RECORDS, master_keys=MASTER_KEYS)) for _ in range(3)]


async def test_what_one_server_commits_reaches_the_listeners_of_all_in_order(servers: list[Store]) -> None:
    members = [await store.member("acme", f"m{at}@example.org", roles={"owner"}) for at, store in enumerate(servers)]
    listeners = [Device(store, member, f"listener-{at}") for at, (store, member) in enumerate(zip(servers, members, strict=True))]
    for listener in listeners:
        await listener.catch_up()
    writers = [Device(store, member, f"writer-{at}") for at, (store, member) in enumerate(zip(servers, members, strict=True))]

    async def write(at: int) -> None:
        for turn in range(10):
            record = f"00000000-0000-7000-8000-{at:04d}{turn:08d}"
            assert (await writers[at].create("notes", record, {"title": f"{turn}"})).outcome == "applied"

    following = [asyncio.create_task(_follow(store, listener, 30)) for store, listener in zip(servers, listeners, strict=True)]
    await asyncio.gather(*(write(at) for at in range(3)))
    found = await asyncio.wait_for(asyncio.gather(*following), 20)
    first = found[0][0]
    assert found == [list(range(first, first + 30))] * 3


async def _follow(store: Store, device: Device, count: int) -> list[int]:
    seen: list[int] = []
    subscription = store.subscribe("acme")
    while len(seen) < count:
        reply = await device.pull()
        seen += [change.seq for change in reply.changes]
        if not reply.more and len(seen) < count:
            await anext(subscription)
    await subscription.close()
    return seen


async def test_a_hint_that_is_lost_delays_and_does_not_lose(servers: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "LOOKED_EVERY_S", 0.2)
    monkeypatch.setattr(hints, "AGAIN_AFTER_S", 0.1)
    member = await servers[0].member("acme", "ann@example.org", roles={"owner"})
    listener, writer = Device(servers[1], member, "listener"), Device(servers[0], member, "writer")
    await listener.catch_up()
    following = asyncio.create_task(_follow(servers[1], listener, 3))
    await asyncio.sleep(0)
    for at in range(3):
        connection = await asyncpg.connect(Place(NAME).admin)
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                                 "AND datname = current_database() AND query ~ 'LISTEN|pg_notify|^SELECT 1$'")
        await connection.close()
        assert (await writer.create("notes", f"00000000-0000-7000-8000-{at:012d}", {"title": "x"})).outcome == "applied"
    assert len(await asyncio.wait_for(following, 20)) == 3


async def test_a_token_that_is_revoked_at_one_server_is_refused_by_the_others(servers: list[Store]) -> None:
    await servers[0].member("acme", "ann@example.org", roles={"owner"})
    secret = await servers[0].accounts.create_token("acme", "ann@example.org", name="t")
    assert await servers[1].accounts.check(secret) is not None
    await servers[0].accounts.sign_out(secret_hash(secret))
    for _ in range(100):
        if await servers[1].accounts.check(secret) is None:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the revoked token is still taken")


async def test_the_same_mutation_at_two_servers_at_once_takes_effect_once(servers: list[Store]) -> None:
    member = await servers[0].member("acme", "ann@example.org", roles={"owner"})
    first, second = (Device(store, member, "phone") for store in servers[:2])
    for turn in range(10):
        record = f"00000000-0000-7000-8000-{turn:012d}"
        results = await asyncio.gather(first.create("notes", record, {"title": "x"}), second.create("notes", record, {"title": "x"}))
        assert sorted(result.outcome for result in results) == ["applied", "duplicate"]
        assert results[0].seq == results[1].seq
