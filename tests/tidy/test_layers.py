"""Imports point down only (docs/internals/architecture.md). Behind all five promises: what is pure can be tested exhaustively,
and what is below never depends on what is above."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from tests.tidy.source import PROJECT, SOURCE, PythonFile, module_name, python_files

BELOW: dict[str, set[str]] = {
    "core": set(),
    "runtime": set(),
    "model": {"core"},
    "storage": {"core", "runtime"},
    "engine": {"storage", "model", "core", "runtime"},
    "vault": {"engine", "storage", "model", "core", "runtime"},
    "server": {"vault", "engine", "model", "core", "runtime"},
    "client": {"vault", "engine", "model", "core", "runtime"},
    "apps": {"holdfast", "app"},
    "cli": {"apps", "server", "client", "vault", "engine", "storage", "model", "core", "runtime", "holdfast", "app"},
    # The public face: it only collects names of the layers.
    "holdfast": {"client", "vault", "engine", "storage", "model", "core", "runtime"},
    "app": {"holdfast", "client", "vault", "engine", "model", "core", "runtime"},
    # Shipped to those who write a backend or test an application.
    "__main__": {"cli"},
    "testing": {"holdfast", "app", "server", "client", "vault", "engine", "storage", "model", "core", "runtime"},
}
"""layer -> what it may import besides itself. A layer is the first name below `holdfast`; `holdfast` itself is `__init__.py`."""

CORE_THIRD_PARTY = {"msgspec", "orjson"}

# Standard library modules by which code reaches the world: none of them in core.
IMPURE = {"asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "selectors",
          "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time"}

# `datetime` parses and renders; its clock is banned by name in test_runtime.py.
CORE_MAY = {"datetime"}


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imported_modules(file: PythonFile) -> list[tuple[int, str]]:
    """(line, module) of every import; `from holdfast.core import text` names `holdfast.core.text`, also where `text` is a name in it:
    the layer is the same."""
    found = []
    package = module_name(file.path).split(".")
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                keep = len(package) - node.level + (file.path.name == "__init__.py")
                base = ".".join([*package[:keep], *([base] if base else [])])
            if base == "holdfast":
                found += [(node.lineno, _below_root(alias.name)) for alias in node.names]
            else:
                found.append((node.lineno, base))
    return found


def _below_root(name: str) -> str:
    """`from holdfast import core` imports the layer; `from holdfast import Record` uses the public face."""
    return f"holdfast.{name}" if (SOURCE / "holdfast" / name).is_dir() or (SOURCE / "holdfast" / f"{name}.py").is_file() else "holdfast"


@pytest.mark.parametrize("file", python_files("src"), ids=lambda file: file.name)
def test_a_module_imports_only_layers_below_its_own(file: PythonFile) -> None:
    layer = layer_of(module_name(file.path))
    assert layer in BELOW, f"{file.name}: {layer!r} is no layer of docs/internals/architecture.md"
    allowed = BELOW[layer] | {layer}
    wrong = [f"{file.name}:{line} imports {module}" for line, module in imported_modules(file)
             if module.split(".")[0] == "holdfast" and layer_of(module) not in allowed]
    assert not wrong, f"{layer}/ may import {sorted(allowed)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("file", python_files("src/holdfast/core"), ids=lambda file: file.name)
def test_core_imports_nothing_that_reaches_the_world(file: PythonFile) -> None:
    wrong = []
    for line, module in imported_modules(file):
        top = module.split(".")[0]
        impure = top in sys.stdlib_module_names and top in IMPURE - CORE_MAY
        foreign = top not in sys.stdlib_module_names and top not in CORE_THIRD_PARTY | {"holdfast"}
        if impure or foreign:
            wrong.append(f"{file.name}:{line} imports {module}")
    assert not wrong, "core/ has no I/O, clock, randomness, logging or async:\n" + "\n".join(wrong)


@pytest.mark.parametrize("file", python_files("src/holdfast/core"), ids=lambda file: file.name)
def test_core_has_no_coroutines(file: PythonFile) -> None:
    wrong = [f"{file.name}:{node.lineno} {node.name}" for node in ast.walk(file.tree) if isinstance(node, ast.AsyncFunctionDef)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", python_files("src", "examples", "benchmarks"), ids=lambda file: file.name)
def test_no_import_hides_in_a_function(file: PythonFile) -> None:
    wrong = [f"{file.name}:{inner.lineno} in {node.name}" for node in ast.walk(file.tree)
             if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
             for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]
    assert not wrong, "an import in a function is a sign of a wrong layer:\n" + "\n".join(wrong)


@pytest.mark.parametrize("file", python_files("examples", "src/holdfast/apps"), ids=lambda file: file.name)
def test_examples_and_applications_use_public_names_alone(file: PythonFile) -> None:
    public = {"holdfast", "holdfast.app", "holdfast.client", "holdfast.testing"}
    own = re.compile(r"holdfast\.apps(\.|$)")
    inside = file.name.startswith("src/")
    wrong = [f"{file.name}:{line} imports {module}" for line, module in (imported_modules(file) if inside else _absolute(file))
             if module.split(".")[0] == "holdfast" and module not in public and not (inside and own.match(module))]
    assert not wrong, "\n".join(wrong)


def _absolute(file: PythonFile) -> list[tuple[int, str]]:
    return [(node.lineno, name) for node in ast.walk(file.tree)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                         else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [])]


@pytest.mark.parametrize("document", ["docs/internals/architecture.md", "CONTRIBUTING.md"])
def test_the_layer_table_of_the_documents_names_every_layer(document: str) -> None:
    text = (PROJECT / document).read_text("utf-8")
    folders = {path.name for path in (SOURCE / "holdfast").iterdir() if path.is_dir() and (path / "__init__.py").exists()} - {"testing"}
    missing = sorted(name for name in folders if f"`{name}/`" not in text)
    assert not missing, f"{document} has no row for {missing}"
