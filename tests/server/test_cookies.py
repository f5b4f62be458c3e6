"""Browsers: the session cookie, and pages of other sites that would use it. Defends P4: another site's page neither reads nor writes with
the cookie of a person who visits it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from holdfast.server.settings import Settings
from tests.server.office import Office, office

OURS = {"origin": "http://desk.example"}
NEW = {"fields": {"title": "x"}}


@pytest.fixture
async def found() -> AsyncIterator[Office]:
    async with office(Settings(port=0, cors_origins=("https://app.example",))) as one:
        yield one


@asynccontextmanager
async def signed_in(found: Office, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with found.client() as client:
        answer = await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"},
                                   headers=headers)
        assert answer.status_code == 200 and client.cookies.get("holdfast_session")
        yield client


async def test_a_page_of_ours_reads_and_writes_with_the_cookie(found: Office) -> None:
    async with signed_in(found, **OURS) as client:
        assert (await client.get("/v1/me")).json()["tenant"] == "acme"
        for headers in (OURS, {"sec-fetch-site": "same-origin"}, {**OURS, "sec-fetch-site": "same-origin"}):
            assert (await client.post("/v1/records/notes", json=NEW, headers=headers)).status_code == 201


@pytest.mark.parametrize("headers", [
    {}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://desk.example.evil.example"},
    {"origin": "http://desk.example:81"}, {"origin": "https://desk.example"}, {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}, {**OURS, "sec-fetch-site": "cross-site", "origin": "http://evil.example"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, {"referer": "http://desk.example/"},
])
async def test_another_sites_page_cannot_write_with_the_cookie(found: Office, headers: dict[str, str]) -> None:
    async with signed_in(found) as client:
        for method, address, body in (("POST", "/v1/records/notes", NEW), ("POST", "/v1/push", {"device_id": "d", "mutations": []}),
                                      ("POST", "/v1/auth/logout", None)):
            answer: Any = await client.request(method, address, json=body, headers=headers)
            assert answer.status_code == 403 and answer.json()["code"] == "forbidden", (address, answer.text)
        assert (await client.get("/v1/records/notes")).json()["records"] == []


async def test_a_listed_origin_may_call_with_the_cookie_and_is_told_so(found: Office) -> None:
    listed = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    async with signed_in(found, **listed) as client:
        answer = await client.post("/v1/records/notes", json=NEW, headers=listed)
        assert answer.status_code == 201
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        preflight = await client.options("/v1/push", headers={"origin": "https://app.example", "access-control-request-method": "POST",
                                                              "access-control-request-headers": "content-type,idempotency-key"})
        assert preflight.status_code == 200 and preflight.headers["access-control-allow-origin"] == "https://app.example"


async def test_an_unlisted_origin_is_told_nothing_that_lets_its_page_read(found: Office) -> None:
    async with found.client() as client:
        answer = await client.options("/v1/push", headers={"origin": "https://evil.example", "access-control-request-method": "POST"})
        assert "access-control-allow-origin" not in answer.headers
        read = await client.get("/healthz", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in read.headers


async def test_without_a_list_no_origin_is_allowed() -> None:
    async with office() as found, found.client("emil") as client:
        answer = await client.get("/v1/me", headers={"origin": "https://app.example"})
        assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


async def test_a_token_needs_no_origin_and_wins_over_a_cookie(found: Office) -> None:
    async with signed_in(found) as client:
        headers = {"authorization": f"Bearer {found.tokens['zoe']}", "origin": "https://evil.example"}
        assert (await client.post("/v1/records/notes", json=NEW, headers=headers)).status_code == 201
        assert (await client.get("/v1/me", headers=headers)).json()["tenant"] == "other"


async def test_signing_out_ends_the_session_at_once_and_takes_the_cookie_back(found: Office) -> None:
    async with signed_in(found, **OURS) as client:
        token = client.cookies["holdfast_session"]
        answer = await client.post("/v1/auth/logout", headers=OURS)
        assert answer.status_code == 204 and "Max-Age=0" in answer.headers["set-cookie"]
        assert (await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})).status_code == 401


async def test_changing_the_password_ends_the_other_sessions_and_keeps_this_one(found: Office) -> None:
    async with signed_in(found, **OURS) as here, signed_in(found, **OURS) as there:
        change = {"current": "correct horse battery", "new": "staple battery horse"}
        assert (await here.post("/v1/auth/password", json=change, headers=OURS)).status_code == 204
        assert (await here.get("/v1/me")).status_code == 200
        assert (await there.get("/v1/me")).status_code == 401
        async with found.client() as again:
            old = await again.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"})
            new = await again.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "staple battery horse"})
        assert (old.status_code, new.status_code) == (401, 200)


async def test_behind_a_proxy_the_public_address_is_ours() -> None:
    async with office(Settings(port=0, public_url="https://work.example")) as found, found.client() as client:
        answer = await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"},
                                   headers={"origin": "https://work.example"})
        token = answer.json()["token"]
        assert answer.headers["set-cookie"].startswith("__Host-holdfast_session=")
        cookie = {"cookie": f"__Host-holdfast_session={token}"}
        good = await client.post("/v1/records/notes", json=NEW, headers={**cookie, "origin": "https://work.example"})
        bad = await client.post("/v1/records/notes", json=NEW, headers={**cookie, "origin": "http://desk.example"})
        plain = await client.get("/v1/me", headers={"cookie": f"holdfast_session={token}"})
    assert (good.status_code, bad.status_code, plain.status_code) == (201, 403, 401)


async def test_attempts_to_sign_in_are_counted_by_account(found: Office) -> None:
    async with found.client() as client:
        answers = [await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "wrong"}) for _ in range(11)]
        right = await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"})
        other = await client.post("/v1/auth/login", json={"email": "ines@acme.example", "password": "correct horse battery"})
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert right.status_code == 429 and int(right.headers["retry-after"]) >= 1 and other.status_code == 200
