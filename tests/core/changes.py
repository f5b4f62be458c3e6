"""Hypothesis strategies for texts and changes of them."""

from __future__ import annotations

from hypothesis import strategies as st

from holdfast.core import text
from holdfast.core.entry import TextChange
from holdfast.core.ops import Edit

ALPHABET = "ab é😀\n"

texts = st.text(alphabet=ALPHABET, max_size=12)


@st.composite
def edits_on(draw: st.DrawFn, before: str, *, most: int = 5) -> list[Edit]:
    """Edits that apply one after another to `before`."""
    length = len(before)
    edits: list[Edit] = []
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, length))
        deleted = draw(st.integers(0, min(4, length - at)))
        inserted = draw(st.text(alphabet=ALPHABET, max_size=3))
        edits.append((at, deleted, inserted))
        length += len(inserted) - deleted
    return edits


def changes(before: str) -> st.SearchStrategy[TextChange]:
    return edits_on(before).map(text.from_edits)


def typed(merged: str) -> list[str]:
    """The signs of `merged` that come from insertions."""
    return [char for char in merged if char in ALPHABET]
