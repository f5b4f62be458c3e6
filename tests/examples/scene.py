"""What the examples are tried against: a server as a program of its own that is killed and started again, and a cable that is cut."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tidy.source import PROJECT

__all__ = ["EXAMPLES", "Cable", "Server", "cable_to", "environment", "serving"]

EXAMPLES = PROJECT / "examples"


def environment(**more: str) -> dict[str, str]:
    """For a program of the examples: nothing of this machine's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**clean, "PYTHONPATH": str(EXAMPLES), **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`holdfast serve` on one port, killed with SIGKILL and started again at will."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options, self.port = folder, options, free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str, given: str | None = None) -> str:
        """What a command on the folder prints."""
        command = [sys.executable, "-m", "holdfast", *arguments, "--data", str(self.folder)]
        done = subprocess.run(command, input=given, text=True, check=True, stdout=subprocess.PIPE, env=environment())
        return done.stdout.strip()

    def token_for(self, email: str) -> str:
        return self.command("token", "create", "--user", email, "--tenant", "acme")

    def start(self) -> None:
        command = [sys.executable, "-m", "holdfast", "serve", "--data", str(self.folder), "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
                                        cwd=EXAMPLES, start_new_session=True)
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert re.search(r"http://\S+", first), f"the server does not start: {first}"

    def kill(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdout.close()
            self.process = None


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """With an organisation `acme` and its owner ada@example.org."""
    server = Server(folder, *options)
    server.command("tenant", "create", "acme")
    server.command("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--password-stdin", given="correct horse\n")
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Cable:
    """A way to a port that can be cut in the middle of whatever goes over it, and plugged in again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: set[socket.socket] = set()
        self._is_cut = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, name="cable")]
        self._threads[0].start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def plug_in(self) -> None:
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=[near], name="cable")
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            if self._is_cut:
                return
            with socket.create_connection(("127.0.0.1", self._port)) as far:
                with self._lock:
                    self._ends |= {near, far}
                try:
                    self._copy(near, far)
                finally:
                    with self._lock:
                        self._ends -= {near, far}

    def _copy(self, near: socket.socket, far: socket.socket) -> None:
        while not self._is_cut:
            for end in select.select([near, far], [], [], 1.0)[0]:
                data = end.recv(65_536)
                if not data:
                    return
                (far if end is near else near).sendall(data)


@contextmanager
def cable_to(server: Server) -> Iterator[Cable]:
    cable = Cable(server.port)
    try:
        yield cable
    finally:
        cable.close()
