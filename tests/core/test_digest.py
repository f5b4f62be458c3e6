"""The hash chain of the log. Defends P3 (nothing is changed without a trace) and P2 (what is sent again is known again)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from holdfast.core import clock, digest, position
from holdfast.core.entry import Entry, ForkedFrom, Mutation, Request, Unapplied
from holdfast.core.errors import InvalidValue
from holdfast.core.ops import Op, SetOp, SpliceOp
from tests.core.json_values import kept_values
from tests.core.vector_files import cases

SALT = bytes(range(16))
PAYLOAD = {"extra", "ops", "request", "sent", "unapplied", "undo"}
FIRST = Entry(
    tenant_id="acme", seq=7, committed_at=1_800_000_000_000, stamp=clock.pack(1_800_000_000_000, 1), actor_id="ann", device_id="d1",
    mutation_id="m1", collection="pages", record_id="r1", ops=[SpliceOp("/notes", [(0, 0, "secret")])],
    undo=[SpliceOp("/notes", [(0, 6, "")])], request=Request("192.0.2.7", "Browser"), sent_hash="00" * 32, base=3, after="m0",
)

# Every member of an entry, changed.
OTHER: dict[str, Any] = {
    "tenant_id": "other", "seq": 8, "committed_at": 1, "stamp": 1, "actor_id": "bob", "device_id": "d2", "mutation_id": "m2",
    "kind": "undo", "collection": "other", "record_id": "r2", "contract": 2, "outcome": "merged",
    "edited_at": 0, "top": 5, "on_behalf_of": "bob", "after": None, "base": None, "sent": [],
    "sent_hash": "11" * 32, "ops": [], "undo": [], "unapplied": [Unapplied(reason="conflict")],
    "atomic": True, "forked_from": ForkedFrom("d0", "m"), "reverts": 0, "resolves": [1], "extra": {"rev": 1}, "request": Request(),
}


def sealed(entry: Entry, previous: str = digest.FIRST, salt: bytes = SALT) -> Entry:
    return digest.seal(entry, previous, salt, digest.payload(entry))


@pytest.mark.parametrize("case", cases("digest.json", "chain"))
def test_an_entry_bears_the_digest_that_its_content_has(case: Any) -> None:
    given_ = {**case["entry"]}
    for name in ("stamp", "edited_at", "top"):
        if name in given_:
            given_[name] = clock.parse(given_[name])
    entry = msgspec.convert(given_, Entry)
    salt = bytes.fromhex(case["salt"])
    payload = digest.payload(entry)
    assert payload.decode() == case["payload"]
    assert digest.header(entry).decode() == case["header"]
    assert digest.payload_digest(salt, payload).hex() == case["payload_digest"]
    with_digest = digest.seal(entry, case["previous"], salt, payload)
    assert with_digest.digest == case["digest"]
    assert position.render(with_digest.seq, with_digest.digest) == case["position"]


@pytest.mark.parametrize("case", cases("digest.json", "sent"))
def test_a_mutation_has_one_hash_however_it_is_spelt(case: Any) -> None:
    mutation = msgspec.convert(case["mutation"], Mutation)
    assert digest.sent_hash(bytes.fromhex(case["salt"]), mutation) == case["sent_hash"]


def test_the_chain_of_the_vectors_hangs_together() -> None:
    chain = [case.values[0] for case in cases("digest.json", "chain")]
    assert [case["previous"] for case in chain] == [digest.FIRST, *(case["digest"] for case in chain[:-1])]


def test_every_member_of_an_entry_is_either_payload_or_header() -> None:
    assert set(OTHER) == set(Entry.__struct_fields__) - {"digest", "erased"}


@pytest.mark.parametrize("name", sorted(OTHER))
def test_no_member_of_an_entry_can_be_changed_unseen(name: str) -> None:
    changed = msgspec.structs.replace(FIRST, **{name: OTHER[name]})
    assert sealed(changed).digest != sealed(FIRST).digest
    assert (digest.payload(changed) != digest.payload(FIRST)) is (name in PAYLOAD)
    assert (digest.header(changed) != digest.header(FIRST)) is (name not in PAYLOAD)


def test_the_one_before_and_the_salt_count() -> None:
    assert sealed(FIRST, previous="1" * 64).digest != sealed(FIRST).digest
    assert sealed(FIRST, salt=bytes(16)).digest != sealed(FIRST).digest


def test_the_chain_still_checks_when_payload_and_salt_are_erased() -> None:
    entry = sealed(FIRST)
    kept = digest.payload_digest(SALT, digest.payload(FIRST))
    erased = msgspec.structs.replace(entry, ops=[], undo=[], sent=None, unapplied=[], extra={}, request=Request(), erased=True)
    assert digest.chain(digest.FIRST, erased, kept) == entry.digest
    assert digest.chain(digest.FIRST, msgspec.structs.replace(erased, actor_id="bob"), kept) != entry.digest
    assert b"secret" not in msgspec.json.encode(erased)


def test_a_payload_digest_cannot_be_guessed_because_a_salt_is_never_short() -> None:
    assert digest.payload_digest(SALT, b"{}") != digest.payload_digest(bytes(16), b"{}")
    with pytest.raises(InvalidValue):
        digest.seal(FIRST, digest.FIRST, b"short", digest.payload(FIRST))


@given(kept_values)
def test_the_digest_survives_being_stored_and_read(value: Any) -> None:
    entry = msgspec.structs.replace(FIRST, ops=[SetOp("/j", value)], sent=[SetOp("/j", value)], extra={"value": value})
    again = msgspec.json.decode(msgspec.json.encode(entry), type=Entry)
    assert sealed(again).digest == sealed(entry).digest


@given(kept_values, kept_values)
def test_payload_and_header_never_flow_into_each_other(left: Any, right: Any) -> None:
    first = msgspec.structs.replace(FIRST, ops=[SetOp("/a", left)], undo=[SetOp("/a", right)])
    second = msgspec.structs.replace(FIRST, ops=[SetOp("/a", right)], undo=[SetOp("/a", left)])
    assert (sealed(first).digest == sealed(second).digest) is (digest.payload(first) == digest.payload(second))


def mutation(ops: list[Op], **more: Any) -> Mutation:
    return Mutation(mutation_id="m1", collection="pages", record_id="r1", ops=ops, **more)


def test_another_content_has_another_hash() -> None:
    first = digest.sent_hash(SALT, mutation([SetOp("/j", {"a": 1, "b": 2})]))
    assert digest.sent_hash(SALT, mutation([SetOp("/j", {"b": 2.0, "a": 1})])) == first
    assert digest.sent_hash(SALT, mutation([SetOp("/j", {"a": 1, "b": 3})])) != first
    assert digest.sent_hash(SALT, mutation([SetOp("/j", {"a": True, "b": 2})])) != first
    assert digest.sent_hash(SALT, mutation([SetOp("/j", {"a": 1, "b": 2})], after="m0")) != first
    assert digest.sent_hash(bytes(16), mutation([SetOp("/j", {"a": 1, "b": 2})])) != first


@pytest.mark.parametrize("value", [2**60, 2**70, 1e16, "\0", -1e300, [[[[[]]]]]])
def test_a_mutation_that_will_be_held_as_invalid_has_a_hash_too(value: Any) -> None:
    assert len(digest.sent_hash(SALT, mutation([SetOp("/j", value)]))) == 64


def test_a_keyed_salt_is_known_only_with_the_key() -> None:
    salts = {digest.keyed_salt(key, salt) for key in (b"k1" * 16, b"k2" * 16) for salt in (SALT, bytes(16))}
    assert len(salts) == 4 and all(len(salt) >= digest.SALT_BYTES_MIN for salt in salts)
    assert digest.keyed_salt(b"k1" * 16, SALT) in salts
