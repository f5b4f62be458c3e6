"""Tokens of an OpenID Connect issuer: discovery, keys, signature, claims, account.

Rules (RFC 8725, OpenID Connect Core 3.1.3.7): the algorithm must be on our list, which never holds `none` or a shared-secret one
(with those, a public key could be used to sign); the key must be one the issuer publishes; issuer and audience must be ours; `exp`
is needed, `nbf` and `iat` count with a small leeway. A token signed with a key we do not know makes us ask for the keys again (they
rotate), at most every `REFETCH_SECONDS_MIN`: a flood of made-up key ids must not become a flood of requests to the issuer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import KeySet

from holdfast.core.errors import NotSignedIn, UnsafeSettings, WorldError
from holdfast.runtime import Runtime
from holdfast.server.authenticate import Identity
from holdfast.server.settings import Settings

__all__ = ["AccountLookup", "Issuer", "IssuerKeys"]

FETCH_BYTES_MAX = 1 << 20
FETCH_SECONDS_MAX = 5.0
KEYS_SECONDS_MAX = 3600.0
REFETCH_SECONDS_MIN = 10.0

_ASYMMETRIC = frozenset(("RSA", "EC", "OKP"))


class AccountLookup(Protocol):
    """Finds the account behind a token's claims."""

    async def account_id(self, *, email: str | None = None, account_id: str | None = None) -> str | None:
        """The account's id, if it may sign in; None otherwise."""

    async def memberships(self, account_id: str) -> list[str]: ...


class IssuerKeys:
    """The issuer's published keys, fetched when needed."""

    def __init__(self, issuer: str, runtime: Runtime, fetch: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        raise_if_unsafe_address(issuer)
        self._issuer = issuer.rstrip("/")
        self._runtime = runtime
        self._fetch = fetch or fetch_json
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")

    async def key_set(self, kid: str | None) -> KeySet:
        """Keys among which `kid` is, where the issuer publishes it. Raises WorldError if the issuer cannot be asked and no key is known."""
        now = self._runtime.monotonic()
        known = self._keys is not None and (kid is None or any(key.kid == kid for key in self._keys.keys))
        fresh = now - self._fetched_at < KEYS_SECONDS_MAX
        if not (known and fresh) and now - self._tried_at >= REFETCH_SECONDS_MIN:
            self._tried_at = now
            try:
                self._keys = await self._runtime.blocking(self._load)
                self._fetched_at = now
            except (OSError, ValueError, JoseError) as error:
                # With keys that were good an hour ago at most, people keep working while the issuer is away.
                if self._keys is None:
                    raise self._unreachable() from error
        if self._keys is None:
            raise self._unreachable()
        return self._keys

    def _load(self) -> KeySet:
        found = self._fetch(self._issuer + "/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise ValueError("the discovery document names another issuer")
        address = str(found.get("jwks_uri", ""))
        raise_if_unsafe_address(address)
        document = self._fetch(address)
        usable = [key for key in document.get("keys", ()) if key.get("kty") in _ASYMMETRIC and key.get("use", "sig") == "sig"]
        return KeySet.import_key_set({"keys": usable})

    def _unreachable(self) -> WorldError:
        return WorldError("The identity provider cannot be asked for its keys now.", retry_after=int(REFETCH_SECONDS_MIN),
                          hint="Try again; if it stays, check HOLDFAST_OIDC_ISSUER and the provider.")


class Issuer:
    """Checks tokens (see the module's rules) and maps their claims to an account and a tenant."""

    def __init__(self, settings: Settings, accounts: AccountLookup, runtime: Runtime,
                 fetch: Callable[[str], Mapping[str, Any]] | None = None) -> None:
        assert settings.oidc_issuer is not None and settings.oidc_audience is not None
        self._settings = settings
        self._accounts = accounts
        self._runtime = runtime
        self._keys = IssuerKeys(settings.oidc_issuer, runtime, fetch)
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: runtime.now_ms() // 1000, leeway=settings.oidc_leeway_seconds,
            iss={"essential": True, "values": [settings.oidc_issuer, settings.oidc_issuer.rstrip("/")]},
            aud={"essential": True, "value": settings.oidc_audience}, exp={"essential": True}, sub={"essential": True})

    async def check(self, token: str, tenant: str | None) -> Identity:
        """Raises NotSignedIn saying what is wrong with the token, WorldError when the issuer cannot be asked."""
        claims = await self._verified(token)
        account_id = await self._account(claims)
        tenant_id = await self._tenant(claims, account_id, tenant)
        return Identity(tenant_id=tenant_id, account_id=account_id, kind="jwt", secret_hash=hashlib.sha256(token.encode()).hexdigest(),
                        expires_at=int(claims["exp"] * 1000))

    async def _verified(self, token: str) -> Mapping[str, Any]:
        algorithms = list(self._settings.oidc_algorithms)
        header = _header(token)
        if header.get("alg") not in algorithms:
            raise NotSignedIn("The token's signature algorithm is not one this server takes.",
                              hint=f"Sign with one of {', '.join(algorithms)}.")
        keys = await self._keys.key_set(header.get("kid"))
        try:
            found = jwt.decode(token, keys, algorithms=algorithms)
            self._claims.validate(found.claims)
        except ExpiredTokenError:
            raise NotSignedIn("The token has expired.", hint="Get a new one from the identity provider.") from None
        except MissingClaimError as error:
            raise NotSignedIn(f"The token lacks a claim that is needed: {error.claim}.") from None
        except InvalidClaimError as error:
            raise NotSignedIn(f"The token's claim {error.claim} is not right for this server, or not yet.") from None
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise NotSignedIn("The token's signature is not one of this issuer's keys, or the token is damaged.") from None
        return found.claims

    async def _account(self, claims: Mapping[str, Any]) -> str:
        name = self._settings.oidc_account_claim
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise NotSignedIn(f"The token lacks the claim {name}, which names the account.")
        if name == "email":
            # An unverified address is what somebody typed: with it anyone could become anyone.
            if claims.get("email_verified") is not True:
                raise NotSignedIn("The identity provider has not verified the e-mail address in the token.")
            found = await self._accounts.account_id(email=value)
        else:
            found = await self._accounts.account_id(account_id=value)
        if found is None:
            raise NotSignedIn("The token is valid, but no account here belongs to it.",
                              hint="Ask an owner of the organisation for an account.")
        return found

    async def _tenant(self, claims: Mapping[str, Any], account_id: str, asked: str | None) -> str:
        claimed = claims.get(self._settings.oidc_tenant_claim)
        memberships = await self._accounts.memberships(account_id)
        if isinstance(claimed, str) and claimed:
            if asked is not None and asked != claimed:
                raise NotSignedIn("The token is for another organisation than the header Holdfast-Tenant names.")
            asked = claimed
        if asked is None and len(memberships) == 1:
            return memberships[0]
        if asked is None:
            raise NotSignedIn("The token names no organisation, and the account has none or several.",
                              hint="Name it in the header Holdfast-Tenant.")
        if asked not in memberships:
            raise NotSignedIn("The account is not a member of that organisation.")
        return asked


def _header(token: str) -> Mapping[str, Any]:
    try:
        segment = token.split(".", 1)[0]
        found = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        raise NotSignedIn("The token is damaged: its header cannot be read.") from None
    if not isinstance(found, dict):
        raise NotSignedIn("The token is damaged: its header is no object.")
    return found


def fetch_json(address: str) -> Mapping[str, Any]:
    """GET a JSON object. Blocks; raises OSError or ValueError. Redirects are not followed: they could lead anywhere."""
    request = urllib.request.Request(address, headers={"Accept": "application/json", "User-Agent": "holdfast"})
    with _opener.open(request, timeout=FETCH_SECONDS_MAX) as answer:
        body = answer.read(FETCH_BYTES_MAX + 1)
    if len(body) > FETCH_BYTES_MAX:
        raise ValueError("the answer is too long")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)


def raise_if_unsafe_address(address: str) -> None:
    """Keys must come over https; plain http only from this machine itself."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return
    raise UnsafeSettings(f"The identity provider's address {address!r} is not https.", field="oidc_issuer",
                         hint="Use an https address; http is taken from this machine alone.")
