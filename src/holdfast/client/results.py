"""What a call of the small door answers: success, or the kind of its error, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from holdfast.core.errors import CallerError, HoldfastError, WorldError

__all__ = ["ErrorKind", "Result", "failed", "may_pass"]

ErrorKind = Literal["invalid", "not_found", "full", "unavailable", "not_allowed", "damaged", "failed"]
"""`invalid`: the document or its name does not fit. `full`: no space. `unavailable`: no network, a busy disk or server; may pass by itself.
`not_allowed`: no right, not signed in, read-only. `damaged`: what is stored cannot be read. `failed`: the backend raised something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a call. `ms` is the whole time, retries included; `value` what was loaded, listed or found."""

    success: bool
    ms: float
    value: Any = None
    kind: ErrorKind | None = None
    error: str = ""
    hint: str = ""
    retries: int = 0


_KINDS: Final[Mapping[str, ErrorKind]] = {
    "storage_full": "full", "storage_corrupt": "damaged", "not_found": "not_found", "forbidden": "not_allowed",
    "not_signed_in": "not_allowed", "storage_read_only": "not_allowed",
}


def failed(error: Exception, ms: float, *, retries: int = 0) -> Result:
    detail = error.detail if isinstance(error, HoldfastError) else str(error) or type(error).__name__
    return Result(success=False, ms=ms, kind=_kind(error), error=detail, hint=getattr(error, "hint", ""), retries=retries)


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: what the world did, and what a backend of one's own raises; not a wrong value."""
    if isinstance(error, WorldError):
        return error.retryable
    return not isinstance(error, HoldfastError | ValueError | TypeError)


def _kind(error: Exception) -> ErrorKind:
    if isinstance(error, HoldfastError) and error.code in _KINDS:
        return _KINDS[error.code]
    if isinstance(error, CallerError | ValueError | TypeError):
        return "invalid"
    return "unavailable" if isinstance(error, WorldError | OSError) else "failed"
