"""Two devices that create the same thing offline have made the same record. Promise 2: once."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import DeclarationError, InvalidValue, Record, compile_schema, record_id
from holdfast.core.identity import natural_id
from tests.model.records import ID, OTHER_ID, Project, Response, Session, Workshop


class Shift(Record, collection="shifts", key=("day", "room", "night")):
    day: date
    room: str
    night: bool = False


def test_the_id_is_a_version_5_uuid_of_collection_and_key() -> None:
    made = record_id(Response, session_id=ID, step_number=3)
    assert UUID(made).version == 5
    assert made == natural_id("step_responses", [ID, 3])
    assert made == "8b81621f-2ead-5696-96d4-bb8e8b75be13", "ids that devices have made may never change"


def test_values_may_stand_in_the_order_of_the_key_or_by_name() -> None:
    assert record_id(Response, ID, 3) == record_id(Response, ID, step_number=3) == record_id(Response, step_number=3, session_id=ID)


def test_one_key_has_one_id_however_it_is_written() -> None:
    assert record_id(Response, ID.upper(), 3.0) == record_id(Response, UUID(ID), 3)
    assert record_id(Shift, date(2026, 11, 20), "A", True) == record_id(Shift, "2026-11-20", "A", True)


def test_the_collection_is_part_of_the_id() -> None:
    assert natural_id("a", [ID]) != natural_id("b", [ID])


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4), st.booleans()),
        min_size=2,
        max_size=6,
        unique=True,
    )
)
def test_other_keys_have_other_ids(keys: list[tuple[str, bool]]) -> None:
    assert len({record_id(Shift, "2026-11-20", room, night) for room, night in keys}) == len(keys)


def test_the_creator_may_be_part_of_the_key() -> None:
    assert compile_schema([Session, Workshop]).collections["workshop_sessions"].key == ("workshop_id", "participant_id")
    assert record_id(Session, ID, OTHER_ID) == natural_id("workshop_sessions", [ID, OTHER_ID])


@pytest.mark.parametrize(
    ("values", "named", "says"),
    [
        ((ID,), {}, "give each once"),
        ((ID, 3, 4), {}, "has 2 parts"),
        ((ID,), {"session_id": ID}, "give each once"),
        ((ID, 3), {"step": 1}, "give each"),
        ((ID, None), {}, "step_number is part of the key and never null"),
        ((ID, "three"), {}, "step_number must be a whole number"),
        (("roof", 3), {}, "session_id must be the id of a record"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(values: tuple[Any, ...], named: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        record_id(Response, *values, **named)


def test_a_class_without_a_key_has_no_natural_ids() -> None:
    with pytest.raises(DeclarationError, match="Project: has no natural key"):
        record_id(Project, "x")
