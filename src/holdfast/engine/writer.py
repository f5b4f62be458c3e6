"""The writer as a process of its own: `python -m holdfast.engine.writer`, started and supervised by the server (`writer_process`).

It reads what to open from the first line of its standard input (JSON, `Opening`), answers one line on its standard output (`ready`, or
the failure as JSON), and then serves the socket in the data folder. It ends when its standard input ends: that is when the server is
gone, however it went. Commits run in place in its event loop; works that come meanwhile wait in the socket and are the next batch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

import msgspec
import uvloop

from holdfast.core.errors import HoldfastError, StorageLocked
from holdfast.core.limits import Limits
from holdfast.engine.commit import Commit
from holdfast.engine.committer import Committer
from holdfast.engine.keeping import Declarations, Writable, opened_for_writing
from holdfast.engine.listener import Listener
from holdfast.engine.loglines import LineHandler
from holdfast.engine.work import failure_of
from holdfast.runtime import RealRuntime, Runtime, settle_memory

__all__ = ["READY", "Opening", "main"]

READY = b"ready\n"
LOCK_WAIT_S = 5.0
LOCK_RETRY_S = 0.05


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer is told. Record classes and applications by where they can be imported from: "module:name"."""

    folder: str
    records: list[str] = []
    apps: list[str] = []
    limits: dict[str, int] = {}
    master_keys: str = ""


async def _open(opening: Opening, runtime: Runtime) -> Writable:
    """Raises what opening raises. Waits a little for a lock: the writer before us may be about to end."""
    declarations = Declarations.imported(opening.records, opening.apps, Limits(**opening.limits))
    give_up = runtime.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return await opened_for_writing(opening.folder, declarations, runtime, opening.master_keys or None)
        except StorageLocked:
            if runtime.monotonic() > give_up:
                raise
        await runtime.sleep(LOCK_RETRY_S)


async def _serve(opening: Opening, runtime: Runtime) -> None:
    try:
        writable = await _open(opening, runtime)
    except HoldfastError as error:
        _say(msgspec.json.encode(failure_of(error)) + b"\n")
        return
    schema = writable.storage.schema
    listener = Listener(opening.folder, schema)
    commit = Commit(writable.storage, schema=schema, keyring=writable.keyring, runtime=runtime, limits=schema.limits)
    committer = Committer(commit, runtime=runtime, limits=schema.limits, in_thread=False, on_grown=listener.on_grown,
                          on_answered=listener.on_answered)
    committer.start()
    await listener.start(committer)
    settle_memory()
    _say(READY)
    try:
        await _input_ends()
    finally:
        await listener.close()
        await committer.close()
        await writable.storage.close()


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def _input_ends() -> None:
    """Wait until the server has gone, or told us to end."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    class _Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

        def eof_received(self) -> None:
            ended.set()

    loop.add_signal_handler(signal.SIGTERM, ended.set)
    transport, _ = await loop.connect_read_pipe(_Watch, os.fdopen(0, "rb", closefd=False))
    await ended.wait()
    transport.close()


def main(argv: list[str] | None = None) -> Any:
    """The process. Ctrl-C at a terminal reaches the server too, which ends us in its own time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = LineHandler(lambda line: os.write(2, line))
    for name in ("holdfast", "asyncio"):
        logging.getLogger(name).addHandler(lines)
        logging.getLogger(name).propagate = False
    line = _first_line()
    if line:
        uvloop.run(_serve(msgspec.json.decode(line, type=Opening), RealRuntime()))


def _first_line() -> bytes:
    """Unbuffered, so that nothing behind it is read away from the event loop."""
    read = bytearray()
    while not read.endswith(b"\n"):
        one = os.read(0, 1)
        if not one:
            return b""
        read += one
    return bytes(read)


if __name__ == "__main__":
    main()
