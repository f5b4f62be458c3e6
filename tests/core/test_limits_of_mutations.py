"""At the edge of each limit of a mutation that admission and decide keep. Defends P3: what is over a limit is not lost."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core.admission import Refused
from holdfast.core.entry import Entry, Mutation
from holdfast.core.limits import Limits
from holdfast.core.ops import CreateOp, IncludeOp, SetOp, SpliceOp
from tests.core.ledger import RECORD, Ledger, collection_from

PAGES = collection_from({"name": "pages", "fields": {
    "j": {"kind": "json", "default": {}}, "notes": {"kind": "text", "default": ""}, "tags": {"kind": "set", "default": []},
}})
LIMITS = Limits(mutation_ops_max=3, mutation_edits_max=4, text_code_points_max=40, json_bytes_max=30, json_depth_max=3, set_items_max=2)


def outcome(ops: list[Any]) -> str:
    ledger = Ledger(PAGES, limits=LIMITS)
    ledger.push("A", Mutation(mutation_id="a1", collection="pages", record_id=RECORD, ops=[CreateOp({})]), base=None, at=1)
    result = ledger.push("A", Mutation(mutation_id="a2", collection="pages", record_id=RECORD, ops=ops, after="a1"), base=1, at=2)
    if isinstance(result, Refused):
        return result.problem.code
    assert isinstance(result, Entry)
    return result.outcome


@pytest.mark.parametrize(("at_the_edge", "over_it", "becomes"), [
    pytest.param([SetOp("/j/a", 1)] * 3, [SetOp("/j/a", 1)] * 4, "limit", id="ops of a mutation"),
    pytest.param([SpliceOp("/notes", [(0, 0, "a")] * 4)], [SpliceOp("/notes", [(0, 0, "a")] * 5)], "limit", id="edits of a mutation"),
    pytest.param([SpliceOp("/notes", [(0, 0, "x" * 40)])], [SpliceOp("/notes", [(0, 0, "x" * 41)])], "held", id="length of a text"),
    pytest.param([SetOp("/j/a", "x" * 22)], [SetOp("/j/a", "x" * 23)], "held", id="bytes of a document, changed inside"),
    pytest.param([SetOp("/j", {"a": "x" * 22})], [SetOp("/j", {"a": "x" * 23})], "held", id="bytes of a document, set whole"),
    pytest.param([SetOp("/j", "x" * 28)], [SetOp("/j", "x" * 29)], "held", id="bytes of a string that is a document"),
    pytest.param([SetOp("/j/a/b/c", 1)], [SetOp("/j/a/b/c/d", 1)], "held", id="depth of a document, changed inside"),
    pytest.param([IncludeOp("/tags", ["a", "b"])], [IncludeOp("/tags", ["a", "b", "c"])], "held", id="items of a set"),
])
def test_what_is_at_the_limit_applies_and_what_is_over_it_does_not(at_the_edge: list[Any], over_it: list[Any], becomes: str) -> None:
    assert outcome(at_the_edge) == "applied"
    assert outcome(over_it) == becomes


def test_a_document_made_unfit_from_inside_is_held_by_itself_and_its_neighbours_apply() -> None:
    ledger = Ledger(PAGES, limits=LIMITS)
    ledger.push("A", Mutation(mutation_id="a1", collection="pages", record_id=RECORD, ops=[CreateOp({})]), base=None, at=1)
    ops: list[Any] = [SetOp("/j/a", "x" * 40), SpliceOp("/notes", [(0, 0, "ok")])]
    result = ledger.push("A", Mutation(mutation_id="a2", collection="pages", record_id=RECORD, ops=ops, after="a1"), base=1, at=2)
    assert isinstance(result, Entry)
    assert [part.path for part in result.unapplied if part.waits] == ["/j/a"]
    assert ledger.row is not None
    assert ledger.row.fields == {"j": {}, "notes": "ok", "tags": []}
