"""Who calls: from a credential to an `Identity`, and from there to the engine's `Caller`.

Credentials: `Authorization: Bearer hf_…` (API token or the token that sign-in returns), `Authorization: Bearer <JWT>` of the OIDC
issuer, or the session cookie. A header wins over a cookie. Tokens and sessions are looked up by their SHA-256 at every call (the
accounts remember them and forget them the moment one is withdrawn); a JWT that was checked is believed for `oidc_cache_seconds`,
because checking a signature takes a tenth of a millisecond. Roles are never cached here: the engine looks them up at every call.

Cookies travel by themselves, so another site's page could make a browser send one. A call with a cookie that may change something
must therefore prove that a page of ours made it: `Sec-Fetch-Site` and `Origin`, whichever are there, must both be ours (or an
origin of `cors_origins`), and at least one must be there. SameSite=Lax on the cookie is the second wall.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from holdfast.core.entry import Request
from holdfast.core.errors import Forbidden, NotSignedIn
from holdfast.engine.api import Caller
from holdfast.runtime import Runtime
from holdfast.server.settings import Settings

__all__ = ["COOKIE", "SECURE_COOKIE", "Authenticator", "CredentialChecker", "Headers", "Identity", "TokenChecker", "bearer", "is_secure",
           "own_origin", "presented_cookie", "raise_if_cross_site"]

COOKIE = "holdfast_session"
SECURE_COOKIE = "__Host-holdfast_session"
"""Under https: browsers take a `__Host-` cookie only from this host, over https, for the whole host."""

_COOKIE_NAME = COOKIE.encode()
_SECURE_COOKIE_NAME = SECURE_COOKIE.encode()
_CACHED_MAX = 20_000
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))

Headers = Mapping[bytes, bytes]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that was checked. `secret_hash` is hex SHA-256; `expires_at` ms since 1970."""

    tenant_id: str
    account_id: str
    kind: Literal["session", "token", "jwt"]
    secret_hash: str
    expires_at: int | None = None
    narrowed: frozenset[str] | None = None
    by_cookie: bool = False

    def caller(self, request: Request) -> Caller:
        return Caller(tenant_id=self.tenant_id, actor_id=self.account_id, narrowed=self.narrowed, request=request)


class CredentialChecker(Protocol):
    """Looks a session or API token up."""

    async def check(self, secret: str) -> Identity | None:
        """None: unknown, expired, withdrawn, or its account may not sign in any more."""


class TokenChecker(Protocol):
    """Checks a JWT of the issuer."""

    async def check(self, token: str, tenant: str | None) -> Identity:
        """Raises NotSignedIn with a reason that helps, WorldError when the issuer cannot be asked."""


class Authenticator:
    """Checks what a call presents."""

    def __init__(self, checker: CredentialChecker, tokens: TokenChecker | None, runtime: Runtime, settings: Settings) -> None:
        self._checker = checker
        self._tokens = tokens
        self._runtime = runtime
        self._settings = settings
        self._cached: dict[bytes, tuple[Identity, float]] = {}

    async def identify(self, headers: Headers, *, method: str, scheme: str) -> Identity:
        """The identity behind a call. Raises NotSignedIn, Forbidden (a cookie from a page of another site, another tenant named)."""
        authorization = headers.get(b"authorization")
        if authorization is not None:
            return await self.identify_secret(bearer(authorization), headers.get(b"holdfast-tenant"))
        secret = presented_cookie(headers, secure=is_secure(scheme, self._settings))
        if secret is None:
            raise NotSignedIn("This call names nobody: it has no token and no session.")
        if method not in _SAFE_METHODS:
            raise_if_cross_site(headers, scheme, self._settings, must_say=True)
        return msgspec.structs.replace(await self.identify_secret(secret, headers.get(b"holdfast-tenant")), by_cookie=True)

    async def identify_secret(self, secret: str, tenant_header: bytes | None) -> Identity:
        """The identity of a token or session secret; `tenant_header` chooses the tenant of a JWT that names none."""
        tenant = None if tenant_header is None else tenant_header.decode("latin-1")
        if secret.count(".") == 2 and not secret.startswith("hf_"):
            return await self._check_jwt(secret, tenant)
        identity = await self._checker.check(secret)
        if identity is None or self._expired(identity):
            raise NotSignedIn("This token or session is not valid: unknown, expired or withdrawn.")
        if tenant is not None and tenant != identity.tenant_id:
            raise Forbidden("This credential belongs to another organisation than the header Holdfast-Tenant names.",
                            hint="Leave the header out, or use a credential of that organisation.")
        return identity

    def _expired(self, identity: Identity) -> bool:
        return identity.expires_at is not None and identity.expires_at <= self._runtime.now_ms()

    async def _check_jwt(self, token: str, tenant: str | None) -> Identity:
        if self._tokens is None:
            raise NotSignedIn("This server takes no tokens of an identity provider.",
                              hint="Use an API token (hf_…), or set HOLDFAST_OIDC_ISSUER.")
        key = hashlib.sha256(f"{token}\0{tenant or ''}".encode()).digest()
        cached = self._cached.get(key)
        if cached is not None and cached[1] > self._runtime.monotonic() and not self._expired(cached[0]):
            return cached[0]
        self._cached.pop(key, None)
        identity = await self._tokens.check(token, tenant)
        if len(self._cached) >= _CACHED_MAX:
            self._cached.pop(next(iter(self._cached)))
        self._cached[key] = (identity, self._runtime.monotonic() + self._settings.oidc_cache_seconds)
        return identity


def bearer(authorization: bytes) -> str:
    scheme, _, secret = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not secret.strip():
        raise NotSignedIn("The Authorization header is not of the form 'Bearer <token>'.")
    if not secret.isascii():
        raise NotSignedIn("The token has characters that no token has.")
    return secret.strip().decode("ascii")


def is_secure(scheme: str, settings: Settings) -> bool:
    """Whether browsers reach this server over https, perhaps through a proxy that speaks http to us."""
    return scheme in ("https", "wss") or (settings.public_url or "").lower().startswith("https://")


def presented_cookie(headers: Headers, *, secure: bool) -> str | None:
    """The session secret of a cookie. Under https only the `__Host-` cookie counts: another one could come from a neighbour host."""
    raw = headers.get(b"cookie")
    if raw is None:
        return None
    wanted = _SECURE_COOKIE_NAME if secure else _COOKIE_NAME
    for part in raw.split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == wanted and value:
            return value.decode("latin-1")
    return None


def own_origin(headers: Headers, scheme: str, settings: Settings) -> str:
    """The origin under which browsers see this server."""
    if settings.public_url:
        return settings.public_url.rstrip("/").lower()
    if scheme in ("ws", "wss"):
        scheme = "http" if scheme == "ws" else "https"
    return f"{scheme}://{headers.get(b'host', b'').decode('latin-1')}".lower()


def raise_if_cross_site(headers: Headers, scheme: str, settings: Settings, *, must_say: bool) -> None:
    """Raise Forbidden unless a page of ours made this call. `must_say`: a call that does not say where it comes from is refused too
    (browsers have said it since 2020)."""
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site")
    if origin is None and site is None and not must_say:
        return
    allowed = {own_origin(headers, scheme, settings), *(item.lower() for item in settings.cors_origins)}
    origin_text = None if origin is None else origin.decode("latin-1").lower()
    listed = origin_text in allowed if origin_text is not None else None
    same = None if site is None else site == b"same-origin"
    if listed is False or (same is False and not listed) or (listed is None and same is None):
        raise Forbidden("This call came with a session cookie from a page of another site, or does not say from where.",
                        hint="Call from a page of this server, list the page's origin in HOLDFAST_CORS_ORIGINS, or use a Bearer token.")
