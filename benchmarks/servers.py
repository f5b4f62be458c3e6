"""The servers measured: each a process group of its own on a free port of loopback, ended whatever happens."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import session_processes
from holdfast import open_store
from holdfast.engine.accounts import Accounts

__all__ = ["PROJECT", "Holdfast", "Running", "ServerFailed", "running", "running_handwritten", "running_holdfast"]

PROJECT = Path(__file__).resolve().parents[1]
APPLICATION = "benchmarks.drafts"
TENANT = "acme"
READY_SECONDS_MAX = 30.0
END_SECONDS_MAX = 20.0


class ServerFailed(Exception):
    """A server or a command did not do what it should; the text says what it printed."""


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    port: int
    process: int

    def processes(self) -> dict[int, str]:
        """Its processes by what they do: the one that was started, and the writer that it started."""
        return {one: "server" if one == self.process else "writer" for one in session_processes(self.process)}


class Holdfast:
    """A data folder with its organisations and members, made by the command line as an operator would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens: list[str] = []

    @property
    def options(self) -> list[str]:
        return ["--data", str(self.folder), "--app", APPLICATION]

    def set_up(self, *, members: int) -> None:
        """Make an organisation with so many members, each with an API token in `tokens`. In one process: a command per step would start
        an interpreter for each."""
        asyncio.run(self._set_up(members))

    async def _set_up(self, members: int) -> None:
        async with open_store(self.folder, apps=[APPLICATION]) as store:
            accounts = Accounts(store)
            await accounts.create_tenant(TENANT)
            for member in range(members):
                account = await accounts.create_account(f"member-{member}@example.org")
                await accounts.add_member(TENANT, account, ["owner" if member == 0 else "member"])
                self.tokens.append(await accounts.create_token(TENANT, account.email))

    def command(self, *arguments: str, given: str | None = None) -> str:
        """Run `holdfast …` and return what it printed. Raises ServerFailed."""
        done = subprocess.run([sys.executable, "-m", "holdfast", *arguments, *self.options], input=given, capture_output=True, text=True,
                              env=_environment(), cwd=PROJECT, check=False)
        if done.returncode:
            raise ServerFailed(f"holdfast {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def facts(self, *arguments: str) -> object:
        return json.loads(self.command(*arguments, "--json"))


@contextmanager
def running_holdfast(holdfast: Holdfast, *options: str) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "holdfast", "serve", "--host", "127.0.0.1", "--port", str(port), *holdfast.options, *options]
    with running(command, port, "/readyz", holdfast.folder.with_suffix(".log")) as server:
        yield server


@contextmanager
def running_handwritten(folder: Path) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.handwritten", str(folder / "handwritten.sqlite"), str(port)]
    with running(command, port, "/openapi.json", folder / "handwritten.log") as server:
        yield server


@contextmanager
def running(command: Sequence[str], port: int, ready: str, log: Path) -> Iterator[Running]:
    """Start `command` in a session of its own, wait until GET `ready` answers 200, end it. Raises ServerFailed with its last lines."""
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, env=_environment(), cwd=PROJECT, start_new_session=True)
    try:
        _wait_until_ready(process, port, ready, log)
        yield Running(port, process.pid)
    finally:
        _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, target: str, log: Path) -> None:
    give_up = time.monotonic() + READY_SECONDS_MAX
    while not _answers(port, target):
        if process.poll() is not None:
            raise ServerFailed(f"It ended with {process.returncode} at its start:\n{_tail(log)}")
        if time.monotonic() > give_up:
            raise ServerFailed(f"It was not ready within {READY_SECONDS_MAX:.0f} s:\n{_tail(log)}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL to the whole group if that does not end it in time: nothing of it may stay."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS_MAX)
    left = session_processes(process.pid)
    if process.poll() is None or left:
        for one in left:
            os.kill(one, signal.SIGKILL)
        process.wait()
        raise ServerFailed(f"The server (or a process it started) did not end within {END_SECONDS_MAX:.0f} s of SIGTERM.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, "PYTHONPATH": str(PROJECT)}


def _answers(port: int, target: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", target)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _tail(log: Path) -> str:
    return log.read_text("utf-8", errors="replace")[-4000:]
