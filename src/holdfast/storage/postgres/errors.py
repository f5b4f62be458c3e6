"""The driver's errors as the errors people and clients know, through one table of SQLSTATEs (the conditions' classes: PostgreSQL's
manual, appendix A). Their words never go on: they can hold values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from holdfast.core.errors import (
    Overloaded,
    StorageConstraint,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageOutdated,
    StorageReadOnly,
    UnsafeSettings,
    WorldError,
)

__all__ = ["DRIVER_ERRORS", "connecting", "is_lost", "is_transient", "translated", "world_error"]

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

TRANSIENT: Final = frozenset({"40001", "40P01", "55P03", "25006"})
"""Serialization failure, deadlock, lock not available, a server that takes no writes (no longer, or not yet): the same transaction may go
through when it is done again."""

_BY_STATE: Final[dict[str, tuple[type[WorldError], str]]] = {
    "40001": (StorageLocked, "Another transaction came in between"),
    "40P01": (StorageLocked, "Two transactions waited for each other"),
    "55P03": (StorageLocked, "Another transaction held the organisation's log for too long"),
    "25006": (StorageReadOnly, "The database takes no writes at present (a standby?)"),
    "53100": (StorageFull, "The database's disk is full"),
    "53300": (Overloaded, "The database has no connection left"),
    "42501": (StorageFailed, "The database's role lacks a right, or a row-level-security policy said no"),
    "42P01": (StorageOutdated, "A table is missing"),
    "42703": (StorageOutdated, "A column is missing"),
    "3F000": (StorageOutdated, "The schema is missing"),
    "XX001": (StorageCorrupt, "The database says that its data is damaged"),
    "XX002": (StorageCorrupt, "The database says that an index is damaged"),
}
_BY_CLASS: Final[dict[str, tuple[type[WorldError], str]]] = {
    "23": (StorageConstraint, "A constraint of the database fired"),
    "08": (StorageFailed, "The connection to the database was lost"),
    "57": (StorageFailed, "The database is stopping or starting"),
    "53": (StorageFailed, "The database lacks resources"),
}
_LOST: Final = frozenset({"08", "57"})
_REFUSED_CLASS: Final = "28"


def world_error(error: BaseException, doing: str) -> WorldError:
    """What `error` means. Its words stay behind: only the SQLSTATE and the name of a constraint go on."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        kind, what = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or (StorageFailed, "The database refused a statement")
        constraint = getattr(error, "constraint_name", None)
        where = f" on {constraint}" if constraint else ""
        return kind(f"{what} while {doing} (SQLSTATE {state or 'unknown'}{where}).")
    return StorageFailed(f"The connection to the database was lost while {doing} ({type(error).__name__}).",
                         hint="Check that the database runs and can be reached; saving goes on by itself.")


def is_transient(error: BaseException) -> bool:
    """Whether the whole transaction may be done again: it was rolled back, or the connection is gone (then perhaps it is committed,
    which the ids of its mutations tell)."""
    cause = error.__cause__
    if isinstance(cause, asyncpg.PostgresError):
        return cause.sqlstate in TRANSIENT or is_lost(error)
    return isinstance(cause, DRIVER_ERRORS)


def is_lost(error: BaseException) -> bool:
    """Whether the connection behind it is gone, or in a state that nobody knows."""
    cause = error.__cause__
    if isinstance(cause, asyncpg.PostgresError):
        return (cause.sqlstate or "")[:2] in _LOST
    return isinstance(cause, DRIVER_ERRORS)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Driver errors come out as WorldErrors."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise world_error(error, doing) from error


@contextmanager
def connecting() -> Iterator[None]:
    """The same where a connection is made: an address or a password that is wrong stays wrong."""
    try:
        yield
    except DRIVER_ERRORS as error:
        state = getattr(error, "sqlstate", None) or ""
        if state[:2] == _REFUSED_CLASS or state == "3D000":
            raise UnsafeSettings(f"The database does not let this role in (SQLSTATE {state}).",
                                 hint="Check user, password and database in the address, and pg_hba.conf.") from error
        raise world_error(error, "connecting") from error
