"""What every run says at its end: which data it ran on, and what it left out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

CORPUS = "HOLDFAST_CORPUS"


def corpus_line() -> str:
    """One sentence: full sets or excerpts. A folder that is named but missing is a mistake, not a reason to run less."""
    named = os.environ.get(CORPUS)
    if not named:
        return f"corpus: {CORPUS} is not set, so tests ran on the excerpts in the project"
    return f"corpus: the full sets that {CORPUS} names ({len(list(Path(named).iterdir()))} folders and files)"


def pytest_configure(config: pytest.Config) -> None:
    named = os.environ.get(CORPUS)
    if named and not Path(named).is_dir():
        raise pytest.UsageError(f"{CORPUS} names {named}, which is no folder.")


def pytest_report_header(config: pytest.Config) -> str:
    return corpus_line()


def skip_reason(report: Any) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", "")) or "no reason given"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_sep("-", "what this run covers")
    terminalreporter.write_line(corpus_line())
    reasons = Counter(skip_reason(report) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"left out: {count} × {reason}")
    if not reasons:
        terminalreporter.write_line("left out: nothing; every backend and every case ran")
