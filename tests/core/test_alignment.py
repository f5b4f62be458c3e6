"""Edits from two versions of a text, as a person would have made them. Defends P3: a whole text that is saved merges as edits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import alignment, text

WORDS = ["the", "cat", "sat", "on", "a", "mat", " ", " ", " ", "\n", ".", "über", "😀"]
sentences = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)


def turned(old: str, new: str) -> str:
    return text.apply(old, text.from_edits(text.diff(old, new)))


@given(sentences, sentences)
def test_the_edits_turn_the_old_text_into_the_new(old: str, new: str) -> None:
    assert turned(old, new) == new


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_texts_will_do(old: str, new: str) -> None:
    assert turned(old, new) == new


@given(sentences, sentences)
def test_replacements_rise_and_stand_apart(old: str, new: str) -> None:
    last = -1
    for at, count, inserted in alignment.replacements(old, new):
        assert at > last
        assert count or inserted
        last = at + count


@given(sentences, sentences)
def test_hunks_are_whole_words_and_the_rest_is_equal(old: str, new: str) -> None:
    at_old = at_new = 0
    for i, j, removed, added in alignment.words(old, new):
        assert old[at_old:i] == new[at_new:j]
        assert old[i:i + len(removed)] == removed and new[j:j + len(added)] == added
        at_old, at_new = i + len(removed), j + len(added)
    assert old[at_old:] == new[at_new:]


def fewest(a: list[str], b: list[str]) -> int:
    """Tokens inserted and deleted at least, by the table of all prefixes."""
    row = list(range(len(b) + 1))
    for i, token in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal if token == other else 1 + min(row[j], row[j - 1])
    return row[-1]


@given(sentences, sentences)
def test_no_fewer_tokens_could_be_changed(old: str, new: str) -> None:
    changed = sum(len(alignment.tokens(removed)) + len(alignment.tokens(added)) for _, _, removed, added in alignment.words(old, new))
    assert changed == fewest(alignment.tokens(old), alignment.tokens(new))


@pytest.mark.parametrize(("old", "new", "edits"), [
    ("", "", []),
    ("same", "same", []),
    ("", "new", [(0, 0, "new")]),
    ("old", "", [(0, 3, "")]),
    ("a word here", "a longer word here", [(2, 0, "longer ")]),
    ("one two three", "one three", [(4, 4, "")]),
    ("teh cat", "the cat", [(1, 1, ""), (2, 0, "e")]),
    ("color and flavor", "colour and flavour", [(4, 0, "u"), (16, 0, "u")]),
    ("more and more and more", "more and more", [(13, 9, "")]),
    ("a line\nanother\n", "a line\nand another\nanother\n", [(7, 0, "and another\n")]),
    ("Rachel came", "Monica came", [(0, 6, "Monica")]),
    ("the cat sat. the dog ran.", "the cat sits. a dog ran.", [(9, 2, "its"), (14, 3, "a")]),
])
def test_edits_are_what_a_person_would_have_typed(old: str, new: str, edits: list[tuple[int, int, str]]) -> None:
    assert text.diff(old, new) == edits


def changed_words(count: int, vocabulary: int, changed: int) -> tuple[str, str, int]:
    rng = random.Random(count + changed)
    words = [f"w{rng.randrange(vocabulary)}" for _ in range(count)]
    after = list(words)
    for place in rng.sample(range(count), changed):
        after[place] = "changed"
    return " ".join(words), " ".join(after), changed


@pytest.mark.parametrize(("count", "vocabulary", "changed"), [(30_000, 500, 300), (30_000, 30_000, 3_000)])
def test_of_a_long_text_with_many_small_changes_only_those_are_replaced(count: int, vocabulary: int, changed: int) -> None:
    old, new, _ = changed_words(count, vocabulary, changed)
    edits = text.diff(old, new)
    assert text.apply(old, text.from_edits(edits)) == new
    assert sum(len(inserted) for _, _, inserted in edits) <= 4 * len("changed") * changed


@pytest.mark.parametrize("signs", ["ab", "ab ", ".,;!", "a\n", "é😀 "])
def test_two_long_texts_that_have_nothing_in_common_are_still_told_apart_soon(signs: str) -> None:
    rng = random.Random(signs)
    old, new = ("".join(rng.choice(signs) for _ in range(200_000)) for _ in range(2))
    assert turned(old, new) == new
