"""What is hashed is canonical JSON, also where it is written without being looked at again. Defends P1 (kept): whoever checks the chain
later, in whatever language, must come to the same bytes."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import digest
from holdfast.core.entry import Entry, Mutation, Request
from holdfast.core.ops import Op, SetOp, SpliceOp, UnsetOp
from holdfast.core.values import canonical

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=16)
VALUES = st.one_of(WORDS, st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.none(), FLOATS,
                   st.dictionaries(WORDS, st.integers(0, 9), max_size=3))
OPS: st.SearchStrategy[list[Op]] = st.lists(st.one_of(
    st.builds(SetOp, st.just("/title"), VALUES), st.builds(UnsetOp, st.just("/title")),
    st.builds(SpliceOp, st.just("/body"), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), WORDS), max_size=2))), max_size=3)


def plain(op: Op) -> dict[str, Any]:
    """The op as a JSON value, by hand."""
    if isinstance(op, SpliceOp):
        return {"op": "splice", "path": op.path, "edits": [list(edit) for edit in op.edits]}
    return {"op": "set", "path": op.path, "value": op.value} if isinstance(op, SetOp) else {"op": "unset", "path": "/title"}


@given(ops=OPS, undo=OPS)
def test_a_payload_is_canonical_json_of_what_can_be_erased(ops: list[Op], undo: list[Op]) -> None:
    entry = Entry(tenant_id="t", seq=1, committed_at=1, stamp=1, actor_id="a", device_id="d", mutation_id="m", ops=ops, undo=undo,
                  request=Request("127.0.0.1", "x"))
    wanted: dict[str, Any] = {"request": {"address": "127.0.0.1", "agent": "x"}}
    if ops:
        wanted["ops"] = [plain(op) for op in ops]
    if undo:
        wanted["undo"] = [plain(op) for op in undo]
    assert digest.payload(entry) == canonical(wanted)


@given(ops=OPS)
def test_the_hash_of_what_was_sent_is_over_its_canonical_json(ops: list[Op]) -> None:
    mutation = Mutation(mutation_id="m", collection="c", record_id="r", ops=ops)
    said = canonical({"collection": "c", "mutation_id": "m", "record_id": "r", "ops": [plain(op) for op in ops]})
    assert digest.sent_hash(b"0" * 16, mutation) == hashlib.sha256(b"holdfast sent 1\n" + b"0" * 16 + said).hexdigest()
