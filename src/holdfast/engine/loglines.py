"""One line of a structured log, made of a record of `logging`; and what of an unexpected error may stand in it.

The words of a foreign exception are made of whatever it was about: a key that is missing, a text that cannot be read, what an application
was told. They may hold what people wrote, and sensitive values. So a log has the trace of an unexpected error (functions and lines of
code) and the kinds of the exceptions, and their words only where an operator has asked for them (log level `debug`). Errors of Holdfast
and of the system hold no such thing, and are told whole.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.core.errors import HoldfastError

__all__ = ["LineHandler", "line_of", "trace_of"]

CAUSED = "caused this:"
BEFORE_THIS = "was being handled when this happened:"

_encoder = msgspec.json.Encoder(enc_hook=str)


def trace_of(error: BaseException, *, with_words: bool) -> str:
    """Where it happened and what kinds of exceptions they were, the first cause first."""
    lines: list[str] = []
    if error.__cause__ is not None:
        lines += [trace_of(error.__cause__, with_words=with_words), CAUSED]
    elif error.__context__ is not None and not error.__suppress_context__:
        lines += [trace_of(error.__context__, with_words=with_words), BEFORE_THIS]
    lines += [line.rstrip() for line in traceback.format_tb(error.__traceback__)]
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    lines.append(f"{kind}: {error}" if with_words or isinstance(error, HoldfastError | OSError) else kind)
    if isinstance(error, BaseExceptionGroup):
        lines += [trace_of(one, with_words=with_words) for one in error.exceptions]
    return "\n".join(lines)


def line_of(record: logging.LogRecord, *, with_words: bool) -> dict[str, Any]:
    """The record with its `facts`, if it has any."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "event": record.getMessage(), "logger": record.name}
    line.update(getattr(record, "facts", None) or {})
    if record.exc_info and record.exc_info[1] is not None:
        line["event"] = line["event"].partition("\n")[0]        # asyncio shows the exception again behind it
        line["error"] = trace_of(record.exc_info[1], with_words=with_words)
    return line


class LineHandler(logging.Handler):
    """Writes each record as a line of JSON, at once."""

    def __init__(self, write: Any, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(_encoder.encode(line_of(record, with_words=self.level <= logging.DEBUG)) + b"\n")
        except Exception:
            self.handleError(record)
