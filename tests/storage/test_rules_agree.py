"""An access rule means the same as a predicate in Python and as a condition in SQL, whatever the row holds (P4 Apart)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role, Rule, allows
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema
from holdfast.storage.layout import quoted
from holdfast.storage.row_codec import codecs_of
from holdfast.storage.rules_sql import FALSE, TRUE, rule_condition

KINDS = {"owner": Kind.UUID, "name": Kind.STRING, "rank": Kind.INTEGER, "weight": Kind.NUMBER, "done": Kind.BOOLEAN, "cost": Kind.MONEY,
         "details": Kind.JSON, "tags": Kind.SET, "notes": Kind.TEXT}
COLLECTION = Collection(
    name="things",
    fields={name: Field(name=name, kind=kind, optional=True) for name, kind in KINDS.items()} | {
        "secret": Field(name="secret", kind=Kind.STRING, optional=True, sensitive=True)},
    copied=(Copied(column="via_parent__owner", ref_field="name", parent="things", source="owner"),))
CODEC = codecs_of(Schema(collections={"things": COLLECTION}))["things"]

ACTORS = ["me", "you", "5", "1", "1.00", "null", "", "é", "me ", "ME", "{}", "[]", '"me"']
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "owner": st.sampled_from(ACTORS), "name": st.sampled_from(ACTORS), "rank": st.sampled_from([0, 1, 5]),
    "weight": st.sampled_from([1, 5, 1.5]), "done": st.booleans(), "cost": st.sampled_from(["1.00", "5.00"]),
    "details": st.sampled_from(["me", 5, {}, [], "é", {"a": "me"}]), "tags": st.sampled_from([[], ["me"]]),
    "notes": st.sampled_from(ACTORS), "secret": st.just({"$sealed": "me"}), "via_parent__owner": st.sampled_from(ACTORS)}
rows = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
actors = st.builds(Actor, st.sampled_from(ACTORS), st.frozensets(st.sampled_from(["boss", "clerk"])))
leaves: st.SearchStrategy[Rule] = st.one_of(
    st.builds(Everyone), st.builds(Nobody), st.builds(Own, st.sampled_from([*VALUES, "id", "unheard", "tenant_id", "rev"])),
    st.builds(Role, st.frozensets(st.sampled_from(["boss", "clerk", "other"]))))
rules: st.SearchStrategy[Rule] = st.recursive(
    leaves, lambda inner: st.builds(And, st.lists(inner, max_size=3).map(tuple)) | st.builds(Or, st.lists(inner, max_size=3).map(tuple)))


@pytest.fixture(scope="module")
def database() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    columns = ", ".join(f"{quoted(column.name)} {column.type}" for column in CODEC.table.columns)
    connection.execute(f"CREATE TABLE things ({columns})")
    yield connection
    connection.close()


def in_sql(database: apsw.Connection, rule: Rule, actor: Actor) -> bool:
    sql, values = rule_condition(rule, actor, CODEC.table)
    return database.execute(f"SELECT count(*) FROM things WHERE {sql}", values).fetchall() == [(1,)]


@settings(max_examples=500)
@given(row=rows, record_id=st.sampled_from(ACTORS), rule=rules, actor=actors)
def test_a_rule_means_the_same_in_python_and_in_sql(database: apsw.Connection, row: dict[str, Any], record_id: str, rule: Rule,
                                                    actor: Actor) -> None:
    columns = [*CODEC.table.fields, *CODEC.table.copied]
    turns = {slot.name: slot.encode for slot in (*CODEC._fields, *CODEC._copied)}
    encoded = [value if (value := row[column.name]) is None or (turn := turns[column.name]) is None else turn(value) for column in columns]
    database.execute("DELETE FROM things")
    names = ", ".join(quoted(name) for name in ("tenant_id", "id", *(column.name for column in columns)))
    database.execute(f"INSERT INTO things ({names}) VALUES ({', '.join('?' * (2 + len(columns)))})", ["acme", record_id, *encoded])
    stored = CODEC.collection
    assert stored.name == "things"
    assert in_sql(database, rule, actor) == allows(rule, {**row, "id": record_id}, actor)


@given(rule=rules, actor=actors)
def test_what_the_actor_alone_decides_is_decided_before_the_database_is_asked(rule: Rule, actor: Actor) -> None:
    sql, values = rule_condition(rule, actor, CODEC.table)
    assert sql.count("?") == len(values)
    assert sql in (TRUE, FALSE) or (f" {TRUE} " not in f" {sql} " and f" {FALSE} " not in f" {sql} ")
