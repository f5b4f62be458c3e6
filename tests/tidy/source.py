"""The project's own files, as the rules see them: what git tracks or would track, parsed once."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PROJECT", "SOURCE", "PythonFile", "module_name", "project_files", "python_files", "references"]

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = PROJECT / "src"


@dataclass(frozen=True)
class PythonFile:
    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path within the project, with slashes."""
        return self.path.relative_to(PROJECT).as_posix()


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is committed or would be: tracked, or new and not ignored. Binary files and data included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=PROJECT, capture_output=True, check=True,
    ).stdout.decode().split("\0")
    return tuple(sorted(PROJECT / name for name in listed if name and (PROJECT / name).is_file()))


@cache
def _parsed(path: Path) -> PythonFile:
    text = path.read_text("utf-8")
    return PythonFile(path, text, ast.parse(text, filename=str(path)))


def python_files(*folders: str) -> list[PythonFile]:
    """Parsed Python files under the named folders of the project (all, if none is named)."""
    roots = [PROJECT / folder for folder in folders] or [PROJECT]
    return [_parsed(path) for path in project_files() if path.suffix == ".py" and any(path.is_relative_to(root) for root in roots)]


def module_name(path: Path) -> str:
    """`src/holdfast/core/text.py` -> `holdfast.core.text`; a package's `__init__.py` -> the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def references(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every dotted name the module uses through its imports, as (line, full name): with `from time import sleep as nap`,
    a use of `nap` is `time.sleep`; with `import os.path`, `os.path.join` is itself. Names bound by other means stay out."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        dotted = _dotted(node)
        if dotted is not None and dotted[0] in known:
            yield getattr(node, "lineno", 0), ".".join([known[dotted[0]], *dotted[1:]])


def _dotted(node: ast.AST) -> list[str] | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else None
