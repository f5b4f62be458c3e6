"""Structured logs: one JSON line per request, and one per event of the server.

Events go to the logger `holdfast.server`. Requests go to the logger `holdfast.requests`, so that inside somebody's own application their
handlers apply; `holdfast serve` writes them itself (`WrittenRequests`), because a record of the logging module costs 15 µs, a third of
what a push may cost. Nothing is installed on import.

A line names request id, tenant, actor, route, status, error code and milliseconds; never a body, a query, a secret or a path with
values in it (the route's pattern stands for it). Of an unexpected error it has the trace, and its words at level `debug` alone
(`engine.loglines` says why).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from holdfast.engine.loglines import line_of
from holdfast.runtime import Runtime

__all__ = ["JsonLines", "LoggedRequests", "RequestLine", "RequestLog", "WrittenRequests", "events"]

events = logging.getLogger("holdfast.server")
requests = logging.getLogger("holdfast.requests")

_encoder = msgspec.json.Encoder(enc_hook=str)
_FLUSH_BYTES = 16 << 10


class RequestLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is told of one request. `ms`: from headers to answer."""

    time: str = ""
    level: str = ""
    event: str = ""
    request_id: str
    method: str
    route: str
    status: int
    ms: float
    tenant: str = ""
    actor: str = ""
    code: str = ""
    address: str = ""


class RequestLog(Protocol):
    """Where lines about requests go."""

    def write(self, line: RequestLine) -> None: ...


class LoggedRequests:
    """To the logger `holdfast.requests`, with the facts in the record's `facts`."""

    def write(self, line: RequestLine) -> None:
        failed = line.status >= 500 and line.code == "internal"
        requests.log(logging.ERROR if failed else logging.INFO, "request", extra={"facts": msgspec.to_builtins(line)})


class WrittenRequests:
    """Straight to the lines that the server writes."""

    def __init__(self, lines: JsonLines, runtime: Runtime) -> None:
        self._lines = lines
        self._runtime = runtime
        self._second = 0
        self._shown = ""

    def write(self, line: RequestLine) -> None:
        if self._lines.level > logging.INFO and line.status < 500:
            return
        second, ms = divmod(self._runtime.now_ms(), 1000)
        if second != self._second:
            self._second, self._shown = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        line.time = f"{self._shown}.{ms:03d}Z"
        line.level = "error" if line.status >= 500 and line.code == "internal" else "info"
        line.event = "request"
        self._lines.add(_encoder.encode(line))


class JsonLines(logging.Handler):
    """A handler that turns records into JSON lines and writes them in groups: when 16 KiB have gathered, when `flush` is called
    (the server does, four times a second and at the end), and at once for warnings and worse."""

    def __init__(self, write: Callable[[bytes], Any], level: int = logging.INFO) -> None:
        super().__init__(level)
        self._write = write
        self._lines: list[bytes] = []
        self._bytes = 0
        self._writing = threading.Lock()

    def add(self, line: bytes) -> None:
        """One line, without its end."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _FLUSH_BYTES:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _encoder.encode(line_of(record, with_words=self.level <= logging.DEBUG))
        except Exception:
            self.handleError(record)
            return
        self.add(line)
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        with self._writing:
            lines, self._lines, self._bytes = self._lines, [], 0
            if lines:
                lines.append(b"")
                try:
                    self._write(b"\n".join(lines))
                except (OSError, ValueError):
                    # The reader of our output is gone. Saving goes on: a log that cannot be written is no reason to refuse work.
                    return
