"""The three roles: the owner of everything (cannot sign in), the migrator (works as the owner, and past row-level security, to rewrite
rows), and the app's (owns nothing, is held by every policy).

Roles belong to the whole server. Those that are there are left as they are, and judged at every opening: `raise_if_unprotected`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import asyncpg

from holdfast.core.errors import UnsafeSettings
from holdfast.storage.postgres.names import APP_ROLE, MIGRATOR_ROLE, OWNER_ROLE, SCHEMA

__all__ = ["missing_roles", "raise_if_unprotected", "role_statements"]

_ATTRIBUTES: Final = {
    OWNER_ROLE: "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB",
    MIGRATOR_ROLE: "LOGIN NOSUPERUSER BYPASSRLS NOCREATEROLE NOCREATEDB",
    APP_ROLE: "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB",
}
_OWNED: Final = """
    SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND pg_catalog.pg_has_role(current_user, c.relowner, 'MEMBER')"""


def role_statements() -> Iterator[tuple[str, str]]:
    """(role, the statement that makes it), then what joins them, under the name of no role."""
    for role, attributes in _ATTRIBUTES.items():
        yield role, f"CREATE ROLE {role} {attributes}"
    yield "", f"GRANT {OWNER_ROLE} TO {MIGRATOR_ROLE}"


async def missing_roles(connection: Any) -> list[str]:
    """Which of the three are not there."""
    rows = await connection.fetch("SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY($1::text[])", list(_ATTRIBUTES))
    there = {row[0] for row in rows}
    return [role for role in _ATTRIBUTES if role not in there]


async def raise_if_unprotected(connection: Any) -> None:
    """Whether row-level security holds the role that is signed in. Raises UnsafeSettings."""
    row: asyncpg.Record = await connection.fetchrow(
        "SELECT rolname::text, rolsuper, rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user")
    name, superuser, bypasses = row
    if superuser or bypasses:
        raise UnsafeSettings(f"The role {name} is not held by row-level security ({'superuser' if superuser else 'BYPASSRLS'}).",
                             hint=f"Serve as {APP_ROLE}, or as a role that is a member of it and nothing more.")
    owned = await connection.fetchval(_OWNED, SCHEMA)
    if owned:
        raise UnsafeSettings(f"The role {name} owns {owned} of Holdfast's tables or indexes, or may act as their owner.",
                             hint=f"Serve as {APP_ROLE}; {MIGRATOR_ROLE} is for `holdfast migrate` alone.")
