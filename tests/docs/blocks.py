"""Blocks of code in a document, and what runs them.

    ```python                 executed; the blocks of one document share one namespace, in order
    ```python file=notes.py   written to that file instead, for the blocks after it
    ```sh                     executed by bash; `holdfast serve` and `make run` start in the background, and the rest waits for them
    ```json                   parsed
    ```text, ```mermaid       not run: pictures, output, signatures

Run as a program (`python -m tests.docs.blocks README.md 40123`), it executes one document in the current folder, with 40123 in the
place of the port 8740. Line numbers in a traceback are those of the document.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KNOWN", "Block", "blocks_of", "run_document"]

PROJECT = Path(__file__).resolve().parents[2]
PORT_IN_DOCUMENTS = "8740"
KNOWN = {"python", "sh", "json", "text", "mermaid"}

PRELUDE = r"""
set -euo pipefail
shopt -s expand_aliases
[ -f .state ] && source ./.state
started() {
    for _ in $(seq 300); do
        python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "http://127.0.0.1:@PORT@/readyz" 2>/dev/null && return 0
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    cat .server.log >&2; return 1
}
set -a
"""


@dataclass(frozen=True)
class Block:
    language: str
    file: str | None
    code: str
    line: int


def blocks_of(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order; `line` is that of the first line of code."""
    found, opened, lines = [], None, document.read_text("utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if opened is None and (fence := re.match(r"(```+)\s*(\S*)(.*)$", line)):
            opened = (fence[1], fence[2], fence[3], number)
        elif opened is not None and line.strip() == opened[0]:
            named = re.search(r"file=(\S+)", opened[2])
            found.append(Block(opened[1], named[1] if named else None, "\n".join(lines[opened[3]:number - 1]) + "\n", opened[3] + 1))
            opened = None
    return found


def shell_script(code: str, port: str) -> str:
    """What bash runs for a block: servers go to the background, the project's own commands are found."""
    joined = re.sub(r"\\\n\s*", " ", code)
    lines = []
    for line in joined.split("\n"):
        command = line.strip()
        if re.match(r"make run\b", command):
            command = served_by_make(command).replace(PORT_IN_DOCUMENTS, port)
        elif re.match(r"make \S+", command):
            target = command.split()[1]
            command = f"make --no-print-directory --dry-run -C '{PROJECT}' {target} > /dev/null"
        command = command.replace(".venv/bin/", "")
        if re.match(r"holdfast serve\b", command):
            command += "" if "--port" in command else f" --port {port}"
            command = f"{command.rstrip(' &')} > .server.log 2>&1 & echo $! >> .servers; started $!"
        lines.append(command)
    return PRELUDE.replace("@PORT@", port) + "\n".join(lines) + "\nset +a\nexport -p > .state\n"


def served_by_make(command: str) -> str:
    printed = subprocess.run(["make", "--no-print-directory", "--dry-run", "-C", str(PROJECT), *command.split()[1:]],
                             capture_output=True, text=True, check=True).stdout
    return next(line for line in printed.split("\n") if "holdfast serve" in line)


def run_document(document: Path, port: str) -> None:
    """Run the blocks of a document in the current folder. Raises what a block raises."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    sys.path.insert(0, os.getcwd())
    for block in blocks_of(document):
        code = block.code.replace(PORT_IN_DOCUMENTS, port)
        if block.language == "json":
            json.loads(code)
        elif block.language == "sh":
            done = subprocess.run(["bash", "-c", shell_script(code, port)], check=False)
            if done.returncode:
                raise SystemExit(f"{document.name}, line {block.line}: the commands ended with {done.returncode}")
        elif block.language == "python" and block.file:
            Path(block.file).write_text(code, "utf-8")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + code, document.name, "exec", dont_inherit=True), namespace)


def stop_servers() -> None:
    pids = Path(".servers")
    for pid in pids.read_text().split() if pids.exists() else []:
        try:
            os.kill(int(pid), signal.SIGTERM)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        run_document(Path(sys.argv[1]), sys.argv[2])
    finally:
        stop_servers()
