"""Real people's texts through the primitives alone: merges of two versions, and a session of two writers. Defends P3.

Tie: of two insertions at one place the lower device stands left. In the recorded merges the question never comes up: `ours` and
`theirs` never insert at one place, so each must come out whichever of the two is the lower device. In the recorded session it does
come up (not in its first 5,000 transactions, which the excerpt holds); its agents are numbered as devices are ordered, and the end
is exact in that order only.
"""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core import text
from holdfast.core.entry import TextChange
from tests.core.corpus import folder, text_merges, text_merges_expected, two_writers


def test_every_recorded_merge_comes_out_from_the_two_versions_alone() -> None:
    wrong: list[str] = []
    count = 0
    for merge in text_merges():
        count += 1
        ours = text.from_edits(text.diff(merge["base"], merge["ours"]))
        theirs = text.from_edits(text.diff(merge["base"], merge["theirs"]))
        for ours_first in (True, False):
            _, theirs_after = text.transform(ours, theirs, ours_first)
            if text.apply(merge["ours"], theirs_after) != merge["merged"]:
                wrong.append(f"txn {merge['txn']}, ours {'first' if ours_first else 'second'}")
    assert count == text_merges_expected()
    assert not wrong


class Writer:
    """One device: which of the others' entries are not in its context yet, each as it stands after the device's own later ones."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: list[tuple[int, int, TextChange]] = []

    def rebase(self, change: TextChange, base: int, *, lower_left: bool) -> TextChange:
        kept: list[tuple[int, int, TextChange]] = []
        for seq, other, theirs in self.waiting:
            if seq > base:
                theirs, change = text.transform(theirs, change, (other < self.number) is lower_left)
                kept.append((seq, other, theirs))
        self.waiting = kept
        return change


def replay(trace: dict[str, Any], *, lower_left: bool = True) -> str:
    """The text at the end, each transaction decided in the order of the trace."""
    writers = [Writer(number) for number in range(trace["numAgents"])]
    written = ""
    newest_seen: list[dict[int, int]] = []      # per transaction: the newest of each writer's in its past
    for seq, txn in enumerate(trace["txns"]):
        newest: dict[int, int] = {}
        for parent in txn["parents"]:
            for number, one in newest_seen[parent].items():
                newest[number] = max(newest.get(number, -1), one)
        writer = writers[txn["agent"]]
        base = max((one for number, one in newest.items() if number != writer.number), default=-1)
        change = text.from_edits([(at, deleted, inserted) for at, deleted, inserted in txn["patches"]])
        change = writer.rebase(change, base, lower_left=lower_left)
        written = text.apply(written, change)
        for other in writers:
            if other is not writer:
                other.waiting.append((seq, writer.number, change))
        newest[writer.number] = seq
        newest_seen.append(newest)
    return written


def test_the_session_of_two_writers_ends_exactly() -> None:
    trace = two_writers()
    assert replay(trace) == trace["endContent"]


def test_the_tie_rule_is_the_one_that_was_recorded() -> None:
    if folder() is None:
        pytest.skip("the excerpt of the session of two writers has no two insertions at one place")
    trace = two_writers()
    assert replay(trace, lower_left=False) != trace["endContent"]
