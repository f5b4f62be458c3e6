"""A recorded editing trace, and the auto-saves that its keystrokes make.

A trace of one writer is `{startContent, endContent, txns: [{time, patches}]}`; one of several writers has `numAgents`, and per
transaction `agent` and `parents` (indexes of earlier transactions). Patches are `[position, deleted, "inserted"]`, one after another;
positions count Unicode code points of what that writer saw.

A save is what one device typed without a pause of `idle_ms` and within `longest_ms`. It also ends where the device took in what
others had written, and after a keystroke that another device took in: each device sees just what the recorded one saw.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["Edit", "Keystroke", "Save", "Trace", "join_edits", "load", "saves_of", "spread"]

Edit = tuple[int, int, str]


@dataclass(frozen=True)
class Keystroke:
    """One transaction of the trace. `seen` says, for each other device, the newest of its keystrokes in view (an index)."""

    device: int
    at_ms: int
    edits: tuple[Edit, ...]
    seen: dict[int, int]


@dataclass(frozen=True)
class Trace:
    name: str
    start: str
    end: str
    devices: int
    keystrokes: list[Keystroke]


@dataclass
class Save:
    """One auto-save: what `device` typed, as its `number`-th save. `needs` says which saves of others it had taken in by then."""

    device: int
    number: int
    edited_at_ms: int
    edits: list[Edit] = field(default_factory=list)
    needs: dict[int, int] = field(default_factory=dict)
    keystrokes: int = 0
    awaited: bool = False           # another device's save needs this one


def load(path: Path, *, keystroke_ms: int = 200, keystrokes_max: int | None = None) -> Trace:
    """Read a trace (`.json` or `.json.gz`). Transactions without a time follow the one before by `keystroke_ms`.

    `keystrokes_max` cuts a trace of one writer short, with an end of its own. Raises ValueError for what is no trace."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    recorded = json.loads(raw)
    if not isinstance(recorded, dict) or "txns" not in recorded or "endContent" not in recorded:
        raise ValueError(f"{path.name} is no editing trace: it has no txns or no endContent.")
    transactions, end, start = recorded["txns"], recorded["endContent"], recorded.get("startContent", "")
    concurrent = "numAgents" in recorded
    if keystrokes_max is not None and keystrokes_max < len(transactions):
        if concurrent:
            raise ValueError("Only a trace of one writer can be cut short: those of several end where their branches meet.")
        transactions = transactions[:keystrokes_max]
        end = _after(start, [edit for transaction in transactions for edit in transaction["patches"]])
    return Trace(path.name, start, end, recorded.get("numAgents", 1), list(_keystrokes(transactions, keystroke_ms)))


def _keystrokes(transactions: list[dict[str, Any]], keystroke_ms: int) -> Iterator[Keystroke]:
    known: list[dict[int, int]] = []                    # per transaction: the newest of each device in its past, itself included
    at_ms = 0
    for index, transaction in enumerate(transactions):
        device = transaction.get("agent", 0)
        newest: dict[int, int] = {}
        for parent in transaction.get("parents", [index - 1] if index else []):
            for other, place in known[parent].items():
                newest[other] = max(place, newest.get(other, -1))
        recorded = _milliseconds(transaction["time"]) if "time" in transaction else 0
        at_ms = recorded or at_ms + keystroke_ms
        edits = tuple((at, deleted, inserted) for at, deleted, inserted in transaction["patches"])
        yield Keystroke(device, at_ms, edits, {other: place for other, place in newest.items() if other != device})
        known.append({**newest, device: index})


def _milliseconds(time: str) -> int:
    """ISO 8601 to milliseconds since 1970; 0 where no time was recorded."""
    return int(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000)


def _after(text: str, edits: list[Edit]) -> str:
    for at, deleted, inserted in edits:
        text = text[:at] + inserted + text[at + deleted:]
    return text


def spread(trace: Trace, devices: int, *, keystrokes_mean: int, choice: random.Random) -> Trace:
    """The trace of one writer who changes between several devices: now and then the person goes on at another one, which has by
    then taken in everything."""
    if trace.devices > 1 or devices == 1:
        return trace
    moved: list[Keystroke] = []
    device, left, last = 0, choice.randint(1, 2 * keystrokes_mean), {}  # type: ignore[var-annotated]
    for index, stroke in enumerate(trace.keystrokes):
        if left == 0:
            device = choice.choice([other for other in range(devices) if other != device])
            left = choice.randint(1, 2 * keystrokes_mean)
        left -= 1
        moved.append(Keystroke(device, stroke.at_ms, stroke.edits, {other: place for other, place in last.items() if other != device}))
        last[device] = index
    return Trace(trace.name, trace.start, trace.end, devices, moved)


def saves_of(trace: Trace, *, idle_ms: int, longest_ms: int) -> list[list[Save]]:
    """The saves of each device, in order."""
    looked_at = {(other, place) for stroke in _intakes(trace) for other, place in stroke.seen.items()}
    lines: list[list[Save]] = [[] for _ in range(trace.devices)]
    save_of: dict[int, Save] = {}                       # keystroke -> the save that holds it
    started = [0] * trace.devices
    before: list[tuple[int, Keystroke] | None] = [None] * trace.devices
    for index, stroke in enumerate(trace.keystrokes):
        line, previous = lines[stroke.device], before[stroke.device]
        fresh = (previous is None or previous[1].seen != stroke.seen or (stroke.device, previous[0]) in looked_at
                 or stroke.at_ms - previous[1].at_ms >= idle_ms or stroke.at_ms - started[stroke.device] >= longest_ms)
        if fresh:
            needed = {other: save_of[place] for other, place in stroke.seen.items()}
            for save in needed.values():
                save.awaited = True
            line.append(Save(stroke.device, len(line), stroke.at_ms, needs={other: save.number for other, save in needed.items()}))
            started[stroke.device] = stroke.at_ms
        save = line[-1]
        save.edits.extend(stroke.edits)
        save.keystrokes += 1
        save.edited_at_ms = max(save.edited_at_ms, stroke.at_ms)
        save_of[index] = save
        before[stroke.device] = (index, stroke)
    for line in lines:
        for save in line:
            save.edits = join_edits(save.edits)
    return lines


def _intakes(trace: Trace) -> Iterator[Keystroke]:
    """The keystrokes before which a device took in something of another."""
    seen: dict[int, dict[int, int]] = {}
    for stroke in trace.keystrokes:
        if seen.get(stroke.device) != stroke.seen:
            yield stroke
        seen[stroke.device] = stroke.seen


def join_edits(edits: list[Edit]) -> list[Edit]:
    """The same change in fewer edits: typing on, taking back what was just typed, and deleting on become one edit each."""
    joined: list[Edit] = []
    for edit in edits:
        if joined and (together := _joined(joined[-1], edit)) is not None:
            joined[-1] = together
        else:
            joined.append(edit)
    return [edit for edit in joined if edit[1] or edit[2]]


def _joined(first: Edit, second: Edit) -> Edit | None:
    (at, deleted, inserted), (then, also_deleted, also_inserted) = first, second
    end = at + len(inserted)
    if at <= then and then + also_deleted <= end:                       # inside what was just inserted
        here = then - at
        return at, deleted, inserted[:here] + also_inserted + inserted[here + also_deleted:]
    if at <= then <= end:                                               # from inside it over its end: the rest was there before
        return at, deleted + then + also_deleted - end, inserted[:then - at] + also_inserted
    if then < at <= then + also_deleted and then + also_deleted <= end:  # from before it into it, as backspace does
        return then, deleted + at - then, also_inserted + inserted[then + also_deleted - at:]
    return None
