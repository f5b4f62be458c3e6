"""What a typed record says is what travels, and what comes back is the same record. Promise 1: nothing that was typed is lost on the
way between Python and JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import InvalidValue, Money, Record, StateError, changed_fields, compile_schema, from_fields, to_fields
from holdfast.core.values import canonical
from tests.model.records import ALL, ID, OTHER_ID, Estimate, Everything, Level, Project, Response

SCHEMA = compile_schema(ALL)
FIELDS = SCHEMA.collections["everything"].fields


def view(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "collection": "everything",
        "id": ID,
        "rev": 7,
        "position": "9.a1b2c3d4",
        "contract": 1,
        "deleted": False,
        "fields": fields,
        **more,
    }


def complete(fields: dict[str, Any]) -> dict[str, Any]:
    return {**{name: field.default for name, field in FIELDS.items()}, **fields}


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
given_values = st.fixed_dictionaries(
    {},
    optional={
        "name": text.filter(bool),
        "number": st.integers(-(2**53) + 1, 2**53 - 1),
        "share": st.floats(-1e15, 1e15) | st.floats(1e22, 1e300),
        "open": st.booleans(),
        "day": st.none() | st.dates(),
        "moment": st.none() | st.datetimes(min_value=datetime(2, 1, 1), timezones=st.just(UTC)),
        "level": st.sampled_from(Level),
        "token": st.none() | st.uuids(),
        "project": st.none() | st.uuids().map(str),
        "amount": st.decimals(-(10**12), 10**12, places=2),
        "rate": st.none() | st.decimals(-(10**12), 10**12, places=4),
        "settings": st.dictionaries(text, jsons, max_size=3),
        "notes": text,
        "views": st.integers(-(2**40), 2**40),
        "tags": st.sets(text, max_size=4),
        "phone": st.none() | text,
        "origin": text,
    },
)


@given(given_values)
def test_a_record_comes_back_as_it_was_given(values: dict[str, Any]) -> None:
    record = Everything(**values)
    fields = to_fields(record)
    back = from_fields(Everything, view(complete(fields)))
    for name in values:
        expected = values[name]
        if name == "moment" and expected is not None:
            expected = expected.replace(microsecond=expected.microsecond // 1000 * 1000)
        assert getattr(back, name) == expected
        assert type(getattr(back, name)) is type(expected) or expected is None
    assert to_fields(back) == {name: value for name, value in fields.items() if canonical(value) != canonical(FIELDS[name].default)}
    assert changed_fields(back) == {}


@given(given_values)
def test_what_a_record_sends_passes_its_own_checks_unchanged(values: dict[str, Any]) -> None:
    for name, value in to_fields(Everything(**values)).items():
        check = FIELDS[name].check
        assert value is None or check is None or canonical(check(value)) == canonical(value)


def test_a_create_sends_what_was_given_and_what_was_changed_in_place() -> None:
    record = Everything(number=0)
    record.settings["theme"] = "dark"
    assert to_fields(record) == {"number": 0, "settings": {"theme": "dark", "sizes": [1, 2]}}


def test_money_is_a_decimal_in_python_and_text_in_json() -> None:
    estimate = Estimate(project=ID, base_cost=Money("12.30"))
    assert (estimate.base_cost, type(estimate.base_cost)) == (Decimal("12.30"), Decimal)
    assert to_fields(estimate) == {"project": ID, "base_cost": "12.30"}


def test_a_change_sends_the_changed_fields_alone_and_null_empties_one() -> None:
    record = from_fields(Everything, view(complete({"phone": "555", "tags": ["a"]})))
    record.phone = None
    record.tags.add("b")
    record.settings["sizes"].append(3)
    record.amount += Decimal("1.5")
    assert changed_fields(record) == {
        "phone": None,
        "tags": ["a", "b"],
        "settings": {"theme": "light", "sizes": [1, 2, 3]},
        "amount": "1.50",
    }


def test_a_change_between_true_and_one_inside_json_is_a_change() -> None:
    record = from_fields(Everything, view(complete({"settings": {"on": 1}})))
    record.settings["on"] = True
    assert changed_fields(record) == {"settings": {"on": True}}


def test_a_record_that_did_not_come_from_the_store_has_no_changes_to_send() -> None:
    with pytest.raises(StateError, match="Project did not come from the store"):
        changed_fields(Project(name="Roof"))


def test_nothing_of_the_view_is_shared() -> None:
    fields = complete({"settings": {"deep": {"list": [1]}}})
    record = from_fields(Everything, view(fields))
    record.settings["deep"]["list"].append(2)
    record.tags.add("x")
    assert (fields["settings"], fields["tags"]) == ({"deep": {"list": [1]}}, ["new"])
    fields["settings"]["deep"]["list"].append(3)
    assert changed_fields(record) == {"settings": {"deep": {"list": [1, 2]}}, "tags": ["new", "x"]}


def test_identity_comes_from_the_view() -> None:
    record = from_fields(Everything, view(complete({"created_by": OTHER_ID, "created_at": "2026-11-20T13:58:00.123Z"}), deleted=True))
    assert (record.id, record.rev, record.position, record.deleted) == (ID, 7, "9.a1b2c3d4", True)
    assert (record.created_by, record.created_at) == (OTHER_ID, datetime(2026, 11, 20, 13, 58, 0, 123000, UTC))


def test_what_the_server_fills_is_never_sent() -> None:
    record = from_fields(Everything, view(complete({"created_by": OTHER_ID})))
    record.created_by = ID
    assert (to_fields(record), changed_fields(record)) == ({}, {})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("amount", Decimal("0.001"), "at most 2 digits"),
        ("amount", Decimal("NaN"), "amount must be an amount"),
        ("amount", 1.5, "as text"),
        ("moment", datetime(2026, 11, 20), "with its zone"),
        ("day", datetime(2026, 11, 20, tzinfo=UTC), "must be a date"),
        ("settings", {"a": {1, 2}}, "settings"),
        ("notes", None, "notes is never null"),
        ("number", None, "number is never null"),
        ("level", "middle", "must be one of low, high"),
        ("tags", {1}, "list of texts"),
        ("project", object(), "the id of a record"),
    ],
)
def test_what_was_assigned_wrongly_is_refused_when_it_is_sent(name: str, value: Any, says: str) -> None:
    record = from_fields(Everything, view(complete({})))
    setattr(record, name, value)
    with pytest.raises(InvalidValue, match=says) as caught:
        changed_fields(record)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("moment", datetime(2026, 11, 20, 14, 58, tzinfo=timezone(timedelta(hours=1))), "2026-11-20T13:58:00.000Z"),
        ("day", date(2026, 11, 20), "2026-11-20"),
        ("token", UUID(ID), ID),
        ("level", Level.HIGH, "high"),
        ("tags", {"b", "a"}, ["a", "b"]),
        ("amount", 5, "5.00"),
        ("project", UUID(ID), ID),
    ],
)
def test_python_values_become_canonical_json(name: str, value: Any, plain: Any) -> None:
    record = from_fields(Everything, view(complete({})))
    setattr(record, name, value)
    assert changed_fields(record) == {name: plain}


def test_a_misspelt_field_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="nmae"):
        Project(nmae="Roof")  # type: ignore[call-arg]


def test_records_work_before_a_schema_is_compiled() -> None:
    class Lone(Record, collection="lones"):
        name: str = ""

    assert to_fields(Lone(name="x")) == {"name": "x"}
    assert to_fields(Response(session_id=ID, step_number=1, response_text="a")) == {
        "session_id": ID,
        "step_number": 1,
        "response_text": "a",
    }
