"""What a declaration says is what the schema holds. Promises 1 to 5 rest on it: tables, merging, rights and the wire are all made from
this one reading."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Literal, Optional

import pytest
from pydantic import Field

from holdfast import (
    CreatedAt,
    DeclarationError,
    Json,
    Limits,
    Member,
    Money,
    Record,
    Ref,
    Set,
    Text,
    by_server,
    compile_schema,
    immutable,
    merge,
    own,
    role,
    tenant,
)
from holdfast.core.access import Everyone, Or, Own, Role
from holdfast.core.errors import InvalidValue, StateError
from holdfast.core.schema import Kind, Merge, Stamped, Unique
from tests.model.records import ALL, ID, Estimate, Everything, Project

SCHEMA = compile_schema(ALL)


def test_the_example_of_the_design_compiles_as_printed() -> None:
    estimate = compile_schema([Project, Estimate]).collections["estimates"]
    assert {name: field.kind for name, field in estimate.fields.items()} == {
        "project": Kind.REF,
        "status": Kind.CHOICE,
        "base_cost": Kind.MONEY,
        "cost_breakdown": Kind.JSON,
        "notes": Kind.TEXT,
        "views": Kind.COUNTER,
        "client_phone": Kind.STRING,
    }
    assert estimate.contract == 2
    assert estimate.read == estimate.write == Role(frozenset({"estimator", "owner"}))
    assert (estimate.fields["base_cost"].merge, estimate.fields["status"].merge) == (Merge.ASK, Merge.LATEST)
    assert estimate.fields["client_phone"].sensitive
    assert estimate.fields["project"].ref == "projects"
    assert [name for name, field in estimate.fields.items() if field.required] == ["project"]
    assert [name for name, field in estimate.fields.items() if field.optional] == ["base_cost", "client_phone"]
    assert estimate.doc == "One priced version of a roofing job."


def test_every_kind_has_its_default_in_json() -> None:
    fields = SCHEMA.collections["everything"].fields
    assert {name: field.default for name, field in fields.items()} == {
        "name": "unnamed",
        "number": 0,
        "share": 0.5,
        "open": True,
        "day": None,
        "moment": None,
        "level": "low",
        "token": None,
        "project": None,
        "amount": "0.00",
        "rate": None,
        "settings": {"theme": "light", "sizes": [1, 2]},
        "notes": "",
        "views": 0,
        "tags": ["new"],
        "phone": None,
        "origin": "",
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    }


def test_what_is_never_null_starts_empty_even_where_it_must_be_given() -> None:
    class Page(Record, collection="pages"):
        text: Text
        tags: Set[str]

    fields = compile_schema([Page]).collections["pages"].fields
    assert [(field.required, field.default) for field in fields.values()] == [(True, ""), (True, [])]


def test_a_default_is_shared_by_nobody() -> None:
    first, second = Everything(), Everything()
    first.settings["theme"] = "dark"
    first.tags.add("old")
    assert (second.settings["theme"], second.tags) == ("light", {"new"})
    assert SCHEMA.collections["everything"].fields["settings"].default == {"theme": "light", "sizes": [1, 2]}
    again = compile_schema(ALL).collections["everything"].fields["settings"]
    assert SCHEMA.collections["everything"].fields["settings"].default is not again.default


def test_stamped_fields_are_filled_by_the_server_and_asked_of_nobody() -> None:
    fields = SCHEMA.collections["everything"].fields
    assert [field.stamped for field in fields.values() if field.stamped] == [Stamped.CREATED_BY, Stamped.CREATED_AT, Stamped.UPDATED_AT]
    assert not any(field.required for field in fields.values() if field.stamped)

    class Note(Record, collection="notes"):
        created_at: CreatedAt

    assert not compile_schema([Note]).collections["notes"].fields["created_at"].required
    assert Note().created_at is None


def test_keys_are_immutable_and_uniques_have_names() -> None:
    response, everything = SCHEMA.collections["step_responses"], SCHEMA.collections["everything"]
    assert response.key == ("session_id", "step_number")
    assert [name for name, field in response.fields.items() if field.immutable] == ["session_id", "step_number"]
    assert everything.unique == (Unique(name="name_number", fields=("name", "number")), Unique(name="name", fields=("name",)))
    assert everything.indexes == (("day", "amount"),)
    assert everything.fields["origin"].immutable


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[Money, merge.ask, immutable] | None,
        Optional[Annotated[Money, immutable, merge.ask]],  # noqa: UP045
        Annotated[Money | None, merge.ask, immutable],
        Annotated[Annotated[Money, merge.ask] | None, immutable],
    ],
)
def test_marks_count_wherever_they_stand(annotation: object) -> None:
    bill = type("Bill", (Record,), {"__annotations__": {"sum": annotation}, "__module__": __name__, "sum": None}, collection="bills")
    field = compile_schema([bill]).collections["bills"].fields["sum"]
    assert (field.kind, field.optional, field.merge, field.immutable) == (Kind.MONEY, True, Merge.ASK, True)


def test_none_among_the_choices_makes_a_field_optional() -> None:
    class Task(Record, collection="tasks"):
        rank: Literal["a", "b", None] = None

    field = compile_schema([Task]).collections["tasks"].fields["rank"]
    assert (field.choices, field.optional) == (("a", "b"), True)


def test_classes_may_refer_to_what_stands_later_and_to_themselves() -> None:
    class Leaf(Record, collection="leaves"):
        tree: Ref[Tree]
        above: Ref[Leaf] | None = None

    class Tree(Record, collection="trees"):
        best: Ref["Leaf"] | None = None  # noqa: UP037

    schema = compile_schema([Leaf, Tree])
    assert [schema.collections["leaves"].fields[name].ref for name in ("tree", "above")] == ["trees", "leaves"]
    assert [(child.name, field.name) for child, field in schema.children("leaves")] == [("leaves", "above"), ("trees", "best")]


def test_a_base_without_a_collection_gives_its_fields_and_is_none_itself() -> None:
    class Dated(Record):
        created_at: CreatedAt = by_server

    class Visit(Dated, collection="visits", access=tenant):
        place: str = ""

    assert list(compile_schema([Visit]).collections["visits"].fields) == ["created_at", "place"]
    assert Visit.__declaration__.collection == "visits"


def test_a_description_and_a_docstring_become_docs() -> None:
    class Task(Record, collection="tasks"):
        """A thing to do.

        It has two paragraphs."""

        name: Annotated[str, Field(description="What it is called.")] = ""
        place: Annotated[str, Field(description="Where.")] | None = None

    task = compile_schema([Task]).collections["tasks"]
    assert task.doc == "A thing to do.\n\nIt has two paragraphs."
    assert [field.doc for field in task.fields.values()] == ["What it is called.", "Where."]
    assert (task.title, SCHEMA.collections["workshops"].title, SCHEMA.collections["estimates"].title) == ("name", "title", "")


def test_constraints_travel_as_json_schema_keywords() -> None:
    class Form(Record, collection="forms"):
        name: Annotated[str, Field(min_length=2, pattern="^[a-z]+$")] = "ab"
        age: Annotated[int, Field(ge=0, le=150)] | None = None
        price: Annotated[Money, Field(ge=0)] = Money("1")
        tags: Annotated[Set[str], Field(max_length=3)] = set()
        data: Json = {}

    fields = compile_schema([Form]).collections["forms"].fields
    assert {name: dict(field.constraints) for name, field in fields.items()} == {
        "name": {"minLength": 2, "pattern": "^[a-z]+$"},
        "age": {"maximum": 150, "minimum": 0},
        "price": {"minimum": 0},
        "tags": {"maxItems": 3},
        "data": {},
    }


def test_the_schema_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SCHEMA.collections["estimates"] = SCHEMA.collections["projects"]  # type: ignore[index]
    with pytest.raises(TypeError):
        SCHEMA.collections["estimates"].fields["x"] = SCHEMA.collections["projects"].fields["name"]  # type: ignore[index]


def test_the_digest_changes_with_what_a_device_must_know_and_with_nothing_else() -> None:
    def digest(doc: str, default: str, who: str) -> str:
        task = type(
            "Task",
            (Record,),
            {"__annotations__": {"name": str}, "__module__": __name__, "name": default, "__doc__": doc},
            collection="tasks",
            access=role(who),
        )
        return compile_schema([task]).digest

    assert digest("a", "x", "boss") == digest("b", "x", "boss")
    assert len({digest("a", "x", "boss"), digest("a", "y", "boss"), digest("a", "x", "clerk")}) == 3
    assert compile_schema(ALL).digest == SCHEMA.digest


def test_the_digest_is_the_same_in_another_process() -> None:
    program = "from tests.model.records import ALL; from holdfast import compile_schema; print(compile_schema(ALL).digest)"
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert made.stdout.strip() == SCHEMA.digest


def test_members_are_there_without_being_declared() -> None:
    members = SCHEMA.collections["members"]
    assert members.read == Or((Own("id"), Role(frozenset({"owner", "admin"}))))
    assert members.write == Role(frozenset({"owner", "admin"}))
    assert members.fields["roles"].kind is Kind.SET
    assert compile_schema([Member]).collections["members"] is not None


def test_an_application_may_let_others_read_members() -> None:
    assert compile_schema([], members_read=tenant).collections["members"].read == Everyone()
    read = compile_schema([], members_read=role("facilitator")).collections["members"].read
    assert read == Or((Own("id"), Role(frozenset({"owner", "admin"})), Role(frozenset({"facilitator"}))))


def test_separate_rules_for_creating_and_deleting() -> None:
    class Paper(Record, collection="papers", access=own("author"), create=role("author"), delete=role("owner")):
        author: str

    paper = compile_schema([Paper]).collections["papers"]
    assert (paper.read, paper.write) == (Own("author"), Own("author"))
    assert (paper.create, paper.delete) == (Role(frozenset({"author"})), Role(frozenset({"owner"})))
    assert (SCHEMA.collections["projects"].create, SCHEMA.collections["projects"].delete) == (None, None)


def test_own_limits_of_a_store_reach_the_checks() -> None:
    check = compile_schema([Project], limits=Limits(string_code_points_max=3)).collections["projects"].fields["name"].check
    assert check is not None and check("abc") == "abc"
    with pytest.raises(InvalidValue, match="name holds at most 3 characters"):
        check("abcd")


def test_a_record_has_no_id_before_it_is_saved_or_given_one() -> None:
    project = Project(name="Roof")
    with pytest.raises(StateError, match="Project has no id yet"):
        _ = project.id
    assert (project.rev, project.position, project.deleted) == (0, None, False)
    assert project.with_id(ID).id == ID
    assert project.with_id(ID).name == "Roof"


def test_access_rules_refuse_the_words_that_would_drop_a_part() -> None:
    with pytest.raises(DeclarationError, match="combine with `&` and"):
        _ = own("a") and role("b")
    with pytest.raises(DeclarationError, match="not with str"):
        _ = own("a") | "b"  # type: ignore[operator]
