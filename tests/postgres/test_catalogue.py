"""The schema as the database has it: what a distributed server needs, what row-level security leaves usable, and that it is forced
(P4 Apart). The rules are asked of the catalogue, so that a table or an index nobody thought of is judged too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from holdfast.core.errors import InvalidValue
from holdfast.storage.postgres.distribute import distribute, distribution
from holdfast.storage.postgres.link import Link
from holdfast.storage.postgres.manifest import tables_in_order
from holdfast.testing.storage.random_runs import RandomCases
from holdfast.testing.storage.samples import SCHEMA as SAMPLES
from tests.postgres.clinic import SCHEMA
from tests.postgres.cluster import Place

PLACE = Place("catalogue")
KINDS = tables_in_order(SCHEMA)
TENANT_TABLES = {name for name, kind in KINDS.items() if kind == "tenant"}
WITHOUT_POLICIES = {"hf_meta", "hf_revision"}

COLUMNS = """
    SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, co.collname AS collation, a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_collation co ON co.oid = a.attcollation
    WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind IN ('r', 'p')"""
INDEXES = """
    SELECT t.relname AS table, c.relname AS index, i.indisunique, i.indisprimary, am.amname, i.indexprs IS NOT NULL AS expressions,
           ARRAY(SELECT a.attname FROM unnest(i.indkey) WITH ORDINALITY k(no, at) JOIN pg_attribute a
                 ON a.attrelid = i.indrelid AND a.attnum = k.no ORDER BY k.at)::text[] AS columns,
           ARRAY(SELECT DISTINCT p.proname FROM unnest(i.indclass) o JOIN pg_opclass oc ON oc.oid = o
                 JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
                 JOIN pg_operator op ON op.oid = ao.amopopr JOIN pg_proc p ON p.oid = op.oprcode WHERE NOT p.proleakproof)::text[] AS leaky
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am am ON am.oid = c.relam
    WHERE t.relnamespace = 'holdfast'::regnamespace"""
FOREIGN_KEYS = """
    SELECT c.relname AS table, k.conname, f.relname AS target, k.confdeltype, k.confupdtype,
           ARRAY(SELECT a.attname FROM unnest(k.conkey) WITH ORDINALITY x(no, at) JOIN pg_attribute a
                 ON a.attrelid = k.conrelid AND a.attnum = x.no ORDER BY x.at)::text[] AS columns,
           ARRAY(SELECT a.attname FROM unnest(k.confkey) WITH ORDINALITY x(no, at) JOIN pg_attribute a
                 ON a.attrelid = k.confrelid AND a.attnum = x.no ORDER BY x.at)::text[] AS targets
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
    WHERE k.contype = 'f' AND c.relnamespace = 'holdfast'::regnamespace"""


async def faults(connection: Any) -> list[str]:
    """What of the schema breaks a rule, by the rule's number (S: schema rules for a distributed server)."""
    found: list[str] = []
    for row in await connection.fetch(COLUMNS):
        if row["column"] == "tenant_id" and (row["type"], row["collation"], row["attnotnull"]) != ("text", "C", True):
            found.append(f"S1 {row['table']}.tenant_id is {row['type']} {row['collation']}")
        if row["type"] == "text" and row["collation"] != "C":
            found.append(f"order {row['table']}.{row['column']} is not compared by code points")
    has_tenant = {row["table"] for row in await connection.fetch(COLUMNS) if row["column"] == "tenant_id"}
    for row in await connection.fetch(INDEXES):
        where = f"{row['table']}.{row['index']} on {row['columns']}"
        if row["table"] in TENANT_TABLES or (row["table"] not in KINDS and row["table"] in has_tenant):
            if row["indisprimary"] and row["columns"][0] != "tenant_id":
                found.append(f"S1 {where}: tenant_id is not first in the primary key")
            if row["indisunique"] and "tenant_id" not in row["columns"]:
                found.append(f"S2 {where}: unique without tenant_id")
            if row["columns"][:1] != ["tenant_id"]:
                found.append(f"Q2 {where}: does not begin with tenant_id")
        if row["leaky"] or row["expressions"] or row["amname"] != "btree":
            found.append(f"leakproof {where}: row-level security makes it useless ({row['leaky']})")
    for row in await connection.fetch(FOREIGN_KEYS):
        if row["columns"][0] != "tenant_id" or row["targets"][0] != "tenant_id":
            found.append(f"S3 {row['conname']} has no tenant_id")
        if row["confdeltype"] in (b"n", b"d") or row["confupdtype"] in (b"n", b"d"):
            found.append(f"S3 {row['conname']} sets null or a default")
    found += await other_faults(connection)
    return found


async def other_faults(connection: Any) -> list[str]:
    found = [f"S5 {row[0]} has the trigger {row[1]}" for row in await connection.fetch(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal")]
    found += [f"S5 {row[0]} is unlogged, inherits or is no plain table" for row in await connection.fetch(
        "SELECT relname FROM pg_class c WHERE relnamespace = 'holdfast'::regnamespace AND (relkind NOT IN ('r', 'i') OR relpersistence "
        "<> 'p' OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid))")]
    for name, enabled, forced, owner in await connection.fetch(
            "SELECT relname, relrowsecurity, relforcerowsecurity, relowner::regrole::text FROM pg_class "
            "WHERE relnamespace = 'holdfast'::regnamespace AND relkind = 'r'"):
        if name not in WITHOUT_POLICIES and not (enabled and forced):
            found.append(f"S10 row-level security of {name} is not forced")
        if owner != "holdfast_owner":
            found.append(f"S10 {name} belongs to {owner}")
    held = {row[0] for row in await connection.fetch("SELECT DISTINCT tablename::text FROM pg_policies WHERE schemaname = 'holdfast'")}
    found += [f"S10 {name} has no policy" for name in KINDS if name not in held | WITHOUT_POLICIES]
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made() -> None:
    await PLACE.make(SCHEMA)


async def test_the_schema_keeps_the_rules(made: None) -> None:
    connection = await asyncpg.connect(PLACE.admin)
    try:
        there = {row[0] for row in await connection.fetch("SELECT tablename::text FROM pg_tables WHERE schemaname = 'holdfast'")}
        assert there == {*KINDS, "hf_revision"}, "the manifest names every table"
        assert await faults(connection) == []
    finally:
        await connection.close()


@pytest.mark.parametrize(("mistake", "rule"), [
    ("CREATE TABLE holdfast.bare (tenant_id text COLLATE \"C\" NOT NULL, id text COLLATE \"C\", PRIMARY KEY (id, tenant_id))", "S1"),
    ("CREATE TABLE holdfast.odd (tenant_id uuid NOT NULL, id text COLLATE \"C\", PRIMARY KEY (tenant_id, id))", "S1"),
    ("CREATE UNIQUE INDEX wrong ON holdfast.charts (label)", "S2"),
    ("CREATE INDEX wrong ON holdfast.charts (label)", "Q2"),
    ("CREATE INDEX wrong ON holdfast.charts (tenant_id, details)", "leakproof"),
    ("CREATE INDEX wrong ON holdfast.charts (tenant_id, lower(label))", "leakproof"),
    ("CREATE INDEX wrong ON holdfast.charts USING gin (details)", "leakproof"),
    ("ALTER TABLE holdfast.visits ADD FOREIGN KEY (tenant_id, chart) REFERENCES holdfast.charts ON DELETE SET NULL (chart)", "S3"),
    ("CREATE TRIGGER wrong BEFORE INSERT ON holdfast.charts EXECUTE FUNCTION suppress_redundant_updates_trigger()", "S5"),
    ("CREATE UNLOGGED TABLE holdfast.bare (x bigint)", "S5"),
    ("ALTER TABLE holdfast.charts NO FORCE ROW LEVEL SECURITY", "S10"),
    ("ALTER TABLE holdfast.charts DISABLE ROW LEVEL SECURITY", "S10"),
    ("DROP POLICY hf_tenant ON holdfast.hf_log", "S10"),
    ("ALTER TABLE holdfast.charts OWNER TO postgres", "S10"),
    ("ALTER TABLE holdfast.charts ADD COLUMN free text COLLATE \"en-x-icu\"", "order"),
])
async def test_a_mistake_in_the_schema_is_found(made: None, mistake: str, rule: str) -> None:
    connection = await asyncpg.connect(PLACE.admin)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(mistake)
        assert any(fault.startswith(rule) for fault in await faults(connection))
    finally:
        await transaction.rollback()
        await connection.close()


async def test_the_statements_that_distribute_it_are_those_of_the_file() -> None:
    written = Path(__file__).with_name("distribution.sql").read_text("utf-8")
    assert "".join(f"{statement};\n" for statement in distribution(SCHEMA, "holdfast")) == written


async def test_distributing_without_citus_says_what_is_missing(made: None) -> None:
    with pytest.raises(InvalidValue, match="no Citus"):
        await distribute(PLACE.admin, SCHEMA)


# -- the SQL that is sent -----------------------------------------------------------------------------------------------------------


async def test_every_statement_that_is_sent_keeps_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole random world of the conformance suite, with what it sent judged (Q: rules for SQL)."""
    sent: set[str] = set()
    for name in ("fetch", "one", "run"):
        original = getattr(Link, name)

        async def noted(self: Link, sql: str, *values: Any, original: Any = original) -> Any:
            sent.add(sql)
            for value in values:
                assert not isinstance(value, list) or all(one is None or isinstance(one, str) for one in value), "Q10: arrays of text alone"
            return await original(self, sql, *values)

        monkeypatch.setattr(Link, name, noted)
    place = Place("statements")
    await place.make(SAMPLES)
    storage = place.storage(SAMPLES)
    await storage.open()
    await RandomCases()._run(storage, 3)
    await storage.close()
    assert len(sent) > 60
    assert [fault for sql in sent for fault in faults_of(sql)] == []


def faults_of(sql: str) -> list[str]:
    flat = " ".join(sql.split())
    low = flat.lower()
    found = []
    tables = [name for name in [*tables_in_order(SAMPLES)] if f'holdfast."{name}"' in flat and tables_in_order(SAMPLES)[name] == "tenant"]
    insert_of_values = low.startswith("insert") and " values " in low
    if tables and not insert_of_values and 'tenant_id = $1' not in flat.replace('"tenant_id"', "tenant_id"):
        found.append(f"Q2: {flat}")
    if "set_config" in low or low.startswith("set ") or ";" in flat:
        found.append(f"Q1: {flat}")
    if any(word in low for word in ("now()", "clock_timestamp", "random()", "gen_random_uuid")):
        found.append(f"Q3: {flat}")
    if any(word in low for word in ("merge into", "advisory", "nextval")) or low.startswith("with "):
        found.append(f"Q5: {flat}")
    if low.startswith("insert") and " select " in low and tables and "from holdfast.\"hf_heads\" as k" not in low:
        found.append(f"Q4: {flat}")
    return found


@pytest.mark.parametrize(("sql", "rule"), [
    ('SELECT body FROM holdfast."hf_log"', "Q2"), ("SELECT set_config('holdfast.tenant', $1, true)", "Q1"), ("BEGIN; SELECT 1", "Q1"),
    ('UPDATE holdfast."tasks" SET x = now() WHERE tenant_id = $1', "Q3"), ("SELECT pg_advisory_lock(1)", "Q5"),
    ('INSERT INTO holdfast."tasks" SELECT $1, x FROM unnest($2::text[]) AS x WHERE tenant_id = $1', "Q4"),
])
def test_a_statement_that_breaks_a_rule_is_found(sql: str, rule: str) -> None:
    assert any(fault.startswith(rule) for fault in faults_of(sql))
