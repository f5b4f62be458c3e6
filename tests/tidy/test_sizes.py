"""Files of at most 600 lines, functions of at most 70 (their docstring not counted), names that say a noun of the domain."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.source import PythonFile, python_files

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "misc", "common", "stuff", "manager"}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


@pytest.mark.parametrize("file", python_files(), ids=lambda file: file.name)
def test_a_file_and_its_functions_keep_their_size(file: PythonFile) -> None:
    lines = file.text.count("\n")
    assert lines <= FILE_LINES_MAX, f"{file.name} has {lines} lines, {FILE_LINES_MAX} at most: which noun is hiding there?"
    functions = [node for node in ast.walk(file.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{file.name}:{node.lineno} {node.name} has {body_lines(node)} lines, {FUNCTION_LINES_MAX} at most"
            for node in functions if body_lines(node) > FUNCTION_LINES_MAX]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("file", python_files("src"), ids=lambda file: file.name)
def test_a_file_is_named_by_a_noun_of_the_domain(file: PythonFile) -> None:
    assert file.path.stem not in NAMES_THAT_SAY_NOTHING, f"{file.name}: a helper lives with its noun"


@pytest.mark.parametrize("file", python_files("src"), ids=lambda file: file.name)
def test_a_module_with_code_says_what_it_is_for(file: PythonFile) -> None:
    if file.tree.body:
        assert ast.get_docstring(file.tree), f"{file.name} has no docstring"
