"""Sensitive values are sealed wherever the server stores them, and open to exactly what they were. Promise 4."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Json, Money, Record, Sensitive, Text, compile_schema, upcast
from holdfast.core.entry import Entry, Item, Row, Unapplied
from holdfast.core.errors import StorageCorrupt
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.schema import Schema
from holdfast.model.cipher import Cipher, TenantKeys
from holdfast.model.contracts import upcast_row
from holdfast.model.sealing import Sealing, older_names, sensitive_names
from holdfast.runtime import RealRuntime

random_bytes = RealRuntime().random_bytes
CIPHER = Cipher(TenantKeys("acme", {1: random_bytes(32)}), random_bytes)


class Patient(Record, collection="patients", contract=2, upcasts={1: [upcast.rename("telephone", "phone"), upcast.drop("fax")]}):
    name: str = ""
    phone: Sensitive[str] | None = None
    cost: Sensitive[Money] | None = None
    file: Sensitive[Json] = {}
    notes: Text = ""


class Plain(Record, collection="plains"):
    name: str = ""


SCHEMA = compile_schema([Patient, Plain])
SEALING = Sealing(SCHEMA)

secrets = st.text(st.sampled_from("SECRETX"), min_size=6, max_size=9)
inner = st.dictionaries(secrets, secrets | st.lists(secrets, max_size=2), max_size=2)
places = st.tuples(st.sampled_from(["", "/SECRETKEY", "/SECRETKEY/0/SECRETDEEP"])).map(lambda place: "/file" + place[0])
set_ops = (
    st.builds(SetOp, path=st.just("/phone"), value=secrets | st.none(), restated=st.booleans())
    | st.builds(SetOp, path=st.just("/cost"), value=st.just("777.77"))
    | st.builds(SetOp, path=places, value=inner | secrets)
    | st.builds(UnsetOp, path=places | st.just("/phone"), if_empty=st.booleans())
)
ops: st.SearchStrategy[Op] = (
    set_ops
    | st.builds(SetOp, path=st.just("/name"), value=st.just("Ann"))
    | st.builds(
        CreateOp,
        value=st.fixed_dictionaries({"name": st.just("Ann")}, optional={"phone": secrets, "file": inner, "cost": st.just("777.77")}),
    )
    | st.just(DeleteOp())
    | st.just(SpliceOp("/notes", [(0, 0, "hello")]))
    | st.just(AddOp("/views", 1))
)
parts = st.builds(
    Unapplied,
    reason=st.just("conflict"),
    op=st.none() | set_ops,
    path=st.none() | places | st.just("/phone"),
    waits=st.booleans(),
    mine=st.none() | secrets,
    theirs=st.none() | secrets,
    base_value=st.none() | inner,
).filter(lambda part: part.path is not None or part.op is not None)
whole = st.builds(
    Unapplied,
    reason=st.just("deleted"),
    op=st.just(CreateOp({"phone": "SECRET"})),
    mine=st.fixed_dictionaries({"phone": secrets, "name": st.just("Ann")}),
)


def stored(thing: Any) -> str:
    """Everything as it would lie on the disk."""
    return msgspec.json.encode(thing).decode()


def assert_hidden(thing: Any) -> None:
    text = stored(thing)
    assert "SECRET" not in text and "777.77" not in text


def entry(**more: Any) -> Entry:
    return Entry(
        tenant_id="acme",
        seq=1,
        committed_at=0,
        stamp=0,
        actor_id="a",
        device_id="d",
        mutation_id="m",
        **{"collection": "patients", "record_id": "r1", "contract": 2, **more},
    )


# -- there and back --------------------------------------------------------------------------------------------------------


@given(made=st.fixed_dictionaries({"name": st.just("Ann"), "phone": st.none() | secrets, "file": inner, "notes": st.text(max_size=3)}))
def test_a_row_keeps_its_values_and_shows_none(made: dict[str, Any]) -> None:
    row = Row(collection="patients", id="r1", fields=made, contract=2)
    sealed = SEALING.seal_row(CIPHER, row)
    assert "SECRET" not in stored({name: sealed.fields[name] for name in ("phone", "file")})
    assert sealed.fields["name"] == "Ann"
    assert SEALING.open_row(CIPHER, sealed) == row
    assert row.fields == made


@given(st.lists(ops, max_size=4))
def test_ops_keep_their_values_and_show_none_of_values_or_keys(made: list[Op]) -> None:
    sealed = SEALING.seal_ops(CIPHER, "patients", "r1", made)
    assert_hidden(sealed)
    assert SEALING.open_ops(CIPHER, "patients", "r1", sealed) == made


@given(st.lists(parts | whole, max_size=3))
def test_what_was_not_applied_keeps_its_values_and_shows_none(made: list[Unapplied]) -> None:
    made = [part for part in made if part.path is None or part.op is None or part.op.path.startswith(part.path)]  # type: ignore[union-attr]
    sealed = SEALING.seal_unapplied(CIPHER, "patients", "r1", made)
    assert_hidden(sealed)
    assert SEALING.open_unapplied(CIPHER, "patients", "r1", sealed) == made


@given(st.lists(ops, max_size=2), st.lists(ops, max_size=2), st.none() | st.lists(ops, max_size=2), st.lists(parts, max_size=2))
def test_an_entry_keeps_its_values_and_shows_none(applied: list[Op], undo: list[Op], sent: list[Op] | None, left: list[Unapplied]) -> None:
    made = entry(ops=applied, undo=undo, sent=sent, unapplied=left)
    sealed = SEALING.seal_entry(CIPHER, made)
    assert_hidden(sealed)
    assert SEALING.open_entry(CIPHER, sealed) == made


def test_an_inbox_item_keeps_its_values_and_shows_none() -> None:
    item = Item(
        id="1",
        device_id="d",
        actor_id="a",
        collection="patients",
        record_id="r1",
        opened=1,
        last=1,
        parts=[
            Unapplied(reason="conflict", op=SetOp("/phone", "SECRET"), mine="SECRET", theirs="SECRET2", base_value="SECRET3", waits=True)
        ],
    )
    sealed = SEALING.seal_item(CIPHER, item)
    assert_hidden(sealed)
    assert SEALING.open_item(CIPHER, sealed) == item


def test_the_reply_of_an_action_is_sealed_whole() -> None:
    made = entry(kind="action", collection="", record_id="", extra={"name": "clinic.call", "reply": {"phones": ["SECRET"]}, "seqs": [2]})
    sealed = SEALING.seal_entry(CIPHER, made)
    assert_hidden(sealed)
    assert (sealed.extra["name"], sealed.extra["seqs"]) == ("clinic.call", [2])
    assert SEALING.open_entry(CIPHER, sealed) == made
    moved = msgspec.structs.replace(sealed, mutation_id="other")
    with pytest.raises(StorageCorrupt):
        SEALING.open_entry(CIPHER, moved)


# -- bound to its place ----------------------------------------------------------------------------------------------------


def test_a_value_moved_to_another_record_or_field_does_not_open() -> None:
    sealed = SEALING.seal_fields(CIPHER, "patients", "r1", {"phone": "SECRET", "cost": "1.00"})
    with pytest.raises(StorageCorrupt):
        SEALING.open_fields(CIPHER, "patients", "r2", sealed)
    with pytest.raises(StorageCorrupt):
        SEALING.open_fields(CIPHER, "patients", "r1", {"phone": sealed["cost"], "cost": sealed["phone"]})


def test_an_op_cannot_be_put_to_another_place_inside_a_field() -> None:
    [first, second] = SEALING.seal_ops(CIPHER, "patients", "r1", [SetOp("/file/a", "SECRET"), SetOp("/file/b", "SECRET")])
    assert isinstance(first, SetOp) and isinstance(second, SetOp)
    with pytest.raises(StorageCorrupt):
        SEALING.open_ops(CIPHER, "patients", "r1", [SetOp(first.path, second.value)])


def test_a_value_that_looks_sealed_is_sealed_like_any_other() -> None:
    """Else whoever sends one could plant what the server would open, or fail to."""
    planted = {"file": {"$sealed": "v1.1.AAAA"}}
    sealed = SEALING.seal_fields(CIPHER, "patients", "r1", planted)
    assert SEALING.open_fields(CIPHER, "patients", "r1", sealed) == planted
    path = [SetOp("/file/$sealed.v1.1.AAAA", 1)]
    assert SEALING.open_ops(CIPHER, "patients", "r1", SEALING.seal_ops(CIPHER, "patients", "r1", list(path))) == path


# -- declarations that change ----------------------------------------------------------------------------------------------


def test_under_an_older_contract_a_field_is_found_by_its_old_name() -> None:
    assert sensitive_names(SCHEMA.collections["patients"], 1) == {"telephone", "cost", "file"}
    made = entry(contract=1, ops=[SetOp("/telephone", "SECRET")], undo=[UnsetOp("/telephone")])
    sealed = SEALING.seal_entry(CIPHER, made)
    assert_hidden(sealed)
    assert SEALING.open_entry(CIPHER, sealed) == made


def test_a_row_that_was_renamed_opens_what_was_sealed_under_the_old_name() -> None:
    then = SEALING.seal_row(CIPHER, Row(collection="patients", id="r1", fields={"telephone": "SECRET", "fax": "1"}, contract=1))
    now = SEALING.open_row(CIPHER, upcast_row(then, SCHEMA.collections["patients"]))
    assert (now.contract, now.fields["phone"]) == (2, "SECRET")
    assert older_names(SCHEMA.collections["patients"]) == {"phone": ("telephone",)}


def test_what_was_stored_before_a_field_became_sensitive_is_passed_as_it_is() -> None:
    assert SEALING.open_fields(CIPHER, "patients", "r1", {"phone": "555", "name": "Ann"}) == {"phone": "555", "name": "Ann"}


def test_what_is_not_sensitive_is_returned_as_it_came() -> None:
    row, made = Row(collection="plains", id="r", fields={"name": "Ann"}), [SetOp("/name", "x")]
    assert SEALING.seal_row(CIPHER, row) is row and SEALING.open_row(CIPHER, row) is row
    assert SEALING.seal_ops(CIPHER, "plains", "r", made) is made
    plain = entry(collection="plains", contract=1)
    assert SEALING.seal_entry(CIPHER, plain) is plain


def test_a_schema_without_sensitive_fields_needs_no_cipher() -> None:
    assert SEALING.needed
    lone: Schema = compile_schema([Plain])
    made = entry(kind="action", collection="", extra={"reply": {"a": 1}})
    assert not Sealing(lone).needed
    assert Sealing(lone).seal_entry(CIPHER, made) is made
