"""Calling commands as a person or a script would, within this process or as a program."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from holdfast.cli import main
from tests.tidy.source import PROJECT

__all__ = ["APP", "Folder", "RunningServer", "leaves", "running_server"]

APP = "tests.cli.notes"


class Folder:
    """A data folder and the commands on it. `APP` is named for each, as for a server with an application of one's own."""

    def __init__(self, path: Path, app: str = APP) -> None:
        self.path = path
        self.app = app

    def result(self, *arguments: str, given: str | None = None, app: bool = True) -> Any:
        place = ["--data", str(self.path), *(["--app", self.app] if app else [])]
        return CliRunner(env={"HOLDFAST_DATA": None, "HOLDFAST_APP": None}).invoke(main, [*arguments, *place], input=given)

    def run(self, *arguments: str, given: str | None = None, app: bool = True) -> str:
        """What a command that succeeds prints on standard output."""
        done = self.result(*arguments, given=given, app=app)
        assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
        printed: str = done.stdout
        return printed

    def facts(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def fails(self, *arguments: str, given: str | None = None, code: int = 1) -> str:
        """What a command that fails says on standard error; it never shows a traceback."""
        done = self.result(*arguments, given=given)
        assert done.exit_code == code, f"exit code {done.exit_code}: {done.output}"
        assert "Traceback" not in done.output
        said: str = done.stderr
        return said

    def found(self) -> Folder:
        """With an organisation `acme` and its owner ada@example.org."""
        self.run("tenant", "create", "acme", "--name", "Acme Ltd")
        self.run("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--password-stdin", given="correct horse\n")
        return self


def leaves(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, *above, name)
        else:
            yield (*above, name), command


class RunningServer:
    def __init__(self, process: subprocess.Popen[str], address: str, printed: list[str]) -> None:
        self.process = process
        self.address = address
        self.printed = printed


@contextmanager
def running_server(folder: Path, *options: str) -> Iterator[RunningServer]:
    """`holdfast serve` on a free port, as a program; ended with SIGTERM, which must end it well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    process = subprocess.Popen([sys.executable, "-m", "holdfast", "serve", "--data", str(folder), "--port", "0", *options], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment, "PYTHONPATH": str(PROJECT)},
                               start_new_session=True)
    assert process.stdout is not None and process.stderr is not None
    logged: list[str] = []
    drain = threading.Thread(target=logged.extend, args=[process.stderr])
    drain.start()
    try:
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, f"{first}\n{''.join(logged)}"
        yield RunningServer(process, found[0], [first])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, "".join(logged)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        drain.join()
        process.stderr.close()
