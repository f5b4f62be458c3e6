"""A device: an outbox of saves with their ids, sent in order until each is acknowledged, and the feed of what all have written.

It keeps the three rules that make a save safe to send again: a mutation never changes once it may have been sent; it names the one
before it (`after`); and it names the newest entry this device had applied when it was made (`base`).
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from replay.trace import Save
from replay.trouble import Trouble

__all__ = ["CREATION", "STOPPED", "Acknowledged", "Board", "Device", "ReplayFailed"]

BACKOFF_SECONDS_FIRST = 0.02
BACKOFF_SECONDS_MAX = 0.5
REPLY_SECONDS_MAX = 20.0
PUSHES_BETWEEN_PULLS = 10
CREATION = -1                   # the number of the mutation that makes the record; saves count from 0
UNSEEN = -2
STOPPED = "The replay was given up."


class ReplayFailed(Exception):
    """A promise was broken, or the server answered what it should not."""


@dataclass(frozen=True)
class Acknowledged:
    device: int
    number: int
    seq: int
    outcome: str


@dataclass
class Board:
    """What the devices know of each other: which save is which mutation, and what has been acknowledged."""

    saves: dict[str, Save] = field(default_factory=dict)
    acknowledged: dict[str, Acknowledged] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    stopped: bool = False
    pause_at: int | None = None     # so many acknowledged: then everybody waits, until somebody has measured
    paused: bool = False
    sending: int = 0

    def acknowledge(self, mutation_id: str, seq: int, outcome: str) -> None:
        with self.changed:
            save, known = self.saves[mutation_id], self.acknowledged.get(mutation_id)
            if known is not None and known.seq != seq:
                raise ReplayFailed(f"Save {save.number} of device {save.device} was acknowledged as entry {known.seq}, then as {seq}.")
            if known is None:
                self.acknowledged[mutation_id] = Acknowledged(save.device, save.number, seq, outcome)
            if self.pause_at is not None and len(self.acknowledged) >= self.pause_at:
                self.pause_at, self.paused = None, True
            self.changed.notify_all()

    def wait_for(self, device: int, number: int, ids: Callable[[int, int], str]) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or ids(device, number) in self.acknowledged)
            self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raises ReplayFailed where another device, or the whole replay, has given up."""
        if self.stopped:
            raise ReplayFailed(STOPPED)

    @contextmanager
    def one_push(self) -> Iterator[None]:
        """Around each push: it waits while somebody measures."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or not self.paused)
            self.raise_if_stopped()
            self.sending += 1
        try:
            yield
        finally:
            with self.changed:
                self.sending -= 1
                self.changed.notify_all()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody sends meanwhile, so that what was acknowledged and what is on the disk are of one moment."""
        with self.changed:
            self.paused = True
            self.changed.wait_for(lambda: self.sending == 0)
        try:
            yield
        finally:
            with self.changed:
                self.paused = False
                self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


def mutation_id_of(run: uuid.UUID, device: int, number: int) -> str:
    return str(uuid.uuid5(run, f"{device}/{number}"))


def device_id_of(run: uuid.UUID, number: int) -> str:
    """Ids in the order of the devices: of two insertions at one place that of the lower id stands left, as in the recording."""
    return f"{number:04x}{uuid.uuid5(run, f'device {number}').hex[4:]}"


class Device:
    """One device of one person. `run` names this replay; ids follow from it, so that a seed gives the same ids again."""

    def __init__(self, number: int, *, run: uuid.UUID, port: int, token: str, record_id: str, board: Board, trouble: Trouble,
                 batch: int) -> None:
        self.number = number
        self.device_id = device_id_of(run, number)
        self.text = ""
        self._run = run
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._record_id = record_id
        self._board = board
        self._trouble = trouble
        self._batch = batch
        self._connection: http.client.HTTPConnection | None = None
        self._outbox: list[dict[str, Any]] = []
        self._pushes = 0
        self._after: str | None = None
        self._base: str | None = None
        self._cursor: str | None = None
        self._pulled: list[dict[str, Any]] = []             # changes received, not applied yet: the person has not seen them
        self._applied: dict[int, int] = {}                  # other device -> its newest save that is in view here

    # -- writing --------------------------------------------------------------------------------------------------------
    def create(self, text: str) -> None:
        """Make the record, as this device's first mutation."""
        self.write([{"op": "create", "value": {"body": text} if text else {}}], Save(self.number, CREATION, 0))
        self.flush()

    def type(self, saves: list[Save]) -> None:
        """Make and send the saves, each on just what the recorded writer saw."""
        if self.number != 0:
            self._take_in({0: CREATION})
        for save in saves:
            missing = {other: number for other, number in save.needs.items() if self._applied.get(other, UNSEEN) < number}
            if missing:
                self.flush()
                self._take_in(missing)
            self.write([{"op": "splice", "path": "/body", "edits": save.edits}], save)
            if len(self._outbox) >= self._batch or save.awaited:
                self.flush()
            elif self._pushes >= PUSHES_BETWEEN_PULLS:
                self._pushes = 0
                self.pull()
                self._apply({})
        self.flush()

    def write(self, ops: list[dict[str, Any]], save: Save) -> None:
        """Put one mutation in the outbox. It never changes from here on."""
        mutation_id = mutation_id_of(self._run, self.number, save.number)
        self._board.saves[mutation_id] = save
        mutation = {"mutation_id": mutation_id, "collection": "pages", "record_id": self._record_id, "base": self._base,
                    "after": self._after, "edited_at": f"{save.edited_at_ms}:0" if save.edited_at_ms else None, "ops": ops}
        self._outbox.append(mutation)
        self._after = mutation_id

    def flush(self) -> None:
        """Send what is in the outbox, in order, until all of it is acknowledged; each failure is tried again, later and later."""
        failures = 0
        while self._outbox:
            self._trouble.raise_if_failed()
            sent = self._outbox[:self._batch]
            self._trouble.before_push()
            with self._board.one_push():
                arrived = self._push(sent, drop_reply=self._trouble.drops_reply())
            if not arrived:
                failures += 1
                self._back_off(failures)
                continue
            failures = 0
            del self._outbox[:len(sent)]
            self._pushes += 1
            if self._trouble.repeats_push():
                self._push(sent, again=True)

    def _push(self, sent: list[dict[str, Any]], *, drop_reply: bool = False, again: bool = False) -> bool:
        """Whether an answer came. `again`: these are acknowledged already, so each must be a duplicate."""
        body = {"device_id": self.device_id, "now": time.time_ns() // 1_000_000, "mutations": sent}
        reply = self._call("POST", "/v1/push", body, drop_reply=drop_reply)
        if reply is not None:
            self._read_results(sent, reply["results"], duplicates_only=again)
        return reply is not None

    def _read_results(self, sent: list[dict[str, Any]], results: list[dict[str, Any]], *, duplicates_only: bool) -> None:
        if [result["mutation_id"] for result in results] != [mutation["mutation_id"] for mutation in sent]:
            raise ReplayFailed("The results are not those of the mutations sent, in order.")
        for result in results:
            if result["outcome"] not in (("duplicate",) if duplicates_only else ("applied", "merged", "duplicate")):
                raise ReplayFailed(f"A save came back {result['outcome']}: {json.dumps(result)}")
            if result["receipt"] not in ("committed", "backed_up"):
                raise ReplayFailed(f"A save has the receipt {result['receipt']}.")
            self._board.acknowledge(result["mutation_id"], result["seq"], result.get("first_outcome") or result["outcome"])

    # -- reading --------------------------------------------------------------------------------------------------------
    def _take_in(self, missing: dict[int, int]) -> None:
        """Wait until the saves named are on the server, pull, and apply up to them and no further."""
        for other, number in missing.items():
            self._board.wait_for(other, number, lambda device, save: mutation_id_of(self._run, device, save))
        self.pull()
        self._apply(missing)
        late = {other: number for other, number in missing.items() if self._applied.get(other, UNSEEN) < number}
        if late:
            raise ReplayFailed(f"Acknowledged saves are not in the feed of device {self.number}: {late}")

    def pull(self) -> None:
        """Take everything after the cursor. A failure is tried again."""
        failures = 0
        while True:
            self._trouble.raise_if_failed()
            self._board.raise_if_stopped()
            query = {"limit": "1000", "collections": "pages", "device_id": self.device_id}
            if self._cursor:
                query["cursor"] = self._cursor
            page = self._call("GET", f"/v1/pull?{urlencode(query)}", None, drop_reply=self._trouble.drops_reply())
            if page is None:
                failures += 1
                self._back_off(failures)
                continue
            failures = 0
            if page.get("reset"):
                raise ReplayFailed(f"The feed of device {self.number} was reset ({page['reset']}): its history is not the server's.")
            self._pulled += [change for change in page["changes"] if change["record_id"] == self._record_id]
            self._cursor = page["cursor"]
            if not page["more"]:
                return

    def _apply(self, allowed: dict[int, int] | None) -> None:
        """Apply pulled changes in order, up to those `allowed` of each other device (all, if None). The base moves along."""
        while self._pulled:
            change = self._pulled[0]
            save = self._board.saves[change["mutation_id"]]
            in_view = max((allowed or {}).get(save.device, UNSEEN), self._applied.get(save.device, UNSEEN))
            if save.device != self.number and allowed is not None and save.number > in_view:
                return
            self.text = _applied(self.text, change["ops"])
            self._base = change["position"]
            self._applied[save.device] = save.number
            del self._pulled[0]

    def catch_up(self) -> str:
        """Apply all that there is; the text as this device now shows it."""
        self.pull()
        self._apply(None)
        return self.text

    # -- the wire -------------------------------------------------------------------------------------------------------
    def _call(self, method: str, path: str, body: Any, *, drop_reply: bool = False) -> Any:
        """The decoded answer; None where the request or its answer got lost, or the server asks to come again later."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REPLY_SECONDS_MAX)
            self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            response = self._connection.getresponse()
            if drop_reply:
                raise ConnectionAbortedError("the answer has arrived and is thrown away, on purpose")
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.hang_up()
            return None
        if response.status in (429, 503):
            return None
        if response.status != 200:
            raise ReplayFailed(f"{method} {path} answered {response.status}: {content[:500].decode('utf-8', 'replace')}")
        return json.loads(content)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _back_off(self, failures: int) -> None:
        """Exponential, full jitter."""
        time.sleep(self._trouble.jitter() * min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_FIRST * 2 ** failures))


def _applied(text: str, ops: list[dict[str, Any]]) -> str:
    for op in ops:
        if op["op"] == "create":
            text = op["value"].get("body", "")
        elif op["op"] == "splice":
            for at, deleted, inserted in op["edits"]:
                text = text[:at] + inserted + text[at + deleted:]
        else:
            raise ReplayFailed(f"An op that nobody sent: {op['op']}")
    return text
