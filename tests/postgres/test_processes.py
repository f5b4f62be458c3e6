"""The commands on a database, as people call them, and servers as processes of their own: killed and paused while others are served; what
was acknowledged is there, once, and every server shows every change (P1 Kept, P2 Once, P5 Answered)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from holdfast.cli import main
from holdfast.model.keys import new_master_key
from tests.postgres.cluster import Place, server

PLACE = Place("processes")
APP = "tests.cli.notes"
KEY = {"HOLDFAST_MASTER_KEY": new_master_key(lambda count: b"k" * count)}


def call(*arguments: str, address: str) -> Result:
    return CliRunner(env=KEY).invoke(main, [*arguments, "--database", address, "--app", APP])


def facts(*arguments: str, address: str) -> Any:
    done = call(*arguments, "--json", address=address)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def serve(address: str, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "holdfast", "serve", "--port", "0", "--database", address, "--app", APP], text=True,
                            env={**os.environ, **KEY}, stdin=subprocess.DEVNULL, **streams)


class Served:
    def __init__(self) -> None:
        self.process = serve(PLACE.app, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.url = ""

    def wait(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Holdfast is ready: "), line
        self.url = line.split()[-1].rstrip("/")

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def serving(count: int) -> Iterator[list[Served]]:
    servers = [Served() for _ in range(count)]
    try:
        for one in servers:
            one.wait()
        yield servers
    finally:
        for one in servers:
            one.end()


@pytest.fixture(scope="module")
def token() -> str:
    """A migrated database with one organisation and its owner, made by the commands."""
    asyncio.run(server().make_database(PLACE.name))
    assert call("migrate", "--plan", address=PLACE.admin).exit_code == 1
    assert facts("migrate", address=PLACE.admin)["done"]
    assert facts("migrate", address=PLACE.admin)["todo"] == []
    facts("tenant", "create", "acme", address=PLACE.app)
    facts("user", "create", "ann@example.org", "--tenant", "acme", "--role", "owner", "--no-password", address=PLACE.app)
    return call("token", "create", "--user", "ann@example.org", "--tenant", "acme", address=PLACE.app).stdout.strip()


@pytest.fixture
async def client(token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=10) as opened:
        yield opened


def mutation(name: str) -> dict[str, Any]:
    return {"mutation_id": f"m-{name}", "collection": "notes", "record_id": f"00000000-0000-7000-8000-{int(name):012d}",
            "ops": [{"op": "create", "value": {"title": name}}]}


async def push(client: httpx.AsyncClient, url: str, name: str) -> str:
    """The outcome; empty: no answer."""
    try:
        answer = await client.post(f"{url}/v1/push", json={"device_id": "phone", "mutations": [mutation(name)]})
    except httpx.HTTPError:
        return ""
    return str(answer.json()["results"][0]["outcome"]) if answer.status_code == 200 else ""


async def pulled(client: httpx.AsyncClient, url: str) -> list[tuple[int, str]]:
    """(seq, record) of all changes, page by page."""
    cursor, found = None, []
    while True:
        page = (await client.get(f"{url}/v1/pull", params={"cursor": cursor} if cursor else {})).json()
        found += [(change["seq"], change["record_id"]) for change in page["changes"]]
        cursor = page["cursor"]
        if not page["more"]:
            return found


async def test_what_was_acknowledged_by_a_server_that_is_killed_is_there_once(client: httpx.AsyncClient) -> None:
    with serving(2) as (doomed, other):
        acknowledged: list[str] = []
        unknown: list[str] = []

        async def save(at: int) -> None:
            for turn in range(15):
                name = str(at * 100 + turn)
                outcome = await push(client, doomed.url, name)
                (acknowledged if outcome == "applied" else unknown).append(name)
                if len(acknowledged) > 20 and doomed.process.poll() is None:
                    doomed.process.kill()

        await asyncio.gather(*(save(at) for at in range(1, 5)))
        assert acknowledged and unknown
        again = [await push(client, other.url, name) for name in [*acknowledged, *unknown]]
        assert again[:len(acknowledged)] == ["duplicate"] * len(acknowledged)
        assert set(again) <= {"applied", "duplicate"}
        records = [record for _, record in await pulled(client, other.url) if record.startswith("00000000")]
        assert sorted(records) == sorted(mutation(name)["record_id"] for name in [*acknowledged, *unknown])


async def test_a_server_that_is_paused_holds_nobody_up_and_sees_everything_afterwards(client: httpx.AsyncClient) -> None:
    with serving(2) as (paused, other):
        assert await push(client, paused.url, "1001") == "applied"
        os.kill(paused.process.pid, signal.SIGSTOP)
        assert [await push(client, other.url, str(name)) for name in range(1002, 1012)] == ["applied"] * 10
        os.kill(paused.process.pid, signal.SIGCONT)
        assert await pulled(client, paused.url) == await pulled(client, other.url)


def refusal(address: str) -> str:
    with serve(address, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    return said


def test_serving_a_database_that_cannot_be_reached_says_so() -> None:
    assert "connecting" in refusal("postgresql://x@/x?host=%2Fnowhere")


def test_serving_under_a_role_that_row_level_security_does_not_hold_is_refused(token: str) -> None:
    assert "row-level security" in refusal(PLACE.admin)


def test_distributing_prints_its_statements(token: str) -> None:
    printed = call("distribute", "--dry-run", address=PLACE.admin).stdout
    assert "SELECT create_distributed_table('holdfast.\"notes\"', 'tenant_id', colocate_with => 'holdfast.\"hf_heads\"');" in printed
    assert "no Citus" in call("distribute", address=PLACE.admin).stderr
