"""Changes of a text: applied, composed, carried past each other, taken back. Defends P3: inserted text is never lost, deletions hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import text
from holdfast.core.entry import TextChange
from holdfast.core.errors import Malformed
from tests.core.changes import changes, edits_on, texts, typed
from tests.core.vector_files import cases


@pytest.mark.parametrize("case", cases("text.json", "edits"))
def test_edits_become_one_change(case: Any) -> None:
    assert text.from_edits([tuple(edit) for edit in case["edits"]]) == case["change"]
    assert [list(edit) for edit in text.to_edits(case["change"])] == case["same_as"]


@pytest.mark.parametrize("case", cases("text.json", "apply"))
def test_a_change_is_applied_and_taken_back(case: Any) -> None:
    assert text.apply(case["text"], case["change"]) == case["after"]
    assert text.invert(case["text"], case["change"]) == case["inverse"]
    assert text.apply(case["after"], case["inverse"]) == case["text"]
    assert text.span(case["change"]) == case["span"]


@pytest.mark.parametrize("case", cases("text.json", "misfits"))
def test_a_change_of_a_longer_text_is_malformed(case: Any) -> None:
    assert not text.fits(case["change"], len(case["text"]))
    with pytest.raises(Malformed):
        text.apply(case["text"], case["change"])
    with pytest.raises(Malformed):
        text.invert(case["text"], case["change"])


@pytest.mark.parametrize("case", cases("text.json", "compose"))
def test_two_changes_in_a_row_become_one(case: Any) -> None:
    assert text.compose(case["first"], case["second"]) == case["both"]


@pytest.mark.parametrize("case", [*cases("text.json", "transform"), *cases("text.json", "random")])
def test_two_changes_of_one_text_pass_each_other(case: Any) -> None:
    assert text.transform(case["left"], case["right"], case["left_first"]) == (case["left_after"], case["right_after"])


@pytest.mark.parametrize("case", cases("text.json", "random"))
def test_both_orders_give_the_merged_text(case: Any) -> None:
    assert text.compose(case["left"], case["right_after"]) == case["both"]
    assert text.apply(case["text"], case["both"]) == case["merged"]
    assert text.apply(text.apply(case["text"], case["right"]), case["left_after"]) == case["merged"]


@given(st.data())
def test_edits_apply_one_after_another(data: st.DataObject) -> None:
    before = data.draw(texts)
    edits = data.draw(edits_on(before))
    after = before
    for at, deleted, inserted in edits:
        after = after[:at] + inserted + after[at + deleted:]
    change = text.from_edits(edits)
    assert text.apply(before, change) == after
    assert text.from_edits(text.to_edits(change)) == change
    assert text.fits(change, len(before))


@given(st.data())
def test_composing_is_applying_in_a_row_however_it_is_grouped(data: st.DataObject) -> None:
    before = data.draw(texts)
    first = data.draw(changes(before))
    middle = text.apply(before, first)
    second = data.draw(changes(middle))
    after = text.apply(middle, second)
    third = data.draw(changes(after))
    assert text.apply(before, text.compose(first, second)) == after
    assert text.compose(text.compose(first, second), third) == text.compose(first, text.compose(second, third))


@given(st.data(), st.booleans())
def test_both_orders_meet_in_one_text(data: st.DataObject, left_first: bool) -> None:
    before = data.draw(texts)
    left, right = data.draw(changes(before)), data.draw(changes(before))
    left_after, right_after = text.transform(left, right, left_first)
    assert text.apply(text.apply(before, left), right_after) == text.apply(text.apply(before, right), left_after)
    assert (right_after, left_after) == text.transform(right, left, not left_first)


@given(st.data(), st.booleans())
def test_no_insertion_is_lost_and_every_deletion_holds(data: st.DataObject, left_first: bool) -> None:
    before = data.draw(texts.map(lambda chars: "".join(chr(0x4E00 + i) for i in range(len(chars)))))
    left, right = data.draw(changes(before)), data.draw(changes(before))
    _, right_after = text.transform(left, right, left_first)
    merged = text.apply(text.apply(before, left), right_after)
    assert sorted(typed(merged)) == sorted(typed("".join(part for part in [*left, *right] if isinstance(part, str))))
    kept = [char for char in before if char in text.apply(before, left) and char in text.apply(before, right)]
    assert [char for char in merged if char in before] == kept


@given(st.data(), st.booleans())
def test_a_run_is_never_broken_by_another_typed_at_its_place(data: st.DataObject, left_first: bool) -> None:
    before = data.draw(texts)
    at = data.draw(st.integers(0, len(before)))
    left, right = text.from_edits([(at, 0, "LLL")]), text.from_edits([(at, 0, "RRR")])
    merged = text.apply(text.apply(before, left), text.transform(left, right, left_first)[1])
    assert merged == before[:at] + ("LLLRRR" if left_first else "RRRLLL") + before[at:]


@given(st.data())
def test_the_inverse_takes_back_exactly(data: st.DataObject) -> None:
    before = data.draw(texts)
    change = data.draw(changes(before))
    inverse = text.invert(before, change)
    assert text.apply(text.apply(before, change), inverse) == before
    assert text.invert(text.apply(before, change), inverse) == change


def lengths(change: TextChange) -> list[tuple[str, int]]:
    return [("insert", len(part)) if isinstance(part, str) else ("retain" if part > 0 else "delete", abs(part)) for part in change]


@given(st.data())
def test_the_shape_of_an_inverse_is_true_in_every_length(data: st.DataObject) -> None:
    before = data.draw(texts)
    change = data.draw(changes(before))
    shape = text.invert_shape(change)
    assert lengths(shape) == lengths(text.invert(before, change))
    assert all(set(part) == {text.PLACEHOLDER} for part in shape if isinstance(part, str))


@given(st.data(), st.booleans())
def test_what_is_carried_past_a_cancelled_pair_is_as_if_the_pair_never_was(data: st.DataObject, first: bool) -> None:
    before = data.draw(texts)
    change = data.draw(changes(before))
    other = data.draw(changes(text.apply(before, change)))
    shaped, _ = text.transform(other, text.invert_shape(change), first)
    exact, _ = text.transform(other, text.invert(before, change), first)
    assert shaped == exact


def test_nothing_given_is_changed() -> None:
    left: TextChange = [2, "ab", -3, 4, "c"]
    right: TextChange = [1, "x", -5, 2, -1]
    text.transform(left, right, True)
    text.compose(left, right)
    text.invert_shape(left)
    assert left == [2, "ab", -3, 4, "c"] and right == [1, "x", -5, 2, -1]


@pytest.mark.parametrize("edit", [(-1, 0, "a"), (0, -1, "a")])
def test_negative_offsets_and_counts_are_malformed(edit: tuple[int, int, str]) -> None:
    with pytest.raises(Malformed):
        text.from_edits([edit])
    with pytest.raises(Malformed):
        text.from_edits([(0, 0, "x"), edit])


def test_many_scattered_edits_become_one_change_without_taking_for_ever() -> None:
    edits = [(at, 0, "x") for at in range(0, 100_000, 2)]
    change = text.from_edits(edits)
    assert len(change) == 2 * len(edits) - 1
    assert text.to_edits(change) == edits
