"""Writes the reference pages that are made from the code: `make docs`. A test compares each page with what this renders."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from holdfast.cli import main as main_command
from holdfast.cli.doctor import CHECKS
from holdfast.core import errors
from holdfast.core.limits import Limits
from holdfast.server.reference import fill
from holdfast.server.settings import render_reference

__all__ = ["LIMIT_MEANINGS", "PAGES", "error_meanings", "main"]

HERE = Path(__file__).resolve().parent
MADE = "<!-- Made from the code by `make docs`; a test compares. -->"

LIMIT_MEANINGS = {
    "mutation_bytes_max": "One mutation, as sent.",
    "mutation_ops_max": "Ops in one mutation.",
    "mutation_edits_max": "Edits of texts in one mutation.",
    "push_mutations_max": "Mutations in one push.",
    "push_bytes_max": "One push.",
    "text_code_points_max": "A `Text` field.",
    "string_code_points_max": "A string field, and a string inside `Json`.",
    "set_items_max": "Items of a `Set` field.",
    "json_depth_max": "Nesting of a `Json` field.",
    "json_bytes_max": "A `Json` field, as canonical JSON.",
    "inbox_items_max": "Open inbox items of one actor; a mutation that would open one more is refused.",
    "inbox_bytes_max": "What those items hold together.",
    "held_or_refused_per_minute_max": "Mutations of one actor that are held or refused in a minute; more are refused with `rate`.",
    "socket_buffered_bytes_max": "What waits to be sent on one socket; then it is closed, and the device resumes by its cursor.",
    "queue_mutations_max": "Mutations that wait for the committer; then `overloaded`, and nothing was queued.",
    "queue_bytes_max": "The same in bytes.",
    "batch_mutations_max": "Mutations in one transaction.",
    "clock_skew_ms_max": "How far a device's clock may be off before its stamps are corrected.",
    "rebase_pairs_under_lock_max": "Waiting entries × mutations that are rebased under the head's lock; longer chains are rebased before.",
    "pull_entries_max": "Entries read for one pull.",
    "page_records_max": "Records on one page of a list.",
    "sign_in_attempts_per_minute_max": "Attempts to sign in, by address and by account.",
}

UNITS = {"bytes": "bytes", "ops": "ops", "edits": "edits",
         "mutations": "mutations", "code_points": "code points", "items": "items", "depth": "levels",
         "refused_per_minute": "per minute", "attempts_per_minute": "per minute", "ms": "ms", "pairs_under_lock": "pairs",
         "entries": "entries", "records": "records"}


def classes(root: type[errors.HoldfastError], depth: int = 0) -> Iterator[tuple[int, type[errors.HoldfastError]]]:
    yield depth, root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes(child, depth + 1)


def error_meanings() -> dict[str, str]:
    """class name -> what the tree at the top of `core/errors` says of it."""
    tree = inspect.getdoc(errors) or ""
    return {found[1]: found[2].strip() for found in re.finditer(r"^[│├└─ ]*[├└]── (\w+) +(\S.*)$", tree, re.MULTILINE)}


def errors_page() -> str:
    meanings = error_meanings()
    lines = ["# Errors", "", MADE, "",
             "Every error of Holdfast is one of this tree. Over HTTP it comes as `application/problem+json` with the code at the end",
             "of its `type`; in a push it is the `error` of its result. `detail` says what happened and where, `hint` what to do next.",
             "",
             "\"Again\" says whether the same call may succeed later as it is; `retry_after` then says in how many seconds.", "",
             "| class | code | HTTP | again | when | what to do |", "|---|---|---:|---|---|---|"]
    for depth, error in classes(errors.HoldfastError):
        indent = "&nbsp;&nbsp;" * depth
        hint = error.default_hint.replace("|", "\\|")
        meaning = meanings.get(error.__name__, "root of the tree").replace("(retryable)", "").strip()
        again = "yes" if error.retryable else "no"
        lines.append(f"| {indent}`{error.__name__}` | `{error.code}` | {error.status} | {again} | {meaning} | {hint} |")
    return "\n".join([*lines, "", "Anything else that fails is answered with the code `internal`, status 500 and a request id; its text",
                      "stays in the server's log.", ""])


def unit_of(limit: str) -> str:
    return next(unit for ending, unit in UNITS.items() if limit.removesuffix("_max").endswith(ending))


def limits_page() -> str:
    lines = ["# Limits", "", MADE, "",
             "What the server takes at most. Over one of them a call is answered `limit` (413), unless the line says otherwise.", "",
             "| limit | default | unit | of what |", "|---|---:|---|---|"]
    for one in dataclasses.fields(Limits):
        lines.append(f"| `{one.name}` | {one.default:,} | {unit_of(one.name)} | {LIMIT_MEANINGS[one.name]} |")
    return "\n".join([*lines, ""])


def commands_page() -> str:
    lines = ["# Commands", "", MADE, "",
             "What `holdfast` can do. Exit code 0: it is done or holds; 1: it is not, and the error says why; 2: the command was called",
             "wrongly. Facts go to standard output (as JSON with `--json`), everything else to standard error.", ""]
    for name, command in sorted(commands_below(main_command), key=lambda pair: (pair[0] != ("serve",), pair[0])):
        context = click.Context(command, info_name=" ".join(["holdfast", *name]))
        usage = command.get_usage(context).removeprefix("Usage: ").replace("\n", " ")
        lines += [f"## {' '.join(name)}", "", inspect.cleandoc(command.help or ""), "", "```text", re.sub(r" +", " ", usage), "```", ""]
        if name == ("serve",):
            lines += ["Its options are the [settings](settings.md), and `--database`.", ""]
            continue
        lines += ["| option | what it does |", "|---|---|"]
        lines += [f"| `{', '.join(one.opts)}` | {(one.help or '').replace('|', chr(92) + '|')} |" for one in command.params
                  if isinstance(one, click.Option)]
        lines.append("")
    return "\n".join(lines)


def commands_below(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_below(command, *above, name)
        else:
            yield (*above, name), command


def checks_page() -> str:
    lines = ["# Checks of `holdfast doctor`", "", MADE, "",
             "Each says what it found, and what to do. `ok`: as it should be. `look`: it works, but somebody should see to it. `bad`: a",
             "promise is broken, or will be; then the exit code is 1. `skip`: there was nothing to look at. Nothing is changed, and a",
             "server may be running meanwhile.", "",
             "| check | what it is about |", "|---|---|", *(f"| {one.name} | {one.about} |" for one in CHECKS)]
    return "\n".join([*lines, ""])


def settings_page() -> str:
    title, rest = render_reference().split("\n", 1)
    return f"{title}\n\n{MADE}\n{rest}"


def wire_page() -> str:
    """Written by hand, but for the parts between its marks."""
    return fill((HERE / "wire.md").read_text("utf-8"))


PAGES: dict[str, Callable[[], str]] = {
    "checks.md": checks_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "limits.md": limits_page,
    "settings.md": settings_page,
    "wire.md": wire_page,
}


def main() -> None:
    for name, render in PAGES.items():
        (HERE / name).write_text(render(), "utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
