"""The script of the examples, tried as a person would: network cut, server killed, script killed. Defends P1 (kept) and P2 (once)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.examples.scene import EXAMPLES, Cable, cable_to, environment, serving

SCRIPT = str(EXAMPLES / "offline_notes.py")


class Notebook:
    """The script on one replica file."""

    def __init__(self, path: Path, cable: Cable, token: str) -> None:
        self._command = [sys.executable, SCRIPT, "--file", str(path), "--server", cable.address]
        self._environment = environment(HOLDFAST_TOKEN=token)

    def run(self, *arguments: str, given: str = "", code: int = 0) -> str:
        done = subprocess.run([*self._command, *arguments], input=given, text=True, capture_output=True, timeout=90, check=False,
                              env=self._environment)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout if not code else done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._command, *arguments], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                env=self._environment)


def write_and_die(notebook: Notebook, title: str, lines: list[str]) -> None:
    """Write the lines, and kill the script once it has said that it keeps the last one."""
    process = notebook.start("write", title)
    assert process.stdin is not None and process.stdout is not None
    with process, process.stdin, process.stdout:
        for line in lines:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"kept: {line}\n"
        process.kill()


def test_nothing_written_is_lost_or_doubled_whatever_is_cut_or_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--app", "notes_app") as server, cable_to(server) as cable:
        token = server.token_for("ada@example.org")
        notebook = Notebook(tmp_path / "a.replica", cable, token)
        notebook.run("write", "Journal", given="with a network\n")
        assert notebook.run("list") == "Journal\tcommitted\n", "it was sent before the script ended"
        cable.cut()
        notebook.run("write", "Journal", given="without a network\n")
        assert notebook.run("list") == "Journal\tlocal\n"
        assert "waiting" in notebook.run("sync", "--seconds", "1", code=1)
        cable.plug_in()
        write_and_die(notebook, "Journal", ["killed", "in the middle"])
        server.kill()
        write_and_die(notebook, "Journal", ["without a server"])
        server.start()
        notebook.run("sync")
        wanted = "with a network\nwithout a network\nkilled\nin the middle\nwithout a server\n"
        assert notebook.run("read", "Journal") == wanted and notebook.run("list") == "Journal\tcommitted\n"
        other = Notebook(tmp_path / "another machine.replica", cable, token)
        other.run("sync")
        assert other.run("read", "Journal") == wanted


def test_a_wrong_token_stops_no_writing_and_is_said(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--app", "notes_app") as server, cable_to(server) as cable:
        notebook = Notebook(tmp_path / "a.replica", cable, "hf_wrong")
        notebook.run("write", "Journal", given="kept all the same\n")
        assert "valid" in notebook.run("sync", "--seconds", "2", code=1) and notebook.run("read", "Journal") == "kept all the same\n"
