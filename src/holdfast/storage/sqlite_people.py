"""Reads of who and from where, on SQLite: tenants, accounts, credentials, devices, settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from holdfast.storage.protocol import Account, Credential, Device, Tenant
from holdfast.storage.sqlite_base import SqliteBase

__all__ = ["ACCOUNT", "CREDENTIAL", "DEVICE", "TENANT", "SqlitePeople"]

TENANT: Final = ("tenant_id", "name", "created_at", "suspended", "wrapped_key")
ACCOUNT: Final = ("id", "email", "password_hash", "created_at", "operator", "disabled")
CREDENTIAL: Final = ("hash", "kind", "account_id", "tenant_id", "created_at", "expires_at", "name", "last_used_at", "revoked_at", "csrf",
                     "roles")
DEVICE: Final = ("tenant_id", "device_id", "actor_id", "first_seen", "last_seen", "cursor", "report")

_TENANT: Final = f"SELECT {', '.join(TENANT)} FROM hf_tenants"
_ACCOUNT: Final = f"SELECT {', '.join(ACCOUNT)} FROM hf_accounts WHERE"
_CREDENTIAL: Final = f"SELECT {', '.join(CREDENTIAL)} FROM hf_credentials WHERE"
_DEVICE: Final = f"SELECT {', '.join(DEVICE)} FROM hf_devices WHERE"


class SqlitePeople(SqliteBase):
    async def devices(self, tenant: str, actor_id: str | None = None) -> list[Device]:
        rows = self.all(f"{_DEVICE} tenant_id = ? AND (? IS NULL OR actor_id = ?) ORDER BY device_id", tenant, actor_id, actor_id)
        return [_device(row) for row in rows]

    async def devices_named(self, tenant: str, ids: Sequence[str]) -> dict[str, Device]:
        rows = self.each(f"{_DEVICE} tenant_id = ? AND device_id = ?", [(tenant, one) for one in ids])
        return {row[1]: _device(row) for row in rows}

    async def tenant(self, tenant: str) -> Tenant | None:
        found = self.one(f"{_TENANT} WHERE tenant_id = ?", tenant)
        return None if found is None else _tenant(found)

    async def tenants(self) -> list[Tenant]:
        return [_tenant(row) for row in self.all(f"{_TENANT} ORDER BY tenant_id")]

    async def account(self, *, account_id: str | None = None, email: str | None = None) -> Account | None:
        by, value = ("email", email) if account_id is None else ("id", account_id)
        found = self.one(f"{_ACCOUNT} {by} = ?", value)
        if found is None:
            return None
        account_id, address, password_hash, created_at, operator, disabled = found
        return Account(id=account_id, email=address, password_hash=password_hash, created_at=created_at, operator=bool(operator),
                       disabled=bool(disabled))

    async def memberships(self, account_id: str) -> list[str]:
        if "members" not in self.codecs:
            return []
        rows = self.all("SELECT t.tenant_id FROM hf_tenants AS t JOIN members AS m ON m.tenant_id = t.tenant_id AND m.id = ? "
                        "WHERE m.deleted = 0 ORDER BY t.tenant_id", account_id)
        return [row[0] for row in rows]

    async def credential(self, hash: str) -> Credential | None:
        found = self.one(f"{_CREDENTIAL} hash = ?", hash)
        return None if found is None else _credential(found)

    async def credentials(self, tenant: str, account_id: str | None = None) -> list[Credential]:
        rows = self.all(f"{_CREDENTIAL} tenant_id = ? AND (? IS NULL OR account_id = ?) ORDER BY hash", tenant, account_id, account_id)
        return [_credential(row) for row in rows]

    async def setting(self, tenant: str, name: str) -> Any:
        found = self.one("SELECT value FROM hf_settings WHERE tenant_id = ? AND name = ?", tenant, name)
        return None if found is None else orjson.loads(found[0])


def _tenant(row: tuple[Any, ...]) -> Tenant:
    tenant_id, name, created_at, suspended, wrapped_key = row
    return Tenant(tenant_id=tenant_id, name=name, created_at=created_at, suspended=bool(suspended), wrapped_key=wrapped_key)


def _credential(row: tuple[Any, ...]) -> Credential:
    found = dict(zip(CREDENTIAL, row, strict=True))
    roles = found.pop("roles")
    return Credential(**found, roles=None if roles is None else orjson.loads(roles))


def _device(row: tuple[Any, ...]) -> Device:
    found = dict(zip(DEVICE, row, strict=True))
    return Device(**{**found, "report": orjson.loads(found["report"])})
