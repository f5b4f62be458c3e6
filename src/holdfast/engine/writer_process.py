"""Starts the writer's process, and starts it again when it has died: what the server does before it connects to the socket."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from holdfast.core.errors import WriterStopped
from holdfast.engine.work import Failure, error_of
from holdfast.engine.writer import READY, Opening
from holdfast.runtime import Runtime

__all__ = ["WriterProcess"]

END_SECONDS_MAX = 10.0
WRITER = "from holdfast.engine.writer import main; main()"
"""Not `-m`: the package imports the module before Python would run it, which Python warns of."""


class WriterProcess:
    """`ensure` before each connection; `end` once. The process ends by itself when this one is gone."""

    def __init__(self, opening: Opening, runtime: Runtime) -> None:
        self._opening = opening
        self._runtime = runtime
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def ensure(self) -> None:
        """The writer runs and serves its socket. Raises what opening the folder raises (StorageLocked, StorageCorrupt, …), WriterStopped if
        it dies while it starts."""
        if self._process is None or self._process.poll() is not None:
            await self._runtime.blocking(self._start)

    def _start(self) -> None:
        self._reap()
        process = subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self.starts += 1
        process.stdin.write(msgspec.json.encode(self._opening) + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if answer == READY:
            return
        self._end()
        if not answer:
            raise WriterStopped("The writer's process ended while it started.", hint="Look at the server's log.")
        raise error_of(msgspec.json.decode(answer, type=Failure))

    async def end(self) -> None:
        """Let it write what waits, then end."""
        await self._runtime.blocking(self._end)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.stdout.close()
            process.wait()
