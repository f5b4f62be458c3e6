"""What the server needs of accounts: signing in and out, passwords, who somebody is."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from holdfast.core.entry import Request
from holdfast.engine.accounts import Accounts, TenantChoice
from holdfast.server.authenticate import Identity

__all__ = ["AccountPeople", "ChooseTenant", "People", "SignedIn", "TenantName"]


class TenantName(msgspec.Struct, frozen=True, kw_only=True):
    tenant: str
    name: str


class SignedIn(msgspec.Struct, kw_only=True):
    """A new session. `token` is the secret, shown this once; `expires_at` ms since 1970."""

    token: str
    tenant: str
    actor_id: str
    expires_at: int


class ChooseTenant(msgspec.Struct, kw_only=True):
    """The password was right; the account belongs to several organisations and none was named."""

    tenants: list[TenantName]


class People(Protocol):
    """Accounts, as the server uses them. Also a `CredentialChecker` and an `AccountLookup`."""

    async def sign_in(self, email: str, password: str, *, tenant: str | None, request: Request) -> SignedIn | ChooseTenant:
        """Raises NotSignedIn (one answer, in equal time, for an unknown account, a wrong password and a foreign tenant), RateLimited."""

    async def sign_out(self, identity: Identity) -> None:
        """Withdraw the credential."""

    async def change_password(self, identity: Identity, *, current: str, new: str, request: Request) -> None:
        """Withdraws the account's other sessions. Raises NotSignedIn (wrong current one), InvalidValue (new one too weak), RateLimited."""

    async def profile(self, identity: Identity) -> dict[str, Any]:
        """{"account", "email", "tenant", "tenants", "roles", …}"""

    async def check(self, secret: str) -> Identity | None: ...
    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None: ...
    async def memberships(self, account_id: str) -> list[str]: ...


class AccountPeople:
    """The engine's accounts as `People`."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def sign_in(self, email: str, password: str, *, tenant: str | None, request: Request) -> SignedIn | ChooseTenant:
        found = await self._accounts.sign_in(email, password, tenant=tenant, request=request)
        if isinstance(found, TenantChoice):
            return ChooseTenant(tenants=[TenantName(tenant=one, name=name) for one, name in found.tenants])
        return SignedIn(token=found.token, tenant=found.tenant, actor_id=found.actor_id, expires_at=found.expires_at)

    async def sign_out(self, identity: Identity) -> None:
        await self._accounts.sign_out(identity.secret_hash)

    async def change_password(self, identity: Identity, *, current: str, new: str, request: Request) -> None:
        await self._accounts.change_password(identity.account_id, identity.tenant_id, current=current, new=new, request=request,
                                             keep_hash=identity.secret_hash)

    async def profile(self, identity: Identity) -> dict[str, Any]:
        return await self._accounts.profile(identity.tenant_id, identity.account_id, identity.narrowed)

    async def check(self, secret: str) -> Identity | None:
        found = await self._accounts.check(secret)
        if found is None:
            return None
        return Identity(tenant_id=found.tenant_id, account_id=found.account_id, kind="session" if found.kind == "session" else "token",
                        secret_hash=found.secret_hash, expires_at=found.expires_at, narrowed=found.narrowed)

    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None:
        return await self._accounts.account_id(email=email, account_id=account_id)

    async def memberships(self, account_id: str) -> list[str]:
        return await self._accounts.memberships(account_id)
