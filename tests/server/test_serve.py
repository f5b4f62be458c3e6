"""The server as a process: it says where it listens, keeps what it acknowledged when it is stopped or killed, and never hangs when it is
asked to stop. Defends P1 and P2."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from websockets.asyncio.client import connect

from holdfast.model.keys import new_master_key

ROOT = Path(__file__).resolve().parents[2]
MASTER_KEY = new_master_key(lambda count: b"m" * count)


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Signal, then exit code and seconds until it was gone."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(20), time.monotonic() - started


@contextmanager
def running(folder: Path, *, port: int = 0, writer: str = "process", errors: IO[str] | None = None) -> Iterator[Running]:
    environment = {**os.environ, "HOLDFAST_MASTER_KEY": MASTER_KEY}
    process = subprocess.Popen([sys.executable, "-m", "tests.server.served_process", str(folder), str(port), writer], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=errors or subprocess.DEVNULL, env=environment)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip().removeprefix("Holdfast is ready: ")
        token = process.stdout.readline().strip().removeprefix("token ")
        yield Running(process, url, token)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def mutation(number: int) -> dict[str, Any]:
    record = f"01980000-0000-7000-8000-{number:012d}"
    ops = [{"op": "create", "value": {"title": f"n{number}"}}]
    return {"mutation_id": f"m{number}", "collection": "notes", "record_id": record, "ops": ops}


@pytest.mark.parametrize("writer", ["process", "thread"])
def test_it_says_where_it_listens_serves_and_ends_well(tmp_path: Path, writer: str) -> None:
    log = tmp_path / "log"
    with log.open("w") as errors, running(tmp_path / "data", writer=writer, errors=errors) as server:
        assert httpx.get(server.url + "/readyz").json() == {"status": "ready"}
        answer = httpx.post(server.url + "/v1/push", headers=server.headers, json={"device_id": "d", "mutations": [mutation(1)]})
        assert answer.json()["results"][0]["receipt"] == "committed"
        code, seconds = server.stop()
        assert code == 0 and seconds < 5
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines]
    assert any(event.startswith("listening on http://127.0.0.1:") for event in events) and events[-1] == "stopped"
    push = next(line for line in lines if line.get("route") == "/v1/push")
    assert push["status"] == 200 and push["tenant"] == "acme" and push["request_id"] == answer.headers["x-request-id"] and push["ms"] >= 0
    assert server.token not in log.read_text() and "n1" not in log.read_text()


def test_what_was_acknowledged_survives_a_kill_and_is_not_taken_twice(tmp_path: Path) -> None:
    body = {"device_id": "d", "mutations": [mutation(number) for number in range(20)]}
    with running(tmp_path) as server:
        first = httpx.post(server.url + "/v1/push", headers=server.headers, json=body).json()
        server.stop(signal.SIGKILL)
    with running(tmp_path) as server:
        again = httpx.post(server.url + "/v1/push", headers=server.headers, json=body).json()
        listed = httpx.get(server.url + "/v1/records/notes?limit=200", headers=server.headers).json()["records"]
    assert {one["outcome"] for one in first["results"]} == {"applied"}
    assert {one["outcome"] for one in again["results"]} == {"duplicate"} and len(listed) == 20


async def test_it_ends_in_seconds_with_sockets_open_and_half_sent_requests(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        half = []
        for sent in (b"", b"POST /v1/push HTTP/1.1\r\n", b"POST /v1/push HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
                     + server.token.encode() + b"\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            half.append(writer)
        async with connect(server.url.replace("http", "ws") + "/v1/live", proxy=None) as listener:
            await listener.send(json.dumps({"type": "hello", "device_id": "d", "token": server.token}))
            await listener.recv()
            code, seconds = await asyncio.to_thread(server.stop)
        for writer in half:
            writer.close()
    assert code == 0 and seconds < 8


async def test_it_ends_in_seconds_while_many_save_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[int] = set()

    async def device(client: httpx.AsyncClient, name: int) -> None:
        for number in range(name * 1000, name * 1000 + 1000):
            try:
                answer = await client.post("/v1/push", json={"device_id": f"d{name}", "mutations": [mutation(number)]})
            except httpx.HTTPError:
                return
            if answer.status_code != 200:
                return
            acknowledged.add(number)

    with running(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=server.headers) as client:
            saving = asyncio.gather(*(device(client, name) for name in range(1, 9)))
            await asyncio.sleep(0.5)
            code, seconds = await asyncio.to_thread(server.stop)
            await saving
    assert code == 0 and seconds < 8 and len(acknowledged) > 20
    with running(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=server.headers) as client:
            answer = await client.get("/v1/snapshot?collections=notes")
        found = {int(json.loads(line)["fields"]["title"][1:]) for line in answer.text.splitlines()[1:]}
    assert acknowledged <= found


def test_a_port_that_is_taken_is_told_before_the_folder_is_touched(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = subprocess.run([sys.executable, "-m", "tests.server.served_process", str(tmp_path / "data"), str(holder.getsockname()[1]),
                               "process"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "Cannot listen" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_writer_that_dies_is_started_again_and_saves_go_on(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
        children = [child for task in tasks for child in (task / "children").read_text().split()]
        assert children, "the writer is a process of its own"
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        give_up = time.monotonic() + 15
        while True:
            body = {"device_id": "d", "mutations": [mutation(7)]}
            answer = httpx.post(server.url + "/v1/push", headers=server.headers, json=body, timeout=10)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503 and answer.headers["retry-after"] and time.monotonic() < give_up, answer.text
            time.sleep(0.1)
        assert answer.json()["results"][0]["outcome"] in ("applied", "duplicate")
        assert server.stop()[0] == 0
