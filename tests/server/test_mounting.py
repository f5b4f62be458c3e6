"""A Holdfast store inside somebody's own Starlette or FastAPI application, under a prefix, with their lifespan. Defends P1 (what waits is
written when their application ends) and P4 (their routes and ours do not mix)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.routing import Route as TheirRoute

from holdfast import open_store
from holdfast.server.app import HoldfastApp, asgi_app
from tests.server.desk import app as desk
from tests.server.office import MASTER_KEYS
from tests.server.serving import Served, serving


async def own_page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("their own")


async def opened(folder: Path) -> AsyncIterator[tuple[HoldfastApp, str]]:
    async with open_store(folder, apps=[desk], master_keys=MASTER_KEYS) as store:
        if "acme" not in [one.tenant_id for one in await _tenants(store)]:
            await store.accounts.create_tenant("acme")
            account = await store.accounts.create_account("ada@acme.example", "correct horse battery")
            await store.accounts.add_member("acme", account, ["owner"])
        token = await store.accounts.create_token("acme", "ada@acme.example")
        app = asgi_app(store)
        try:
            yield app, token
        finally:
            await app.close()


async def _tenants(store: Any) -> Any:
    async with store.storage.reader() as reader:
        return await reader.tenants()


def starlette_with(folder: Path, tokens: list[str]) -> Any:
    @asynccontextmanager
    async def lifespan(theirs: Starlette) -> AsyncIterator[None]:
        async for ours, token in opened(folder):
            tokens.append(token)
            theirs.router.routes.append(Mount("/holdfast", app=ours))
            yield
    return Starlette(routes=[TheirRoute("/", own_page)], lifespan=lifespan)


def fastapi_with(folder: Path, tokens: list[str]) -> Any:
    @asynccontextmanager
    async def lifespan(theirs: fastapi.FastAPI) -> AsyncIterator[None]:
        async for ours, token in opened(folder):
            tokens.append(token)
            theirs.mount("/holdfast", ours)
            yield
    theirs = fastapi.FastAPI(lifespan=lifespan)
    theirs.add_route("/", own_page)
    return theirs


@pytest.fixture(params=[starlette_with, fastapi_with], ids=["starlette", "fastapi"])
def maker(request: Any) -> Callable[[Path, list[str]], Any]:
    made: Callable[[Path, list[str]], Any] = request.param
    return made


async def save(served: Served, token: str, title: str) -> httpx.Response:
    async with served.client(token) as client:
        return await client.post("/holdfast/v1/records/notes", json={"fields": {"title": title}})


async def test_calls_pushes_and_sockets_work_under_the_prefix(maker: Any, tmp_path: Path) -> None:
    tokens: list[str] = []
    async with serving(maker(tmp_path, tokens)) as served:
        made = await save(served, tokens[0], "mounted")
        assert made.status_code == 201
        async with served.client(tokens[0]) as client:
            assert (await client.get("/")).text == "their own"
            assert made.headers["location"].startswith("/holdfast/v1/records/notes/")
            assert (await client.get(made.headers["location"])).json()["fields"]["title"] == "mounted"
            pushed = await client.post("/holdfast/v1/push", json={"device_id": "d", "mutations": []})
            assert pushed.json()["results"] == []
            assert (await client.get("/holdfast/openapi.json")).json()["servers"] == [{"url": "/holdfast"}]
            assert 'href="/holdfast/openapi.json"' in (await client.get("/holdfast/")).text
            assert (await client.get("/holdfast/nothing")).json()["code"] == "not_found"
            assert (await client.get("/v1/me")).headers["content-type"] != "application/problem+json"
        async with served.socket({"device_id": "d2", "token": tokens[0]}, path="/holdfast/v1/live") as talker:
            assert (await talker.hear("welcome"))["tenant"] == "acme"
            assert any(change["collection"] == "notes" for change in (await talker.hear("changes"))["changes"])


async def test_what_was_acknowledged_is_there_after_their_application_ends_and_starts_again(maker: Any, tmp_path: Path) -> None:
    tokens: list[str] = []
    async with serving(maker(tmp_path, tokens)) as served:
        answers = await asyncio.gather(*(save(served, tokens[0], f"n{number}") for number in range(10)))
        assert {answer.status_code for answer in answers} == {201}
    async with serving(maker(tmp_path, tokens)) as served, served.client(tokens[-1]) as client:
        assert len((await client.get("/holdfast/v1/records/notes")).json()["records"]) == 10


async def test_their_application_may_work_on_the_same_store(tmp_path: Path) -> None:
    async with open_store(tmp_path, apps=[desk], master_keys=MASTER_KEYS) as store:
        member = await store.member("acme", "ada@acme.example")

        async def theirs(request: Request) -> PlainTextResponse:
            result = await store.create(member.caller, "notes", {"title": "from their route"})
            return PlainTextResponse(result.outcome)

        token = await store.accounts.create_token("acme", "ada@acme.example")
        ours = asgi_app(store)
        app = Starlette(routes=[TheirRoute("/theirs", theirs, methods=["POST"]), Mount("/h", app=ours)])
        hello = {"device_id": "d", "token": token}
        async with (serving(app) as served, served.client(token) as client,
                    served.socket(hello, path="/h/v1/live") as talker):
            await talker.hear("welcome")
            assert (await client.post("/theirs")).text == "applied"
            titles: list[str] = []
            while "from their route" not in titles:
                titles += [op.get("value", {}).get("title") for change in (await talker.hear("changes"))["changes"] for op in change["ops"]]
        await ours.close()
