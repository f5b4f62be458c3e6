"""`holdfast doctor`: is everything in order here, and if not, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from holdfast.cli.checkup import Subject, examine
from holdfast.cli.database_checks import DATABASE_CHECKS
from holdfast.cli.folder_checks import FOLDER_CHECKS
from holdfast.cli.output import Command, columns, json_option, progress, show
from holdfast.cli.place import Place, place_options, run
from holdfast.core.errors import WorldError
from holdfast.model.compile import compile_schema
from holdfast.runtime import RealRuntime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.sqlite import SqliteStorage

__all__ = ["CHECKS", "diagnosis", "doctor"]

MARKS = {"ok": "ok", "look": "LOOK", "bad": "BAD", "skip": "-"}
CHECKS: Final = (*FOLDER_CHECKS, *DATABASE_CHECKS)


@click.command("doctor", cls=Command)
@json_option
@place_options
@run
async def doctor(place: Place, as_json: bool) -> None:
    """Look at everything that could keep a save from being kept: library, rights, space, disk, writer, keys, pages, log. Reads only, also
    beside a running server. Exit code 1 if anything is bad."""
    facts = await diagnosis(Subject(place=place, runtime=RealRuntime()))
    show(facts, as_json, _plain)
    if not facts["healthy"]:
        raise click.exceptions.Exit(1)


async def diagnosis(subject: Subject) -> dict[str, Any]:
    """{"healthy", "checks": [{"check", "state", "found", "to_do"}], "sizes": {…bytes by part}}"""
    found = []
    with progress(len(CHECKS), "Looking") as bar:
        for one in CHECKS:
            finding = await examine(one, subject)
            found.append({"check": one.name, "state": finding.state, "found": finding.found, "to_do": finding.to_do})
            bar.update(1)
    return {"healthy": all(one["state"] != "bad" for one in found), "checks": found, "sizes": await _sizes(subject)}


async def _sizes(subject: Subject) -> Mapping[str, int]:
    """Bytes by part; empty where they cannot be read (the checks have said why)."""
    if not (subject.folder / DATABASE_NAME).exists():
        return {}
    storage = SqliteStorage(subject.folder, compile_schema(()), subject.runtime, writer=False)
    try:
        return dict(await storage.sizes())
    except WorldError:
        return {}


def _plain(facts: dict[str, Any]) -> Iterator[str]:
    yield from columns([(MARKS[one["state"]], one["check"], one["found"]) for one in facts["checks"]])
    for one in facts["checks"]:
        if one["to_do"]:
            yield f"{one['check']}: {one['to_do']}"
    if facts["sizes"]:
        yield "bytes: " + ", ".join(f"{part} {size:,}" for part, size in facts["sizes"].items())
    if not facts["healthy"]:
        yield "Something is not in order: see above."
    elif any(one["state"] == "skip" for one in facts["checks"]):
        yield "Nothing is wrong with what there is; the checks marked - had nothing to look at."
    else:
        yield "All is in order."
