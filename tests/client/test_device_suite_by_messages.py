"""The device suite through its JSON form and over a real network: the same cases, driven by messages as a page in a browser is. Defends the
promise that every kind of device is held against one list (P1 to P5)."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from holdfast.core.errors import HoldfastError
from holdfast.runtime import RealRuntime
from holdfast.testing.devices import CASES, DriverError, Page, ReplicaDriver, Site, call
from holdfast.testing.devices.running import Outcome, run_all
from tests.server.serving import Served, serving

VECTORS = Path(__file__).resolve().parents[2] / "vectors"

SOME = ["an edit survives the end of the program", "a save whose answer is lost", "a snapshot that breaks off", "half an answer",
        "a question waits", "an expired sign in", "two windows on one store"]


async def answered(driver: ReplicaDriver, raw: str | bytes) -> bytes:
    """What a driver page does with one message."""
    message: dict[str, Any] = msgspec.json.decode(raw)
    try:
        return msgspec.json.encode({"id": message["id"], "result": await call(driver, message["call"], message["arguments"])})
    except (DriverError, HoldfastError) as error:
        return msgspec.json.encode({"id": message["id"], "error": {"code": error.code, "detail": error.detail}})


async def page_by_socket(url: str, driver: ReplicaDriver) -> None:
    async with connect(f"ws{url.removeprefix('http')}/suite/driver", proxy=None, max_size=None) as connection:
        with contextlib.suppress(ConnectionClosed):         # the suite has ended
            async for message in connection:
                await connection.send((await answered(driver, message)).decode())


async def page_by_polling(url: str, driver: ReplicaDriver) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while True:
            asked = await client.get("/suite/next")
            if asked.status_code == 200:
                await client.post("/suite/answer", content=await answered(driver, asked.content))


@asynccontextmanager
async def suite(folder: Path, page_of: Any) -> AsyncIterator[tuple[Page, Site, RealRuntime, Served]]:
    runtime = RealRuntime()
    page = Page(runtime)
    site = Site(page, runtime)
    async with serving(site) as served:
        stores = folder / "stores"
        stores.mkdir()
        driving = asyncio.get_running_loop().create_task(page_of(served.url, ReplicaDriver(stores, runtime, url=served.url)))
        try:
            yield page, site, runtime, served
        finally:
            driving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await driving


async def outcomes(folder: Path, names: list[str], page_of: Any = page_by_socket) -> list[Outcome]:
    async with suite(folder, page_of) as (page, site, runtime, _):
        return [one async for one in run_all(page.driver, site, runtime, folder, names=names, vectors=VECTORS)]


@pytest.mark.parametrize("page_of", [page_by_socket, page_by_polling])
async def test_cases_hold_when_the_driver_answers_by_messages(tmp_path: Path, page_of: Any) -> None:
    found = await outcomes(tmp_path, SOME, page_of)
    assert len(found) == len(SOME)
    assert not [one for one in found if not one.held]


@pytest.mark.soak
async def test_all_cases_hold_over_a_real_network(tmp_path: Path) -> None:
    found = await outcomes(tmp_path, [])
    assert [one.name for one in found] == [one.name for one in CASES]
    assert not [one for one in found if not one.held]


async def test_a_call_that_is_none_is_answered_with_the_calls_there_are(tmp_path: Path) -> None:
    driver = ReplicaDriver(tmp_path, RealRuntime())
    answer = msgspec.json.decode(await answered(driver, b'{"id":1,"call":"explode","arguments":{}}'))
    assert answer["id"] == 1 and answer["error"]["code"] == "malformed"
    answer = msgspec.json.decode(await answered(driver, b'{"id":2,"call":"status","arguments":{"window":"a"}}'))
    assert answer["error"] == {"code": "state", "detail": "No window a is open."}


async def test_the_program_runs_a_case_against_a_page_and_ends_with_its_outcome(tmp_path: Path) -> None:
    """As a browser's test does it: start the program, load the page at its address, read what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast.testing.devices", "--json", "--case", "closing sends", "--vectors", str(VECTORS),
        stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    first = msgspec.json.decode(await process.stdout.readline())
    assert first["cases"] == len(CASES)
    driving = asyncio.get_running_loop().create_task(
        page_by_socket(first["address"], ReplicaDriver(tmp_path, RealRuntime(), url=first["address"])))
    said = [msgspec.json.decode(line) async for line in process.stdout]
    assert await process.wait() == 0
    assert [(one["name"], one["held"]) for one in said] == [("closing sends what is unsent", True)]
    driving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await driving


async def test_the_program_lists_its_cases_and_does_not_wait_for_ever_for_a_page() -> None:
    listed = await asyncio.create_subprocess_exec(sys.executable, "-m", "holdfast.testing.devices", "--json", "--list",
                                                  stdout=asyncio.subprocess.PIPE)
    lines = (await listed.communicate())[0].splitlines()
    assert listed.returncode == 0 and [msgspec.json.decode(one)["case"] for one in lines] == [one.name for one in CASES]
    alone = await asyncio.create_subprocess_exec(sys.executable, "-m", "holdfast.testing.devices", "--json", "--wait", "0.2",
                                                 stdout=asyncio.subprocess.PIPE)
    said = (await alone.communicate())[0].splitlines()
    assert alone.returncode == 2 and msgspec.json.decode(said[-1]) == {"error": "no page came within 0.2 s"}
