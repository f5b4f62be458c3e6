"""Devices that auto-save drafts through `POST /v1/push`, as the wire demands it: ids of their own, each mutation naming the one before it
(`after`) and the newest entry the device had applied (`base`).

Devices with an even number move their base with every acknowledgement, as one that hears its own entries on a live socket; the
others stay on the base of their last pull. Both are usual, and the server looks at them differently.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

import orjson

from benchmarks.load.connection import LoadFailed
from benchmarks.load.writing import REPLACED_CODE_POINTS, Draft

__all__ = ["Device", "request_head"]


def request_head(method: str, target: str, token: str) -> bytes:
    """A request up to its content-length."""
    return (f"{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n"
            "user-agent: benchmarks\r\ncontent-type: application/json\r\n").encode()


class _Line:
    """A draft's line of mutations on this device."""

    __slots__ = ("after", "base", "draft", "last")

    def __init__(self, draft: Draft, position: str | None) -> None:
        self.draft = draft
        self.after = b"null"
        self.base = b"null" if position is None else b'"%s"' % position.encode()
        self.last = b""


class Device:
    """A Conversation. Each push holds one mutation of each of `at_once` of its drafts, in turn. `positions`: where each draft (by its
    number) stood when the device pulled it."""

    def __init__(self, number: int, drafts: Sequence[Draft], token: str, *, run: str, positions: Mapping[int, str],
                 at_once: int = 1) -> None:
        self.units = at_once
        self.device_id = f"device-{run}-{number}"
        self.acknowledged = 0
        self._follows = number % 2 == 0
        self._head = request_head("POST", "/v1/push", token) + b"content-length: %d\r\n\r\n%s"
        self._lines = [_Line(draft, positions.get(draft.number)) for draft in drafts]
        self._next = 0
        self._count = 0
        self._waiting: list[_Line] = []
        self._started = int(time.time() * 1000)
        self._random = random.Random(f"{run} {number}").randbytes

    def _mutation_id(self) -> bytes:
        """A UUIDv7 whose time is the start of this device and whose counter rises."""
        self._count += 1
        time_and_count = b"%012x%08x" % (self._started + (self._count >> 12), self._count & 0xFFF)
        tail = self._random(8).hex().encode()
        return b"%s-%s-7%s-8%s-%s" % (time_and_count[:8], time_and_count[8:12], time_and_count[17:20], tail[:3], tail[3:15])

    def creation(self) -> bytes:
        """The push that makes the drafts; `created` takes its answer."""
        return self._push(self._lines, [b'[{"op":"create","value":%s}]' % orjson.dumps(line.draft.fields()) for line in self._lines])

    def request(self) -> bytes:
        if self.units >= len(self._lines):
            lines = self._lines
        else:
            lines = self._lines[self._next:self._next + self.units]
            self._next = (self._next + self.units) % len(self._lines)
        return self._push(lines, [_ops(line.draft) for line in lines])

    def _push(self, lines: Sequence[_Line], ops: Sequence[bytes]) -> bytes:
        now = int(time.time() * 1000)
        mutations = []
        for line, done in zip(lines, ops, strict=True):
            line.last = self._mutation_id()
            mutations.append(b'{"mutation_id":"%s","after":%s,"contract":1,"collection":"drafts","record_id":"%s","base":%s,"edited_at":"%d:0",'
                             b'"ops":%s}' % (line.last, line.after, line.draft.id.encode(), line.base, now, done))
            line.after = b'"%s"' % line.last
        self._waiting = list(lines)
        body = b'{"device_id":"%s","now":%d,"mutations":[%s]}' % (self.device_id.encode(), now, b",".join(mutations))
        return self._head % (len(body), body)

    def created(self, body: bytes) -> dict[int, str]:
        """Take the answer to `creation`; where each draft stands now."""
        self.answered(200, body)
        return {line.draft.number: result["position"] for line, result in zip(self._lines, orjson.loads(body)["results"], strict=True)}

    def answered(self, status: int, body: bytes) -> None:
        """Every mutation of the push must have been applied, each by its id and in order."""
        at, applied = 0, body.count(b'"outcome":"applied"')
        for line in self._waiting:
            at = body.find(b'"%s"' % line.last, at)
            if at < 0:
                break
        if status != 200 or at < 0 or applied != len(self._waiting):
            raise LoadFailed(f"A push of {len(self._waiting)} was answered {status} with {applied} applied: {body[:1000]!r}")
        self.acknowledged += applied
        if self._follows:
            self._follow(body)

    def _follow(self, body: bytes) -> None:
        at = 0
        for line in self._waiting:
            at = body.index(b'"position":"', at) + 12
            line.base = body[at - 1:body.index(b'"', at) + 1]

    @property
    def drafts(self) -> list[Draft]:
        return [line.draft for line in self._lines]


def _ops(draft: Draft) -> bytes:
    at, typed = draft.edit()
    draft.title = f"Draft {draft.number}, step {draft.step}"
    return (b'[{"op":"splice","path":"/body","edits":[[%d,%d,"%s"]]},{"op":"set","path":"/step","value":%d},'
            b'{"op":"set","path":"/title","value":"%s"}]' % (at, REPLACED_CODE_POINTS, typed.encode(), draft.step, draft.title.encode()))
