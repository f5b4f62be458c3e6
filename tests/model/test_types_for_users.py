"""Users' declarations check under `mypy --strict`, and their mistakes are found there. Promise 1 begins in the editor: what cannot be kept
is not written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_a_users_program_checks_strictly_and_its_mistakes_are_found() -> None:
    """Every `type: ignore` in the sample is needed: strict mode reports those that are not."""
    sample = Path(__file__).with_name("typed_sample.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", "", str(sample)]
    made = subprocess.run(command, cwd=PROJECT, env={"MYPYPATH": "src", "PATH": ""}, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
