"""Accounts, organisations, members, credentials: what lies around the log. Accounts (e-mail, password) are global; a member, with its
roles, is a record of the organisation's collection `members` and is written through its log like any other.

Secrets: a password is kept as its argon2id hash, a token or session as its SHA-256 alone (it has 256 random bits). Both come from the
runtime's randomness. Attempts to sign in are counted in the database, so that the limit holds for all servers together.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from holdfast.core.entry import Mutation, Request
from holdfast.core.errors import Forbidden, InvalidValue, NotFound, NotSignedIn, RateLimited, WorldError
from holdfast.core.ops import CreateOp, DeleteOp, SetOp, UndeleteOp
from holdfast.engine.memory import Newest
from holdfast.engine.work import Change, Upkeep, Value, Who
from holdfast.model.builtin import MEMBERS, OWNER
from holdfast.model.keys import new_tenant_keys
from holdfast.storage.protocol import Account, Credential, Tenant

if TYPE_CHECKING:
    from holdfast.engine.store import Store

__all__ = ["Accounts", "Credentialed", "Session", "TenantChoice", "secret_hash"]

SYSTEM: Final = "system"
TOKEN_PREFIX: Final = "hf_"

SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")
PASSWORD_CHARACTERS_MIN: Final = 8
PASSWORD_CHARACTERS_MAX: Final = 1_000
MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS
TOUCH_EVERY_MS: Final = 60 * MINUTE_MS
CHECKED_MAX: Final = 20_000
ATTEMPTS_BY_ADDRESS: Final = 10
"""An address may stand for a whole office: it has so many times the attempts of an account."""

SIGN_IN_FAILED: Final = "E-mail address, password or organisation is wrong."


class Credentialed(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a credential is. Times ms since 1970."""

    tenant_id: str
    account_id: str
    kind: str
    secret_hash: str
    expires_at: int | None = None
    narrowed: frozenset[str] | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A new session. `token` is the secret, shown this once."""

    token: str
    tenant: str
    actor_id: str
    expires_at: int


class TenantChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The password was right; the account belongs to several organisations and none was named: (tenant, name)."""

    tenants: tuple[tuple[str, str], ...]


def secret_hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def normal_email(email: str) -> str:
    """Raises InvalidValue."""
    found = email.strip().lower()
    if not EMAIL.fullmatch(found):
        raise InvalidValue("This is no e-mail address.", field="email")
    return found


class Accounts:
    """Over an opened store, whoever holds its folder."""

    def __init__(self, store: Store, *, session_ms: int = 14 * DAY_MS) -> None:
        self._store = store
        self._runtime = store.runtime
        self._session_ms = session_ms
        self._attempts_max = store.schema.limits.sign_in_attempts_per_minute_max
        # OWASP's smallest recommended cost: what one sign-in takes is also what an attacker can make us spend.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)
        self._nobody: str | None = None
        self._checked: Newest[str, Credentialed] = Newest(CHECKED_MAX)

    # -- organisations and people -----------------------------------------------------------------------------------------

    async def create_tenant(self, tenant_id: str, name: str = "") -> Tenant:
        """Raises InvalidValue (the slug), Conflict (it exists)."""
        if not SLUG.fullmatch(tenant_id):
            raise InvalidValue("The short name of an organisation is 1 to 63 of a-z, 0-9 and -, not beginning or ending with -.",
                               field="tenant")
        masters = self._store.keyring.masters
        wrapped = new_tenant_keys(tenant_id, masters, self._runtime.random_bytes) if masters is not None else ""
        tenant = Tenant(tenant_id=tenant_id, name=name or tenant_id, created_at=self._runtime.now_ms(), wrapped_key=wrapped)
        await self._store.gate.submit(Upkeep(new_tenants=[tenant]))
        return tenant

    async def create_account(self, email: str, password: str | None = None, *, operator: bool = False) -> Account:
        """Raises InvalidValue, Conflict (the address is taken). Without a password nobody can sign in to it by one."""
        hashed = None if password is None else await self._hashed(password)
        account = Account(id=self._runtime.uuid7(), email=normal_email(email), password_hash=hashed, created_at=self._runtime.now_ms(),
                          operator=operator)
        await self._store.gate.submit(Upkeep(accounts=[account]))
        return account

    async def account(self, email: str) -> Account | None:
        async with self._store.storage.reader() as reader:
            return await reader.account(email=normal_email(email))

    async def add_member(self, tenant_id: str, account: Account, roles: Iterable[str], *, display_name: str = "") -> str:
        """Make the account a member with these roles, or give the member these roles. Returns the actor id. Raises NotFound (the
        organisation), Forbidden (it would be left without an owner)."""
        wanted = sorted(set(roles))
        who = Who(tenant_id, SYSTEM, system=True)
        async with self._store.storage.reader() as reader:
            if await reader.tenant(tenant_id) is None:
                raise NotFound(f"There is no organisation {tenant_id!r}.")
            row = (await reader.rows(tenant_id, [(MEMBERS, account.id)])).get((MEMBERS, account.id))
        if row is None:
            fields = {"display_name": display_name or account.email.partition("@")[0], "email": account.email, "roles": wanted}
            await self._change(who, account.id, CreateOp(fields), on_current=False)
            return account.id
        if row.deleted:
            await self._change(who, account.id, UndeleteOp())
        if sorted(row.fields["roles"]) != wanted:
            await self._change(who, account.id, SetOp("/roles", wanted))
        return account.id

    async def remove_member(self, tenant_id: str, account_id: str) -> None:
        """Raises NotFound, Forbidden (the last owner)."""
        await self._change(Who(tenant_id, SYSTEM, system=True), account_id, DeleteOp())

    async def _change(self, who: Who, account_id: str, op: CreateOp | SetOp | DeleteOp | UndeleteOp, *, on_current: bool = True) -> None:
        contract = self._store.schema.collections[MEMBERS].contract
        mutation = Mutation(mutation_id=self._runtime.uuid7(), collection=MEMBERS, record_id=account_id, ops=[op], contract=contract)
        await self._store.gate.submit(Change(who, mutation, on_current=on_current))

    async def ensure_member(self, tenant_id: str, email: str, roles: Iterable[str] | None, *, display_name: str = "") -> str:
        """The actor id of this person in this organisation, making whatever of them does not exist yet: the organisation, the account, the
        member. `roles` None: the roles it has; for a new member none, or `owner` in a new organisation."""
        async with self._store.storage.reader() as reader:
            tenant = await reader.tenant(tenant_id)
            account = await reader.account(email=normal_email(email))
            key = (MEMBERS, "" if account is None else account.id)
            member = None if account is None else (await reader.rows(tenant_id, [key])).get(key)
            founded = tenant is None or (await reader.head(tenant_id)).seq == 0
        if tenant is None:
            await self.create_tenant(tenant_id)
        if account is None:
            account = await self.create_account(email)
        if roles is None:
            if member is not None and not member.deleted:
                return account.id
            roles = {OWNER} if founded else ()
        return await self.add_member(tenant_id, account, roles, display_name=display_name)

    # -- tokens ---------------------------------------------------------------------------------------------------------------

    async def create_token(self, tenant_id: str, email: str, *, name: str = "", roles: Iterable[str] | None = None,
                           expires_at: int | None = None) -> str:
        """A new API token: the secret, which nobody can read again. `roles` can only take away of the member's. Raises NotFound."""
        account = await self.account(email)
        if account is None or tenant_id not in await self.memberships(account.id):
            raise NotFound("There is no such member in this organisation.")
        secret = self._secret()
        await self._store.gate.submit(Upkeep(credentials=[Credential(
            hash=secret_hash(secret), kind="token", account_id=account.id, tenant_id=tenant_id, created_at=self._runtime.now_ms(),
            expires_at=expires_at, name=name, roles=None if roles is None else sorted(set(roles)))]))
        return secret

    def _secret(self) -> str:
        return TOKEN_PREFIX + base64.urlsafe_b64encode(self._runtime.random_bytes(32)).rstrip(b"=").decode()

    async def check(self, secret: str) -> Credentialed | None:
        """Whose the token or session is; None if it is unknown, expired or withdrawn, or its account may not sign in any more."""
        hashed = secret_hash(secret)
        found = self._checked.get(hashed)
        now = self._runtime.now_ms()
        if found is None:
            async with self._store.storage.reader() as reader:
                credential = await reader.credential(hashed)
                if credential is None or credential.revoked_at is not None:
                    return None
                account = await reader.account(account_id=credential.account_id)
            if account is None or account.disabled:
                return None
            narrowed = None if credential.roles is None else frozenset(credential.roles)
            found = Credentialed(tenant_id=credential.tenant_id, account_id=credential.account_id, kind=credential.kind, secret_hash=hashed,
                                 expires_at=credential.expires_at, narrowed=narrowed)
            self._checked.put(hashed, found)
            if now - (credential.last_used_at or 0) > TOUCH_EVERY_MS:
                self._runtime.spawn(self._touch(hashed, now), name="note that a credential was used")
        return None if found.expires_at is not None and found.expires_at <= now else found

    async def _touch(self, hashed: str, now: int) -> None:
        try:
            await self._store.gate.submit(Upkeep(touches=[(hashed, now)]))
        except WorldError:
            return      # when it was used last is a courtesy; a full disk is told to those who save

    def forget(self) -> None:
        """Accounts or credentials have changed somewhere: look again."""
        self._checked.clear()

    # -- signing in -----------------------------------------------------------------------------------------------------------

    async def sign_in(self, email: str, password: str, *, tenant: str | None, request: Request) -> Session | TenantChoice:
        """Raises NotSignedIn (one answer, in equal time, for an unknown account, a wrong password and a foreign organisation),
        RateLimited."""
        await self._count_attempt("account", email.strip().lower(), 1)
        if request.address:
            await self._count_attempt("address", request.address, ATTEMPTS_BY_ADDRESS)
        async with self._store.storage.reader() as reader:
            account = await reader.account(email=email.strip().lower()) if EMAIL.fullmatch(email.strip()) else None
        if not await self._is_right(account, password) or account is None:
            raise NotSignedIn(SIGN_IN_FAILED)
        tenants = await self.memberships(account.id)
        if tenant is not None:
            if tenant not in tenants:
                raise NotSignedIn(SIGN_IN_FAILED)
            return await self._new_session(account, tenant)
        if not tenants:
            raise NotSignedIn(SIGN_IN_FAILED)
        if len(tenants) == 1:
            return await self._new_session(account, tenants[0])
        async with self._store.storage.reader() as reader:
            named = [(one.tenant_id, one.name) for one in await reader.tenants() if one.tenant_id in tenants]
        return TenantChoice(tenants=tuple(named))

    async def _new_session(self, account: Account, tenant_id: str) -> Session:
        secret, now = self._secret(), self._runtime.now_ms()
        await self._store.gate.submit(Upkeep(credentials=[Credential(
            hash=secret_hash(secret), kind="session", account_id=account.id, tenant_id=tenant_id, created_at=now,
            expires_at=now + self._session_ms, last_used_at=now)]))
        return Session(token=secret, tenant=tenant_id, actor_id=account.id, expires_at=now + self._session_ms)

    async def sign_out(self, hashed: str) -> None:
        """Withdraw the credential with this hash."""
        async with self._store.storage.reader() as reader:
            credential = await reader.credential(hashed)
        if credential is not None:
            await self._revoke([credential])

    async def _revoke(self, credentials: list[Credential]) -> None:
        now = self._runtime.now_ms()
        self.forget()
        revoked = [msgspec.structs.replace(one, revoked_at=now) for one in credentials if one.revoked_at is None]
        if revoked:
            await self._store.gate.submit(Upkeep(credentials=revoked))
        self.forget()

    async def change_password(self, account_id: str, tenant_id: str, *, current: str, new: str, request: Request,
                              keep_hash: str = "") -> None:
        """Withdraws the account's other sessions (not the one with `keep_hash`). Raises NotSignedIn (wrong current one), InvalidValue,
        RateLimited."""
        await self._count_attempt("account", account_id, 1)
        async with self._store.storage.reader() as reader:
            account = await reader.account(account_id=account_id)
            sessions = [one for tenant in await reader.memberships(account_id) for one in await reader.credentials(tenant, account_id)]
        if not await self._is_right(account, current) or account is None:
            raise NotSignedIn("The current password is wrong.")
        account = msgspec.structs.replace(account, password_hash=await self._hashed(new))
        await self._store.gate.submit(Upkeep(accounts=[account]))
        await self._revoke([one for one in sessions if one.kind == "session" and one.hash != keep_hash])

    async def set_password(self, account: Account, password: str) -> None:
        """By an operator. Raises InvalidValue."""
        await self.keep_account(msgspec.structs.replace(account, password_hash=await self._hashed(password)))

    async def keep_account(self, account: Account) -> None:
        """By an operator: disable it, make it an operator's, give it another address. Raises Conflict (the address is taken)."""
        await self._store.gate.submit(Upkeep(accounts=[account]))
        self.forget()

    async def _count_attempt(self, kind: str, name: str, times: int) -> None:
        answer = await self._store.gate.submit(Upkeep(attempt=(f"sign_in:{kind}:{secret_hash(name)[:32]}", MINUTE_MS)))
        assert isinstance(answer, Value)
        if answer.value > self._attempts_max * times:
            raise RateLimited("Too many attempts to sign in.", retry_after=60)

    async def _is_right(self, account: Account | None, password: str) -> bool:
        """Whether it is the account's password; takes the same time where there is no account."""
        if len(password) > PASSWORD_CHARACTERS_MAX:
            return False
        if self._nobody is None:
            self._nobody = await self._runtime.blocking(lambda: self._hasher.hash("", salt=bytes(16)))
        hashed = self._nobody if account is None or account.password_hash is None else account.password_hash
        right = await self._runtime.blocking(lambda: self._verified(hashed, password))
        return right and account is not None and account.password_hash is not None and not account.disabled

    def _verified(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _hashed(self, password: str) -> str:
        if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
            raise InvalidValue(f"A password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX:,} characters.", field="password")
        salt = self._runtime.random_bytes(16)
        return await self._runtime.blocking(lambda: self._hasher.hash(password, salt=salt))

    # -- who is who -----------------------------------------------------------------------------------------------------------

    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None:
        """The id of an account that may sign in, by address or id."""
        async with self._store.storage.reader() as reader:
            found = await reader.account(email=None if email is None else email.strip().lower(), account_id=account_id)
        return None if found is None or found.disabled else found.id

    async def memberships(self, account_id: str) -> list[str]:
        async with self._store.storage.reader() as reader:
            return await reader.memberships(account_id)

    async def profile(self, tenant_id: str, account_id: str, narrowed: frozenset[str] | None) -> dict[str, Any]:
        """{"account", "email", "display_name", "tenant", "tenant_name", "tenants", "roles", "operator"}. Raises Forbidden."""
        async with self._store.storage.reader() as reader:
            account = await reader.account(account_id=account_id)
            tenant = await reader.tenant(tenant_id)
            key = (MEMBERS, account_id)
            member = (await reader.rows(tenant_id, [key])).get(key)
            tenants = await reader.memberships(account_id)
        if account is None or tenant is None or member is None or member.deleted:
            raise Forbidden("You are not (any longer) a member of this organisation.")
        roles = frozenset(member.fields["roles"])
        return {"account": account.id, "email": account.email, "display_name": member.fields["display_name"], "tenant": tenant_id,
                "tenant_name": tenant.name, "tenants": tenants, "roles": sorted(roles if narrowed is None else roles & narrowed),
                "operator": account.operator}
