"""What was made under an older contract is read under the present one, or refused with a reason; nothing is dropped that a developer did
not say to drop. Promise 3: never dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import InvalidValue, Json, Money, Record, Set, Text, compile_schema, upcast
from holdfast.core.entry import Entry, Mutation, Row, Unapplied
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.model.contracts import names_at, upcast_entry, upcast_fields, upcast_mutation, upcast_ops, upcast_row


def cents(value: int) -> str:
    return f"{value // 100}.{value % 100:02d}"


class Job(
    Record,
    collection="jobs",
    contract=4,
    upcasts={
        1: [upcast.rename("phone", "client_phone"), upcast.drop("fax")],
        2: [upcast.convert("cost", cents), upcast.default("stage", "draft"), upcast.default("code", "none")],
        3: [upcast.rename("client_phone", "mobile"), upcast.rename("stage", "status")],
    },
):
    code: str
    status: str = "new"
    mobile: str | None = None
    cost: Money = Money("0")
    notes: Text = ""
    tags: Set[str] = set()
    details: Json = {}


JOBS = compile_schema([Job]).collections["jobs"]


@pytest.mark.parametrize(
    ("contract", "before", "after"),
    [
        (1, {"phone": "5", "fax": "6", "cost": 1234}, {"mobile": "5", "cost": "12.34", "status": "draft", "code": "none"}),
        (2, {"client_phone": "5", "cost": 5}, {"mobile": "5", "cost": "0.05", "status": "draft", "code": "none"}),
        (2, {"client_phone": None, "cost": 5, "stage": "won", "code": "x"}, {"mobile": None, "cost": "0.05", "status": "won", "code": "x"}),
        (
            3,
            {"client_phone": "5", "cost": "0.05", "stage": "won", "code": "x", "notes": "hi"},
            {"mobile": "5", "cost": "0.05", "status": "won", "code": "x", "notes": "hi"},
        ),
    ],
)
def test_a_record_reads_under_the_present_contract_with_every_field(contract: int, before: dict[str, Any], after: dict[str, Any]) -> None:
    defaults = {name: field.default for name, field in JOBS.fields.items()}
    assert upcast_fields(before, contract, JOBS) == {**defaults, **after}


@pytest.mark.parametrize(
    ("contract", "op", "made"),
    [
        (1, SetOp("/phone", "5"), [SetOp("/mobile", "5")]),
        (2, SetOp("/client_phone", "5"), [SetOp("/mobile", "5")]),
        (1, UnsetOp("/phone"), [UnsetOp("/mobile")]),
        (1, SetOp("/fax", "6"), []),
        (1, UnsetOp("/fax"), []),
        (1, SpliceOp("/fax", [(0, 0, "x")]), []),
        (2, SetOp("/fax", "6"), [SetOp("/fax", "6")]),
        (2, SetOp("/cost", 1234), [SetOp("/cost", "12.34")]),
        (2, UnsetOp("/cost"), [UnsetOp("/cost")]),
        (3, SetOp("/cost", "12.34"), [SetOp("/cost", "12.34")]),
        (1, SpliceOp("/notes", [(0, 0, "x")]), [SpliceOp("/notes", [(0, 0, "x")])]),
        (1, IncludeOp("/tags", ["a"]), [IncludeOp("/tags", ["a"])]),
        (1, ExcludeOp("/tags", ["a"]), [ExcludeOp("/tags", ["a"])]),
        (1, SetOp("/details/phone/0", 1), [SetOp("/details/phone/0", 1)]),
        (2, SetOp("/stage", "won"), [SetOp("/status", "won")]),
        (1, DeleteOp(), [DeleteOp()]),
        (1, UndeleteOp(), [UndeleteOp()]),
        (1, CreateOp({"phone": "5", "fax": "6", "cost": 7}), [CreateOp({"mobile": "5", "cost": "0.07", "code": "none"})]),
        (3, CreateOp({"code": "x"}), [CreateOp({"code": "x"})]),
    ],
)
def test_an_op_reads_under_the_present_contract(contract: int, op: Op, made: list[Op]) -> None:
    assert upcast_ops([op], contract, JOBS) == made


def test_a_create_gets_a_default_only_where_the_field_must_be_given() -> None:
    """A default in a create would overwrite, on merging, what another device really said."""
    [op] = upcast_ops([CreateOp({})], 1, JOBS)
    assert op == CreateOp({"code": "none"})


@pytest.mark.parametrize(
    ("contract", "op", "says"),
    [
        (2, SetOp("/cost/inside", 1), "a change inside cost"),
        (2, AddOp("/cost", 1), "a change inside cost"),
        (2, SpliceOp("/cost", []), "a change inside cost"),
        (2, SetOp("/cost", "much"), r"cost of jobs could not be converted.*\(TypeError\)"),
        (2, CreateOp({"cost": "much"}), "could not be converted"),
        (5, SetOp("/cost", 1), "made under contract 5 of jobs; this server knows 4"),
        (0, SetOp("/cost", 1), "contracts count from 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(contract: int, op: Op, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        upcast_ops([op], contract, JOBS)


def test_a_refusal_does_not_show_the_value() -> None:
    with pytest.raises(InvalidValue) as caught:
        upcast_ops([SetOp("/cost", "SECRET")], 2, JOBS)
    assert "SECRET" not in f"{caught.value!r}{caught.value.extra}"


@pytest.mark.parametrize(
    ("contract", "fields", "says"),
    [
        (3, {"odd": 1}, "jobs has no field odd under contract 4"),
        (2, {"cost": "much"}, "could not be converted"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(contract: int, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        upcast_fields(fields, contract, JOBS)


def test_a_converter_that_makes_what_the_field_does_not_take_is_caught() -> None:
    class Bad(Record, collection="bads", contract=2, upcasts={1: [upcast.convert("sum", lambda value: [value])]}):
        sum: Money = Money("0")

    bads = compile_schema([Bad]).collections["bads"]
    with pytest.raises(InvalidValue, match="sum must be an amount as text"):
        upcast_fields({"sum": 3}, 1, bads)


def test_a_converter_cannot_change_what_is_stored() -> None:
    class List(Record, collection="lists", contract=2, upcasts={1: [upcast.convert("items", lambda value: value.update(x=1) or value)]}):
        items: Json = {}

    stored = {"items": {"a": 1}}
    assert upcast_fields(stored, 1, compile_schema([List]).collections["lists"])["items"] == {"a": 1, "x": 1}
    assert stored == {"items": {"a": 1}}


def test_the_present_contract_costs_nothing() -> None:
    mutation = Mutation(mutation_id="m", collection="jobs", record_id="r", contract=4, ops=[SetOp("/mobile", "5")])
    row = Row(collection="jobs", id="r", fields={}, contract=4)
    assert upcast_mutation(mutation, JOBS) is mutation
    assert upcast_row(row, JOBS) is row


def test_a_mutation_keeps_all_else() -> None:
    mutation = Mutation(
        mutation_id="m",
        collection="jobs",
        record_id="r",
        contract=1,
        base="3.abcdef01",
        after="l",
        atomic=True,
        ops=[SetOp("/phone", "5"), SetOp("/fax", "6")],
    )
    made = upcast_mutation(mutation, JOBS)
    assert made == Mutation(
        mutation_id="m",
        collection="jobs",
        record_id="r",
        contract=4,
        base="3.abcdef01",
        after="l",
        atomic=True,
        ops=[SetOp("/mobile", "5")],
    )


def test_a_contract_without_steps_only_grew() -> None:
    class Note(Record, collection="notes", contract=3):
        body: str = ""
        later: int = 5

    notes = compile_schema([Note]).collections["notes"]
    assert upcast_fields({"body": "x"}, 1, notes) == {"body": "x", "later": 5}
    assert upcast_ops([SetOp("/body", "y")], 1, notes) == [SetOp("/body", "y")]


def test_an_entry_is_read_under_the_present_contract_ops_and_inverse_alike() -> None:
    entry = Entry(
        tenant_id="t",
        seq=1,
        committed_at=0,
        stamp=0,
        actor_id="a",
        device_id="d",
        mutation_id="m",
        collection="jobs",
        record_id="r",
        contract=2,
        ops=[SetOp("/client_phone", "5"), SetOp("/cost", 100), SpliceOp("/cost", [(0, 0, "1")])],
        undo=[UnsetOp("/client_phone"), SetOp("/cost", 50)],
        sent=[SetOp("/client_phone", "5")],
        unapplied=[
            Unapplied(reason="conflict", op=SetOp("/client_phone", "7"), waits=True),
            Unapplied(reason="kept_inside", path="/stage"),
        ],
    )
    made = upcast_entry(entry, JOBS)
    assert made.contract == 4
    assert made.ops == [SetOp("/mobile", "5"), SetOp("/cost", "1.00")]
    assert made.undo == [UnsetOp("/mobile"), SetOp("/cost", "0.50")]
    assert made.sent == [SetOp("/mobile", "5")]
    assert [part.op or part.path for part in made.unapplied] == [SetOp("/mobile", "7"), "/status"]


def test_the_older_names_of_the_present_fields() -> None:
    assert names_at(4, JOBS)["mobile"] == "mobile"
    assert {old: now for old, now in names_at(1, JOBS).items() if old != now} == {"phone": "mobile", "stage": "status"}
    assert {old: now for old, now in names_at(3, JOBS).items() if old != now} == {"client_phone": "mobile", "stage": "status"}


def test_a_dropped_name_that_came_back_is_another_field() -> None:
    class Item(Record, collection="items", contract=2, upcasts={1: [upcast.drop("size"), upcast.default("size", "small")]}):
        size: str

    items = compile_schema([Item]).collections["items"]
    assert upcast_fields({"size": 5}, 1, items) == {"size": "small"}
    assert upcast_ops([SetOp("/size", 5)], 1, items) == []
    assert "size" not in names_at(1, items)


@given(
    st.dictionaries(
        st.sampled_from(["client_phone", "cost", "stage", "code", "notes"]),
        st.text(max_size=3).filter(lambda text: "\0" not in text) | st.integers(0, 10**6),
        max_size=5,
    )
)
def test_a_create_and_the_same_sets_read_the_same(values: dict[str, Any]) -> None:
    try:
        [created] = upcast_ops([CreateOp(values)], 2, JOBS)
        sets = upcast_ops([SetOp("/" + name, value) for name, value in values.items()], 2, JOBS)
    except InvalidValue:
        return
    assert isinstance(created, CreateOp)
    set_one_by_one = {op.path[1:]: op.value for op in sets if isinstance(op, SetOp)}
    assert created.value == {"code": "none"} | set_one_by_one
