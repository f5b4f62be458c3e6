"""The bytes of what was erased. An update and even `secure_delete` do not get all of them: when SQLite balances a tree it moves rows to
other pages and leaves their old bytes in the unused part of the page they came from (a test finds them). Only writing the file anew
takes them out: VACUUM, and then a checkpoint that empties the write-ahead log.

That costs time in proportion to the file, so a large one is done at the next start, before anybody waits. Until it is done, a mark in
the database says so.
"""

from __future__ import annotations

from typing import Final

import apsw

__all__ = ["CLEARED_AT_ONCE_BYTES_MAX", "REMAINS", "clear_remains"]

REMAINS: Final = "erased_remains"
_IN_WAL_ALONE: Final = "wal"
CLEARED_AT_ONCE_BYTES_MAX: Final = 64 << 20
"""Up to this size the file is written anew right after the erasing batch (under a second), in memory."""


def clear_remains(connection: apsw.Connection, size_bytes_max: int | None) -> bool:
    """Take out what the mark says is left. False: it stays for later, because the file is larger than `size_bytes_max` (None: do it
    whatever it costs) or somebody still reads the old pages. Raises apsw.Error."""
    connection.pragma("secure_delete", "FAST")
    found = connection.execute("SELECT value FROM hf_meta WHERE name = ?", (REMAINS,)).fetchone()
    if found is None:
        return True
    if found[0] != _IN_WAL_ALONE and not _write_anew(connection, size_bytes_max):
        return False
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    connection.execute("DELETE FROM hf_meta WHERE name = ?", (REMAINS,))
    return True


def _write_anew(connection: apsw.Connection, size_bytes_max: int | None) -> bool:
    size = connection.pragma("page_count") * connection.pragma("page_size")
    if size_bytes_max is not None and size > size_bytes_max:
        return False
    if size > CLEARED_AT_ONCE_BYTES_MAX:
        connection.pragma("temp_store", "FILE")
    connection.execute("VACUUM")
    connection.pragma("temp_store", "MEMORY")
    connection.execute("UPDATE hf_meta SET value = ? WHERE name = ?", (_IN_WAL_ALONE, REMAINS))
    return True
