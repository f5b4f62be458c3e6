"""Access rules resolve to plain rules that read one row and the actor, and mean the same as the declared ones mean on the rows they lead
to. Promise 4: apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import CreatedBy, Member, Record, Ref, by_server, compile_schema, nobody, own, role, tenant, via
from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role, allows
from holdfast.core.schema import Collection, Copied
from holdfast.model.access import Access, AllOf, AnyOf, Everybody, HasRole, NoMember, Owned, Through
from tests.model.records import ALL

SCHEMA = compile_schema(ALL)


def test_a_rule_through_a_parent_reads_the_childs_own_hidden_columns() -> None:
    session = SCHEMA.collections["workshop_sessions"]
    assert session.read == Or((Own("participant_id"), Own("via_workshop_id__facilitator_id")))
    assert session.copied == (
        Copied(column="via_workshop_id__facilitator_id", ref_field="workshop_id", parent="workshops", source="facilitator_id"),
    )


def test_hidden_columns_are_copied_from_hidden_columns() -> None:
    response = SCHEMA.collections["step_responses"]
    assert response.read == Or((Own("via_session_id__participant_id"), Own("via_session_id__via_workshop_id__facilitator_id")))
    assert [(one.column, one.source) for one in response.copied] == [
        ("via_session_id__participant_id", "participant_id"),
        ("via_session_id__via_workshop_id__facilitator_id", "via_workshop_id__facilitator_id"),
    ]


def test_a_rule_through_a_parent_is_the_parents_rule_of_the_same_direction() -> None:
    response = SCHEMA.collections["step_responses"]
    assert response.write == Own("via_session_id__participant_id")


def test_a_parent_gets_a_hidden_column_that_only_its_child_needs() -> None:
    class Box(Record, collection="boxes", access=tenant):
        owner: str

    class Bag(Record, collection="bags", access=tenant):
        box: Ref[Box]

    class Coin(Record, collection="coins", access=via("bag", via("box", own("owner")))):
        bag: Ref[Bag]

    schema = compile_schema([Box, Bag, Coin])
    assert schema.collections["coins"].read == Own("via_bag__via_box__owner")
    assert [one.column for one in schema.collections["bags"].copied] == ["via_box__owner"]
    assert schema.collections["bags"].read == Everyone()


def test_the_parents_id_is_the_reference_itself() -> None:
    class Badge(Record, collection="badges", read=via("holder"), write=role("owner")):
        holder: Ref[Member]

    badge = compile_schema([Badge]).collections["badges"]
    assert badge.read == Or((Own("holder"), Role(frozenset({"owner", "admin"}))))
    assert badge.copied == ()


def test_a_rule_of_its_own_on_the_same_kind_of_record_is_no_circle() -> None:
    class Folder(Record, collection="folders", access=own("owner") | via("above", own("owner"))):
        owner: str
        above: Ref[Folder] | None = None

    folder = compile_schema([Folder]).collections["folders"]
    assert folder.read == Or((Own("owner"), Own("via_above__owner")))
    assert folder.copied[0].parent == "folders"


def test_creating_through_a_parent_follows_its_create_rule_else_its_write_rule() -> None:
    class Room(Record, collection="rooms", read=tenant, write=own, create=role("host")):
        host: CreatedBy = by_server

    class Hall(Record, collection="halls", read=tenant, write=own):
        host: CreatedBy = by_server

    class Seat(Record, collection="seats", access=tenant, create=via("room"), delete=via("hall")):
        room: Ref[Room]
        hall: Ref[Hall]

    seat = compile_schema([Room, Hall, Seat]).collections["seats"]
    assert (seat.create, seat.delete) == (Role(frozenset({"host"})), Own("via_hall__host"))


def test_what_changes_nothing_is_left_out() -> None:
    def read(rule: Access) -> object:
        thing = type(
            "Thing", (Record,), {"__annotations__": {"a": str, "b": str}, "__module__": __name__}, collection="things", access=rule
        )
        return compile_schema([thing]).collections["things"].read

    assert read(tenant & own("a")) == Own("a")
    assert read(tenant | own("a")) == Everyone()
    assert read(nobody | own("a")) == Own("a")
    assert read(nobody & own("a")) == Nobody()
    assert read(own("a") & own("a")) == Own("a")
    assert read((own("a") | own("b")) | role("x")) == Or((Own("a"), Own("b"), Role(frozenset({"x"}))))
    assert read(own("a") & (own("b") & role("x"))) == And((Own("a"), Own("b"), Role(frozenset({"x"}))))


def test_a_name_too_long_for_a_column_ends_in_a_digest_of_itself() -> None:
    long = "a" * 40

    class Far(Record, collection="fars", access=tenant):
        owner: str

    far = type(
        "Near",
        (Record,),
        {"__annotations__": {long: Ref[Far], long + "b": Ref[Far]}, "__module__": __name__},
        collection="nears",
        access=via(long, via_owner()) | via(long + "b", via_owner()),
    )
    middle = compile_schema([Far, far]).collections["nears"]
    names = [one.column for one in middle.copied]
    assert len(set(names)) == 2 and all(len(name) <= 60 for name in names)


def via_owner() -> Access:
    return own("owner")


def test_the_longest_chains_stay_within_the_columns_length() -> None:
    classes: list[type[Record]] = []
    for level in range(6):
        annotations: dict[str, Any] = {"owner": str} if not classes else {"reference_to_what_stands_above": Ref[classes[-1]]}  # type: ignore[misc]
        rule = own("owner") if not classes else via("reference_to_what_stands_above")
        classes.append(
            type(
                f"Level{level}",
                (Record,),
                {"__annotations__": annotations, "__module__": __name__},
                collection=f"levels_{level}",
                access=rule,
            )
        )
    copied = [one for collection in compile_schema(classes).collections.values() for one in collection.copied]
    assert len(copied) == 5
    assert all(len(one.column) <= 60 for one in copied)


# -- the declared rule and the resolved one agree ------------------------------------------------------------------------------


class Firm(Record, collection="firms", read=own("boss") | role("auditor"), write=own("boss"), create=role("founder")):
    boss: str


class Team(
    Record, collection="teams", read=via("firm") & (own("lead") | role("staff")), write=own("lead") | via("firm"), delete=via("firm")
):
    firm: Ref[Firm] | None = None
    lead: str


class Task(
    Record,
    collection="tasks",
    read=own("author") | via("team") | via("team", via("firm", own("boss") & role("staff"))),
    write=own("author") & via("team"),
    create=via("team"),
    delete=nobody | via("team", own("lead")),
):
    team: Ref[Team] | None = None
    author: str


FIRMS = compile_schema([Firm, Team, Task])
CLASSES: dict[str, type[Record]] = {"firms": Firm, "teams": Team, "tasks": Task}
Rows = dict[tuple[str, str], dict[str, Any]]

people = st.sampled_from(["ann", "bob", "cy"])
worlds = st.fixed_dictionaries(
    {
        ("firms", "f"): st.fixed_dictionaries({"boss": people}),
        ("teams", "t"): st.fixed_dictionaries({"firm": st.sampled_from(["f", None]), "lead": people}),
        ("tasks", "k"): st.fixed_dictionaries({"team": st.sampled_from(["t", None]), "author": people}),
    }
)


def columns(collection: Collection, row_id: str, rows: Rows) -> dict[str, Any]:
    """A row's columns with the hidden ones as the engine keeps them."""
    fields = rows[(collection.name, row_id)]
    made = {**fields, "id": row_id}
    for one in collection.copied:
        parent = fields[one.ref_field]
        made[one.column] = None if parent is None else columns(FIRMS.collections[one.parent], parent, rows)[one.source]
    return made


def admits(rule: Access, collection: str, row_id: str | None, rows: Rows, actor: Actor, direction: str) -> bool:
    """What a declared rule means, read off the rows it leads to. An absent parent has no owner; roles do not ask for the row."""
    if isinstance(rule, Everybody | NoMember):
        return isinstance(rule, Everybody)
    if isinstance(rule, HasRole):
        return not rule.roles.isdisjoint(actor.roles)
    if isinstance(rule, Owned):
        return row_id is not None and rows[(collection, row_id)][str(rule.field)] == actor.id
    if isinstance(rule, AllOf):
        return all([admits(part, collection, row_id, rows, actor, direction) for part in rule.parts])
    if isinstance(rule, AnyOf):
        return any([admits(part, collection, row_id, rows, actor, direction) for part in rule.parts])
    assert isinstance(rule, Through)
    parent = FIRMS.collections[collection].fields[rule.ref].ref
    assert parent is not None
    there = rule.rule
    if there is None:
        said = CLASSES[parent].__declaration__
        there, direction = (getattr(said, direction), direction) if getattr(said, direction) is not None else (said.write, "write")
        assert there is not None
    above = None if row_id is None else rows[(collection, row_id)][rule.ref]
    return admits(there, parent, above, rows, actor, direction)


@given(rows=worlds, name=people, roles=st.frozensets(st.sampled_from(["auditor", "staff", "founder"])))
@pytest.mark.parametrize("direction", ["read", "write", "create", "delete"])
def test_the_resolved_rule_admits_whom_the_declared_one_admits(direction: str, rows: Rows, name: str, roles: frozenset[str]) -> None:
    actor = Actor(name, roles)
    for collection, row_id in rows:
        said, compiled = CLASSES[collection].__declaration__, FIRMS.collections[collection]
        declared, resolved = getattr(said, direction), getattr(compiled, direction)
        if declared is None:
            assert resolved is None
            continue
        assert allows(resolved, columns(compiled, row_id, rows), actor) == admits(declared, collection, row_id, rows, actor, direction)
