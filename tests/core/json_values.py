"""Hypothesis strategies for JSON values: those that are kept as they are, and any that Python can build."""

from __future__ import annotations

from hypothesis import strategies as st

INTEGER_MAX = (1 << 53) - 1

_letters = st.characters(codec="utf-8", exclude_characters="\0")
keys = st.text(_letters, max_size=4) | st.sampled_from(["a", "b", "\ufb33", "😀", "", "a/b", "m~n", "\u007f", "1e", ".0"])
kept_texts = st.text(_letters, max_size=8) | st.sampled_from(['"', "\\", "\n\t", "null", "1e5", "[1.0,", "3e-4", "😀\ufb33", "x.0]"])
_fractions = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer() or abs(x) >= 1e21)

kept_values = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | _fractions | kept_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
"""Values in canonical form."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | kept_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
"""Anything that looks like JSON, numbers out of range and odd characters included."""
