"""What every part of a PostgreSQL reader stands on: a link in a transaction, and the codecs of the schema's tables."""

from __future__ import annotations

from typing import Any

from holdfast.core.schema import Schema
from holdfast.storage.postgres.link import NO_TENANT, Link
from holdfast.storage.postgres.row_codec import RowCodec

__all__ = ["PostgresBase"]


class PostgresBase:
    """Reads on one connection, within the transaction that stands open on it."""

    def __init__(self, link: Link, schema: Schema, codecs: dict[str, RowCodec]) -> None:
        self.link = link
        self.schema = schema
        self.codecs = codecs

    async def tenant_rows(self, tenant: str, sql: str, *values: Any) -> list[Any]:
        """A statement about one tenant, whose first parameter is the tenant. Nothing is said of a tenant without a name."""
        if not tenant:
            return []
        await self.link.act(tenant)
        return await self.link.fetch(sql, tenant, *values)

    async def tenant_one(self, tenant: str, sql: str, *values: Any) -> Any:
        rows = await self.tenant_rows(tenant, sql, *values)
        return rows[0] if rows else None

    async def directory(self, sql: str, *values: Any) -> list[Any]:
        """A statement about what lies outside the tenants."""
        await self.link.act(NO_TENANT)
        return await self.link.fetch(sql, *values)

    async def directory_one(self, sql: str, *values: Any) -> Any:
        rows = await self.directory(sql, *values)
        return rows[0] if rows else None
