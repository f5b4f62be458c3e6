"""Public names are those in `__all__`: sorted, real, and nothing else of ours lies open beside them."""

from __future__ import annotations

import ast
import importlib
from types import ModuleType

import pytest

from holdfast.core.errors import HoldfastError
from tests.tidy.source import PythonFile, module_name, python_files

PUBLIC_PACKAGES = ["holdfast", "holdfast.app", "holdfast.client", "holdfast.server", "holdfast.testing"]


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            value = ast.literal_eval(node.value)
            return list(value)
    return None


def with_all() -> list[PythonFile]:
    return [file for file in python_files("src") if declared(file.tree) is not None]


@pytest.mark.parametrize("file", with_all(), ids=lambda file: module_name(file.path))
def test_the_exported_names_are_real_and_each_named_once(file: PythonFile) -> None:
    module = importlib.import_module(module_name(file.path))
    names = declared(file.tree) or []
    assert len(names) == len(set(names)), f"{file.name}: a name twice"
    assert not [name for name in names if not hasattr(module, name)], file.name


def present() -> list[str]:
    known = {module_name(file.path) for file in python_files("src") if declared(file.tree) is not None or len(file.tree.body) > 1}
    return [name for name in PUBLIC_PACKAGES if name in known]


def ours(module: ModuleType) -> set[str]:
    """Names without underscore that were made in Holdfast and are not modules."""
    return {name for name, value in vars(module).items()
            if not name.startswith("_") and not isinstance(value, ModuleType)
            and str(getattr(value, "__module__", "")).startswith("holdfast")}


@pytest.mark.parametrize("name", present())
def test_a_public_package_exports_what_it_holds(name: str) -> None:
    module = importlib.import_module(name)
    exported = set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__), f"{name}.__all__ is not in order"
    assert ours(module) <= exported, f"{name} holds names that are not in __all__: {sorted(ours(module) - exported)}"
    undocumented = sorted(one for one in exported if isinstance(getattr(module, one), type) and not getattr(module, one).__doc__
                          and not issubclass(getattr(module, one), HoldfastError))        # they are documented in their tree
    assert not undocumented, f"{name}: public classes without a docstring: {undocumented}"
