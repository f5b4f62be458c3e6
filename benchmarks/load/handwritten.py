"""The same drafts and edits as `device`, against the hand-written peer: its save is the whole draft."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from benchmarks.load.connection import LoadFailed
from benchmarks.load.device import request_head
from benchmarks.load.writing import Draft
from benchmarks.peers.handwritten import TOKEN

__all__ = ["Client"]


class Client:
    """A Conversation. `at_once` 1: one PUT per save; more: one POST for that many drafts."""

    def __init__(self, drafts: Sequence[Draft], *, at_once: int = 1) -> None:
        self.units = at_once
        self._drafts = list(drafts)
        self._next = 0
        self._waiting: list[Draft] = []
        self.acknowledged = 0

    def creation(self) -> bytes:
        self._waiting = self._drafts
        return self._request("POST", "/drafts", orjson.dumps([_content(draft) for draft in self._drafts]))

    def request(self) -> bytes:
        chosen = [self._drafts[(self._next + step) % len(self._drafts)] for step in range(self.units)]
        self._next = (self._next + self.units) % len(self._drafts)
        self._waiting = chosen
        for draft in chosen:
            draft.edit()
            draft.title = f"Draft {draft.number}, step {draft.step}"
        if self.units == 1:
            return self._request("PUT", f"/drafts/{chosen[0].id}", orjson.dumps(_content(chosen[0])))
        return self._request("POST", "/drafts", orjson.dumps([_content(draft) for draft in chosen]))

    def answered(self, status: int, body: bytes) -> None:
        missing = [draft.id for draft in self._waiting if draft.id.encode() not in body]
        if status != 200 or missing:
            raise LoadFailed(f"A save of {len(self._waiting)} was answered {status}: {body[:1000]!r}")
        self.acknowledged += len(self._waiting)

    @staticmethod
    def _request(method: str, target: str, body: bytes) -> bytes:
        return request_head(method, target, TOKEN) + b"content-length: %d\r\n\r\n%s" % (len(body), body)


def _content(draft: Draft) -> dict[str, object]:
    return {"id": draft.id, **draft.fields()}
