"""What commands print: facts as lines or as JSON on standard output, everything else (progress, errors) on standard error.

Exit codes: 0 it is done or holds; 1 it is not, and the error says why; 2 the command was called wrongly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import click

from holdfast.core.errors import HoldfastError
from holdfast.engine.api import problem_of

__all__ = ["Command", "columns", "fail", "json_option", "progress", "say", "show"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """`--json`: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print facts as JSON, errors too.")(command)


def show(facts: Any, as_json: bool, plain: Callable[[Any], Iterable[str]]) -> None:
    """Print `facts`: as JSON, or as the lines that `plain` makes of them."""
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for line in plain(facts):
        click.echo(line)


def say(text: str) -> None:
    """Something for the person at the terminal, beside the facts."""
    click.echo(text, err=True)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def progress(length: int, label: str) -> AbstractContextManager[Any]:
    """A progress bar on standard error; silent where that is no terminal. `.update(n)` moves it by n."""
    return click.progressbar(length=max(1, length), label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def fail(error: HoldfastError, as_json: bool) -> None:
    """Print an error: what happened and where, then what to do next."""
    problem = problem_of(error)
    if as_json:
        facts: Mapping[str, Any] = {"error": {"code": problem.code, "detail": problem.detail, "hint": problem.hint, "field": problem.field}}
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False), err=True)
        return
    where = f" ({problem.field})" if problem.field else ""
    say(f"holdfast: {problem.detail}{where}")
    if problem.hint:
        say(f"          {problem.hint}")


class Command(click.Command):
    """A command whose errors of the tree are printed as such, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            fail(error, bool(ctx.params.get("as_json")))
            ctx.exit(1)
