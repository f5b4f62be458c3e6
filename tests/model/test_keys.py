"""Keys: wrapped, versioned, rotated, never shown; without the right master key nothing opens. Promise 4."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import StorageCorrupt, UnsafeSettings
from holdfast.model.cipher import Cipher, TenantKeys, is_sealed
from holdfast.model.keys import MasterKeys, new_master_key, new_tenant_keys, rewrap, rotate_tenant_keys, unwrap
from holdfast.runtime import RealRuntime

random_bytes = RealRuntime().random_bytes

OLD, NEW = new_master_key(random_bytes), new_master_key(random_bytes)
MASTERS = MasterKeys.parse(OLD)


def cipher(keys: TenantKeys) -> Cipher:
    return Cipher(keys, random_bytes)


def tenant(name: str = "acme") -> tuple[str, Cipher]:
    wrapped = new_tenant_keys(name, MASTERS, random_bytes)
    return wrapped, cipher(unwrap(wrapped, name, MASTERS))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3),
)

PLACE = ("patients", "r1", "/phone")


@given(values)
def test_what_is_sealed_opens_as_it_was(value: Any) -> None:
    _, box = tenant()
    sealed = box.seal(value, *PLACE)
    assert is_sealed(sealed)
    assert box.open(sealed, *PLACE) == value


def test_a_sealed_value_names_form_and_key_and_nothing_else() -> None:
    _, box = tenant()
    form, version, text = box.seal("SECRET", *PLACE)["$sealed"].split(".")
    assert (form, version) == ("v1", "1")
    assert "SECRET" not in text


def test_one_value_is_sealed_differently_each_time() -> None:
    _, box = tenant()
    assert len({box.seal("same", *PLACE)["$sealed"] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "place", [("patients", "r1", "/fax"), ("patients", "r2", "/phone"), ("doctors", "r1", "/phone"), ("patients", "r1", "/phone/0")]
)
def test_a_value_moved_to_another_place_does_not_open(place: tuple[str, str, str]) -> None:
    _, box = tenant()
    with pytest.raises(StorageCorrupt):
        box.open(box.seal("SECRET", *PLACE), *place)


def test_a_value_of_another_tenant_does_not_open_even_under_its_own_key() -> None:
    key = random_bytes(32)
    acme, globex = cipher(TenantKeys("acme", {1: key})), cipher(TenantKeys("globex", {1: key}))
    with pytest.raises(StorageCorrupt):
        globex.open(acme.seal("SECRET", *PLACE), *PLACE)


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_value_that_was_altered_anywhere_does_not_open(at: int, bit: int) -> None:
    _, box = tenant()
    text = bytearray(box.seal("SECRET", *PLACE)["$sealed"], "ascii")
    text[at % len(text)] ^= 1 << bit
    altered = text.decode("latin-1")
    with pytest.raises(StorageCorrupt) as caught:
        box.open({"$sealed": altered}, *PLACE)
    assert "SECRET" not in f"{caught.value!r}{caught.value}"


@pytest.mark.parametrize("text", ["", "v1", "v1.1", "v1.1.", "v1.1.AA==", "v2.1.AAAA", "v1.9.AAAA", "v1.x.AAAA", "v1.1.AAAA.A", "v1.-1.A"])
def test_what_is_no_sealed_value_does_not_open(text: str) -> None:
    _, box = tenant()
    with pytest.raises(StorageCorrupt):
        box.open({"$sealed": text}, *PLACE)


# -- rotation --------------------------------------------------------------------------------------------------------------


def test_after_a_tenants_rotation_old_values_open_and_new_ones_take_the_new_key() -> None:
    wrapped, before = tenant()
    old = before.seal("then", *PLACE)
    rotated = rotate_tenant_keys(wrapped, "acme", MASTERS, random_bytes)
    after = cipher(unwrap(rotated, "acme", MASTERS))
    new = after.seal("now", *PLACE)
    assert new["$sealed"].startswith("v1.2.")
    assert (after.open(old, *PLACE), after.open(new, *PLACE)) == ("then", "now")
    with pytest.raises(StorageCorrupt):
        before.open(new, *PLACE)


def test_the_version_of_a_value_cannot_be_changed() -> None:
    wrapped, before = tenant()
    keys = unwrap(wrapped, "acme", MASTERS)
    both = cipher(TenantKeys("acme", {1: keys.versions[1], 2: keys.versions[1]}))
    text = before.seal("SECRET", *PLACE)["$sealed"].replace("v1.1.", "v1.2.")
    with pytest.raises(StorageCorrupt):
        both.open({"$sealed": text}, *PLACE)


def test_a_master_key_rotates_tenant_by_tenant_without_touching_a_value() -> None:
    wrapped, box = tenant()
    sealed = box.seal("kept", *PLACE)
    during = MasterKeys.parse(f"{NEW}\n{OLD}")
    moved = rewrap(wrapped, "acme", during, random_bytes)
    assert cipher(unwrap(moved, "acme", MasterKeys.parse(NEW))).open(sealed, *PLACE) == "kept"
    assert cipher(unwrap(wrapped, "acme", during)).open(sealed, *PLACE) == "kept"
    with pytest.raises(UnsafeSettings, match="which is not here"):
        unwrap(moved, "acme", MASTERS)


def test_a_wrapped_key_keeps_all_its_versions_through_a_rewrap() -> None:
    wrapped, _ = tenant()
    for _ in range(3):
        wrapped = rotate_tenant_keys(wrapped, "acme", MASTERS, random_bytes)
    moved = rewrap(wrapped, "acme", MasterKeys.parse(f"{NEW} {OLD}"), random_bytes)
    assert unwrap(moved, "acme", MasterKeys.parse(NEW)).versions == unwrap(wrapped, "acme", MASTERS).versions
    assert sorted(unwrap(moved, "acme", MasterKeys.parse(NEW)).versions) == [1, 2, 3, 4]


# -- wrapped keys ----------------------------------------------------------------------------------------------------------


def test_a_wrapped_key_belongs_to_its_tenant() -> None:
    wrapped, _ = tenant("acme")
    with pytest.raises(StorageCorrupt, match="of tenant globex, version 1, does not open"):
        unwrap(wrapped, "globex", MASTERS)


def test_the_versions_of_a_wrapped_key_cannot_be_exchanged() -> None:
    wrapped = rotate_tenant_keys(tenant()[0], "acme", MASTERS, random_bytes)
    document = json.loads(wrapped)
    document["keys"]["1"], document["keys"]["2"] = document["keys"]["2"], document["keys"]["1"]
    with pytest.raises(StorageCorrupt):
        unwrap(json.dumps(document), "acme", MASTERS)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "null", "[]", '{"v":2,"keys":{"1":"a.b"}}', '{"v":1,"keys":{}}', '{"v":1,"keys":{"x":"a.b"}}', '{"v":1,"keys":{"1":"ab"}}'],
)
def test_a_damaged_wrapped_key_is_said_to_be_damaged(text: str) -> None:
    with pytest.raises(StorageCorrupt, match="stored data key of tenant acme"):
        unwrap(text, "acme", MASTERS)


def test_a_wrapped_key_does_not_hold_the_key_in_plain() -> None:
    wrapped, _ = tenant()
    key = unwrap(wrapped, "acme", MASTERS).versions[1]
    assert key.hex() not in wrapped and str(key) not in wrapped


def test_no_key_shows_in_a_repr() -> None:
    keys = unwrap(tenant()[0], "acme", MASTERS)
    shown = repr(MASTERS) + repr(keys) + repr(cipher(keys)) + str(keys)
    assert OLD[5:] not in shown
    assert "versions" not in shown and "secrets" not in shown


# -- master keys -----------------------------------------------------------------------------------------------------------


def test_several_master_keys_are_read_newest_first_with_comments() -> None:
    both = MasterKeys.parse(f"# since 2026\n{NEW}\n\n  # before\n{OLD}\n")
    assert both.ids == (*MasterKeys.parse(NEW).ids, *MasterKeys.parse(OLD).ids)


@pytest.mark.parametrize(
    "text", ["", "# only a comment", "hfmk_", "hfmk_short", OLD[5:], OLD + "x", "password", f"{OLD} secret", "hfmk_" + "ä" * 43],
    ids=["empty", "a comment", "a prefix", "too short", "no prefix", "too long", "a password", "two words", "no ASCII"],
)
def test_what_is_no_master_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(UnsafeSettings) as caught:
        MasterKeys.parse(text, source="the key file")
    assert "the key file" in caught.value.detail
    assert not text or text not in str(caught.value) or text in ("hfmk_", "# only a comment")


def reads(text: str) -> Callable[[str], str]:
    return lambda path: text


def test_the_environment_gives_the_key_or_the_file_that_holds_it() -> None:
    expected = MasterKeys.parse(OLD).ids
    by_value, by_file = {"HOLDFAST_MASTER_KEY": OLD}, {"HOLDFAST_MASTER_KEY_FILE": "key"}
    assert [keys.ids for env in (by_value, by_file) if (keys := MasterKeys.from_environment(env, reads(OLD)))] == [expected, expected]
    assert MasterKeys.from_environment({}, reads(OLD)) is None


def test_two_sources_of_the_key_are_one_too_many() -> None:
    with pytest.raises(UnsafeSettings, match="are both set"):
        MasterKeys.from_environment({"HOLDFAST_MASTER_KEY": OLD, "HOLDFAST_MASTER_KEY_FILE": "key"}, reads(OLD))


def test_a_key_file_that_cannot_be_read_is_said() -> None:
    def fails(path: str) -> str:
        raise PermissionError(path)

    with pytest.raises(UnsafeSettings, match=r"HOLDFAST_MASTER_KEY_FILE names cannot be read \(PermissionError\)"):
        MasterKeys.from_environment({"HOLDFAST_MASTER_KEY_FILE": "key"}, fails)
