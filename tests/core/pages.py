"""A collection with a field of every kind that ops differ on, and Hypothesis strategies for its states and ops."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from holdfast.core.ops import AddOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.pointer import render
from holdfast.core.schema import Collection, Field, Kind, Merge
from tests.core.changes import edits_on, texts
from tests.core.vector_files import VECTORS

COUNTER_MAX = (1 << 53) - 1


def collection_of(described: dict[str, Any]) -> Collection:
    """The plain collection that a vector file declares."""
    fields = {
        name: Field(name=name, kind=Kind(field["kind"]), optional=field.get("optional", False), default=field.get("default"),
                    merge=Merge(field.get("merge", "latest")), choices=tuple(field.get("choices", ())) or None)
        for name, field in described["fields"].items()
    }
    return Collection(name=described["name"], fields=fields)


PAGES = collection_of(json.loads((VECTORS / "apply.json").read_text("utf-8"))["collection"])


def ops_from(listed: list[Any]) -> list[Op]:
    return msgspec.convert(listed, list[Op])


_keys = st.sampled_from(["a", "b", "c", "a/b", "m~n", ""])
_leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "x", "", [], [1, 2]])
inner_values = st.recursive(_leaves, lambda inner: st.dictionaries(_keys, inner, max_size=3) | st.lists(inner, max_size=2), max_leaves=6)
_items = st.lists(st.sampled_from(["a", "b", "c", "é", "\ufb33", "😀"]), max_size=4)
_counts = st.integers(-5, 5) | st.sampled_from([COUNTER_MAX, -COUNTER_MAX])


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a page: values of the right kind, sets sorted."""
    return {
        "status": draw(st.sampled_from(["draft", "won", "lost"])), "due": draw(st.none() | st.just("2026-11-20")),
        "price": draw(st.none() | st.integers(-3, 3)), "j": draw(inner_values), "k": draw(inner_values), "notes": draw(texts),
        "views": draw(_counts), "tags": sorted(set(draw(_items))),
    }


@st.composite
def paths_inside(draw: st.DrawFn) -> str:
    return "/" + draw(st.sampled_from(["j", "k"])) + render(draw(st.lists(_keys, max_size=4)))


@st.composite
def ops_on(draw: st.DrawFn, notes: str, *, most: int = 6) -> list[Op]:
    """Ops that fit a page whose text is `notes`, to be applied in order."""
    ops: list[Op] = []
    for _ in range(draw(st.integers(0, most))):
        which = draw(st.sampled_from(["set", "set inside", "unset", "unset inside", "if empty", "splice", "add", "include", "exclude"]))
        if which == "set":
            ops.append(draw(st.sampled_from([SetOp("/status", "won"), SetOp("/price", 7), SetOp("/due", None), SetOp("/status", "draft")])))
        elif which == "set inside":
            ops.append(SetOp(draw(paths_inside()), draw(inner_values)))
        elif which == "unset":
            ops.append(UnsetOp(draw(st.sampled_from(["/due", "/price", "/j", "/k"]))))
        elif which in ("unset inside", "if empty"):
            ops.append(UnsetOp(draw(paths_inside()), if_empty=which == "if empty"))
        elif which == "splice":
            edits = draw(edits_on(notes))
            for at, deleted, inserted in edits:
                notes = notes[:at] + inserted + notes[at + deleted:]
            ops.append(SpliceOp("/notes", edits))
        elif which == "add":
            ops.append(AddOp("/views", draw(_counts)))
        else:
            ops.append((IncludeOp if which == "include" else ExcludeOp)("/tags", draw(_items)))
    return ops
