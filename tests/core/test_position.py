"""A position names an entry of one history. Defends P1: a restored server is recognised, and gets back what it lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import position
from holdfast.core.errors import Malformed

digests = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)


@given(st.integers(0, position.SEQ_MAX), digests)
def test_a_position_is_written_and_read(seq: int, digest: str) -> None:
    assert position.parse(position.render(seq, digest)) == (seq, digest[:8])
    assert position.prefix(digest) == digest[:8]


def test_before_the_first_entry_stands_zero() -> None:
    assert position.render(0, "0" * 64) == "0.00000000"


@pytest.mark.parametrize("text", [
    "", "17", "17.", ".a1b2c3d4", "17.a1b2c3d", "17.a1b2c3d45", "17.A1B2C3D4", "017.a1b2c3d4", "-1.a1b2c3d4", "1e3.a1b2c3d4",
    " 17.a1b2c3d4", "17.a1b2c3d4\n", "٣.a1b2c3d4", "9007199254740992.a1b2c3d4", "17.a1b2c3dg",
])
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        position.parse(text)
