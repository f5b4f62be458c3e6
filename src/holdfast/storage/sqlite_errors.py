"""SQLite's errors as errors of the tree: one table, and one context manager at the edge of every operation.

`apsw` raises a class per primary result code. Where that says too little (an I/O error is also what a full or read-only file system
looks like), the system's error number decides.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from types import TracebackType
from typing import Final

import apsw

from holdfast.core.errors import (
    StorageConstraint,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
    WorldError,
)

__all__ = ["CLASSES", "ERRNO_CLASSES", "translated", "world_error"]

CLASSES: Final[dict[type[apsw.Error], type[WorldError]]] = {
    apsw.FullError: StorageFull,
    apsw.ReadOnlyError: StorageReadOnly,
    apsw.PermissionsError: StorageReadOnly,
    apsw.BusyError: StorageLocked,
    apsw.LockedError: StorageLocked,
    apsw.ProtocolError: StorageLocked,
    apsw.CorruptError: StorageCorrupt,
    apsw.NotADBError: StorageCorrupt,
    apsw.FormatError: StorageCorrupt,
    apsw.ConstraintError: StorageConstraint,
    apsw.IOError: StorageFailed,
    apsw.CantOpenError: StorageFailed,
    apsw.NoMemError: StorageFailed,
    apsw.SchemaChangeError: StorageFailed,
    apsw.InterruptError: StorageFailed,
    apsw.AbortError: StorageFailed,
    apsw.TooBigError: StorageFailed,
    apsw.NoLFSError: StorageFailed,
    apsw.EmptyError: StorageFailed,
    apsw.InternalError: StorageFailed,
    apsw.VFSFileClosedError: StorageFailed,
    apsw.VFSNotImplementedError: StorageFailed,
    apsw.ExtensionLoadingError: StorageFailed,
    apsw.NotFoundError: StorageFailed,
}
"""What is not here is a mistake of this program (wrong SQL, wrong number of bindings, a connection used after it was closed) and passes."""

ERRNO_CLASSES: Final[dict[int, type[WorldError]]] = {
    errno.ENOSPC: StorageFull, errno.EDQUOT: StorageFull, errno.EFBIG: StorageFull,
    errno.EROFS: StorageReadOnly, errno.EACCES: StorageReadOnly, errno.EPERM: StorageReadOnly,
}

_WORDS: Final[dict[type[WorldError], str]] = {
    StorageFull: "The disk is full",
    StorageReadOnly: "The database cannot be written",
    StorageLocked: "The database is in use by another process",
    StorageCorrupt: "The database file is damaged",
    StorageConstraint: "A constraint of the database fired",
    StorageFailed: "The database could not be read or written",
}


def world_error(error: BaseException, doing: str, system_errno: int = 0) -> WorldError | None:
    """The error of the tree for what a driver or the system raised while `doing`; None for anything else. SQLite's own text stays
    out of the detail: it can quote values."""
    if isinstance(error, OSError):
        found: type[WorldError] | None = ERRNO_CLASSES.get(error.errno or 0, StorageFailed)
        system_errno = error.errno or 0
    else:
        found = next((ours for theirs, ours in CLASSES.items() if isinstance(error, theirs)), None)
        if found is StorageFailed:
            found = ERRNO_CLASSES.get(system_errno, found)
    if found is None:
        return None
    because = f": {errno.errorcode[system_errno]}" if found is StorageFailed and system_errno in errno.errorcode else ""
    return found(f"{_WORDS[found]}, while {doing}{because}.")


class translated:
    """`with translated("committing", on_error):` raises errors of the tree. `on_error` is called before, with the error: what holds
    a connection drops it there, so that the next operation opens a fresh one. `foreign`: the block also runs code of others, whose
    OSError (a socket that was closed) is none of storage's."""

    __slots__ = ("_connection", "_doing", "_kinds", "_on_error")

    def __init__(self, doing: str, on_error: Callable[[WorldError], None] | None = None, connection: apsw.Connection | None = None, *,
                 foreign: bool = False) -> None:
        self._doing = doing
        self._on_error = on_error
        self._connection = connection
        self._kinds: tuple[type[Exception], ...] = (apsw.Error,) if foreign else (apsw.Error, OSError)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or not isinstance(error, self._kinds):
            return
        found = world_error(error, self._doing, self._system_errno())
        if found is not None:
            if self._on_error is not None:
                self._on_error(found)
            raise found from error

    def _system_errno(self) -> int:
        """The system's last error number on the connection; 0 where it is not known."""
        if self._connection is None:
            return 0
        try:
            return self._connection.system_errno
        except apsw.ConnectionClosedError:
            return 0
