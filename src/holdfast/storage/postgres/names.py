"""Names in the database: the schema that holds everything, the roles, the settings that say for whom a transaction works."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from holdfast.core.errors import DeclarationError
from holdfast.storage.layout import quoted

__all__ = ["APP_ROLE", "MIGRATOR_ROLE", "NAME_BYTES_MAX", "OWNER_ROLE", "ROLE_SEPARATOR", "SCHEMA", "SERVER", "index_name", "qualified",
           "raise_if_too_long"]

SCHEMA: Final = "holdfast"
OWNER_ROLE: Final = "holdfast_owner"
MIGRATOR_ROLE: Final = "holdfast_migrator"
APP_ROLE: Final = "holdfast_app"

SERVER: Final = "server"
"""What stands in the setting `holdfast.roles` while the server itself works. No member's roles can read so: theirs begin and end with
`ROLE_SEPARATOR`."""
ROLE_SEPARATOR: Final = "\x1f"

NAME_BYTES_MAX: Final = 63
"""Longer names PostgreSQL would cut off, silently."""


@cache
def qualified(table: str) -> str:
    """A table as every statement names it: nothing depends on a search path, which would be the state of a session."""
    return f"{SCHEMA}.{quoted(table)}"


@cache
def index_name(name: str) -> str:
    """A name for an index or a constraint: as wished where it fits, else its beginning and what tells it apart."""
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:10]
    return name.encode()[:NAME_BYTES_MAX - len(mark) - 1].decode(errors="ignore") + "_" + mark


def raise_if_too_long(name: str) -> None:
    """For tables and columns, whose names are the application's own. Raises DeclarationError."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise DeclarationError(f"{name[:80]!r} is too long: PostgreSQL takes names of at most {NAME_BYTES_MAX} bytes.", field=name[:80])
