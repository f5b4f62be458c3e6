"""`holdfast schema` and `holdfast migrate`: what is declared, and bringing a database up to it."""

from __future__ import annotations

from typing import Any

import click

from holdfast.cli.output import Command, json_option, say, show
from holdfast.cli.place import Place, place_options, run
from holdfast.core.errors import StorageOutdated
from holdfast.engine.keeping import opened_for_writing
from holdfast.model.describe import describe
from holdfast.model.typescript import typescript
from holdfast.runtime import RealRuntime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.sqlite_connection import connect_reader
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.standing import Standing, standing_of

__all__ = ["migrate", "schema", "standing_at"]


@click.command("schema", cls=Command)
@click.option("--typescript", "as_typescript", is_flag=True, help="Print TypeScript types instead of JSON.")
@json_option
@place_options
def schema(place: Place, as_typescript: bool, as_json: bool) -> None:
    """Print what the applications declare: collections, fields, rules, contracts. The digest changes when anything does that a device must
    know. Needs no data folder."""
    declared = place.declarations().schema
    if as_typescript:
        click.echo(typescript(declared), nl=False)
        return
    show(describe(declared), True, list)


def standing_at(place: Place) -> Standing:
    """How the database in the folder stands to the declarations; an empty one where there is none. Raises StorageNewer, StorageCorrupt
    and other errors of the storage."""
    path = place.folder / DATABASE_NAME
    if not path.exists():
        return Standing(None, ("create all tables",))
    with translated(f"opening {path}"):
        connection = connect_reader(path, None)
        try:
            return standing_of(connection, place.declarations().schema)
        finally:
            connection.close(True)


@click.command("migrate", cls=Command)
@click.option("--plan", is_flag=True, help="Only say what would be done. Exit code 1 if there is anything to do.")
@json_option
@place_options
@run
async def migrate(place: Place, plan: bool, as_json: bool) -> None:
    """Bring the database up to the declarations: tables, columns, indexes, contracts. In one transaction: all of it or nothing. The log is
    never rewritten. Stop the server first."""
    before = standing_at(place)
    facts: dict[str, Any] = {"from": before.revision, "todo": list(before.todo), "done": False}
    if plan:
        show(facts, as_json, lambda said: said["todo"] or ["Nothing to do."])
        if before.todo:
            raise click.exceptions.Exit(1)
        return
    if before.todo:
        say("Bringing the database up to the declarations …")
        writable = await opened_for_writing(str(place.folder), place.declarations(), RealRuntime(), None)
        await writable.storage.close()
    after = standing_at(place)
    if after.todo:
        raise StorageOutdated(f"The database in {place.folder} is still not what is declared: {'; '.join(after.todo[:5])}.")
    facts |= {"to": after.revision, "done": True}
    show(facts, as_json, lambda said: [*said["todo"], f"The database is at revision {said['to']}, as declared."])
