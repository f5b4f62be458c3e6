"""A real `holdfast serve` in a process group of its own, which is killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Kill", "Server", "ServerFailed"]

READY_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Kill:
    """`whole`: every process of the server at once, as a power cut would; else the one that was started, as an operator or the system
    would. `again_after_seconds`: the restarted server is killed too, so long after its start: while it comes up, or just after."""

    whole: bool = True
    again_after_seconds: float | None = None


class ServerFailed(Exception):
    """The server or one of its commands did not do what it should; the text says what it printed."""


class Server:
    """Starts, kills and asks one server on `data`. Every `holdfast` command is a process of its own, as a person would call it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._options = ["--data", str(data), "--app", "replay.pad"]
        examples = str(Path(__file__).resolve().parents[1])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        self._environment = {**inherited, "PYTHONPATH": examples}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data.with_name(data.name + ".log")
        self.port = _free_port()
        self.kills = 0

    def command(self, *arguments: str, given: str | None = None) -> str:
        """Run `holdfast …` on the data folder and return what it printed. Raises ServerFailed with what it said."""
        done = subprocess.run([sys.executable, "-m", "holdfast", *arguments, *self._options], input=given, capture_output=True, text=True,
                              env=self._environment, check=False)
        if done.returncode:
            raise ServerFailed(f"holdfast {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def facts(self, *arguments: str) -> Any:
        """The same with `--json`, read."""
        return json.loads(self.command(*arguments, "--json"))

    def start(self) -> None:
        """Start and wait until it is ready. Raises ServerFailed if it ends or stays silent."""
        with self._lock:
            self._start()

    def kill_and_restart(self, kill: Kill) -> None:
        """SIGKILL, then start again on the same folder."""
        with self._lock:
            if self._process is None:
                return
            self._kill(kill.whole)
            if kill.again_after_seconds is not None:
                self._launch()
                time.sleep(kill.again_after_seconds)
                self._kill(kill.whole)
            self._start()

    def stop(self) -> None:
        """End it as an operator would. Raises ServerFailed if it does not end in time or not well."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise ServerFailed(f"The server did not end within 20 s of SIGTERM:\n{self._tail()}") from None
        if code not in (0, -signal.SIGTERM):
            raise ServerFailed(f"The server ended with {code}:\n{self._tail()}")

    def _kill(self, whole: bool) -> None:
        assert self._process is not None
        if whole:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()
        self.kills += 1

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "holdfast", "serve", "--host", "127.0.0.1", "--port", str(self.port), *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment, start_new_session=True)
        return self._process

    def _start(self) -> None:
        process = self._launch()
        give_up = time.monotonic() + READY_SECONDS_MAX
        while not self._ready():
            if process.poll() is not None:
                raise ServerFailed(f"The server ended with {process.returncode} at its start:\n{self._tail()}")
            if time.monotonic() > give_up:
                raise ServerFailed(f"The server was not ready within {READY_SECONDS_MAX:.0f} s:\n{self._tail()}")
            time.sleep(0.02)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _tail(self) -> str:
        return self._log.read_text("utf-8", errors="replace")[-4000:] if self._log.exists() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
