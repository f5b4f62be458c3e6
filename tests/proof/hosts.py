"""Processes that save, and can be killed: an embedded store, and a server with its writer. Both take pushes and pulls in the same way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from holdfast.model.keys import new_master_key
from tests.proof.witness import VARIABLE, Mark

__all__ = ["EmbeddedHost", "Host", "Lost", "ServedHost", "Turned", "is_running", "memory_of", "started"]

ROOT = Path(__file__).resolve().parents[2]
MASTER_KEY = new_master_key(lambda count: b"h" * count)
START_SECONDS_MAX = 30.0


class Lost(Exception):
    """No answer: what became of the call is unknown."""


class Turned(Exception):
    """An answer that says: not now."""

    def __init__(self, code: str, retry_after: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


class Host(Protocol):
    mark: Mark

    async def start(self) -> None: ...
    async def push(self, who: str, device_id: str, mutations: list[dict[str, Any]]) -> list[dict[str, Any]]: ...
    async def pull(self, who: str, device_id: str, cursor: str | None) -> Mapping[str, Any]: ...
    def writers(self) -> list[int]:
        """The processes that run, the one that writes first; none when it was stopped or killed."""

    async def kill(self, whole: bool = True) -> bool:
        """SIGKILL; not `whole`: of the process that was started alone, which leaves its writer, if that is another, to end by itself. True
        if it fell inside a COMMIT: the processes are stopped before the witness is asked, so the answer is exact."""

    async def stop(self) -> None:
        """End it in order."""


@asynccontextmanager
async def started(host: Host) -> AsyncIterator[None]:
    """Start it; whatever happens in between, nothing of it runs on afterwards."""
    try:
        await host.start()
        yield
    finally:
        if host.writers():
            await host.kill()


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, VARIABLE: str(folder.with_name(folder.name + ".witness")), "HOLDFAST_MASTER_KEY": MASTER_KEY}


def state_of(process_id: int) -> str:
    """The letter that the system gives it; X if there is no such process (any more)."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def freeze(process_id: int) -> None:
    """Stop a process, and wait until the system says so."""
    os.kill(process_id, signal.SIGSTOP)
    for _ in range(10_000):
        if state_of(process_id) in "TtZX":
            return


class EmbeddedHost:
    """`tests.proof.saver`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = Mark(folder.with_name(folder.name + ".witness"))
        self._process: subprocess.Popen[bytes] | None = None
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._reading: asyncio.Task[None] | None = None

    def _launch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "tests.proof.saver", str(self.folder)], cwd=ROOT, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=environment(self.folder))

    async def start(self) -> None:
        self.mark.clear()
        self._process = process = self._launch()
        lines = asyncio.StreamReader(limit=1 << 24)
        assert process.stdout is not None
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), process.stdout)
        async with asyncio.timeout(START_SECONDS_MAX):
            assert json.loads(await lines.readline()) == "ready"
        self._reading = asyncio.get_running_loop().create_task(self._read(lines))

    async def _read(self, lines: asyncio.StreamReader) -> None:
        """Everything that was written before the process died is read: those were acknowledged."""
        while (line := await lines.readline()).endswith(b"\n"):
            answer = json.loads(line)
            waiting = self._calls.pop(answer["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        calls, self._calls = self._calls, {}
        for waiting in calls.values():
            if not waiting.done():
                waiting.set_exception(Lost())

    async def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise Lost
        self._number += 1
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._calls[self._number] = waiting
        try:
            os.write(process.stdin.fileno(), json.dumps({"id": self._number, **call}).encode() + b"\n")
        except OSError:
            self._calls.pop(self._number, None)
            raise Lost from None
        answer = await waiting
        if "error" in answer:
            raise Turned(answer["error"])
        return answer

    async def push(self, who: str, device_id: str, mutations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = await self._call({"who": who, "device_id": device_id, "mutations": mutations})
        results: list[dict[str, Any]] = answer["results"]
        return results

    async def pull(self, who: str, device_id: str, cursor: str | None) -> Mapping[str, Any]:
        return await self._call({"who": who, "cursor": cursor})

    def writers(self) -> list[int]:
        return [] if self._process is None else [self._process.pid]

    async def kill(self, whole: bool = True) -> bool:
        process, self._process = self._process, None
        assert process is not None and self._reading is not None and process.stdin is not None
        freeze(process.pid)
        inside = bool(self.mark.in_commit)
        process.kill()
        process.wait()
        await self._reading
        process.stdin.close()
        return inside

    async def stop(self) -> None:
        process, self._process = self._process, None
        assert process is not None and self._reading is not None and process.stdin is not None
        process.stdin.close()
        await asyncio.to_thread(process.wait, 20)
        await self._reading
        assert process.returncode == 0


class ServedHost:
    """`tests.proof.served` on a free port (or `port`), with its writer in a process of its own. `within`: a command that runs it somewhere
    else; `settings` are environment variables."""

    port = "0"

    def __init__(self, folder: Path, *, within: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self.mark = Mark(folder.with_name(folder.name + ".witness"))
        self.log = folder.with_name(folder.name + ".log")
        self._settings = settings
        self._within = list(within)
        self._process: subprocess.Popen[str] | None = None
        self._tokens: dict[str, str] = {}
        self.url = ""
        self.client: httpx.AsyncClient | None = None

    def _launch(self) -> subprocess.Popen[str]:
        command = [*self._within, sys.executable, "-m", "tests.proof.served", str(self.folder), self.port, "process"]
        with self.log.open("a") as errors:
            return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                                    env={**environment(self.folder), **self._settings})

    async def start(self) -> None:
        self.mark.clear()
        self._process = process = self._launch()
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS_MAX):
            first = await asyncio.to_thread(process.stdout.readline)
            assert first.startswith("Holdfast is ready"), first + self.log.read_text()[-2_000:]
            self.url = first.strip().removeprefix("Holdfast is ready: ")
            self._tokens = json.loads(await asyncio.to_thread(process.stdout.readline))
        self.client = httpx.AsyncClient(base_url=self.url, timeout=30, limits=httpx.Limits(max_connections=200))

    async def start_that_fails(self) -> tuple[int, str]:
        """Its exit code, and what it said on standard error."""
        before = len(self.log.read_text())
        process = self._launch()
        try:
            return await asyncio.to_thread(process.wait, START_SECONDS_MAX), self.log.read_text()[before:]
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def headers(self, who: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens[who]}"}

    async def _ask(self, who: str, method: str, url: str, body: Any = None) -> Any:
        if self.client is None:
            raise Lost
        try:
            answer = await self.client.request(method, url, json=body, headers=self.headers(who))
        except (httpx.HTTPError, RuntimeError):
            raise Lost from None
        if answer.status_code in (503, 507, 429):
            raise Turned(answer.json()["code"], answer.headers.get("retry-after"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def push(self, who: str, device_id: str, mutations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = await self._ask(who, "POST", "/v1/push", {"device_id": device_id, "mutations": mutations})
        results: list[dict[str, Any]] = answer["results"]
        return [{**one, "error": (one.get("error") or {}).get("code")} for one in results]

    async def pull(self, who: str, device_id: str, cursor: str | None) -> Mapping[str, Any]:
        reply = await self._ask(who, "GET", "/v1/pull" + (f"?cursor={cursor}" if cursor else ""))
        return {"cursor": reply["cursor"], "more": reply["more"],
                "seen": [[one["collection"], one["record_id"], one["position"]] for one in reply["changes"]]}

    def writers(self) -> list[int]:
        return [] if self._process is None else [*children_of(self._process.pid), self._process.pid]

    async def kill(self, whole: bool = True) -> bool:
        for one in self.writers():
            freeze(one)
        inside = bool(self.mark.in_commit)
        process, writers = self._process, self.writers()[:-1]
        self._process = None
        assert process is not None and process.stdout is not None
        if whole:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
            for one in writers:
                os.kill(one, signal.SIGCONT)
        process.wait()
        process.stdout.close()
        await self._disconnect()
        await ended(writers)
        return inside and whole

    def kill_writer(self) -> bool:
        """The writer's process alone. True if that fell inside a COMMIT."""
        writer = self.writers()[0]
        freeze(writer)
        inside = bool(self.mark.in_commit)
        self.mark.clear()
        os.kill(writer, signal.SIGKILL)
        return inside

    async def stop(self) -> None:
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 20)
        process.stdout.close()
        await self._disconnect()
        assert process.returncode == 0

    async def wait(self, seconds: float) -> int:
        """Wait until the server has ended by itself. Its exit code."""
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None
        await self._disconnect()
        try:
            return await asyncio.to_thread(process.wait, seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            process.stdout.close()

    async def _disconnect(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            await client.aclose()


def is_running(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


def memory_of(process_id: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def ended(processes: list[int], seconds: float = 20) -> None:
    """Wait until processes that are not ours to wait for have ended: until then they hold what they held."""
    give_up = time.monotonic() + seconds
    while any(state_of(one) not in "ZX" for one in processes):
        assert time.monotonic() < give_up, f"processes {processes} go on after their server's end"
        await asyncio.sleep(0.005)


def children_of(process_id: int) -> list[int]:
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
