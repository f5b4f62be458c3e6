"""Few dependencies, each with a page that says why, and all of them locked."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

from tests.tidy.source import PROJECT, python_files

DECISIONS = PROJECT / "docs" / "decisions"
SECTIONS = ("## What", "## Why", "## Rejected", "## Measured")
IMPORT_NAMES = {"pydantic_core": "pydantic", "argon2": "argon2-cffi", "prometheus_client": "prometheus-client"}
NEWER_STANDARD_LIBRARY = {"annotationlib"}                       # Python 3.14, imported only there
RUN_BUT_NOT_IMPORTED = {"httptools", "uvloop", "websockets"}      # uvicorn takes them by name


def declared() -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.match(r"[A-Za-z0-9-]+", line).group() for line in project["dependencies"]}  # type: ignore[union-attr]


def imported() -> set[str]:
    tops: set[str] = set()
    for file in python_files("src"):
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                tops.add(node.module.split(".")[0])
    return {IMPORT_NAMES.get(top, top) for top in tops if top not in sys.stdlib_module_names | NEWER_STANDARD_LIBRARY | {"holdfast"}}


def test_what_is_imported_is_declared() -> None:
    assert not imported() - declared()


def test_what_is_declared_is_used() -> None:
    assert not declared() - imported() - RUN_BUT_NOT_IMPORTED


def test_every_dependency_has_a_decision_and_every_decision_its_four_parts() -> None:
    pages = {page: page.read_text("utf-8") for page in sorted(DECISIONS.glob("*.md")) if page.name != "README.md"}
    for page, text in pages.items():
        missing = [section for section in SECTIONS if f"\n{section}\n" not in text]
        assert not missing, f"{page.relative_to(PROJECT)} lacks {missing}"
    index = (DECISIONS / "README.md").read_text("utf-8")
    assert not [page.name for page in pages if f"({page.name})" not in index], "docs/decisions/README.md lists every page"
    covered = {name for text in pages.values() for line in re.findall(r"^Dependencies: (.+)$", text, re.MULTILINE)
               for name in re.findall(r"`([^`]+)`", line)}
    assert declared() <= covered, f"no page for {sorted(declared() - covered)}"


def test_every_dependency_is_locked() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (PROJECT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert declared() <= locked
