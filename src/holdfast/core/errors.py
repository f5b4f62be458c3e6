"""Every error of Holdfast, in one tree.

HoldfastError
├── CallerError                 the caller's mistake: fix the call
│   ├── DeclarationError        a record class, rule or contract is wrong (raised at start; names class and field)
│   ├── Malformed               bytes, JSON, op, path or envelope that cannot be read
│   ├── InvalidValue            readable, but not a value this place takes
│   ├── LimitExceeded           over one of the named limits
│   ├── NotSignedIn             no valid credential
│   ├── Forbidden               signed in, but without the right (never used for records that may not be seen)
│   ├── NotFound                does not exist, or may not be seen: one answer for both
│   ├── MethodNotAllowed        the address exists, the method does not
│   ├── UnsupportedMedia        a body in a form that is not taken
│   └── TooSlow                 the call did not arrive in time
├── StateError                  the state of the data
│   ├── Conflict                what was read has changed; carries what stands now
│   ├── Stale                   If-Match names another revision; carries the current one
│   ├── Reused                  an id or idempotency key came back with other content
│   └── Held                    kept in the inbox, waits for a person
├── WorldError                  the world failed
│   ├── Overloaded              a bounded queue is full: try again after `retry_after` seconds (retryable)
│   ├── RateLimited             too many in a while: try again after `retry_after` seconds (retryable)
│   ├── StorageFull             the disk is full; what was acknowledged is kept (retryable)
│   ├── StorageReadOnly         the file or folder cannot be written (retryable)
│   ├── StorageLocked           another process holds the data folder (retryable)
│   ├── StorageCorrupt          the file is damaged: `holdfast doctor` says where
│   ├── StorageNewer            written by a newer Holdfast: upgrade this one
│   ├── StorageOutdated         made for an older declaration: `holdfast migrate` brings it up
│   ├── StorageFailed           any other failure of the store (retryable)
│   │   └── StorageConstraint   a constraint fired that the checks before it should have caught: nothing of the batch was kept
│   └── WriterStopped           the writer died while a save waited: its outcome is unknown, send it again (retryable)
└── UnsafeSettings              the server refuses to start: a setting would break a promise

Each class has a stable wire code (`code`), an HTTP status and a hint. `docs/reference/errors.md` and the problem types of the
wire are made from this tree; a test compares them.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "CallerError",
    "Conflict",
    "DeclarationError",
    "Forbidden",
    "Held",
    "HoldfastError",
    "InvalidValue",
    "LimitExceeded",
    "Malformed",
    "MethodNotAllowed",
    "NotFound",
    "NotSignedIn",
    "Overloaded",
    "RateLimited",
    "Reused",
    "Stale",
    "StateError",
    "StorageConstraint",
    "StorageCorrupt",
    "StorageFailed",
    "StorageFull",
    "StorageLocked",
    "StorageNewer",
    "StorageOutdated",
    "StorageReadOnly",
    "TooSlow",
    "UnsafeSettings",
    "UnsupportedMedia",
    "WorldError",
    "WriterStopped",
]


class HoldfastError(Exception):
    """Root of the tree. `detail` says what happened and where; `hint` what to do next; neither ever holds another
    tenant's data or a sensitive value."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, detail: str, *, hint: str | None = None, field: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint
        self.field = field
        self.extra = extra

    def __str__(self) -> str:
        where = f" ({self.field})" if self.field else ""
        return f"{self.detail}{where}" + (f" {self.hint}" if self.hint else "")


class CallerError(HoldfastError):
    code = "bad_request"
    status = 400


class DeclarationError(CallerError):
    code = "declaration"
    status = 500
    default_hint = "Correct the declaration and start again."


class Malformed(CallerError):
    code = "malformed"
    default_hint = "Send well-formed UTF-8 JSON as the wire reference describes."


class InvalidValue(CallerError):
    code = "invalid"
    status = 422
    default_hint = "Correct the value and send it again."


class LimitExceeded(CallerError):
    code = "limit"
    status = 413
    default_hint = "Send less at once."


class NotSignedIn(CallerError):
    code = "not_signed_in"
    status = 401
    default_hint = "Sign in, or send a valid token."


class Forbidden(CallerError):
    code = "forbidden"
    status = 403
    default_hint = "Ask an owner of the organisation for the right."


class NotFound(CallerError):
    code = "not_found"
    status = 404
    default_hint = "Check the address; it may also be something you may not see."


class MethodNotAllowed(CallerError):
    code = "method"
    status = 405
    default_hint = "Use one of the methods that the Allow header names."


class UnsupportedMedia(CallerError):
    code = "media_type"
    status = 415
    default_hint = "Send application/json in UTF-8, not compressed."


class TooSlow(CallerError):
    code = "too_slow"
    status = 408
    default_hint = "Send the whole call at once; the same mutation id takes effect once."


class StateError(HoldfastError):
    code = "state"
    status = 409


class Conflict(StateError):
    code = "conflict"
    default_hint = "Read again and repeat the call."


class Stale(StateError):
    code = "stale"
    status = 412
    default_hint = "Read the current version and repeat the change on it."


class Reused(StateError):
    code = "id_reused"
    status = 422
    default_hint = "Use a new id for other content."


class Held(StateError):
    code = "held"
    default_hint = "Look at the inbox: it keeps both values."


class WorldError(HoldfastError):
    code = "unavailable"
    status = 503
    retryable = True

    def __init__(self, detail: str, *, retry_after: int = 1, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        self.retry_after = retry_after


class Overloaded(WorldError):
    code = "overloaded"
    default_hint = "Try again after the given time; nothing was kept."


class RateLimited(WorldError):
    code = "rate"
    status = 429
    default_hint = "Try again after the given time."


class StorageFull(WorldError):
    code = "storage_full"
    status = 507
    default_hint = "Free space on the disk; what was acknowledged is kept, and saving goes on by itself."


class StorageReadOnly(WorldError):
    code = "storage_read_only"
    default_hint = "Make the data folder writable; saving goes on by itself."


class StorageLocked(WorldError):
    code = "storage_locked"
    default_hint = "Stop the other process, or talk to it: one process writes a data folder."


class StorageCorrupt(WorldError):
    code = "storage_corrupt"
    retryable = False
    default_hint = "Run `holdfast doctor` and restore the latest verified backup beside it."


class StorageNewer(WorldError):
    code = "storage_newer"
    retryable = False
    default_hint = "Upgrade Holdfast; the data was not touched."


class StorageOutdated(WorldError):
    code = "storage_outdated"
    retryable = False
    default_hint = "Run `holdfast migrate`; the data was not touched."


class StorageFailed(WorldError):
    code = "storage_failed"
    default_hint = "Run `holdfast doctor`."


class StorageConstraint(StorageFailed):
    code = "storage_constraint"
    default_hint = "Send it again: the batch is redone one mutation at a time."


class WriterStopped(WorldError):
    code = "writer_stopped"
    default_hint = "Send it again: the same mutation id takes effect once."


class UnsafeSettings(HoldfastError):
    code = "unsafe_settings"
    default_hint = "Change the setting; Holdfast does not run where an acknowledged save could be lost."
