"""Rules over several fields are judged on the server too, in words for people, and never bring a neighbour down. Promise 3."""

from __future__ import annotations

from datetime import date
from typing import Any, Self

from pydantic import ValidationInfo, field_validator, model_validator

from holdfast import CreatedBy, Json, Record, Sensitive, by_server, compile_schema
from tests.model.records import ALL


class Trip(Record, collection="trips"):
    start: date
    end: date
    seats: int = 1
    passport: Sensitive[str] | None = None
    extra: Sensitive[Json] = {}
    created_by: CreatedBy = by_server

    @field_validator("end")
    @classmethod
    def ends_after_it_starts(cls, value: date, info: ValidationInfo) -> date:
        if "start" in info.data and value < info.data["start"]:
            raise ValueError("The trip ends before it starts")
        return value

    @model_validator(mode="after")
    def judged_as_a_whole(self) -> Self:
        if self.seats > 5:
            raise ValueError("Too many seats for one trip")
        if self.seats == 3:
            raise ValueError(f"Not with passport {self.passport}")
        if self.seats == 4:
            raise ValueError(f"Not with {self.extra}")
        if self.seats == 5:
            _ = {}[self.passport or ""]
        return self


TRIPS = compile_schema([Trip]).collections["trips"]
GOOD = {"start": "2026-11-20", "end": "2026-11-21", "seats": 1, "passport": None, "extra": {}, "created_by": None}


def problems(**fields: Any) -> list[tuple[str, str]]:
    assert TRIPS.check is not None
    return TRIPS.check({**GOOD, **fields})


def test_a_class_without_such_rules_has_no_check() -> None:
    assert all(collection.check is None for collection in compile_schema(ALL).collections.values())


def test_a_record_that_fits_has_no_problem() -> None:
    assert problems() == []


def test_a_rule_that_reads_another_field_names_its_own() -> None:
    assert problems(end="2026-11-19") == [("end", "end: The trip ends before it starts.")]


def test_a_rule_of_the_whole_record_names_no_field() -> None:
    assert problems(seats=6) == [("", "Too many seats for one trip.")]


def test_a_rule_cannot_give_away_a_sensitive_value() -> None:
    assert problems(seats=3, passport="SECRET") == [("", "The values do not fit together.")]
    assert problems(seats=4, extra={"code": ["SECRET"]}) == [("", "The values do not fit together.")]


def test_a_rule_that_breaks_is_a_problem_and_no_exception() -> None:
    assert problems(seats=5, passport="SECRET") == [("", "The record could not be judged: its rule failed (KeyError).")]


def test_a_value_that_no_longer_fits_its_field_is_a_problem_and_no_exception() -> None:
    assert problems(start="soon") == [("", "The record could not be judged: its rule failed (ValueError).")]


def test_a_missing_value_is_named() -> None:
    assert problems(end=None) == [("end", "end: Field required.")]
