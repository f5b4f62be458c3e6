"""Structured logs: one JSON line per request, and one per event of the server.

The library logs to the loggers `holdfast` (events) and `holdfast.requests` (one record per request) and installs nothing: inside
somebody's own application their handlers apply. `holdfast serve` installs `JsonLines`, which gathers lines and writes them
together, because a system call per request would cost as much as the request.

A line names request id, tenant, actor, route, status, error code and milliseconds; never a body, a query, a secret or a path with
values in it (the route's pattern stands for it).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["JsonLines", "RequestLog", "events"]

events = logging.getLogger("holdfast.server")
requests = logging.getLogger("holdfast.requests")

_encoder = msgspec.json.Encoder(enc_hook=str)
_FLUSH_BYTES = 16 << 10


class RequestLog:
    """Writes one record per request."""

    def __init__(self, logger: logging.Logger = requests) -> None:
        self._logger = logger

    def write(self, *, request_id: str, route: str, method: str, status: int, ms: float, tenant: str = "", actor: str = "", code: str = "",
              address: str = "") -> None:
        logger = self._logger
        level = logging.ERROR if status >= 500 and code == "internal" else logging.INFO
        if not logger.isEnabledFor(level):
            return
        # Built by hand: Logger.info would walk the stack for file and line, which say nothing here and cost more than the rest.
        record = logging.LogRecord(logger.name, level, "", 0, "request", (), None)
        facts: dict[str, Any] = {"request_id": request_id, "method": method, "route": route, "status": status, "ms": round(ms, 2)}
        if tenant:
            facts["tenant"] = tenant
            facts["actor"] = actor
        if code:
            facts["code"] = code
        if address:
            facts["address"] = address
        record.facts = facts
        logger.handle(record)


class JsonLines(logging.Handler):
    """A handler that turns records into JSON lines and writes them in groups: when 16 KiB have gathered, when `flush` is called
    (the server does, four times a second and at the end), and at once for warnings and worse."""

    def __init__(self, write: Callable[[bytes], Any], level: int = logging.INFO) -> None:
        super().__init__(level)
        self._write = write
        self._lines: list[bytes] = []
        self._bytes = 0
        self._writing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _encoder.encode(_line(record))
        except Exception:
            self.handleError(record)
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= _FLUSH_BYTES or record.levelno >= logging.WARNING:
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


def _line(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                            "level": record.levelname.lower(), "event": record.getMessage()}
    facts = getattr(record, "facts", None)
    if facts:
        line.update(facts)
    else:
        line["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        line["error"] = logging.Formatter().formatException(record.exc_info)
    return line
