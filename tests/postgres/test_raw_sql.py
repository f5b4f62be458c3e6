"""Raw SQL under the app's role: without a tenant it sees nothing, with one that tenant alone, and a connection carries nothing of either to
the next transaction (P4 Apart)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from holdfast.core.access import Actor
from holdfast.core.errors import UnsafeSettings
from holdfast.storage.postgres import PostgresStorage
from holdfast.storage.postgres.link import Link, roles_text
from holdfast.storage.postgres.manifest import FIXED, tables_in_order
from holdfast.storage.postgres.names import APP_ROLE, MIGRATOR_ROLE, OWNER_ROLE, SERVER, qualified
from holdfast.storage.protocol import Account, Credential, Device, Tenant
from holdfast.testing.storage.samples import an_id
from tests.postgres.clinic import PEOPLE, SCHEMA, TENANTS, fill
from tests.postgres.cluster import Place, server

PLACE = Place("raw_sql")
TENANT_TABLES = [name for name, kind in tables_in_order(SCHEMA).items() if kind == "tenant"]
OTHERS = [name for name, kind in FIXED.items() if kind != "tenant" and name != "hf_meta"]
SETTINGS = ("holdfast.tenant", "holdfast.actor", "holdfast.roles")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled() -> None:
    await PLACE.make(SCHEMA)
    storage = PLACE.storage(SCHEMA)
    await storage.open()
    await fill(storage)
    for tenant in TENANTS:
        async with storage.batch([tenant]) as batch:
            await batch.put_tenant(Tenant(tenant_id=tenant, name=tenant, created_at=1))
            await batch.put_account(Account(id=an_id(tenant), email=f"{tenant}@example.org", password_hash="argon", created_at=1))
            await batch.put_credential(Credential(hash=tenant, kind="token", account_id=an_id(tenant), tenant_id=tenant, created_at=1,
                                                  expires_at=None))
            await batch.put_device(Device(tenant_id=tenant, device_id="phone", actor_id=PEOPLE[0], first_seen=1, last_seen=1))
            await batch.put_setting(tenant, "name", 1)
            await batch.count_attempt(tenant, 1, 1_000_000)
    await storage.close()


@pytest_asyncio.fixture
async def app(filled: None) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(PLACE.app)
    try:
        yield connection
    finally:
        await connection.close()


async def count(connection: Any, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {qualified(table)}"))


async def settings(connection: Any) -> list[str]:
    return [await connection.fetchval("SELECT coalesce(current_setting($1, true), '')", name) for name in SETTINGS]


async def test_without_a_tenant_nothing_is_seen(app: Any) -> None:
    assert {name: await count(app, name) for name in [*TENANT_TABLES, *OTHERS]} == dict.fromkeys([*TENANT_TABLES, *OTHERS], 0)


async def test_without_a_tenant_nothing_is_seen_after_a_transaction_that_had_one(app: Any) -> None:
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0])
        assert await count(app, "hf_log") == 1
    assert await settings(app) == ["", "", ""]
    assert [await count(app, name) for name in [*TENANT_TABLES, *OTHERS]] == [0] * len([*TENANT_TABLES, *OTHERS])


async def test_a_savepoint_that_is_taken_back_takes_the_tenant_back(app: Any) -> None:
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0])
        inner = app.transaction()
        await inner.start()
        await Link(app, "testing").act(TENANTS[1])
        await inner.rollback()
        assert await app.fetchval(f"SELECT string_agg(DISTINCT tenant_id, ' ') FROM {qualified('open_to_all')}") == TENANTS[0]


@pytest.mark.parametrize("table", TENANT_TABLES)
async def test_with_a_tenant_only_that_tenant_is_seen(app: Any, table: str) -> None:
    async with app.transaction():
        for tenant in TENANTS:
            await Link(app, "testing").act(tenant)
            seen = {row[0] for row in await app.fetch(f"SELECT DISTINCT tenant_id FROM {qualified(table)}")}
            assert seen <= {tenant}


async def test_every_table_that_can_hold_rows_of_both_tenants_does_here(filled: None) -> None:
    """Else the tests above would see nothing where there is nothing."""
    connection = await asyncpg.connect(PLACE.admin)
    empty = [name for name in [*TENANT_TABLES, *OTHERS] if not await count(connection, name)]
    await connection.close()
    assert set(empty) == {"hf_contexts", "hf_items", "hf_item_refs"}


async def test_a_member_sees_in_the_collections_what_the_rules_show_and_of_the_directory_nothing_but_the_own_tenant(app: Any) -> None:
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0], Actor(PEOPLE[0]))
        assert {row[0] for row in await app.fetch(f"SELECT DISTINCT owner_id FROM {qualified('own_notes')}")} == {PEOPLE[0]}
        assert await count(app, "closed") == 0
        assert [row[0] for row in await app.fetch(f"SELECT tenant_id FROM {qualified('hf_tenants')}")] == [TENANTS[0]]
        assert [await count(app, name) for name in OTHERS if name != "hf_tenants"] == [0] * (len(OTHERS) - 1)


async def test_a_role_that_is_called_like_the_servers_is_not_the_servers(app: Any) -> None:
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0], Actor(PEOPLE[0], frozenset({SERVER})))
        assert await count(app, "closed") == 0
    assert roles_text(Actor("x", frozenset({f"a\x1f{SERVER}"}))) == "\x1f"
    hostile = "x', true); SET LOCAL holdfast.roles = 'server"
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0], Actor(hostile, frozenset({hostile})))
        assert await app.fetchval("SELECT current_setting('holdfast.actor')") == hostile
        assert await count(app, "closed") == 0


@pytest.mark.parametrize("statement", [
    f"UPDATE {qualified('open_to_all')} SET tenant_id = 'zenith'",
    f"INSERT INTO {qualified('open_to_all')} (tenant_id, id) VALUES ('zenith', 'x')",
    f"INSERT INTO {qualified('hf_settings')} VALUES ('zenith', 'x', '1')",
    f"INSERT INTO {qualified('hf_heads')} VALUES ('', 0, '')",
    f"DELETE FROM {qualified('open_to_all')}",
    f"DELETE FROM {qualified('hf_log')}",
    f"UPDATE {qualified('hf_log')} SET seq = seq + 1",
    f"UPDATE {qualified('hf_log')} SET actor_id = 'somebody else'",
    f"UPDATE {qualified('hf_meta')} SET value = ''",
    f"TRUNCATE {qualified('hf_log')}",
    f"ALTER TABLE {qualified('hf_log')} DISABLE ROW LEVEL SECURITY",
    f"ALTER TABLE {qualified('hf_log')} NO FORCE ROW LEVEL SECURITY",
    f"DROP POLICY hf_tenant ON {qualified('hf_log')}",
    f"SET LOCAL ROLE {OWNER_ROLE}",
    f"SET LOCAL ROLE {MIGRATOR_ROLE}",
    "SET LOCAL ROLE postgres",
    "CREATE TABLE holdfast.mine (x int)",
])
async def test_the_apps_role_cannot_reach_over(app: Any, statement: str) -> None:
    async with app.transaction():
        await Link(app, "testing").act(TENANTS[0])
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
            await app.execute(statement)


async def test_copy_is_refused_to_the_apps_role(app: Any) -> None:
    with pytest.raises((asyncpg.FeatureNotSupportedError, asyncpg.InsufficientPrivilegeError)):
        await app.copy_records_to_table("open_to_all", schema_name="holdfast", records=[("zenith", "x")], columns=["tenant_id", "id"])


@pytest.mark.parametrize("role", ["postgres", MIGRATOR_ROLE])
async def test_a_role_that_row_level_security_does_not_hold_is_refused_at_the_start(filled: None, role: str) -> None:
    storage = PostgresStorage(server().url(PLACE.name, role), SCHEMA)
    with pytest.raises(UnsafeSettings, match=r"not held by row-level security|may act as their owner"):
        await storage.open()


async def test_the_three_roles_are_what_they_are_meant_to_be(filled: None) -> None:
    connection = await asyncpg.connect(PLACE.admin)
    rows = await connection.fetch("SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb "
                                  "FROM pg_catalog.pg_roles WHERE rolname LIKE 'holdfast%' ORDER BY 1")
    owned = await connection.fetchval("SELECT count(*) FROM pg_catalog.pg_class WHERE relowner = $1::regrole", APP_ROLE)
    assert {tuple(row) for row in rows} == {(APP_ROLE, True, False, False, False, False), (MIGRATOR_ROLE, True, False, True, False, False),
                                            (OWNER_ROLE, False, False, False, False, False)}
    assert owned == 0
    await connection.close()


async def test_a_connection_that_comes_back_to_the_pool_carries_nothing(filled: None) -> None:
    storage = PLACE.storage(SCHEMA, connections_max=1)
    await storage.open()
    async with storage.batch([TENANTS[0]]) as batch:
        await batch.rows(TENANTS[0], [("closed", an_id("x"))])
    with pytest.raises(ZeroDivisionError):
        async with storage.batch([TENANTS[1]]):
            raise ZeroDivisionError
    async with storage._pool.acquire() as connection:
        assert await settings(connection) == ["", "", ""]
        assert not connection.is_in_transaction()
        assert await count(connection, "hf_log") == 0
    await storage.close()
