"""Reads of who and from where, on PostgreSQL: tenants, accounts, credentials, devices, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from holdfast.storage.postgres.base import PostgresBase
from holdfast.storage.postgres.names import qualified
from holdfast.storage.protocol import Account, Credential, Device, Tenant

__all__ = ["ACCOUNT", "CREDENTIAL", "DEVICE", "TENANT", "PostgresPeople"]

TENANT: Final = ("tenant_id", "name", "created_at", "suspended", "wrapped_key")
ACCOUNT: Final = ("id", "email", "password_hash", "created_at", "operator", "disabled")
CREDENTIAL: Final = ("hash", "kind", "account_id", "tenant_id", "created_at", "expires_at", "name", "last_used_at", "revoked_at", "csrf",
                     "roles")
DEVICE: Final = ("tenant_id", "device_id", "actor_id", "first_seen", "last_seen", "cursor", "report")

_TENANT: Final = f"SELECT {', '.join(TENANT)} FROM {qualified('hf_tenants')}"
_ACCOUNT: Final = f"SELECT {', '.join(ACCOUNT)} FROM {qualified('hf_accounts')} WHERE"
_CREDENTIAL: Final = f"SELECT {', '.join(CREDENTIAL)} FROM {qualified('hf_credentials')} WHERE"
_DEVICE: Final = f"SELECT {', '.join(DEVICE)} FROM {qualified('hf_devices')} WHERE tenant_id = $1"
_MEMBERSHIPS: Final = (f"SELECT m.tenant_id FROM {qualified('hf_memberships')} AS m JOIN {qualified('hf_tenants')} AS t "
                       "ON t.tenant_id = m.tenant_id WHERE m.account_id = $1 ORDER BY m.tenant_id")


class PostgresPeople(PostgresBase):
    async def devices(self, tenant: str, actor_id: str | None = None) -> list[Device]:
        rows = await self.tenant_rows(tenant, f"{_DEVICE} AND ($2::text IS NULL OR actor_id = $2) ORDER BY device_id", actor_id)
        return [_device(row) for row in rows]

    async def devices_named(self, tenant: str, ids: Sequence[str]) -> dict[str, Device]:
        rows = await self.tenant_rows(tenant, f"{_DEVICE} AND device_id = ANY($2::text[])", list(ids)) if ids else []
        return {row[1]: _device(row) for row in rows}

    async def tenant(self, tenant: str) -> Tenant | None:
        """As the tenant itself: its own row is the one it may see."""
        found = await self.tenant_one(tenant, f"{_TENANT} WHERE tenant_id = $1")
        return None if found is None else Tenant(**dict(found))

    async def tenants(self) -> list[Tenant]:
        return [Tenant(**dict(row)) for row in await self.directory(f"{_TENANT} ORDER BY tenant_id")]

    async def account(self, *, account_id: str | None = None, email: str | None = None) -> Account | None:
        by, value = ("email", email) if account_id is None else ("id", account_id)
        found = await self.directory_one(f"{_ACCOUNT} {by} = $1", value)
        return None if found is None else Account(**dict(found))

    async def memberships(self, account_id: str) -> list[str]:
        return [row[0] for row in await self.directory(_MEMBERSHIPS, account_id)]

    async def credential(self, hash: str) -> Credential | None:
        found = await self.directory_one(f"{_CREDENTIAL} hash = $1", hash)
        return None if found is None else _credential(found)

    async def credentials(self, tenant: str, account_id: str | None = None) -> list[Credential]:
        rows = await self.directory(f"{_CREDENTIAL} tenant_id = $1 AND ($2::text IS NULL OR account_id = $2) ORDER BY hash", tenant,
                                    account_id)
        return [_credential(row) for row in rows]

    async def setting(self, tenant: str, name: str) -> Any:
        found = await self.tenant_one(tenant, f"SELECT value FROM {qualified('hf_settings')} WHERE tenant_id = $1 AND name = $2", name)
        return None if found is None else orjson.loads(found[0])


def _credential(row: Any) -> Credential:
    found = dict(row)
    roles = found.pop("roles")
    return Credential(**found, roles=None if roles is None else orjson.loads(roles))


def _device(row: Any) -> Device:
    found = dict(row)
    return Device(**{**found, "report": orjson.loads(found["report"])})
