"""Stamps say which of two concurrent edits of one place is the later one. Defends P3: no clock, however wrong, makes an edit vanish."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import clock
from holdfast.core.errors import Malformed
from holdfast.core.limits import Limits
from tests.core.vector_files import cases

stamps = st.integers(0, (1 << 63) - 1)
times = st.integers(0, clock.MS_MAX)


@pytest.mark.parametrize("case", cases("clock.json", "stamps"))
def test_a_stamp_is_packed_and_written(case: Any) -> None:
    stamp = int(case["packed"])
    assert clock.pack(case["ms"], case["counter"]) == stamp
    assert clock.unpack(stamp) == (case["ms"], case["counter"])
    assert clock.render(stamp) == case["text"]
    assert clock.parse(case["text"]) == stamp


@pytest.mark.parametrize("case", cases("clock.json", "malformed"))
def test_what_is_no_stamp_is_malformed(case: Any) -> None:
    with pytest.raises(Malformed):
        clock.parse(case["text"])


@pytest.mark.parametrize("case", cases("clock.json", "decided"))
def test_the_stamp_that_an_edit_is_judged_by(case: Any) -> None:
    edited_at = None if case["edited_at"] is None else clock.parse(case["edited_at"])
    stamp = clock.decided(edited_at, offset_ms=case["offset_ms"], now=case["now"], seen=clock.parse(case["seen"]), limits=Limits())
    assert clock.render(stamp) == case["decided"]


@pytest.mark.parametrize("case", cases("clock.json", "tick"))
def test_a_device_counts_on(case: Any) -> None:
    assert clock.render(clock.tick(clock.parse(case["last"]), case["now"])) == case["next"]


@pytest.mark.parametrize("case", cases("clock.json", "receive"))
def test_a_device_goes_on_from_what_it_saw(case: Any) -> None:
    assert clock.render(clock.receive(clock.parse(case["last"]), clock.parse(case["seen"]), case["now"])) == case["next"]


@given(stamps)
def test_text_and_stamp_are_inverse(stamp: int) -> None:
    assert clock.parse(clock.render(stamp)) == stamp


@given(st.none() | stamps, st.integers(-(10**13), 10**13), times, stamps)
def test_an_edit_is_later_than_all_its_device_had_seen_and_else_never_in_the_future(
    edited_at: int | None, offset_ms: int, now: int, seen: int,
) -> None:
    stamp = clock.decided(edited_at, offset_ms=offset_ms, now=now, seen=seen, limits=Limits())
    assert stamp > seen
    assert stamp == seen + 1 or stamp >> clock.COUNTER_BITS <= now


@given(st.lists(times, max_size=8), stamps)
def test_a_devices_stamps_rise_whatever_its_clock_does(clocks: list[int], last: int) -> None:
    for now in clocks:
        following = clock.tick(last, now)
        assert following > last
        last = following


def test_a_clock_beyond_the_range_is_read_as_standing_at_its_end() -> None:
    assert clock.unpack(clock.parse("9999999999999999:7")) == (clock.MS_MAX, 7)
