"""What the server needs of accounts: signing in and out, passwords, who somebody is."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from holdfast.core.entry import Request
from holdfast.server.authenticate import Identity

__all__ = ["ChooseTenant", "People", "SignedIn", "TenantName"]


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
    async def still_valid(self, identity: Identity) -> bool: ...
    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None: ...
    async def memberships(self, account_id: str) -> list[str]: ...
