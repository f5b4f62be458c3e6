"""Ops on the fields of a record, and their exact inverse. Defends P3: whatever was overwritten can be told, and comes back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import apply as apply_module
from holdfast.core.apply import COUNTER_MAX, apply_ops, default_of, defaults
from holdfast.core.errors import Malformed
from holdfast.core.ops import AddOp, DeleteOp, IncludeOp, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.schema import Collection, Field, Kind
from holdfast.core.values import canonical
from tests.core.pages import PAGES, ops_from, ops_on, states
from tests.core.vector_files import cases


def form(fields: dict[str, Any]) -> bytes:
    return canonical(fields)


@pytest.mark.parametrize("case", cases("apply.json", "apply"))
def test_ops_are_applied_and_taken_back(case: Any) -> None:
    before = {**defaults(PAGES), **case["fields"]}
    after, undo = apply_ops(before, ops_from(case["ops"]), PAGES)
    changed = {name: after[name] for name in after if name in case["fields"] or form({"": after[name]}) != form({"": before[name]})}
    assert form(changed) == form(case["after"])
    assert undo == ops_from(case["undo"])
    assert form(apply_ops(after, undo, PAGES)[0]) == form(before)


@pytest.mark.parametrize("case", cases("apply.json", "malformed"))
def test_an_op_that_does_not_fit_its_field_is_malformed(case: Any) -> None:
    fields = {**defaults(PAGES), **case["fields"]}
    before = copy.deepcopy(fields)
    with pytest.raises(Malformed) as raised:
        apply_ops(fields, ops_from(case["ops"]), PAGES)
    assert raised.value.field == case["field"]
    assert raised.value.hint
    assert fields == before


@given(st.data())
def test_apply_then_undo_is_identity(data: st.DataObject) -> None:
    fields = data.draw(states())
    ops = data.draw(ops_on(fields["notes"]))
    after, undo = apply_ops(fields, ops, PAGES)
    back, redo = apply_ops(after, undo, PAGES)
    assert form(back) == form(fields)
    assert form(apply_ops(back, redo, PAGES)[0]) == form(after)


@given(st.data())
def test_nothing_given_is_ever_changed(data: st.DataObject) -> None:
    fields = data.draw(states())
    ops = data.draw(ops_on(fields["notes"]))
    fields_before, ops_before = copy.deepcopy(fields), copy.deepcopy(ops)
    after, undo = apply_ops(fields, ops, PAGES)
    after_before, undo_before = copy.deepcopy(after), copy.deepcopy(undo)
    apply_ops(after, undo, PAGES)
    assert (fields, ops, after, undo) == (fields_before, ops_before, after_before, undo_before)


@given(st.data())
def test_ops_at_once_are_ops_one_by_one(data: st.DataObject) -> None:
    fields = data.draw(states())
    ops = data.draw(ops_on(fields["notes"]))
    at_once, undo = apply_ops(fields, ops, PAGES)
    one_by_one, inverse = fields, []
    for op in ops:
        one_by_one, before = apply_ops(one_by_one, [op], PAGES)
        inverse = [*before, *inverse]
    assert form(at_once) == form(one_by_one)
    assert undo == inverse


@given(st.data())
def test_kinds_keep_their_form(data: st.DataObject) -> None:
    fields = data.draw(states())
    after, _ = apply_ops(fields, data.draw(ops_on(fields["notes"])), PAGES)
    assert after.keys() == fields.keys()
    assert after["tags"] == sorted(set(after["tags"]))
    assert abs(after["views"]) <= COUNTER_MAX
    assert isinstance(after["notes"], str)


def test_the_inverse_of_making_parents_leaves_what_somebody_else_put_there() -> None:
    made, undo = apply_ops(defaults(PAGES), [SetOp("/j/p/q/r", 1)], PAGES)
    others, _ = apply_ops(made, [SetOp("/j/p/z", 2)], PAGES)
    assert apply_ops(others, undo, PAGES)[0]["j"] == {"p": {"z": 2}}


def test_of_a_set_only_what_changed_is_taken_back() -> None:
    fields = {**defaults(PAGES), "tags": ["a"]}
    after, undo = apply_ops(fields, [IncludeOp("/tags", ["a", "b"])], PAGES)
    assert after["tags"] == ["a", "b"]
    assert apply_ops(after, undo, PAGES)[0]["tags"] == ["a"]


def test_a_counter_stops_at_its_bounds_and_takes_back_what_it_added() -> None:
    fields = {**defaults(PAGES), "views": COUNTER_MAX - 1}
    after, undo = apply_ops(fields, [AddOp("/views", 5), AddOp("/views", -2)], PAGES)
    assert after["views"] == COUNTER_MAX - 2
    assert apply_ops(after, undo, PAGES)[0]["views"] == COUNTER_MAX - 1


def test_an_op_that_fails_leaves_the_ops_before_it_unapplied() -> None:
    fields = defaults(PAGES)
    with pytest.raises(Malformed):
        apply_ops(fields, [SetOp("/status", "won"), SpliceOp("/notes", [(1, 0, "x")])], PAGES)
    assert fields == defaults(PAGES)


@pytest.mark.parametrize("op", [DeleteOp(), UndeleteOp()])
def test_what_concerns_the_record_is_not_applied_to_its_fields(op: Any) -> None:
    with pytest.raises(Malformed):
        apply_ops(defaults(PAGES), [op], PAGES)


def test_a_path_is_bounded_however_long_it_is_sent() -> None:
    with pytest.raises(Malformed):
        apply_ops(defaults(PAGES), [SetOp("/j" + "/a" * 100_000, 1)], PAGES)


def test_many_ops_on_one_large_object_copy_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[dict[str, Any]] = []
    own = apply_module._own

    def counting(value: dict[str, Any], owned: dict[int, dict[str, Any]]) -> dict[str, Any]:
        mine = own(value, owned)
        if mine is not value:
            copies.append(mine)
        return mine

    monkeypatch.setattr(apply_module, "_own", counting)
    large = {f"k{i}": i for i in range(2_000)}
    after, undo = apply_ops({**defaults(PAGES), "j": large}, [SetOp(f"/j/k{i}", -i) for i in range(1_000)], PAGES)
    assert len(copies) == 1 and large["k999"] == 999
    assert after["j"]["k999"] == -999 and len(undo) == 1_000


def test_defaults_are_the_callers_own() -> None:
    collection = Collection(name="c", fields={
        "j": Field(name="j", kind=Kind.JSON, default={"a": [1]}), "t": Field(name="t", kind=Kind.TEXT),
        "n": Field(name="n", kind=Kind.COUNTER),
        "s": Field(name="s", kind=Kind.SET, default=["b", "a", "b"]), "e": Field(name="e", kind=Kind.SET),
        "o": Field(name="o", kind=Kind.STRING, optional=True),
    })
    given_ = defaults(collection)
    assert given_ == {"j": {"a": [1]}, "t": "", "n": 0, "s": ["a", "b"], "e": [], "o": None}
    given_["j"]["a"].append(2)
    given_["s"].append("c")
    assert default_of(collection.fields["j"]) == {"a": [1]} and default_of(collection.fields["s"]) == ["a", "b"]


def test_an_optional_json_field_that_was_null_is_null_again() -> None:
    after, undo = apply_ops(defaults(PAGES), [SetOp("/k/a/b", 1)], PAGES)
    assert undo == [UnsetOp("/k/a/b"), UnsetOp("/k/a", if_empty=True), UnsetOp("/k", if_empty=True)]
    assert apply_ops(after, undo, PAGES)[0]["k"] is None
