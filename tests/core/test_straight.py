"""The usual save, judged straight through, is judged as the general rules judge it. Defends P3 (never dropped): a short cut that says
anything else would drop or overwrite what the rules keep."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from holdfast.core.access import Actor, All, And, Everyone, Own, Role, Rule
from holdfast.core.decide import decide, decide_in_general
from holdfast.core.entry import Item, Mutation, Row
from holdfast.core.errors import InvalidValue
from holdfast.core.facts import Context, Facts
from holdfast.core.limits import Limits
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema, Stamped, Unique
from holdfast.core.straight import decide_straight

LIMITS = Limits(text_code_points_max=12, string_code_points_max=8)
RECORD = "00000000-0000-7000-8000-000000000001"


def short(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > 6:
        raise InvalidValue("At most six characters.")
    return value.strip()


def whole(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue("A whole number.")
    return value


FIELDS = {field.name: field for field in (
    Field(name="title", kind=Kind.STRING, check=short),
    Field(name="step", kind=Kind.INTEGER, default=0, check=whole),
    Field(name="ratio", kind=Kind.NUMBER, optional=True),
    Field(name="code", kind=Kind.STRING, optional=True),
    Field(name="fixed", kind=Kind.STRING, optional=True, immutable=True),
    Field(name="owner", kind=Kind.STRING, optional=True),
    Field(name="parent", kind=Kind.REF, ref="things", optional=True),
    Field(name="notes", kind=Kind.TEXT, default=""),
    Field(name="label", kind=Kind.TEXT, default="", check=short),
    Field(name="views", kind=Kind.COUNTER, default=0),
    Field(name="tags", kind=Kind.SET, default=[]),
    Field(name="j", kind=Kind.JSON, default={}),
    Field(name="changed_at", kind=Kind.DATETIME, optional=True, stamped=Stamped.UPDATED_AT),
    Field(name="made_by", kind=Kind.STRING, optional=True, stamped=Stamped.CREATED_BY),
)}

RULES: list[Rule] = [All, All, All, Everyone(), Own("owner"), Role(frozenset({"writer"})), And((Own("owner"), Role(frozenset({"writer"}))))]


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    odd = draw(st.sampled_from([*[""] * 12, "check", "append_only", "copied"]))
    return Collection(
        name="things", fields=FIELDS, contract=draw(st.sampled_from([1, 2])), read=draw(st.sampled_from(RULES)),
        write=draw(st.sampled_from(RULES)), unique=draw(st.sampled_from([(), (Unique(name="code", fields=("code",)),)])),
        check=(lambda fields: [("step", "Too far.")] if fields["step"] > 3 else []) if odd == "check" else None,
        append_only=odd == "append_only",
        copied=(Copied(column="via", ref_field="parent", parent="things", source="owner"),) if odd == "copied" else ())


WORDS = st.text("ab ~\0é", max_size=9)
VALUES = st.one_of(WORDS, st.integers(-3, 5), st.sampled_from([None, True, 1.0, -0.0, 2.5, 1 << 60, float("nan")]),
                   st.sampled_from([[], {}, {"x": 1}, {"x": {"y": 1.0}}, ["a"]]))
PATHS = st.one_of(st.sampled_from(["/" + name for name in FIELDS]), st.sampled_from(["/title", "/step", "/notes"]),
                  st.sampled_from(["/j/x", "/j/x/y", "/title/x", "/nothing", "/j~1x", "/notes/0"]))
EDITS = st.lists(st.tuples(st.integers(-1, 12), st.integers(-1, 4), WORDS), max_size=2)
USUAL: st.SearchStrategy[Op] = st.one_of(
    st.builds(SetOp, st.just("/title"), st.text("ab é", max_size=6)), st.builds(SetOp, st.just("/step"), st.integers(0, 5)),
    st.builds(SetOp, st.just("/ratio"), st.sampled_from([None, 1, 1.0, 2.5])), st.builds(SetOp, st.just("/j"), VALUES),
    st.builds(SpliceOp, st.just("/notes"), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), WORDS), min_size=1, max_size=1)))
ANY: st.SearchStrategy[Op] = st.one_of(
    st.builds(SetOp, PATHS, VALUES), st.builds(SetOp, st.sampled_from(["/title", "/step"]), st.one_of(WORDS, st.integers(0, 5))),
    st.builds(SpliceOp, PATHS, EDITS), st.builds(SpliceOp, st.just("/notes"), EDITS), st.builds(UnsetOp, PATHS),
    st.builds(AddOp, st.just("/views"), st.integers(-2, 2)), st.builds(IncludeOp, st.just("/tags"), st.just(["a"])),
    st.builds(ExcludeOp, st.just("/tags"), st.just(["a"])))
ALONE: list[Op] = [CreateOp({"title": "a"}), DeleteOp(), UndeleteOp()]


@st.composite
def rows(draw: st.DrawFn) -> Row:
    fields = {"title": "a", "step": draw(st.integers(0, 3)), "ratio": draw(st.sampled_from([None, 1, 2.5])), "code": None, "fixed": "f",
              "owner": draw(st.sampled_from(["me", "you"])), "parent": None, "notes": draw(st.sampled_from(["", "hello", "x" * 14])),
              "label": "lab", "views": 1, "tags": ["a"], "j": {"x": 1}, "changed_at": None, "made_by": "me"}
    return Row(collection="things", id=RECORD, fields=fields, copied=draw(st.sampled_from([{}, {"via": "me"}])), rev=7, last=8,
               deleted=draw(st.sampled_from([False] * 9 + [True])), last_prefix="aaaaaaaa",
               last_device=draw(st.sampled_from(["D", "E"])), last_mutation="m7", last_foreign=5, stamp=draw(st.sampled_from([10, 99])))


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    seldom = st.sampled_from([False] * 9 + [True])
    item = Item(id="3", device_id="D", actor_id="me", collection="things", record_id=RECORD, opened=3, last=3)
    roles = frozenset() if draw(seldom) else frozenset({"writer"})
    return Facts(tenant_id="t", seq=9, now=1_800_000_000_000, actor=Actor("me", roles), device_id="D", stamp=50, base=8,
                 item=item if draw(seldom) else None, same_history=not draw(seldom), base_kept=draw(st.booleans()),
                 old_contract="old" if draw(seldom) else None, on_behalf_of=draw(st.sampled_from([None, "other"])),
                 extra=draw(st.sampled_from([{}] * 9 + [{"a": 1}])))


@given(collection=collections(), row=rows(), given_facts=facts(), atomic=st.sampled_from([False] * 9 + [True]),
       ops=st.one_of(st.lists(USUAL, min_size=1, max_size=3), st.lists(USUAL, min_size=1, max_size=3),
                     st.lists(st.one_of(USUAL, ANY), min_size=1, max_size=4), st.sampled_from([[op] for op in ALONE])),
       context=st.sampled_from([None] * 9 + [Context({}, 8)]))
@settings(max_examples=400, deadline=None)
def test_what_is_decided_straight_is_what_the_general_rules_decide(
    collection: Collection, row: Row, given_facts: Facts, ops: list[Op], atomic: bool, context: Context | None,
) -> None:
    schema = Schema(collections={"things": collection}, limits=LIMITS)
    mutation = Mutation(mutation_id="m8", collection="things", record_id=RECORD, ops=ops, after="m7", base="8.aaaaaaaa", atomic=atomic)
    stood = msgspec.json.encode((row, mutation))
    straight = decide_straight(row, mutation, context, given_facts, collection, LIMITS)
    assert msgspec.json.encode((row, mutation)) == stood, "what was given is not changed"
    event("straight" if straight is not None else "general")
    if straight is not None:
        assert repr(straight) == repr(decide_in_general(row, mutation, [], context, given_facts, schema))


PLACES = [*("/" + name for name in FIELDS), "/j/x", "/j/x/y", "/title/x", "/nothing", "/j~1x", "/notes/0"]
SAMPLES = ["", "ab", " a ", "f", "too long for it", "a\0b", None, True, 0, 1, 1.0, 2.5, 1 << 60, [], {}, {"x": 1.0}]


@pytest.mark.parametrize("unique", [(), (Unique(name="code", fields=("code",)),)], ids=["nothing unique", "unique codes"])
@pytest.mark.parametrize("path", PLACES)
def test_every_kind_of_place_takes_each_value_as_the_general_rules_do(path: str, unique: tuple[Unique, ...]) -> None:
    collection = Collection(name="things", fields=FIELDS, unique=unique)
    schema = Schema(collections={"things": collection}, limits=LIMITS)
    fields = {name: field.default for name, field in FIELDS.items()} | {"title": "a", "fixed": "f", "notes": "hello", "j": {"x": 1}}
    row = Row(collection="things", id=RECORD, fields=fields, rev=7, last=8, last_device="D", last_mutation="m7")
    known = Facts(tenant_id="t", seq=9, now=1, actor=Actor("me"), device_id="D", stamp=1, base=8)
    for value in SAMPLES:
        mutation = Mutation(mutation_id="m8", collection="things", record_id=RECORD, ops=[SetOp(path, value)], after="m7")
        straight = decide_straight(row, mutation, None, known, collection, LIMITS)
        if straight is not None:
            assert repr(straight) == repr(decide_in_general(row, mutation, [], None, known, schema)), value


def test_a_usual_save_is_decided_straight() -> None:
    collection = Collection(name="things", fields=FIELDS)
    row = Row(collection="things", id=RECORD, fields={"title": "a", "step": 0, "notes": "hello", "changed_at": None, "made_by": None})
    ops: list[Op] = [SpliceOp("/notes", [(5, 0, "!")]), SetOp("/step", 1)]
    mutation = Mutation(mutation_id="m1", collection="things", record_id=RECORD, ops=ops)
    known = Facts(tenant_id="t", seq=1, now=1, actor=Actor("me"), device_id="D", stamp=1)
    straight = decide_straight(row, mutation, None, known, collection, LIMITS)
    assert straight is not None and straight == decide(row, mutation, [], None, known, Schema(collections={"things": collection}))
