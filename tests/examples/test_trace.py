"""A recorded trace becomes auto-saves that say the same. Ground for the replay, which defends P1 (kept), P2 (once) and P3."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay.trace import Edit, Save, Trace, join_edits, load, saves_of, spread

from tests.tidy.source import PROJECT

DATA = PROJECT / "examples" / "data"


def after(text: str, edits: list[Edit]) -> str:
    for at, deleted, inserted in edits:
        text = text[:at] + inserted + text[at + deleted:]
    return text


@st.composite
def texts_with_edits(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    text = draw(st.text("abcä😀", max_size=12))
    length, edits = len(text), []
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, length))
        deleted = draw(st.integers(0, min(3, length - at)))
        inserted = draw(st.text("xyz", max_size=3))
        edits.append((at, deleted, inserted))
        length += len(inserted) - deleted
    return text, edits


@given(texts_with_edits())
def test_joined_edits_say_the_same(case: tuple[str, list[Edit]]) -> None:
    text, edits = case
    assert after(text, join_edits(edits)) == after(text, edits)


@pytest.mark.parametrize(("typed", "joined"), [
    ([(4, 0, "w"), (5, 0, "o"), (6, 0, "w")], [(4, 0, "wow")]),
    ([(4, 0, "w"), (5, 0, "x"), (5, 1, ""), (5, 0, "o")], [(4, 0, "wo")]),
    ([(9, 1, ""), (8, 1, ""), (7, 1, "")], [(7, 3, "")]),
    ([(4, 0, "a"), (4, 1, "")], []),
    ([(4, 0, "a"), (9, 0, "b")], [(4, 0, "a"), (9, 0, "b")]),
], ids=["typing on", "taking a letter back", "backspace", "nothing is left", "two places"])
def test_keystrokes_join_as_an_editor_would(typed: list[Edit], joined: list[Edit]) -> None:
    assert join_edits(typed) == joined


def trace_file(folder: Path, times: list[str]) -> Path:
    path = folder / "trace.json"
    transactions = [{"time": time, "patches": [[place, 0, "a"]]} for place, time in enumerate(times)]
    path.write_text(json.dumps({"startContent": "", "endContent": "a" * len(times), "txns": transactions}))
    return path


def sizes(saves: list[list[Save]]) -> list[int]:
    return [save.keystrokes for line in saves for save in line]


def test_a_pause_ends_a_save(tmp_path: Path) -> None:
    times = ["2024-01-01T10:00:00.000Z", "2024-01-01T10:00:01.999Z", "2024-01-01T10:00:03.999Z"]
    assert sizes(saves_of(load(trace_file(tmp_path, times)), idle_ms=2000, longest_ms=10000)) == [2, 1]


def test_a_save_spans_ten_seconds_at_most(tmp_path: Path) -> None:
    times = [f"2024-01-01T10:00:{second:02d}.000Z" for second in range(12)]
    assert sizes(saves_of(load(trace_file(tmp_path, times)), idle_ms=2000, longest_ms=10000)) == [10, 2]


def test_keystrokes_without_a_time_follow_each_other(tmp_path: Path) -> None:
    times = ["2024-01-01T10:00:00.000Z", "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"]
    loaded = load(trace_file(tmp_path, times), keystroke_ms=300)
    assert [stroke.at_ms - loaded.keystrokes[0].at_ms for stroke in loaded.keystrokes] == [0, 300, 600]


def test_what_is_no_trace_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="no editing trace"):
        load(path)


def test_the_excerpts_are_complete_traces_of_a_size_that_may_lie_in_the_project() -> None:
    for path in sorted(DATA.glob("*.json.gz")):
        assert path.stat().st_size <= 200_000
        recorded = json.loads(gzip.decompress(path.read_bytes()))
        if "numAgents" not in recorded:
            assert after("", [tuple(edit) for one in recorded["txns"] for edit in one["patches"]]) == recorded["endContent"]


def test_the_saves_of_one_writer_make_the_recorded_text() -> None:
    trace = load(DATA / "one-writer.json.gz")
    [line] = saves_of(trace, idle_ms=2000, longest_ms=10000)
    assert after(trace.start, [edit for save in line for edit in save.edits]) == trace.end
    assert sum(save.keystrokes for save in line) == 8000


def needs_are_met_in_order(lines: list[list[Save]]) -> bool:
    """Whether the devices can type everything without waiting for each other in a circle."""
    done = [0] * len(lines)
    moved = True
    while moved:
        moved = False
        for device, line in enumerate(lines):
            while done[device] < len(line) and all(done[other] > number for other, number in line[done[device]].needs.items()):
                done[device] += 1
                moved = True
    return done == [len(line) for line in lines]


def two_writers() -> Trace:
    return load(DATA / "two-writers.json.gz")


def moved_between_three() -> Trace:
    return spread(load(DATA / "one-writer.json.gz"), 3, keystrokes_mean=40, choice=random.Random(5))


@pytest.mark.parametrize("trace", [two_writers(), moved_between_three()], ids=["two writers", "one writer, three devices"])
def test_no_device_waits_for_ever(trace: Trace) -> None:
    lines = saves_of(trace, idle_ms=2000, longest_ms=10000)
    assert all(lines)
    assert needs_are_met_in_order(lines)
    assert sum(sizes(lines)) == len(trace.keystrokes)


@pytest.mark.parametrize("trace", [two_writers(), moved_between_three()], ids=["two writers", "one writer, three devices"])
def test_a_save_is_made_on_one_view_of_the_others(trace: Trace) -> None:
    """No keystroke of a save had seen more than its first one; no save that another device took in goes on after that."""
    lines = saves_of(trace, idle_ms=2000, longest_ms=10000)
    place = [0] * trace.devices
    left = [line[0].keystrokes for line in lines]
    view: dict[int, dict[int, int]] = {}
    for stroke in trace.keystrokes:
        device = stroke.device
        if left[device] == 0:
            place[device] += 1
            left[device] = lines[device][place[device]].keystrokes
            view.pop(device, None)
        assert view.setdefault(device, stroke.seen) == stroke.seen
        left[device] -= 1
