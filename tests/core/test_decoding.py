"""JSON is read strictly, and what is refused is named by its place. Defends P3: nothing is dropped or changed by reading it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import values
from holdfast.core.decoding import DEPTH_MAX, decode_json
from holdfast.core.errors import HoldfastError, Malformed
from holdfast.core.limits import Limits
from tests.core.corpus import json_texts
from tests.core.json_values import kept_values
from tests.core.vector_files import cases

# Well-formed by RFC 8259, refused here by the rules on values: a key twice, U+0000.
REFUSED_THOUGH_WELL_FORMED = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json", "y_object_escaped_null_in_key.json",
                              "y_string_null_escape.json"}

# Left open by RFC 8259. All else under i_ is refused: out of range, half a surrogate pair, another encoding, a byte order mark, too deep.
READ_THOUGH_OPEN = {"i_number_double_huge_neg_exp.json", "i_number_real_underflow.json"}


def is_read(raw: bytes) -> bool:
    try:
        decode_json(raw)
    except Malformed as refusal:
        assert refusal.hint and len(str(refusal)) < 400
        return False
    return True


@pytest.mark.parametrize("name", sorted(json_texts("test_parsing")))
def test_every_text_of_the_suite_is_read_or_refused_as_decided(name: str) -> None:
    expected = name in READ_THOUGH_OPEN if name.startswith("i_") else name.startswith("y_") and name not in REFUSED_THOUGH_WELL_FORMED
    assert is_read(json_texts("test_parsing")[name]) is expected


@pytest.mark.parametrize("name", sorted(json_texts("test_transform")))
def test_what_readers_disagree_about_is_refused_or_exact(name: str) -> None:
    raw = json_texts("test_transform")[name]
    if is_read(raw):
        value = values.normalise(decode_json(raw), limits=Limits())
        assert values.canonical(value) == values.canonical(json.loads(raw))
    else:
        assert name.startswith(("object_same_key", "string_")) or "9223372036854775" in name or "10000000000000000999" in name


@pytest.mark.parametrize("case", cases("canonical.json", "refused_when_read"))
def test_what_is_refused_is_named_by_its_place(case: Any) -> None:
    with pytest.raises(Malformed) as raised:
        decode_json(case["json"].encode())
    assert (raised.value.field or "") == case["place"]


@pytest.mark.parametrize("case", cases("canonical.json", "no_json"))
def test_what_is_no_json_is_malformed(case: Any) -> None:
    assert not is_read(case["json"].encode())


@given(kept_values, st.booleans(), st.sampled_from([None, 0, 2]))
def test_what_others_write_is_read_exactly(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(st.binary(max_size=40))
def test_bytes_are_read_or_malformed_and_nothing_else(raw: bytes) -> None:
    if is_read(raw):
        json.loads(raw)


@given(st.text(alphabet='{}[]":,ab\\u0013e-. ', max_size=30))
def test_json_like_text_is_read_only_if_the_standard_reader_agrees(text: str) -> None:
    if is_read(text.encode()):
        assert decode_json(text.encode()) == json.loads(text)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", ":", '"', "\\u003a"]), kept_values), max_size=5))
def test_a_key_that_comes_twice_is_never_overlooked(members: list[tuple[str, Any]]) -> None:
    text = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members) + "}"
    assert is_read(text.encode()) is (len({key for key, _ in members}) == len(members))


AROUND = ["{}", "[{}]", '{{"a": {}}}', '["1234567890123456789",{}]', "[{},0.1234567890123456789]"]


@given(st.integers(-(2**80), 2**80), st.sampled_from(AROUND))
def test_a_whole_number_out_of_range_is_never_overlooked(number: int, around: str) -> None:
    assert is_read(around.format(number).encode()) is (abs(number) <= values.INTEGER_MAX)


def test_depth_is_bounded_far_below_what_a_reader_can_take() -> None:
    assert is_read(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert is_read(b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX)
    assert is_read(b"[" + b"[]," * 1_000 + b"[]]")
    for depth in (DEPTH_MAX + 1, 1_000, 1_025, 50_000, 1_000_000):
        assert not is_read(b"[" * depth + b"]" * depth)
        assert not is_read(b"[" * depth)
        assert not is_read(b'{"a":' * depth)


def test_brackets_in_a_string_are_no_levels() -> None:
    text = "[{" * 500
    assert decode_json(json.dumps([text]).encode()) == [text]


def test_a_long_body_that_is_no_json_is_refused_without_a_second_reading() -> None:
    assert not is_read(b'{"a":"' + b"x" * 3_000_000)
    assert not is_read(b"[" + b"1," * 1_000_000)


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert decode_json(b'["\\\\u0000"]') == ["\\u0000"]


def test_a_refusal_shows_no_value() -> None:
    for raw in (b'{"pin":"4711\\u0000"}', b'{"pin":47110000000000000000}', b'["4711\\ud800"]', b'{"pin":"4711" x}'):
        with pytest.raises(HoldfastError) as raised:
            decode_json(raw)
        assert "4711" not in str(raised.value)


def test_a_view_of_bytes_is_read_too() -> None:
    assert decode_json(memoryview(b'xx{"a":1}')[2:]) == {"a": 1}
