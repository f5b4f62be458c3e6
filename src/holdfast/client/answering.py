"""What the server's results do to the outbox, and which rows are sent next.

A result marks its row and moves neither base nor cursor nor view. Refusals are told apart by their code:

| code | what the device does |
|---|---|
| `out_of_order` | sends the record's line again from its first row; if it is the first, pulls; if that does not help, as `forked` |
| `rate` | lets the record wait for as long as it was told |
| `forked` | the outbox was copied: has everything answered that may have arrived, then takes a new id |
| any other | final: the row leaves the line, what stands behind it is made anew |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from holdfast.client.device import Device, with_changes
from holdfast.client.new_id import new_id_of
from holdfast.client.outbox import ACTIONS, Answer, Key, Made, OutboxRow, answer_of, mutation_of
from holdfast.client.replica_store import Line
from holdfast.core.entry import ForkedFrom
from holdfast.core.errors import WorldError
from holdfast.core.messages import Problem, Result
from holdfast.core.rebase import Step, without

__all__ = ["Lanes", "Outcome", "is_forking", "mark_sent", "refuse_row", "take_answers", "take_back", "take_new_id"]

_encode: Final = msgspec.json.Encoder().encode

ORDER_WAIT_SECONDS: Final = 1.0
ORDER_TRIES_MAX: Final = 3
DISK_WAIT_SECONDS: Final = 1.0


@dataclass(slots=True)
class Outcome:
    """What a reply asks for beyond marking rows."""

    must_pull: bool = False         # the server lacks what it acknowledged: perhaps another history
    held: bool = False
    refused: list[OutboxRow] = field(default_factory=list)
    acknowledged: int = 0
    forked: bool = False            # the outbox was copied: a new id is to be taken


@dataclass(slots=True)
class Lanes:
    """What this process knows of the lines while it sends: which of them wait, and until when (monotonic seconds)."""

    waits_until: dict[Key, float] = field(default_factory=dict)
    asked_at: dict[Key, float] = field(default_factory=dict)
    disordered: dict[Key, int] = field(default_factory=dict)    # how often in a row the server lacked what it once acknowledged

    def due(self, device: Device, *, now_ms: int, monotonic: float, hold_ms: int, hold_ms_max: int, mutations_max: int,
            bytes_max: int) -> tuple[list[OutboxRow], list[bytes]]:
        """The rows of the next push with their wire form: in order within a line, oldest first, as many as fit. A row that may still
        take in edits waits `hold_ms` after the last one, at most `hold_ms_max`; a line that waits stops nobody else."""
        forking = is_forking(device)
        rows: list[OutboxRow] = []
        bodies: list[bytes] = []
        size = 0
        stopped: set[Key] = set()
        for row in device.unanswered():
            key = row.key
            if key in stopped or key[0] == ACTIONS:
                continue
            is_held_back = row.state == "unsent" and (forking or not ripe(row, now_ms, hold_ms, hold_ms_max))
            if is_held_back or self.waits_until.get(key, 0.0) > monotonic or _is_known_refused(row):
                stopped.add(key)
                continue
            body = _encode(mutation_of(row))
            if rows and (size + len(body) > bytes_max or len(rows) >= mutations_max):
                break
            rows.append(row)
            bodies.append(body)
            size += len(body) + 1
        return rows, bodies

    def due_call(self, device: Device, monotonic: float) -> OutboxRow | None:
        """The first action call, once every edit that was made before it is answered or its line has to wait."""
        for row in device.unanswered():
            if row.collection == ACTIONS and self.waits_until.get(row.key, 0.0) <= monotonic:
                return row
            if row.collection != ACTIONS and self.waits_until.get(row.key, 0.0) <= monotonic and not _is_known_refused(row):
                return None
        return None

    def waits_again(self, key: Key, monotonic: float) -> bool:
        """Let the calls of an action wait, whose reading was overtaken again and again; False: that was tried often enough."""
        self.waits_until[key] = monotonic + ORDER_WAIT_SECONDS
        self.disordered[key] = self.disordered.get(key, 0) + 1
        return self.disordered[key] <= ORDER_TRIES_MAX

    def is_lost(self, device: Device, row: OutboxRow) -> bool:
        """Whether the server has said so often that it lacks what stands before the first row of a line that it will not find it."""
        if first_unanswered(device, row) is not row:
            return False
        self.disordered[row.key] = self.disordered.get(row.key, 0) + 1
        return self.disordered[row.key] > ORDER_TRIES_MAX

    def next_ripe_ms(self, device: Device, *, now_ms: int, monotonic: float, hold_ms: int, hold_ms_max: int) -> int | None:
        """In how many ms the next row becomes ripe that only time keeps from being sent; None: there is none."""
        if is_forking(device):
            return None                             # what waits then waits for an answer
        left = [max(0, min(row.made.changed_at + hold_ms, row.made.made_at + hold_ms_max) - now_ms)
                for key, lane in device.lanes.items() if key[0] != ACTIONS and self.waits_until.get(key, 0.0) <= monotonic
                for row in lane if row.state == "unsent"]
        return min(left, default=None)


def first_unanswered(device: Device, row: OutboxRow) -> OutboxRow | None:
    """Where the row's line stands."""
    return next((one for one in device.lanes.get(row.key, ()) if one.state != "acknowledged"), None)


def ripe(row: OutboxRow, now_ms: int, hold_ms: int, hold_ms_max: int) -> bool:
    """Whether an unsent row has waited long enough; a clock that was put back does not hold it."""
    idle, age = now_ms - row.made.changed_at, now_ms - row.made.made_at
    return idle >= hold_ms or age >= hold_ms_max or idle < 0 or row.row == 0


def _is_known_refused(row: OutboxRow) -> bool:
    return row.answer is not None and row.answer.error is not None


def is_forking(device: Device) -> bool:
    """Whether the device is to take a new id. A row that knows that it was refused says so too: a disk that failed in between may have kept
    the one and not the other."""
    return bool(device.meta.get("forking")) or any(_is_known_refused(row) for row in device.by_id.values())


def mark_sent(device: Device, rows: Sequence[OutboxRow]) -> bool:
    """Mark rows durably before they are sent for the first time: from here on their content never changes. False: another process did
    something to the outbox meanwhile, look again."""
    fresh = [row for row in rows if row.state == "unsent"]
    if not fresh:
        return True
    if any(row.row == 0 for row in fresh):
        device.raise_unless_written()
    known = {row.mutation_id: row.made for row in fresh}
    with device.file.writing("marking what is sent"):
        device.take_in_others()
        standing = [row for row in (device.by_id.get(one) for one in known) if row is not None]
        if len(standing) != len(fresh) or any(row.made != known[row.mutation_id] or row.state != "unsent" for row in standing):
            return False
        marked = [msgspec.structs.replace(row, state="sent", made=with_changes(row.made, device_id=device.device_id)) for row in standing]
        device.store.change(marked)
    for row, sent in zip(standing, marked, strict=True):
        row.state, row.made = "sent", sent.made
    return True


def take_answers(device: Device, results: Sequence[Result], lanes: Lanes, monotonic: float) -> Outcome:
    """Take in the results of a push. A disk that fails leaves them in memory, and says so (`Device.note_unsaved`)."""
    outcome = Outcome()
    now = device.runtime.now_ms()
    lines: list[tuple[Key, Line]] = []
    finals: list[tuple[OutboxRow, Problem]] = []
    replaced: list[tuple[OutboxRow, OutboxRow]] = []
    for result in results:
        row = device.by_id.get(result.mutation_id)
        if row is None or row.state not in ("sent", "unsent"):
            continue                                # it came back in a pull before, or this answer is an old one
        problem = result.error if result.outcome == "refused" else None
        if problem is not None and problem.code == "id_reused" and row.made.resent:
            if row.made.first is not None:
                replaced.append((row, _as_first_sent(row, row.made.first)))
                continue
            problem = None                          # the server has it after all, with what content is not known here
        if result.outcome == "refused" and problem is not None:
            _sort_refusal(device, row, problem, lanes, monotonic, outcome, finals, replaced, now)
            continue
        after = msgspec.structs.replace(row, state="acknowledged", answer=answer_of(result, now))
        if result.outcome == "refused":
            after.answer = Answer(outcome="applied", receipt="committed", at=now, seq=0)
        replaced.append((row, after))
        outcome.acknowledged += 1
        outcome.held |= result.receipt == "held"
        if result.seq:
            lines.append((row.key, Line(row.mutation_id, row.made.device_id or device.device_id, result.seq)))
    meta = _meta_after(outcome, now)
    failure = _kept_answers(device, [after for _, after in replaced], lines, meta)
    device.meta.update(meta)
    for row, after in replaced:
        row.state, row.made, row.answer = after.state, after.made, after.answer
        if after.state == "acknowledged":
            lanes.waits_until.pop(row.key, None)
            lanes.disordered.pop(row.key, None)
    if failure is not None:
        device.note_unsaved(failure, [row for row, _ in replaced], lines)
    for row, problem in finals:
        _refuse(device, row, problem, lanes, monotonic, outcome)
    device.tell({row.key for row, _ in replaced} | {row.key for row, _ in finals})
    return outcome


def _as_first_sent(row: OutboxRow, first: Made) -> OutboxRow:
    """The server had it after all, with the content of the first time: sent as that, it is answered with what became of it, and where."""
    return msgspec.structs.replace(row, state="sent", made=with_changes(first, resent=True), answer=None)


def _meta_after(outcome: Outcome, now: int) -> dict[str, Any]:
    meta: dict[str, Any] = {"synced_at": now} if outcome.acknowledged else {}
    if outcome.held:
        meta["inbox_stale"] = True
    if outcome.forked:
        meta["forking"] = True
    return meta


def _kept_answers(device: Device, rows: Sequence[OutboxRow], lines: Sequence[tuple[Key, Line]], meta: dict[str, Any]) -> WorldError | None:
    """Write them; why that could not be done."""
    try:
        with device.file.writing("keeping the server's answers"):
            device.store.change([row for row in rows if row.row])
            device.store.put_lines(lines)
            device.store.put_meta(meta)
    except WorldError as error:
        return error
    return None


def _refuse(device: Device, row: OutboxRow, problem: Problem, lanes: Lanes, monotonic: float, outcome: Outcome) -> None:
    """A refusal that the disk cannot take down is as if it had not been heard: the row is sent again later, and refused again."""
    try:
        refuse_row(device, row, problem)
    except WorldError as error:
        device.failure = error
        lanes.waits_until[row.key] = monotonic + DISK_WAIT_SECONDS
        return
    outcome.refused.append(row)


def _sort_refusal(device: Device, row: OutboxRow, problem: Problem, lanes: Lanes, monotonic: float, outcome: Outcome,
                  finals: list[tuple[OutboxRow, Problem]], replaced: list[tuple[OutboxRow, OutboxRow]], now: int) -> None:
    if problem.code == "rate":
        lanes.waits_until[row.key] = monotonic + (problem.retry_after or 1)
    elif problem.code == "out_of_order" and not lanes.is_lost(device, row):
        if first_unanswered(device, row) is row:
            outcome.must_pull = True
            lanes.waits_until[row.key] = monotonic + ORDER_WAIT_SECONDS
    elif problem.code in ("forked", "out_of_order"):
        answer = Answer(outcome="refused", receipt="refused", error=problem, at=now)
        replaced.append((row, msgspec.structs.replace(row, answer=answer)))
        outcome.forked = True
    else:
        finals.append((row, problem))


def take_back(device: Device, rows: Sequence[OutboxRow]) -> None:
    """The server has lost what it acknowledged (it was put back to an older state, of which this device had pulled no more): these rows are
    sent again as they are."""
    gone = [msgspec.structs.replace(row, state="sent", answer=None) for row in rows]
    with device.file.writing("taking acknowledgements back"):
        device.store.change([row for row in gone if row.row])
        for key in {row.key for row in rows}:
            first = next(row for row in device.lanes[key] if row in rows)
            after = first.made.after
            device.store.set_line(key, None if after is None else Line(after, first.made.device_id or device.device_id, 0))
    for row in rows:
        row.state, row.answer = "sent", None
    device.tell({row.key for row in rows})


def refuse_row(device: Device, row: OutboxRow, problem: Problem) -> None:
    """A final refusal: the row leaves its line, and what stands behind it is made anew, as if it had never been. None of that can be at
    the server: each names the one before it, and this one is not there."""
    lane = device.lanes.get(row.key, [])
    if row.collection == ACTIONS:
        behind: list[OutboxRow] = []
    else:
        at = next((i for i, one in enumerate(lane) if one.mutation_id == row.mutation_id), None)
        behind = [] if at is None else lane[at + 1:]
    answer = Answer(outcome="refused", receipt="refused", error=problem, at=device.runtime.now_ms())
    refused = msgspec.structs.replace(row, state="refused", answer=answer)
    anew = _made_anew(device, row, behind) if behind else []
    with device.file.writing("keeping a refusal"):
        device.store.change([one for one in [refused, *anew] if one.row])
    device.refused.append(refused)
    device.settle([row])
    if refused.row == 0:
        device.unwritten.append(refused)
    for old, new in zip(behind, anew, strict=True):
        device.by_id.pop(old.mutation_id, None)
        old.mutation_id, old.state, old.made, old.answer = new.mutation_id, new.state, new.made, None
        device.by_id[old.mutation_id] = old
    device.forget_views([row.key])
    device.tell({row.key})


def _made_anew(device: Device, row: OutboxRow, behind: Sequence[OutboxRow]) -> list[OutboxRow]:
    collection = device.schema.collections[row.collection]
    ops = without([Step(row.made.ops, mine=False), *(Step(one.made.ops, mine=True) for one in behind)], collection)
    after, forked_from = row.made.after, row.made.forked_from
    made: list[OutboxRow] = []
    for old, own in zip(behind, ops, strict=True):
        new = OutboxRow(row=old.row, mutation_id=device.runtime.uuid7(), collection=old.collection, record_id=old.record_id, state="unsent",
                        made=with_changes(old.made, ops=own, after=after, forked_from=forked_from, device_id="", resent=False))
        made.append(new)
        after, forked_from = new.mutation_id, None
    return made


def take_new_id(device: Device) -> bool:
    """Leave a copied identity, once everything that may have arrived under it has its answer: what is left is sent under a new id, and
    the first of each record says where it was forked from. False: something is still unanswered, or another program has seen to it."""
    with device.file.writing("taking a new device id"):
        device.take_in_others()
        if not is_forking(device) or not _is_all_answered(device):
            return False
        old, new = device.device_id, new_id_of(device)
        anew = [pair for key, lane in device.lanes.items() if key[0] != ACTIONS for pair in _under_new_id(lane, old)]
        meta = {"device_id": new, "former_ids": [*device.meta.get("former_ids", ()), old], "forking": False}
        device.store.change([row for _, row in anew if row.row])
        device.store.put_meta(meta)
    for row, new_row in anew:
        row.state, row.made, row.answer = new_row.state, new_row.made, None
    device.meta.update(meta)
    return True


def _is_all_answered(device: Device) -> bool:
    """Whether nothing is left of which it is not known if it arrived: what stands behind a refused row cannot have."""
    forked: set[Key] = set()
    for row in device.unanswered():
        if _is_known_refused(row):
            forked.add(row.key)
        elif row.state == "sent" and row.key not in forked:
            return False
    return True


def _under_new_id(lane: Sequence[OutboxRow], old: str) -> list[tuple[OutboxRow, OutboxRow]]:
    """The rows of a line that are not acknowledged, each with what it becomes. The first names what it was made on, not what the server
    has by now: another program on this file may have sent something in between."""
    anew: list[tuple[OutboxRow, OutboxRow]] = []
    for row in lane:
        if row.state == "acknowledged":
            continue
        made = with_changes(row.made, device_id="")
        if not anew:
            made = with_changes(made, after=None, forked_from=made.forked_from if made.after is None else ForkedFrom(old, made.after))
        anew.append((row, msgspec.structs.replace(row, state="unsent", made=made, answer=None)))
    return anew
