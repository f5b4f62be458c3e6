"""An access rule is a predicate in Python, a condition in SQL and a policy of the database, and the three agree: for random rules, and for
each collection, role and operation of a schema, where the database itself is asked under the app's role (P4 Apart)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role, Rule, allows
from holdfast.core.entry import Row
from holdfast.core.schema import Collection
from holdfast.storage.layout import table_of
from holdfast.storage.postgres.binding import Binder
from holdfast.storage.postgres.link import Link, roles_text
from holdfast.storage.postgres.names import APP_ROLE, qualified
from holdfast.storage.postgres.policies import OPERATIONS, rule_of
from holdfast.storage.postgres.row_codec import RowCodec
from holdfast.storage.postgres.rules import policy_condition, rule_condition
from tests.postgres.clinic import ACTORS, PEOPLE, SCHEMA, TENANTS, fill, rows_of
from tests.postgres.cluster import Place

PLACE = Place("access_rules")
TENANT = TENANTS[0]
COLLECTIONS = [collection for collection in SCHEMA.collections.values() if collection.name != "members"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled() -> None:
    await PLACE.make(SCHEMA)
    storage = PLACE.storage(SCHEMA)
    await storage.open()
    await fill(storage)
    await storage.close()
    connection = await asyncpg.connect(PLACE.admin)
    for collection in COLLECTIONS:      # nobody else is granted that: here it shows what the policy would say
        await connection.execute(f"GRANT DELETE ON {qualified(collection.name)} TO {APP_ROLE}")
    await connection.close()


@pytest_asyncio.fixture
async def app(filled: None) -> AsyncIterator[Any]:
    """A connection under the app's role, in a transaction that is taken back."""
    connection = await asyncpg.connect(PLACE.app)
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield connection
    finally:
        await transaction.rollback()
        await connection.close()


def codec_of(collection: Collection) -> RowCodec:
    return RowCodec(collection, table_of(collection, SCHEMA))


# -- random rules ---------------------------------------------------------------------------------------------------------------


def random_rule(rng: random.Random, depth: int = 3) -> Rule:
    columns = ["owner_id", "label", "details", "cost", "rank", "done", "via_chart__owner_id", "id", "unheard", "tenant_id", "rev"]
    if depth and rng.random() < 0.6:
        parts = tuple(random_rule(rng, depth - 1) for _ in range(rng.randrange(4)))
        return And(parts) if rng.random() < 0.5 else Or(parts)
    return rng.choice([Everyone(), Nobody(), *(Own(column) for column in columns), Role(frozenset({"doctor"})),
                       Role(frozenset({"doctor", "odd 'role\\"})), Role(frozenset())])


def random_row(rng: random.Random, at: int) -> Row:
    ids = ["me", "you", "5", "1.00", "-0.50", "null", "é", "me ", '"me"', "it's \\ odd"]
    fields = {"owner_id": ids, "label": [f"{at}"], "rank": [0, 5], "due": ["2026-01-01"], "notes": ids, "done": [True, False],
              "details": [*ids, 5, {}, [], {"a": "me"}], "cost": ["1.00", "5.00", "-0.50", "12345.67"], "weight": [1, 5.5], "chart": [None]}
    return Row(collection="visits", id=ids[at] if at < len(ids) else f"id {at}",
               fields={name: rng.choice([None, *values]) for name, values in fields.items()},
               copied={"via_chart__owner_id": rng.choice([None, *ids])})


async def test_random_rules_admit_the_same_rows_in_all_three_forms(app: Any) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    rng, visits = random.Random(seed), codec_of(SCHEMA.collections["visits"])
    rows = [random_row(rng, at) for at in range(60)]
    link = Link(app, "testing")
    await link.act("chaos")
    await app.execute(f"INSERT INTO {qualified('hf_heads')} VALUES ('chaos', 0, '')")
    texts = [[row.id, *visits.encode(row)] for row in rows]
    await app.execute(visits.upsert, "chaos", *(list(column) for column in zip(*texts, strict=True)))
    for turn in range(250):
        rule = random_rule(rng)
        actor = Actor(rng.choice(["me", "you", "5", "1.00", "-0.50", "null", "é", "it's \\ odd"]),
                      frozenset(rng.sample(["doctor", "odd 'role\\", "other"], rng.randrange(3))))
        wanted = sorted(row.id for row in rows if allows(rule, row.columns(), actor))
        binder = Binder("chaos")
        condition = rule_condition(rule, actor, visits.table, binder)
        await link.act("chaos")     # as the server: no policy of the table stands in between
        by_filter = await app.fetch(f'SELECT id FROM {qualified("visits")} WHERE tenant_id = $1 AND {condition}', *binder.values)
        marked = f"SELECT id, ({policy_condition(rule, visits.table)}) AS admitted FROM {qualified('visits')} WHERE tenant_id = $1"
        await app.execute("SELECT set_config('holdfast.actor', $1, true), set_config('holdfast.probe', $2, true)", actor.id,
                          roles_text(actor))
        by_policy = await app.fetch(marked.replace("'holdfast.roles'", "'holdfast.probe'"), "chaos")
        link._acting = None
        where = f"seed {seed}, turn {turn}: {rule} for {actor}"
        assert sorted(row[0] for row in by_filter) == wanted, where
        assert sorted(row[0] for row in by_policy if row[1]) == wanted, where


# -- each collection, role and operation ------------------------------------------------------------------------------------------


async def by_filter(connection: Any, collection: Collection, rule: Rule, actor: Actor) -> set[str]:
    """The rows that the condition of the second form finds, asked by the server."""
    binder = Binder(TENANT)
    condition = rule_condition(rule, actor, table_of(collection, SCHEMA), binder)
    await Link(connection, "testing").act(TENANT)
    rows = await connection.fetch(f"SELECT id FROM {qualified(collection.name)} WHERE tenant_id = $1 AND {condition}", *binder.values)
    return {row[0] for row in rows}


async def touched(connection: Any, statement: str, *values: Any) -> bool:
    """Whether the policy lets the statement touch a row; what it did is taken back."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        return str(await connection.execute(statement, *values)).rpartition(" ")[2] == "1"
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await savepoint.rollback()


async def by_policy(connection: Any, collection: Collection, operation: str, row: Row) -> bool:
    name = qualified(collection.name)
    if operation == "select":
        return bool(await connection.fetch(f"SELECT 1 FROM {name} WHERE tenant_id = $1 AND id = $2", TENANT, row.id))
    if operation == "update":
        return await touched(connection, f"UPDATE {name} SET rev = rev + 1 WHERE tenant_id = $1 AND id = $2", TENANT, row.id)
    if operation == "delete":
        return await touched(connection, f"DELETE FROM {name} WHERE tenant_id = $1 AND id = $2", TENANT, row.id)
    codec = codec_of(collection)
    fresh = Row(collection=collection.name, id=f"new {row.id}", fields={**row.fields, "label": "new"}, copied=row.copied)
    insert = codec.upsert.partition(" ON CONFLICT")[0]
    return await touched(connection, insert, TENANT, *([text] for text in [fresh.id, *codec.encode(fresh)]))


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda collection: collection.name)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_predicate_filter_and_policy_agree_for_each_role(app: Any, collection: Collection, operation: str) -> None:
    rule = rule_of(collection, operation)
    for actor in ACTORS:
        filtered = await by_filter(app, collection, rule, actor)
        await Link(app, "testing").act(TENANT, actor)
        for row in rows_of(collection, TENANT):
            admitted = allows(rule, row.columns(), actor)
            assert (row.id in filtered) == admitted, f"{collection.name}, {operation}, {actor}: {row.columns()}"
            # The database lets nobody change or delete what it does not show.
            shown = operation in ("select", "insert") or allows(collection.read, row.columns(), actor)
            assert await by_policy(app, collection, operation, row) == (admitted and shown), f"{operation}, {actor}: {row.columns()}"


async def test_a_row_cannot_be_given_away_to_where_its_writer_may_not_write(app: Any) -> None:
    mine = next(row for row in rows_of(SCHEMA.collections["own_notes"], TENANT) if row.fields["owner_id"] == PEOPLE[0])
    await Link(app, "testing").act(TENANT, Actor(PEOPLE[0]))
    give = f"UPDATE {qualified('own_notes')} SET owner_id = $3 WHERE tenant_id = $1 AND id = $2"
    assert await touched(app, give, TENANT, mine.id, PEOPLE[0])
    assert not await touched(app, give, TENANT, mine.id, PEOPLE[1])


async def test_no_policy_has_a_sub_select(filled: None) -> None:
    connection = await asyncpg.connect(PLACE.admin)
    rows = await connection.fetch("SELECT tablename, policyname, coalesce(qual, '') || coalesce(with_check, '') AS said "
                                  "FROM pg_catalog.pg_policies WHERE schemaname = 'holdfast'")
    await connection.close()
    assert len(rows) > 30
    assert not [row["policyname"] for row in rows if "select" in row["said"].lower()]
