"""The cases that define merging (vectors/decide.json), each of which a simpler rule got wrong. Defends P2 (once), P3 (never dropped)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.core.admission import Duplicate, Refused
from tests.core.ledger import Ledger, collection_from, mutation_from
from tests.core.vector_files import VECTORS, cases

COLLECTION = collection_from(json.loads((VECTORS / "decide.json").read_text())["collection"])


def outcome_of(result: Any) -> str:
    if result is None:
        return "none"
    return "duplicate" if isinstance(result, Duplicate) else "refused" if isinstance(result, Refused) else str(result.outcome)


def run_step(ledger: Ledger, step: dict[str, Any]) -> Any:
    if "rights" in step:
        (ledger.unwriting.discard if step["rights"]["write"] else ledger.unwriting.add)(step["rights"]["actor"])
        return None
    if "push" in step:
        sent = step["push"]
        return ledger.push(sent["device"], mutation_from(sent, COLLECTION.name), base=sent["base"], at=sent["at"],
                           same_history=not sent.get("other_history", False))
    if "undo" in step:
        return ledger.undo(step["undo"]["device"], seq=step["undo"].get("seq"))
    if "redo" in step:
        return ledger.undo(step["redo"]["device"], redo=True)
    return ledger.resolve(step["resolve"]["device"], step["resolve"]["how"], step["resolve"].get("values"))


def compare(ledger: Ledger, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "deleted":
            assert ledger.row is not None and ledger.row.deleted is value
        elif name == "inbox":
            compare_inbox(ledger, value)
        else:
            assert ledger.row is not None and ledger.row.fields[name] == value, name


def compare_inbox(ledger: Ledger, expected: list[dict[str, Any]]) -> None:
    assert len(ledger.items) == len(expected)
    for wanted in expected:
        item = ledger.items[wanted["device"]]
        for path, mine in wanted.get("mine", {}).items():
            assert [part.mine for part in item.parts if part.path == path] == [mine]
        if "reason" in wanted:
            assert {part.reason for part in item.parts} == {wanted["reason"]}


@pytest.mark.parametrize("case", cases("decide.json", "cases"))
def test_vector(case: dict[str, Any]) -> None:
    ledger = Ledger(COLLECTION)
    for step in case["steps"]:
        result = run_step(ledger, step)
        if "rights" in step:
            continue
        assert step["expect"] in ("*", outcome_of(result)), (step, result)
        if "code" in step.get("push", {}):
            assert isinstance(result, Refused) and result.problem.code == step["push"]["code"]
        compare(ledger, step.get("then", {}))
    compare(ledger, case.get("final") or {})
    if ledger.row is not None:
        assert ledger.replayed() == ledger.row.fields
