"""One connection in one transaction, and for whom it works there.

The tenant, the actor and the actor's roles are set for the transaction alone, by a function that takes bind parameters
(`holdfast.act_as`), so that a connection carries nothing of them when it goes back to the pool. Every statement about a tenant says
the tenant too: row-level security is the second lock.
"""

from __future__ import annotations

from typing import Any, Final

from holdfast.core.access import Actor
from holdfast.storage.postgres.errors import translated
from holdfast.storage.postgres.names import ROLE_SEPARATOR, SCHEMA, SERVER

__all__ = ["NO_TENANT", "Link", "roles_text"]

NO_TENANT: Final = ""
"""For what lies outside the tenants: accounts, credentials, the list of tenants."""

_ACT_AS: Final = f"SELECT {SCHEMA}.act_as($1, $2, $3)"


def roles_text(actor: Actor) -> str:
    """Roles as the setting `holdfast.roles` holds them: each between separators."""
    known = sorted(role for role in actor.roles if ROLE_SEPARATOR not in role)
    return ROLE_SEPARATOR + "".join(role + ROLE_SEPARATOR for role in known)


class Link:
    """`connection`: asyncpg's, with a transaction open on it."""

    def __init__(self, connection: Any, doing: str) -> None:
        self.connection = connection
        self._doing = doing
        self._acting: tuple[str, str, str] | None = None

    async def act(self, tenant: str, actor: Actor | None = None) -> None:
        """Work for this tenant from here on: as the actor, or as the server itself."""
        wanted = (tenant, "", SERVER) if actor is None else (tenant, actor.id, roles_text(actor))
        if wanted != self._acting:
            await self.fetch(_ACT_AS, *wanted)
            self._acting = wanted

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        with translated(self._doing):
            found: list[Any] = await self.connection.fetch(sql, *values)
            return found

    async def one(self, sql: str, *values: Any) -> Any:
        with translated(self._doing):
            return await self.connection.fetchrow(sql, *values)

    async def run(self, sql: str, *values: Any) -> int:
        """How many rows the statement touched."""
        with translated(self._doing):
            tag: str = await self.connection.execute(sql, *values)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0
