"""What is stored in few bytes comes back exactly, whatever it was (P3 Never dropped), and the digest chain over it holds.

Hypothesis prints the smallest failing case and how to repeat it.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core import digest, text
from holdfast.core.entry import Entry, ForkedFrom, Request, Unapplied
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.storage.columns import from_minor, to_minor
from holdfast.storage.compact import hex_text, packed_hex, packed_id, split_id, unpacked_id, unsplit_id
from holdfast.storage.conditions import prefix_end
from holdfast.storage.entry_codec import KINDS, OUTCOMES, Names, decode_entry, encode_entry
from holdfast.storage.erasure import erased
from holdfast.storage.op_codec import decode_ops, decode_undo, encode_ops, encode_undo

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6)
paths = st.sampled_from(["/notes", "/views", "/details/a~1b", "/x", "/notes/0"])
edits = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5), words), max_size=4)
ops = st.one_of(
    st.builds(SetOp, paths, json_values, st.booleans()), st.builds(UnsetOp, paths, st.booleans(), st.booleans()),
    st.builds(SpliceOp, paths, edits), st.builds(AddOp, paths, st.integers(-(2**53), 2**53)),
    st.builds(IncludeOp, paths, st.lists(words, max_size=3)), st.builds(ExcludeOp, paths, st.lists(words, max_size=3)),
    st.builds(CreateOp, st.dictionaries(words, json_values, max_size=3)), st.builds(DeleteOp), st.builds(UndeleteOp))
op_lists = st.lists(ops, max_size=4)
uuids = st.uuids().map(str)
ids = uuids | st.from_regex(r"[A-Za-z0-9_.:\-]{1,64}", fullmatch=True) | uuids.map(str.upper) | uuids.map(lambda one: one.replace("-", ":"))
stamps = st.integers(0, 2**63 - 1)
seqs = st.integers(1, 2**40)
unapplied = st.builds(
    Unapplied, reason=st.sampled_from(["superseded", "conflict", "missing_ref", "atomic"]), op=st.none() | ops, path=st.none() | paths,
    waits=st.booleans(), mine=json_values, theirs=json_values, base_value=json_values, message=words,
    ref=st.none() | st.tuples(words, uuids), seq=st.integers(0, 99), held_by=st.integers(0, 99))
entries = st.builds(
    Entry, tenant_id=st.just("acme"), seq=seqs, committed_at=st.integers(0, 2**46), stamp=stamps, actor_id=ids, device_id=ids,
    mutation_id=ids, kind=st.sampled_from(KINDS), collection=st.sampled_from(["", "tasks"]), record_id=st.just("") | uuids,
    contract=st.integers(1, 99), outcome=st.sampled_from(OUTCOMES), edited_at=st.none() | stamps, top=st.just(0) | stamps,
    on_behalf_of=st.none() | ids, after=st.none() | ids, base=st.none() | st.integers(0, 2**40), sent=st.none() | op_lists,
    sent_hash=st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex) | words, ops=op_lists, undo=op_lists,
    unapplied=st.lists(unapplied, max_size=2), atomic=st.booleans(), forked_from=st.none() | st.builds(ForkedFrom, ids, ids),
    reverts=st.none() | seqs, resolves=st.lists(seqs, max_size=3), extra=st.dictionaries(words, json_values, max_size=3),
    request=st.builds(Request, words, words), digest=st.binary(min_size=32, max_size=32).map(bytes.hex))


class NumberBook:
    """Numbers for texts, as `numbering` gives them."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self.requests: dict[int, Request] = {}

    def number(self, label: str) -> int:
        self.texts.append(label)
        return len(self.texts) - 1

    def names(self, entry: Entry) -> Names:
        request_no = None
        if entry.request != Request():
            request_no = self.number("request")
            self.requests[request_no] = entry.request
        behalf_no = None if entry.on_behalf_of is None else self.number(entry.on_behalf_of)
        return Names(1, 7, self.number(entry.device_id), self.number(entry.actor_id), request_no, behalf_no)


def there_and_back(entry: Entry, salt: bytes | None = b"s" * 16, after_seq: int | None = None) -> Entry:
    book = NumberBook()
    row = encode_entry(entry, book.names(entry), salt, after_seq)
    return decode_entry(row, tenant_id=entry.tenant_id, key=(entry.collection, entry.record_id), label=lambda number: book.texts[number],
                        requests=book.requests, after=entry.after)


@settings(max_examples=300)
@given(entries)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    found = there_and_back(entry)
    assert found == entry
    assert digest.payload(found) == digest.payload(entry) and digest.header(found) == digest.header(entry)


@given(entries)
def test_an_erased_entry_keeps_its_header_and_loses_its_payload(entry: Entry) -> None:
    gone = erased(entry)
    assert digest.header(gone) == digest.header(entry)
    assert digest.payload(gone) == b"{}"
    assert there_and_back(gone, salt=None) == gone


@given(op_lists)
def test_ops_come_back_as_they_were(some: list[Op]) -> None:
    assert decode_ops(_stored(encode_ops(some))) == some


@given(op_lists, op_lists)
def test_any_inverse_comes_back_beside_any_ops(some: list[Op], undo: list[Op]) -> None:
    assert decode_undo(_stored(encode_undo(undo, some)), some) == undo


@given(words.map(lambda word: word * 9), st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9), words), max_size=4))
def test_the_inverse_of_a_splice_is_kept_as_the_texts_it_deleted(before: str, wanted: list[tuple[int, int, str]]) -> None:
    fitting, length = [], len(before)
    for at, deleted, inserted in wanted:
        at = min(at, length)
        deleted = min(deleted, length - at)
        length += len(inserted) - deleted
        fitting.append((at, deleted, inserted))
    change = text.from_edits(fitting)
    op = SpliceOp("/notes", text.to_edits(change))
    inverse = SpliceOp("/notes", text.to_edits(text.invert(before, change)))
    kept = encode_undo([inverse], [op])
    assert decode_undo(_stored(kept), [op]) == [inverse]
    removed = [edit[2] for edit in inverse.edits if edit[2]]
    assert kept == ([[9, *removed]] if removed else None), "it follows from the op but for what was deleted"


@pytest.mark.parametrize(("op", "inverse"), [
    (SpliceOp("/notes", [(3, 0, "abc")]), SpliceOp("/notes", [(3, 3, "")])), (AddOp("/views", 2), AddOp("/views", -2)),
    (CreateOp({"a": 1}), DeleteOp()), (DeleteOp(), UndeleteOp()), (UndeleteOp(), DeleteOp())])
def test_what_follows_is_not_stored(op: Op, inverse: Op) -> None:
    assert encode_undo([inverse], [op]) is None
    assert decode_undo(None, [op]) == [inverse]


def test_a_typical_save_takes_few_bytes() -> None:
    typed = "a typical save of this many characters"
    entry = Entry(tenant_id="acme", seq=1, committed_at=1, stamp=1, actor_id="a", device_id="d", mutation_id="m",
                  ops=[SpliceOp("/notes", [(1000, 0, typed)])], undo=[SpliceOp("/notes", [(1000, len(typed), "")])])
    body = encode_entry(entry, Names(1, 1, 1, 1, None, None), b"s" * 16, None)[-2]
    assert len(body) <= len(typed) + 20


@given(ids)
def test_an_id_comes_back_as_it_was(one: str) -> None:
    assert unpacked_id(packed_id(one)) == one
    assert unsplit_id(*split_id(one)) == one
    key, _ = split_id(one)
    assert -(2**63) <= key < 2**63


@given(uuids)
def test_a_uuid_takes_sixteen_bytes(one: str) -> None:
    assert len(packed_id(one)) == 16 and isinstance(packed_id(one.upper()), str | bytes)
    assert packed_id(one.upper()) == one.upper() or one.upper() == one


@pytest.mark.parametrize("one", ["0190aaaa-bbbb-7ccc-8ddd-eeeeffff00 0", "0190aaaa-bbbb-7ccc-8ddd eeeeffff0000", "-" * 36,
                                 "0190aaaabbbb-7ccc-8ddd-eeeeffff-0000", "0190AAAA-bbbb-7ccc-8ddd-eeeeffff0000"])
def test_what_only_looks_like_a_uuid_stays_text(one: str) -> None:
    assert packed_id(one) == one


def test_ids_of_one_device_lie_in_their_order_in_time() -> None:
    """So that new ones touch one page of the index."""
    made = [f"0190{number:04x}-0000-7000-8000-{random.Random(number).randbytes(6).hex()}" for number in range(300)]
    keys = [split_id(one)[0] for one in made]
    assert keys == sorted(keys)


@given(words | st.binary(max_size=40).map(bytes.hex))
def test_hex_comes_back_as_it_was(one: str) -> None:
    assert hex_text(packed_hex(one)) == one


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_an_amount_comes_back_as_it_was(minor: int, scale: int) -> None:
    assert to_minor(from_minor(minor, scale), scale) == minor


@given(words, words)
def test_a_prefix_ends_where_other_texts_begin(prefix: str, other: str) -> None:
    end = prefix_end(prefix)
    inside = other >= prefix and (end is None or other < end)
    assert inside == other.startswith(prefix)
    encoded = other.encode() >= prefix.encode() and (end is None or other.encode() < end.encode())
    assert encoded == inside, "bytes of UTF-8 are ordered as code points"


def _stored(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
