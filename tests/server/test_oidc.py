"""Tokens of an identity provider that runs as a process of its own. Defends P4: nobody becomes anybody without a token that the issuer
signed, for this server, for that person, valid now."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from holdfast.core.errors import NotSignedIn, UnsafeSettings, WorldError
from holdfast.runtime import RealRuntime
from holdfast.server.app import asgi_app
from holdfast.server.oidc import REFETCH_SECONDS_MIN, Issuer, raise_if_unsafe_address
from holdfast.server.settings import Settings
from tests.server.fakes import FakePeople, FakeStore
from tests.server.serving import Served, serving


class Clock(RealRuntime):
    """The world, but for a clock that can be moved."""

    moved_seconds = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + int(self.moved_seconds * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.moved_seconds


class Provider:
    def __init__(self, address: str) -> None:
        self.address = address

    def token(self, **wanted: Any) -> str:
        found: str = httpx.get(self.address + "/token", params={"wanted": json.dumps(wanted)}).json()["token"]
        return found

    def rotate(self) -> None:
        httpx.post(self.address + "/rotate")

    def published(self) -> RSAKey:
        return RSAKey.import_key(httpx.get(self.address + "/keys").json()["keys"][0])

    def asked(self) -> int:
        return int(httpx.get(self.address + "/asked").json()["asked"])


@pytest.fixture
def provider() -> Iterator[Provider]:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-m", "tests.server.issuer"], stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    try:
        yield Provider(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings_for(provider: Provider, **more: Any) -> Settings:
    return Settings(port=0, oidc_issuer=provider.address, oidc_audience="holdfast", **more)


@pytest.fixture
def issuer(provider: Provider, clock: Clock) -> Issuer:
    return Issuer(settings_for(provider), FakePeople(), clock)


async def refused(issuer: Issuer, token: str, tenant: str | None = "t1") -> str:
    with pytest.raises(NotSignedIn) as caught:
        await issuer.check(token, tenant)
    return caught.value.detail


async def test_a_good_token_names_account_tenant_and_end(issuer: Issuer, provider: Provider) -> None:
    for algorithm in ("RS256", "ES256"):
        found = await issuer.check(provider.token(alg=algorithm), None)
        assert (found.account_id, found.tenant_id, found.kind) == ("a", "t1", "jwt")
        assert found.expires_at is not None and 290_000 < found.expires_at - time.time() * 1000 <= 300_000


@pytest.mark.parametrize(("claims", "said"), [
    ({"aud": "another"}, "aud"), ({"aud": ["x", "y"]}, "aud"), ({"aud": None}, "aud"),
    ({"iss": "http://127.0.0.1:1"}, "iss"), ({"iss": None}, "iss"),
    ({"exp": 1}, "expired"), ({"exp": None}, "exp"), ({"exp": "soon"}, "exp"),
    ({"nbf": 4_000_000_000}, "nbf"), ({"iat": 4_000_000_000}, "iat"),
    ({"email_verified": False}, "verified"), ({"email_verified": None}, "verified"), ({"email_verified": "true"}, "verified"),
    ({"email": None}, "email"), ({"email": 7}, "email"), ({"email": "nobody@x.example"}, "account"), ({"tenant": "t2"}, "organisation"),
    ({"sub": None}, "sub"),
])
async def test_a_token_whose_claims_are_not_right_is_refused_and_says_which(issuer: Issuer, provider: Provider, claims: dict[str, Any],
                                                                            said: str) -> None:
    assert said in await refused(issuer, provider.token(claims=claims))


async def test_a_small_difference_of_clocks_is_forgiven(issuer: Issuer, provider: Provider) -> None:
    now = int(time.time())
    await issuer.check(provider.token(claims={"iat": now + 20, "nbf": now + 20, "exp": now - 20}), None)
    assert "expired" in await refused(issuer, provider.token(claims={"exp": now - 40}))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (header, claims)]
    return ".".join([*parts, ""])


async def test_a_token_without_a_signature_is_refused(issuer: Issuer, provider: Provider) -> None:
    claims = {"iss": provider.address, "aud": "holdfast", "sub": "a", "exp": 4_000_000_000, "email": "a@x.example", "email_verified": True}
    for algorithm in ("none", "None", "NONE", "nOnE", "", None):
        assert "algorithm" in await refused(issuer, unsigned({"alg": algorithm}, claims))


async def test_a_public_key_is_no_shared_secret(issuer: Issuer, provider: Provider) -> None:
    published = provider.published()
    claims = {"iss": provider.address, "aud": "holdfast", "sub": "a", "exp": 4_000_000_000, "email": "a@x.example", "email_verified": True}
    signed = unsigned({"alg": "HS256", "kid": published.kid}, claims).rstrip(".")
    mark = hmac.new(published.as_pem(private=False), signed.encode(), "sha256").digest()
    assert "algorithm" in await refused(issuer, f"{signed}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}")


async def test_a_token_signed_with_another_key_is_refused(issuer: Issuer, provider: Provider) -> None:
    claims = {"iss": provider.address, "aud": "holdfast", "sub": "a", "exp": 4_000_000_000, "email": "a@x.example", "email_verified": True}
    stranger = RSAKey.generate_key(2048)
    for header in ({"alg": "RS256", "kid": "rsa-0"}, {"alg": "RS256"}, {"alg": "RS256", "jwk": stranger.as_dict(private=False)},
                   {"alg": "RS256", "kid": "rsa-0", "jku": "http://127.0.0.1:1/keys"}):
        assert "signature" in await refused(issuer, jwt.encode(header, claims, stranger))


@pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.e30", "x" * 5000 + ".y.z", "eyJhbGciOiJSUzI1NiJ9.W10.AA", "[[[[.x.y"])
async def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    assert await refused(issuer, token)


async def test_a_changed_token_is_refused(issuer: Issuer, provider: Provider) -> None:
    header, payload, signature = provider.token().split(".")
    changed = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"email": "b@x.example"}
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    assert "signature" in await refused(issuer, f"{header}.{forged}.{signature}")


async def test_keys_that_rotate_are_fetched_again_but_not_for_every_made_up_key(issuer: Issuer, provider: Provider, clock: Clock) -> None:
    await issuer.check(provider.token(), None)
    provider.rotate()
    fresh = provider.token()
    assert "signature" in await refused(issuer, fresh)              # within the pause between two fetches
    clock.moved_seconds += REFETCH_SECONDS_MIN
    await issuer.check(fresh, None)
    assert "signature" in await refused(issuer, provider.token(retired=True))
    asked = provider.asked()
    for number in range(50):
        await refused(issuer, provider.token(header={"kid": f"made-up-{number}"}))
    assert provider.asked() - asked <= 1


async def test_an_issuer_that_cannot_be_asked_is_no_refusal(provider: Provider, clock: Clock) -> None:
    away = Settings(port=0, oidc_issuer="http://127.0.0.1:9", oidc_audience="holdfast")
    with pytest.raises(WorldError):
        await Issuer(away, FakePeople(), clock).check(provider.token(), None)


async def test_known_keys_serve_on_while_the_issuer_is_away(provider: Provider, clock: Clock) -> None:
    answers = {"up": True}

    def fetch(address: str) -> Any:
        if not answers["up"]:
            raise OSError("away")
        return httpx.get(address).json()

    issuer = Issuer(settings_for(provider), FakePeople(), clock, fetch)
    await issuer.check(provider.token(), None)
    answers["up"] = False
    clock.moved_seconds += 4_000
    now = int(time.time() + clock.moved_seconds)
    await issuer.check(provider.token(claims={"iat": now, "exp": now + 60}), None)


async def test_a_discovery_document_of_another_issuer_is_not_believed(provider: Provider, clock: Clock) -> None:
    issuer = Issuer(settings_for(provider), FakePeople(), clock, lambda address: {"issuer": "https://evil.example", "jwks_uri": address})
    with pytest.raises(WorldError):
        await issuer.check(provider.token(), None)


async def test_an_account_in_several_organisations_must_say_which(issuer: Issuer, provider: Provider) -> None:
    claims = {"email": "d@x.example"}
    assert "organisation" in await refused(issuer, provider.token(claims=claims), None)
    assert (await issuer.check(provider.token(claims=claims), "t2")).tenant_id == "t2"
    assert (await issuer.check(provider.token(claims={**claims, "tenant": "t2"}), None)).tenant_id == "t2"
    assert "organisation" in await refused(issuer, provider.token(claims={**claims, "tenant": "t2"}), "t1")


async def test_another_claim_can_name_the_account_by_its_id(provider: Provider, clock: Clock) -> None:
    issuer = Issuer(settings_for(provider, oidc_account_claim="sub"), FakePeople(), clock)
    assert (await issuer.check(provider.token(claims={"sub": "c", "email_verified": False}), None)).account_id == "c"
    assert "account" in await refused(issuer, provider.token(claims={"sub": "a@x.example"}))


@pytest.mark.parametrize("address", ["http://issuer.example", "ftp://127.0.0.1", "https://", "file:///etc/passwd", "http://127.0.0.1.evil.example"])
def test_keys_come_over_https_or_from_this_machine(address: str) -> None:
    with pytest.raises(UnsafeSettings):
        raise_if_unsafe_address(address)


@pytest.mark.parametrize("settings", [
    {"oidc_issuer": "https://x.example"}, {"oidc_algorithms": ("none",)}, {"oidc_algorithms": ("RS256", "HS256")}])
def test_settings_that_would_let_anybody_in_are_refused_at_start(settings: dict[str, Any]) -> None:
    with pytest.raises(UnsafeSettings):
        Settings(**settings)


@pytest.fixture
async def served(provider: Provider, clock: Clock) -> AsyncIterator[Served]:
    settings = settings_for(provider)
    people = FakePeople()
    async with serving(asgi_app(FakeStore(), people, settings=settings, tokens=Issuer(settings, people, clock)), settings) as found:
        yield found


async def test_a_call_and_a_socket_take_the_token(served: Served, provider: Provider) -> None:
    token = provider.token()
    async with served.client(token) as client:
        assert (await client.get("/v1/me")).json()["account"] == "a"
    async with served.socket({"device_id": "d1", "token": token}) as talker:
        assert (await talker.hear("welcome"))["actor_id"] == "a"


async def test_a_bad_token_is_answered_401_with_the_reason(served: Served, provider: Provider) -> None:
    async with served.client(provider.token(claims={"aud": "another"})) as client:
        answer = await client.get("/v1/me")
    assert answer.status_code == 401 and "aud" in answer.json()["detail"] and answer.headers["www-authenticate"].startswith("Bearer")
