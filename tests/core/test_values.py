"""One canonical form for every value, and what may be kept at all. Defends P2 (the same content is known again) and P3."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given

from holdfast.core import values
from holdfast.core.entry import Mutation
from holdfast.core.errors import HoldfastError, InvalidValue, LimitExceeded
from holdfast.core.limits import Limits
from holdfast.core.ops import SetOp
from tests.core.corpus import canonical_texts, naughty_strings
from tests.core.json_values import json_values, kept_values
from tests.core.vector_files import VECTORS, cases

LIMITS = Limits()


def taken(text: str) -> Any:
    return values.normalise(values.decode_json(text.encode()), limits=LIMITS, path="/j")


@pytest.mark.parametrize("case", cases("canonical.json", "canonical"))
def test_a_value_has_one_canonical_form(case: Any) -> None:
    assert values.canonical(taken(case["json"])).decode() == case["canonical"]
    assert values.canonical(json.loads(case["json"])).decode() == case["canonical"]
    assert taken(case["canonical"]) == taken(case["json"])


@pytest.mark.parametrize("case", cases("canonical.json", "refused_as_value"))
def test_a_whole_number_out_of_range_is_no_value(case: Any) -> None:
    with pytest.raises(InvalidValue, match="string"):
        taken(case["json"])


@pytest.mark.parametrize("case", cases("canonical.json", "depth"))
def test_depth_is_limited(case: Any) -> None:
    value = values.decode_json(b"[" * case["levels"] + b"]" * case["levels"])
    if case["taken"]:
        assert values.normalise(value, limits=LIMITS, path="/j") is value
    else:
        with pytest.raises(LimitExceeded):
            values.normalise(value, limits=LIMITS, path="/j")


def test_depth_counts_from_the_field_not_from_the_op() -> None:
    value = [[[1]]]
    limits = Limits(json_depth_max=5)
    assert values.normalise(value, limits=limits, path="/j/a/b") is value
    with pytest.raises(LimitExceeded) as raised:
        values.normalise(value, limits=limits, path="/j/a/b/c")
    assert raised.value.field == "/j/a/b/c/0/0"


@pytest.mark.parametrize("name", sorted(canonical_texts()))
def test_the_published_cases_of_rfc_8785_come_out(name: str) -> None:
    given_, expected = canonical_texts()[name]
    assert values.canonical(taken(given_)).decode() == expected.rstrip("\n")


@pytest.mark.parametrize("text", naughty_strings())
def test_a_naughty_string_is_kept_as_it_is(text: str) -> None:
    assert values.normalise(text, limits=LIMITS) is text
    assert values.normalise({text: [text]}, limits=LIMITS) == {text: [text]}
    assert json.loads(values.canonical({text: [text]})) == {text: [text]}


# RFC 8785 appendix B: doubles as bits and as ECMAScript writes them.
@pytest.mark.parametrize(("number", "written"), [
    (0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"), (-5e-324, "-5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (1.0000000000000001e23, "1.0000000000000001e+23"),
    (1e21, "1e+21"), (9.999999999999997e-7, "9.999999999999997e-7"), (0.000001, "0.000001"), (333333333.3333332, "333333333.3333332"),
    (333333333.33333325, "333333333.33333325"), (333333333.3333334, "333333333.3333334"),
    (-0.0000033333333333333333, "-0.0000033333333333333333"), (1424953923781206.2, "1424953923781206.2"),
])
def test_a_number_is_written_as_ecmascript_does(number: float, written: str) -> None:
    assert values.canonical(number).decode() == written
    assert values.canonical([number, {"n": number}]).decode() == f'[{written},{{"n":{written}}}]'


@given(kept_values)
def test_what_is_kept_is_kept_again_and_means_the_same(value: Any) -> None:
    encoded = values.canonical(value)
    again = taken(encoded.decode())
    assert again == value
    assert values.canonical(again) == encoded
    assert values.normalise(value, limits=LIMITS) is value
    assert values.size(value) == len(encoded)


@given(json_values)
def test_normalising_once_is_enough_and_leaves_the_argument_alone(value: Any) -> None:
    before = repr(value)
    try:
        once = values.normalise(value, limits=LIMITS)
    except HoldfastError:
        assert repr(value) == before
        return
    assert repr(value) == before
    assert values.normalise(once, limits=LIMITS) is once
    assert values.canonical(once) == values.canonical(value)


@given(json_values)
def test_the_fast_and_the_exact_writer_agree(value: Any) -> None:
    try:
        exact = values._exact(value)
    except HoldfastError:
        with pytest.raises(HoldfastError):
            values.canonical(value)
        return
    assert values.canonical(value) == exact


@given(json_values, json_values)
def test_same_means_one_canonical_form(left: Any, right: Any) -> None:
    try:
        equal = values.canonical(left) == values.canonical(right)
    except HoldfastError:
        return
    assert values.same(left, right) is equal
    assert values.same(left, left)


@pytest.mark.parametrize(("left", "right", "same"), [
    (1, 1.0, True), (1, True, False), (0, False, False), (0.0, -0.0, True), (None, False, False), ("1", 1, False), ([1], [1.0], True),
    ([1], [True], False), ([], {}, False),
])
def test_one_and_true_are_two_values(left: Any, right: Any, same: bool) -> None:
    assert values.same(left, right) is same


def test_numbers_become_whole_where_they_are() -> None:
    assert repr(values.normalise({"a": [1.0, -0.0, 2.5], "b": {"c": 1e2}}, limits=LIMITS)) == "{'a': [1, 0, 2.5], 'b': {'c': 100}}"
    assert values.normalise(1e21, limits=LIMITS) == 1e21


@pytest.mark.parametrize(("value", "place"), [
    (math.nan, "/j"), ([1, math.inf], "/j/1"), ({"a": {"b": -math.inf}}, "/j/a/b"), (2**53, "/j"), ([-(2**53)], "/j/0"), (2**70, "/j"),
    ({"a": "x\0"}, "/j/a"), ({"a": {"x\0": 1}}, "/j/a"), ("\ud800", "/j"), (["ok", "é\udfff"], "/j/1"), ({"\ud800": 1}, "/j"),
    ({1: 2}, "/j"), ({"a": {None: 1}}, "/j/a"), (object(), "/j"), ([b"bytes"], "/j/0"), ({"s": {1, 2}}, "/j/s"), (1j, "/j"),
])
def test_what_cannot_be_kept_is_named_by_its_place(value: Any, place: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        values.normalise(value, limits=LIMITS, path="/j")
    assert raised.value.field == place
    assert raised.value.hint
    with pytest.raises(InvalidValue):
        values.canonical({"in": value})


def test_an_error_never_shows_the_value() -> None:
    with pytest.raises(InvalidValue) as raised:
        values.normalise({"pin": ["4711\0"]}, limits=LIMITS, path="/j")
    assert "4711" not in str(raised.value)


def test_a_tuple_is_taken_as_an_array() -> None:
    assert values.normalise((1, (2.0, "x")), limits=LIMITS) == [1, [2, "x"]]
    assert values.canonical({"a": (1, 2)}) == b'{"a":[1,2]}'


def test_bytes_are_limited_in_canonical_form() -> None:
    limits = Limits(json_bytes_max=16)
    fits = ["x" * 12]
    assert values.size(fits) == 16 and values.normalise(fits, limits=limits) is fits
    with pytest.raises(LimitExceeded) as raised:
        values.normalise(["x" * 13], limits=limits, path="/j")
    assert raised.value.extra == {"limit": "json_bytes_max", "maximum": 16, "unit": "bytes"}
    assert values.normalise([1e21, 1.0, 2.0, 3.0], limits=limits) == [1e21, 1, 2, 3]


def test_a_bare_string_is_limited_in_code_points() -> None:
    limits = Limits(text_code_points_max=3)
    assert values.normalise("😀😀😀", limits=limits) == "😀😀😀"
    with pytest.raises(LimitExceeded):
        values.normalise("four", limits=limits)


def test_a_struct_is_written_as_the_object_of_its_fields() -> None:
    mutation = Mutation(mutation_id="m", collection="c", record_id="r", ops=[SetOp("/j", {"b": 1.0, "a": 1e-7})])
    ops = b'[{"op":"set","path":"/j","value":{"a":1e-7,"b":1}}]'
    assert values.encode(mutation) == b'{"collection":"c","mutation_id":"m","ops":' + ops + b',"record_id":"r"}'


@given(json_values)
def test_whatever_was_sent_can_be_written_down(value: Any) -> None:
    """A value that is refused is still kept beside its reason, hence must have a form: `encode` never fails on what JSON can carry."""
    try:
        text = msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError):
        return
    sent = Mutation(mutation_id="m", collection="c", record_id="r", ops=[SetOp("/j", msgspec.json.decode(text))])
    encoded = values.encode(sent)
    assert values.encode(msgspec.json.decode(encoded, type=Mutation)) == encoded


def test_the_vector_files_hold_no_byte_that_a_tool_could_change() -> None:
    for path in VECTORS.glob("*.json"):
        assert path.read_bytes().isascii(), path.name
