"""Paths of ops are JSON Pointers (RFC 6901). Defends P3: changes of different places never conflict, and only then."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import pointer
from holdfast.core.errors import Malformed
from tests.core.vector_files import cases

segments = st.lists(st.text(alphabet="ab/~01é😀 ", max_size=4), max_size=5)


@pytest.mark.parametrize("case", cases("pointer.json", "parse"))
def test_a_pointer_is_read_and_written(case: Any) -> None:
    assert pointer.parse(case["path"]) == tuple(case["segments"])
    assert pointer.render(case["segments"]) == case["path"]


@pytest.mark.parametrize("case", cases("pointer.json", "malformed"))
def test_what_is_no_pointer_is_malformed(case: Any) -> None:
    with pytest.raises(Malformed) as raised:
        pointer.parse(case["path"])
    assert raised.value.field == case["path"]


@pytest.mark.parametrize("case", cases("pointer.json", "overlaps"))
def test_places_overlap_by_whole_segments(case: Any) -> None:
    assert pointer.overlaps(case["left"], case["right"]) is case["overlaps"]
    assert pointer.overlaps(case["right"], case["left"]) is case["overlaps"]


@given(segments)
def test_parse_and_render_are_inverse(parts: list[str]) -> None:
    assert pointer.parse(pointer.render(parts)) == tuple(parts)


@given(segments, segments)
def test_comparing_text_equals_comparing_segments(left: list[str], right: list[str]) -> None:
    shorter = min(len(left), len(right))
    a, b = pointer.render(left), pointer.render(right)
    assert pointer.overlaps(a, b) is (left[:shorter] == right[:shorter])
    assert pointer.contains(a, b) is (right[: len(left)] == left)


@given(segments.filter(bool))
def test_first_parent_and_join_agree_with_the_segments(parts: list[str]) -> None:
    path = pointer.render(parts)
    assert pointer.first(path) == parts[0]
    assert pointer.parent(path) == pointer.render(parts[:-1])
    assert pointer.join(pointer.parent(path), parts[-1]) == path


def test_a_path_has_at_most_so_many_segments() -> None:
    assert len(pointer.parse("/a" * (pointer.SEGMENTS_MAX - 1))) == pointer.SEGMENTS_MAX - 1
    with pytest.raises(Malformed):
        pointer.parse("/a" * pointer.SEGMENTS_MAX)


def test_a_path_to_a_field_starts_with_a_slash() -> None:
    with pytest.raises(Malformed):
        pointer.first("notes")
