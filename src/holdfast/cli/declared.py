"""`holdfast schema` and `holdfast migrate`: what is declared, and bringing a database up to it."""

from __future__ import annotations

from typing import Any

import click

from holdfast.cli.output import Command, json_option, say, show
from holdfast.cli.place import Place, place_options, run
from holdfast.core.errors import InvalidValue, StorageOutdated
from holdfast.engine.database import distribute_database, migrate_database, standing_at_address
from holdfast.engine.keeping import opened_for_writing
from holdfast.model.describe import describe
from holdfast.model.typescript import typescript
from holdfast.runtime import RealRuntime
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.sqlite_connection import connect_reader
from holdfast.storage.sqlite_errors import translated
from holdfast.storage.standing import Standing, standing_of

__all__ = ["distribute", "migrate", "schema", "standing_at"]


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
    and other errors of the storage. (Of a database server: `engine.database.standing_at_address`.)"""
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
    never rewritten. Stop the server first.

    On a database server it also makes roles and access policies: name a superuser in the address the first time, the role
    holdfast_migrator after that. Serve under holdfast_app."""
    before = await _standing(place)
    facts: dict[str, Any] = {"from": before.revision, "todo": list(before.todo), "done": False}
    if plan:
        show(facts, as_json, lambda said: said["todo"] or ["Nothing to do."])
        if before.todo:
            raise click.exceptions.Exit(1)
        return
    if before.todo:
        say("Bringing the database up to the declarations …")
        await _bring_up(place)
    after = await _standing(place)
    if after.todo:
        raise StorageOutdated(f"The database is still not what is declared: {'; '.join(after.todo[:5])}.")
    facts |= {"to": after.revision, "done": True}
    show(facts, as_json, lambda said: [*said["todo"], f"The database is at revision {said['to']}, as declared."])


async def _standing(place: Place) -> Standing:
    if place.database is None:
        return standing_at(place)
    return await standing_at_address(place.database, place.declarations())


async def _bring_up(place: Place) -> None:
    if place.database is None:
        writable = await opened_for_writing(str(place.folder), place.declarations(), RealRuntime(), None)
        await writable.storage.close()
    else:
        await migrate_database(place.database, place.declarations(), RealRuntime())


@click.command("distribute", cls=Command)
@click.option("--dry-run", is_flag=True, help="Only print the statements.")
@json_option
@place_options
@run
async def distribute(place: Place, dry_run: bool, as_json: bool) -> None:
    """Turn the tables into distributed and reference tables of Citus, parents first. Needs --database, with the address of a superuser or
    of holdfast_migrator; the database must be migrated and have the extension."""
    if place.database is None:
        raise InvalidValue("A data folder cannot be distributed.", field="database", hint="Name a database with --database.")
    done = await distribute_database(place.database, place.declarations(), dry_run=dry_run)
    show({"statements": done, "done": not dry_run}, as_json, lambda facts: [f"{statement};" for statement in facts["statements"]])
