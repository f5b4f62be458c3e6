"""A mistake in a declaration is a clear error at start that names class and field, never a surprise at run time. Behind all five promises:
what is declared wrongly would keep, merge or show the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import uuid4

import pytest
from pydantic import AliasChoices, BaseModel, Field

from holdfast import (
    Counter,
    CreatedAt,
    DeclarationError,
    Json,
    Money,
    Record,
    Ref,
    Sensitive,
    Set,
    Text,
    compile_schema,
    immutable,
    merge,
    own,
    role,
    scale,
    search,
    tenant,
    unique,
    upcast,
    via,
)
from holdfast.core.schema import Stamped

UNSET = object()


class Parent(Record, collection="parents"):
    name: str = ""


class Shape(BaseModel):
    side: int


class Size(IntEnum):
    SMALL = 1


class Twice(Enum):
    ONE = "a"


def with_field(annotation: Any, default: Any = UNSET, name: str = "field", **keywords: Any) -> type[Record]:
    body: dict[str, Any] = {"__annotations__": {name: annotation}, "__module__": __name__, "__qualname__": "Thing"}
    if default is not UNSET:
        body[name] = default
    return type("Thing", (Record,), body, **{"collection": "things", **keywords})


def with_keywords(**keywords: Any) -> type[Record]:
    body = {
        "__annotations__": {"name": str, "secret": Sensitive[str] | None, "data": Json, "parent": Ref[Parent], "number": int},
        "__module__": __name__,
        "__qualname__": "Thing",
        "secret": None,
        "number": 0,
    }
    return type("Thing", (Record,), body, **{"collection": "things", **keywords})


@dataclass
class Case:
    made: Callable[[], object]
    where: str
    says: str
    hint: str = ""


def field_case(annotation: Any, says: str, *, default: Any = UNSET, hint: str = "") -> Case:
    return Case(lambda: compile_schema([Parent, with_field(annotation, default)]), "Thing.field", says, hint)


def keyword_case(where: str, says: str, hint: str = "", **keywords: Any) -> Case:
    return Case(lambda: compile_schema([Parent, with_keywords(**keywords)]), where, says, hint)


FIELDS = {
    "a plain Decimal": field_case(Decimal, "Decimal is no type", hint="`Money`"),
    "a dict": field_case(dict[str, int], "no type that a field can have", hint="`Json`"),
    "a list": field_case(list[str], "no type that a field can have", hint="inside `Json`"),
    "a plain set": field_case(set[str], "no type that a field can have", hint="`Set[str]`"),
    "Any": field_case(Any, "no type that a field can have", hint="`Json`"),
    "bytes": field_case(bytes, "no type that a field can have", hint="Binary"),
    "a timedelta": field_case(timedelta, "timedelta is no type", hint="Use str, int"),
    "a pydantic model": field_case(Shape, "Shape is no type", hint="`Json`"),
    "a record instead of a reference": field_case(Parent, "Parent is no type", hint="Ref[Parent]"),
    "two types": field_case(int | str, "a field has one type"),
    "choices that are numbers": field_case(Literal[1, 2], "choices are texts"),
    "an enum of numbers": field_case(Size, "choices are texts"),
    "a set of numbers": field_case(Set[int], "the items of a Set are texts"),
    "ask on a Text": field_case(Annotated[Text, merge.ask], "a Text merges by itself"),
    "ask on a Counter": field_case(Annotated[Counter, merge.ask], "a Counter merges by itself"),
    "ask on a Set": field_case(Annotated[Set[str], merge.ask], "a Set merges by itself"),
    "an optional Text": field_case(Text | None, "a Text is never null"),
    "an optional Counter": field_case(Counter | None, "a Counter is never null"),
    "a sensitive Text": field_case(Sensitive[Text], "a Text cannot be Sensitive", hint="Sensitive[str]"),
    "a sensitive Counter": field_case(Sensitive[Counter], "a Counter cannot be Sensitive"),
    "a sensitive Set": field_case(Sensitive[Set[str]], "a Set cannot be Sensitive"),
    "a sensitive reference": field_case(Sensitive[Ref[Parent]], "a Ref cannot be Sensitive"),
    "a sensitive field in search": field_case(Annotated[Sensitive[str], search], "cannot be in search"),
    "a sensitive unique field": field_case(Annotated[Sensitive[str], unique], "cannot be in unique"),
    "search in a number": field_case(Annotated[int, search], "search is for texts"),
    "a unique Json": field_case(Annotated[Json, unique], "a json cannot be unique"),
    "a unique Text": field_case(Annotated[Text, unique], "a text cannot be unique"),
    "scale on a number": field_case(Annotated[int, scale(3)], "scale is for Money"),
    "a scale beyond 64 bits": field_case(Annotated[Money, scale(40)], "scale is for Money"),
    "an immutable Counter": field_case(Annotated[Counter, immutable], "counts nothing"),
    "an optional stamp": field_case(CreatedAt | None, "stands alone"),
    "an alias": field_case(str, "a field has one name", default=Field(default="", alias="other")),
    "a validation alias": field_case(str, "a field has one name", default=Field(default="", validation_alias=AliasChoices("a", "b"))),
    "a default of another kind": field_case(int, "its default does not fit. field must be a whole number", default="many"),
    "a default that is no choice": field_case(Literal["a", "b"], "must be one of a, b", default="c"),
    "a default that breaks its constraint": field_case(Annotated[int, Field(ge=5)], "its default does not fit", default=1),
    "a default too fine for money": field_case(Money, "at most 2 digits", default=Decimal("0.001")),
    "a default None of a required field": field_case(str, "not optional", default=None, hint="`| None`"),
    "a default that is no JSON": field_case(Json, "its default does not fit", default={1: 2}),
    "a default made anew each time": field_case(str, "made anew each time", default=Field(default_factory=lambda: str(uuid4()))),
    "a default inside of the optional": field_case(Annotated[str, Field(default="x")] | None, "its default stands inside", default=None),
    "a constraint that does not fit": field_case(Annotated[str, Field(ge=3)], "constraint does not fit"),
    "a reference to nothing": field_case(Ref["Nobody"], "refers to Nobody, which is not declared here", hint="compile_schema"),
    "a name that does not exist": field_case("Unheard", "the type Unheard is not known"),
}

KEYWORDS = {
    "a key of a missing field": keyword_case("Thing.nothing", "key= names a field that does not exist", key=("nothing",)),
    "a key of a sensitive field": keyword_case("Thing.secret", "a Sensitive field cannot be in key", key=("secret",)),
    "a key of Json": keyword_case("Thing.data", "a json cannot be part of a key", key=("data",)),
    "a key that is one name": keyword_case("Thing", "key= takes names of fields in a tuple", key="name"),
    "an empty key": keyword_case("Thing", "key= takes names of fields", key=()),
    "a key that names a field twice": keyword_case("Thing", "names a field twice", key=("name", "name")),
    "unique over a missing field": keyword_case("Thing.nothing", "names a field that does not exist", unique=(("name", "nothing"),)),
    "unique over a sensitive field": keyword_case("Thing.secret", "cannot be in unique", unique=(("secret",),)),
    "unique as names": keyword_case("Thing", "unique= takes names of fields in a tuple", unique=("name",)),
    "sorting by a sensitive field": keyword_case("Thing.secret", "cannot be in indexes", indexes=(("secret",),)),
    "sorting by Json": keyword_case("Thing.data", "has no order", indexes=(("data",),)),
    "a title that is sensitive": keyword_case("Thing.secret", "cannot be in title_field", title_field="secret"),
    "a title that does not exist": keyword_case("Thing.nothing", "title_field= names", title_field="nothing"),
    "own of a missing field": keyword_case("Thing.nam", "does not exist", "Did you mean 'name'?", access=own("nam")),
    "own of a number": keyword_case("Thing.number", "holds a member's id", access=own("number")),
    "own of a sensitive field": keyword_case("Thing.secret", "holds a member's id in plain", access=own("secret")),
    "own without a creator": keyword_case("Thing", "no CreatedBy field", access=own),
    "via over no reference": keyword_case("Thing.name", "leads over a Ref field; this is a string", access=via("name")),
    "via over a missing field": keyword_case("Thing.paren", "does not exist", "Did you mean 'parent'?", access=via("paren")),
    "own on the parent's missing field": keyword_case("Parent.boss", "does not exist", access=via("parent", own("boss"))),
    "reading without writing": keyword_case("Thing", "but not both", read=tenant),
    "a rule that is none": keyword_case("Thing", "access= is no access rule", access="tenant"),
    "a contract of zero": keyword_case("Thing", "whole number from 1", contract=0),
    "a gap in the upcasters": keyword_case("Thing", "no upcaster from contract 2", contract=4, upcasts={1: [], 3: []}),
    "an upcaster beyond the contract": keyword_case("Thing", "is itself contract 2", contract=2, upcasts={1: [], 2: []}),
    "an upcaster that is no list": keyword_case("Thing", "is a list of steps", contract=2, upcasts={1: upcast.drop("x")}),
    "upcasters in a list": keyword_case("Thing", "upcasts= says for each older contract", contract=2, upcasts=[[]]),
    "a step that is none": keyword_case("Thing", "holds 'drop x'", contract=2, upcasts={1: ["drop x"]}),
    "a rename to nowhere": keyword_case(
        "Thing.nothing", "ends in a field that does not exist", contract=2, upcasts={1: [upcast.rename("name", "nothing")]}
    ),
    "a rename that a later one leads astray": keyword_case(
        "Thing.lost",
        "ends in a field that does not exist",
        contract=3,
        upcasts={1: [upcast.rename("old", "name")], 2: [upcast.rename("name", "lost")]},
    ),
    "a default that does not fit": keyword_case(
        "Thing.number", "default of contract 1 does not fit", contract=2, upcasts={1: [upcast.default("number", "three")]}
    ),
    "a default null of what is not optional": keyword_case(
        "Thing.number", "is not optional", contract=2, upcasts={1: [upcast.default("number", None)]}
    ),
    "a converter that cannot be called": keyword_case(
        "Thing.number", "cannot be called", contract=2, upcasts={1: [upcast.convert("number", 3)]}
    ),  # type: ignore[arg-type]
    "a collection with an odd name": keyword_case("Thing", "cannot be the name of a collection", collection="My Things"),
    "a collection with a reserved prefix": keyword_case("Thing", "are reserved", collection="sqlite_things"),
    "a keyword that does not exist": keyword_case("Thing", "unknown class keyword owner", owner="me"),
}


@pytest.mark.parametrize("case", [*FIELDS.values(), *KEYWORDS.values()], ids=[*FIELDS, *KEYWORDS])
def test_a_mistake_names_class_and_field_and_says_what_to_do(case: Case) -> None:
    with pytest.raises(DeclarationError) as caught:
        case.made()
    assert caught.value.detail.startswith(case.where + ": ")
    assert case.says in caught.value.detail
    assert case.hint in caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize("name", ["id", "rev", "tenant_id", "deleted", "copy", "limit", "q", "Name", "a__b", "via_x", "a" * 49])
def test_a_field_cannot_have_a_name_that_is_taken_or_cannot_be_a_column(name: str) -> None:
    with pytest.raises(DeclarationError, match=rf"^Thing\.{name}: "):
        compile_schema([with_field(str, "", name)])


def test_an_attribute_without_a_type_is_no_field() -> None:
    with pytest.raises(DeclarationError, match=r"Thing\.notes: has a value but no type"):

        class Thing(Record, collection="things"):
            notes = ""


def test_two_classes_cannot_share_a_collection() -> None:
    class One(Record, collection="parents"):
        name: str = ""

    with pytest.raises(DeclarationError, match=r"One: the collection 'parents' is also declared by .*\.Parent"):
        compile_schema([Parent, One])


def test_a_builtin_collection_cannot_be_declared_again() -> None:
    with pytest.raises(DeclarationError, match="Thing: the collection 'members' is also declared by"):
        compile_schema([with_field(str, "", "name", collection="members")])


def test_two_classes_cannot_share_a_name() -> None:
    other = type("Parent", (Record,), {"__module__": "elsewhere"}, collection="others")
    with pytest.raises(DeclarationError, match=r"Parent: .*\.Parent has this name"):
        compile_schema([Parent, other])


def test_a_class_cannot_have_the_name_of_a_type_that_is_made_from_another() -> None:
    class ParentCreate(Record, collection="others"):
        pass

    with pytest.raises(DeclarationError, match=r"ParentCreate: .*\.Parent has this name, or the types made from it"):
        compile_schema([Parent, ParentCreate])


def test_a_base_is_no_collection() -> None:
    class Base(Record):
        pass

    with pytest.raises(DeclarationError, match="Base: declares no collection"):
        compile_schema([Base])


def test_what_is_no_record_class_is_refused() -> None:
    with pytest.raises(DeclarationError, match="Shape: is no record class"):
        compile_schema([Shape])  # type: ignore[list-item]


def test_rules_that_lead_in_a_circle_are_named_with_their_way() -> None:
    class Left(Record, collection="lefts", access=via("right")):
        right: Ref[Right] | None = None

    class Right(Record, collection="rights", access=via("left")):
        left: Ref[Left] | None = None

    with pytest.raises(DeclarationError, match="Left: its read rule leads back to itself: Left -> Right -> Left"):
        compile_schema([Left, Right])


def test_a_rule_through_the_own_kind_leads_in_a_circle() -> None:
    class Folder(Record, collection="folders", read=own("owner") | via("above"), write=own("owner")):
        owner: str
        above: Ref[Folder] | None = None

    with pytest.raises(DeclarationError, match="Folder: its read rule leads back to itself: Folder -> Folder"):
        compile_schema([Folder])


def test_two_creators_leave_open_whose_a_record_is() -> None:
    class Thing(Record, collection="things", access=own):
        first: Annotated[str, Field(default=None), Stamped.CREATED_BY]
        second: Annotated[str, Field(default=None), Stamped.CREATED_BY]

    with pytest.raises(DeclarationError, match="several CreatedBy fields"):
        compile_schema([Thing])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: role(), "takes one or several names"),
        (lambda: role(""), "takes one or several"),
        (lambda: role(3), "takes one or several"),
        (lambda: own(""), "takes the name of the field"),
        (lambda: via(""), "takes the name of a Ref field"),
        (lambda: via("project", "own"), "combines with access rules"),
        (lambda: tenant & None, "not with NoneType"),
    ],
)
def test_rules_refuse_what_is_none(made: Callable[[], object], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        made()
