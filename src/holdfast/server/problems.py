"""Errors as `application/problem+json` (RFC 9457).

`type` is `urn:holdfast:problem:<code>`, stable for ever; `title` says the kind in plain words, `detail` what happened here, `hint`
what to do next, `field` where, `request_id` what to tell an operator. What is not an error of the tree is one opaque `internal`
problem: no traceback, no text of a foreign exception, ever leaves the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from holdfast.core.errors import HoldfastError, WorldError
from holdfast.core.messages import Problem
from holdfast.engine.api import problem_of

__all__ = ["PROBLEM_TYPE", "TITLES", "Rendered", "all_codes", "problem_type", "render", "statuses"]

PROBLEM_TYPE = b"application/problem+json"

TITLES = {
    "error": "Something failed",
    "internal": "Something failed on our side",
    "bad_request": "The call is wrong",
    "declaration": "A declaration is wrong",
    "malformed": "Cannot be read",
    "invalid": "Not a value this place takes",
    "limit": "Over a limit",
    "not_signed_in": "Not signed in",
    "forbidden": "Not allowed",
    "not_found": "Not found",
    "method": "Method not allowed here",
    "media_type": "Not a form of body that is taken",
    "too_slow": "Did not arrive in time",
    "state": "Does not fit the state of the data",
    "conflict": "Changed meanwhile",
    "stale": "Another version stands now",
    "id_reused": "An id came back with other content",
    "held": "Waits for a decision",
    "unavailable": "Not available now",
    "overloaded": "Too much to do",
    "rate": "Too many in a short time",
    "storage_full": "The disk is full",
    "storage_read_only": "The disk cannot be written",
    "storage_locked": "Another process holds the data",
    "storage_corrupt": "The stored data is damaged",
    "storage_newer": "Stored by a newer version",
    "storage_outdated": "Stored by an older version",
    "storage_failed": "Storing failed",
    "storage_constraint": "Storing failed",
    "writer_stopped": "The writer stopped",
    "unsafe_settings": "Unsafe settings",
}

_RESERVED = frozenset(("type", "title", "status", "detail", "code", "hint", "field", "request_id", "retry_after"))
_encoder = msgspec.json.Encoder(enc_hook=str)


class Rendered(msgspec.Struct, frozen=True):
    """A problem ready to send. `headers` are those this problem adds to the usual ones."""

    status: int
    code: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def problem_type(code: str) -> str:
    return f"urn:holdfast:problem:{code}"


def render(error: BaseException, request_id: str) -> Rendered:
    """The answer to a call that ended with `error`; `request_id` is empty where there was no request."""
    problem = problem_of(error) if isinstance(error, Exception) else problem_of(RuntimeError())
    status = error.status if isinstance(error, HoldfastError) else 500
    extra = error.extra if isinstance(error, HoldfastError) else {}
    body = _encoder.encode(_members(problem, status, request_id) | {k: v for k, v in extra.items() if k not in _RESERVED})
    return Rendered(status, problem.code, body, tuple(_headers(error)))


def _members(problem: Problem, status: int, request_id: str) -> dict[str, Any]:
    members: dict[str, Any] = {"type": problem_type(problem.code), "title": TITLES.get(problem.code, TITLES["error"]), "status": status,
                               "detail": problem.detail, "code": problem.code}
    optional = {"hint": problem.hint, "field": problem.field, "retry_after": problem.retry_after, "request_id": request_id}
    return members | {name: value for name, value in optional.items() if value}


def _headers(error: BaseException) -> Iterator[tuple[bytes, bytes]]:
    if isinstance(error, WorldError) and error.retryable:
        yield b"retry-after", str(max(1, error.retry_after)).encode()
    if isinstance(error, HoldfastError):
        if error.status == 401:
            yield b"www-authenticate", b'Bearer realm="holdfast"'
        if error.status == 405:
            yield b"allow", ", ".join(error.extra.get("allow", ())).encode()


def all_codes(base: type[HoldfastError] = HoldfastError) -> Iterator[type[HoldfastError]]:
    """Every class of the error tree, parents first."""
    yield base
    for child in base.__subclasses__():
        yield from all_codes(child)


def statuses() -> dict[str, int]:
    """code -> HTTP status, for the documents."""
    return {cls.code: cls.status for cls in all_codes() if cls.__module__ == HoldfastError.__module__}
