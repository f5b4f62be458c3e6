"""The check of each field takes what fits and makes one canonical value of it, refuses the rest in words for people, and never shows a
sensitive value. Promise 3 (what does not fit is held with a reason) and promise 4 (no error tells a secret)."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, field_validator

from holdfast import InvalidValue, Json, Money, Record, Sensitive, Set, Text, compile_schema, scale
from holdfast.core.values import normalise
from tests.model.records import ALL, ID, OTHER_ID

FIELDS = compile_schema(ALL).collections["everything"].fields


def check(name: str, value: Any) -> Any:
    made = FIELDS[name].check
    assert made is not None
    return made(value)


@pytest.mark.parametrize(
    ("name", "given_value", "canonical"),
    [
        ("number", 7, 7),
        ("number", 7.0, 7),
        ("number", -(2**53 - 1), -(2**53 - 1)),
        ("share", 1, 1),
        ("share", 1.0, 1),
        ("share", 0.25, 0.25),
        ("share", 1e300, 1e300),
        ("share", -0.0, 0),
        ("open", False, False),
        ("day", "2026-11-20", "2026-11-20"),
        ("day", "0001-01-01", "0001-01-01"),
        ("moment", "2026-11-20T13:58:00.000Z", "2026-11-20T13:58:00.000Z"),
        ("moment", "2026-11-20T13:58:00Z", "2026-11-20T13:58:00.000Z"),
        ("moment", "2026-11-20T14:58:00.1239+01:00", "2026-11-20T13:58:00.123Z"),
        ("moment", "2026-11-20t13:58:00z", "2026-11-20T13:58:00.000Z"),
        ("level", "high", "high"),
        ("token", ID.upper(), ID),
        ("project", OTHER_ID, OTHER_ID),
        ("amount", "12.34", "12.34"),
        ("amount", "12.3", "12.30"),
        ("amount", "12", "12.00"),
        ("amount", "-0.00", "0.00"),
        ("amount", "-0", "0.00"),
        ("amount", "12.3400", "12.34"),
        ("amount", "9" * 16 + ".99", "9" * 16 + ".99"),
        ("amount", "-5.05", "-5.05"),
        ("rate", "0.1234", "0.1234"),
        ("notes", "", ""),
        ("tags", ["b", "a", "b"], ["a", "b"]),
        ("tags", ["\U0001f600", "\uff5e"], ["\uff5e", "\U0001f600"]),
    ],
)
def test_what_fits_takes_its_canonical_form(name: str, given_value: Any, canonical: Any) -> None:
    made = check(name, given_value)
    assert made == canonical
    assert type(made) is type(canonical)
    assert check(name, made) == canonical


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("number", "7", "number must be a whole number."),
        ("number", 7.5, "must be a whole number."),
        ("number", True, "must be a whole number."),
        ("number", 2**53, "must be a whole number between"),
        ("number", 1e300, "must be a whole number between"),
        ("share", "0.5", "share must be a number."),
        ("share", 2.0**53, "every reader"),
        ("share", 2**70, "every reader"),
        ("share", math.inf, "finite"),
        ("share", math.nan, "finite"),
        ("share", False, "must be a number."),
        ("open", 1, "open must be true or false."),
        ("open", "true", "must be true or false."),
        ("day", "20261120", "day must be a date like 2026-11-20."),
        ("day", "2026-02-30", "must be a date"),
        ("day", "2026-W47-5", "must be a date"),
        ("day", "２０２６-11-20", "must be a date"),
        ("day", 20261120, "must be a date"),
        ("moment", "2026-11-20T13:58:00", "with its zone"),
        ("moment", "2026-11-20", "with its zone"),
        ("moment", "2026-11-20T25:00:00Z", "zone"),
        ("moment", "0001-01-01T00:00:00+01:00", "with its zone"),
        ("moment", 1e9, "with its zone"),
        ("level", "middle", "level must be one of low, high."),
        ("level", ["low"], "must be one of"),
        ("token", "7", "token must be a UUID."),
        ("token", "{" + ID + "}", "must be a UUID."),
        ("project", "roof", "project must be the id of a record."),
        ("amount", 12.34, 'amount must be an amount as text, like "12.34".'),
        ("amount", 12, "as text"),
        ("amount", "12,34", "as text"),
        ("amount", "1e3", "as text"),
        ("amount", "+1", "as text"),
        ("amount", "007", "as text"),
        ("amount", "12.", "as text"),
        ("amount", "", "as text"),
        ("amount", "١٢", "as text"),
        ("amount", "12.345", "at most 2 digits after the point"),
        ("amount", "1" * 17, "at most 16 digits before"),
        ("rate", "0.12345", "at most 4 digits"),
        ("name", "", "name must have at least 1 character."),
        ("name", "x" * 81, "name must have at most 80 characters."),
        ("name", 5, "must be text."),
        ("origin", "x" * 20_001, "at most 20,000 characters"),
        ("notes", ["a"], "notes must be text."),
        ("tags", "a", "tags must be a list of texts."),
        ("tags", ["a", 1], "must be a list of texts."),
        ("tags", ["x" * 20_001], "Each item of tags"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_reason(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(name, value)
    assert says in caught.value.detail
    assert name in caught.value.detail
    assert caught.value.field == name


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2026-11-20", ID, "12.30", "low"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(name for name, field in FIELDS.items() if field.check is not None)), value=json_values)
def test_any_value_is_either_canonical_or_refused(name: str, value: Any) -> None:
    try:
        made = check(name, value)
    except InvalidValue as error:
        assert error.field == name
        return
    assert check(name, made) == made
    assert normalise(made, limits=compile_schema([]).limits, path="") == made


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**16) + 1, max_value=10**16 - 1))
def test_money_is_exact(amount: Decimal) -> None:
    made = check("amount", format(amount, "f"))
    assert Decimal(made) == amount
    assert made.split(".")[1].__len__() == 2


def test_plain_kinds_do_not_call_pydantic() -> None:
    fields = [field for schema in compile_schema(ALL).collections.values() for field in schema.fields.values() if not field.constraints]
    assert fields
    for field in fields:
        assert field.check is None or field.check.__qualname__.split(".")[0] != "constrained", field.name


# -- constraints -----------------------------------------------------------------------------------------------------------


def trimmed(value: str) -> str:
    return value.strip()


def no_shouting(value: str) -> str:
    if value.isupper():
        raise ValueError("Please do not shout")
    return value


def broken(value: str) -> str:
    return str({}[value])


class Form(Record, collection="forms"):
    name: Annotated[str, AfterValidator(trimmed)] = ""
    calm: Annotated[str, AfterValidator(no_shouting)] = ""
    age: Annotated[int, Field(ge=0, le=150)] | None = None
    price: Annotated[Money, Field(gt=0)] = Money("1")
    rate: Annotated[Money, scale(3), Field(le=1)] = Money("1")
    born: Annotated[datetime, AfterValidator(lambda value: value.replace(microsecond=0))] | None = None
    code: Annotated[UUID, AfterValidator(lambda value: value)] | None = None
    choice: Annotated[Literal["a", "b"], AfterValidator(lambda value: value)] = "a"
    tags: Set[Annotated[str, Field(max_length=3)]] = set()
    story: Annotated[Text, Field(max_length=5), AfterValidator(trimmed)] = ""
    data: Annotated[Json, AfterValidator(lambda value: {**value, "seen": 1.0})] = {}
    odd: Annotated[str, AfterValidator(broken)] | None = None
    mail: str = ""

    @field_validator("mail")
    @classmethod
    def lower(cls, value: str) -> str:
        if value and "@" not in value:
            raise ValueError("needs an @")
        return value.lower()


FORM = compile_schema([Form]).collections["forms"].fields


def form(name: str, value: Any) -> Any:
    made = FORM[name].check
    assert made is not None
    return made(value)


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        ("name", "  Ann ", "Ann"),
        ("age", 150, 150),
        ("price", "0.5", "0.50"),
        ("rate", "0.125", "0.125"),
        ("choice", "b", "b"),
        ("code", ID, ID),
        ("born", "2026-11-20T13:58:00.789Z", "2026-11-20T13:58:00.000Z"),
        ("tags", ["b", "a"], ["a", "b"]),
        ("data", {"a": 1}, {"a": 1, "seen": 1}),
        ("mail", "Ann@Example.org", "ann@example.org"),
    ],
)
def test_constraints_and_validators_work_on_the_python_value(name: str, value: Any, canonical: Any) -> None:
    assert form(name, value) == canonical


def test_a_text_is_judged_and_never_changed() -> None:
    assert form("story", " a b ") == " a b "


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("age", 151, "age must be less than or equal to 150."),
        ("price", "0", "price must be greater than 0."),
        ("rate", "1.001", "rate must be less than or equal to 1."),
        ("calm", "HELLO", "calm: Please do not shout."),
        ("tags", ["abcd"], "Each item of tags must have at most 3 characters."),
        ("story", "123456", "story must have at most 5 characters."),
        ("odd", "x", "odd could not be judged: its rule failed (KeyError)."),
        ("mail", "ann", "mail: needs an @."),
    ],
)
def test_what_breaks_a_constraint_is_said_in_words(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        form(name, value)
    assert caught.value.detail == says


# -- secrets ---------------------------------------------------------------------------------------------------------------


def loud(value: str) -> str:
    raise ValueError(f"{value} is wrong")


class Patient(Record, collection="patients"):
    phone: Annotated[Sensitive[str], Field(max_length=12)] | None = None
    nick: Annotated[Sensitive[str], AfterValidator(loud)] | None = None
    born: Sensitive[datetime] | None = None
    pin: Annotated[Sensitive[int], Field(ge=1000)] | None = None
    kind: Sensitive[Literal["x", "y"]] | None = None
    cost: Sensitive[Money] | None = None
    file: Annotated[Sensitive[Json], AfterValidator(loud)] | None = None


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("phone", "555-SECRET-555", "SECRET"),
        ("nick", "SECRET", "SECRET"),
        ("born", "SECRET", "SECRET"),
        ("pin", 777, "777"),
        ("pin", "SECRET", "SECRET"),
        ("kind", "SECRET", "SECRET"),
        ("cost", "SECRET", "SECRET"),
        ("cost", "12.987654", "987"),
        ("file", {"a": "SECRET"}, "SECRET"),
    ],
)
def test_no_error_shows_a_sensitive_value(name: str, value: Any, secret: str) -> None:
    made = compile_schema([Patient]).collections["patients"].fields[name].check
    assert made is not None
    with pytest.raises(InvalidValue) as caught:
        made(value)
    assert secret not in f"{caught.value} {caught.value!r} {caught.value.extra}"
    assert caught.value.__cause__ is None and caught.value.__context__ is None
