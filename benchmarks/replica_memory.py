"""`python -m benchmarks.replica_memory FILE PORT TOKEN EDITS`: a program of its own that edits drafts through a replica in touch with its
server, and prints its memory along the way, as a line of JSON. Measured by `replica.memory`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path

from benchmarks.drafts import Draft
from benchmarks.load.writing import draft_id
from benchmarks.machine import memory_bytes
from holdfast.client import open_replica
from holdfast.client.settings import ReplicaSettings
from holdfast.client.web import WebTransport

__all__ = ["ADDRESS", "BURST", "PROBES"]

ADDRESS = "http://holdfast.example.org"
"""Of every server that is started here, whatever its port: to the replica they are one."""
BURST = 200
DRAFTS_EDITED = 1_000
PROBES = 10
SETTINGS = ReplicaSettings(hold_ms=0, hold_ms_max=0)


async def edit(path: Path, port: int, token: str, edits: int) -> list[int]:
    """Memory after each tenth of the edits. Each burst is at the server before the next begins."""
    memory = []
    async with open_replica(path, ADDRESS, records=[Draft], token=token, transport=WebTransport(f"http://127.0.0.1:{port}"),
                            settings=SETTINGS) as replica:
        for first in range(0, edits, BURST):
            for number in range(first, first + BURST):
                draft = replica.get(Draft, draft_id(number % DRAFTS_EDITED))
                replica.change(draft, title=f"Edit {number}", step=number)
            if not await replica.flush(60):
                raise SystemExit(f"The server did not take the edits: {replica.status}")
            if (first + BURST) % (edits // PROBES) == 0:
                gc.collect()
                memory.append(memory_bytes([os.getpid()]))
    return memory


if __name__ == "__main__":
    print(json.dumps(asyncio.run(edit(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))))
