"""Devices that come back: the records of a session in one request, and the snapshot of everything."""

from __future__ import annotations

import http.client
import random
import time
import zlib
from dataclasses import dataclass

from benchmarks.load.connection import LoadFailed
from benchmarks.load.device import request_head

__all__ = ["Resumer", "Snapshot", "take_snapshot"]

READ_BYTES = 1 << 16


class Resumer:
    """A Conversation: each request asks for the records of one session, whichever, and counts them."""

    units = 1

    def __init__(self, number: int, target: str, sessions: int, records: int, token: str, marker: bytes) -> None:
        """`target` holds `{session}`; `marker` occurs once per record in an answer."""
        self._source = random.Random(number)
        self._heads = [request_head("GET", target.format(session=f"session-{session:05d}"), token) + b"\r\n" for session in range(sessions)]
        self._records = records
        self._marker = marker
        self.bytes = 0

    def request(self) -> bytes:
        return self._heads[int(self._source.random() * len(self._heads))]

    def answered(self, status: int, body: bytes) -> None:
        found = body.count(self._marker)
        if status != 200 or found != self._records:
            raise LoadFailed(f"A session of {self._records} records was answered {status} with {found}: {body[:500]!r}")
        self.bytes += len(body)


@dataclass(frozen=True)
class Snapshot:
    """One whole snapshot as received: lines without the first (which names the cursor)."""

    cursor: bytes
    rows: int
    bytes: int
    wire_bytes: int
    seconds: float

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds


def take_snapshot(port: int, token: str, *, compressed: bool) -> Snapshot:
    """GET /v1/snapshot to its end. Raises LoadFailed if it is cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip" if compressed else "identity"}
        connection.request("GET", "/v1/snapshot?collections=drafts", headers=headers)
        answer = connection.getresponse()
        pieces, wire_bytes = _pieces(answer)
        seconds = time.perf_counter() - began
    except (OSError, http.client.HTTPException, zlib.error) as error:
        raise LoadFailed(f"The snapshot was cut off: {error!r}") from error
    finally:
        connection.close()
    lines = b"".join(pieces).splitlines()
    if answer.status != 200 or not lines or not lines[0].startswith(b'{"cursor"'):
        raise LoadFailed(f"The snapshot was answered {answer.status}: {b''.join(pieces)[:500]!r}")
    return Snapshot(lines[0], len(lines) - 1, sum(map(len, pieces)), wire_bytes, seconds)


def _pieces(answer: http.client.HTTPResponse) -> tuple[list[bytes], int]:
    unpack = zlib.decompressobj(31) if answer.getheader("content-encoding") == "gzip" else None
    pieces, wire_bytes = [], 0
    while piece := answer.read1(READ_BYTES):
        wire_bytes += len(piece)
        pieces.append(piece if unpack is None else unpack.decompress(piece))
    return pieces, wire_bytes
