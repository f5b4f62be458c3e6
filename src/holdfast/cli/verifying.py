"""`holdfast verify`: is everything as the log says?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from holdfast.cli.output import Command, json_option, progress, show
from holdfast.cli.place import Place, place_options, run
from holdfast.cli.reading import reading_store
from holdfast.core.errors import WorldError
from holdfast.engine.store import Store
from holdfast.engine.verify import Report, verify_tenant
from holdfast.storage.folder import DATABASE_NAME
from holdfast.storage.sqlite_connection import connect_reader
from holdfast.storage.sqlite_errors import translated

__all__ = ["integrity_of", "verify"]

PASSES_OVER_THE_LOG = 3
"""The chain, records without a row, the inbox: each reads the log once."""

PROBLEMS_MAX = 20
ERASED_SHOWN_MAX = 10


@click.command("verify", cls=Command)
@click.option("--tenant", "only", multiple=True, metavar="SLUG", help="Only this organisation; several times.")
@json_option
@place_options
@run
async def verify(place: Place, only: tuple[str, ...], as_json: bool) -> None:
    """Check the digest chain of each organisation's log, that the tables equal a replay of it, and SQLite's integrity.

    Reads only, also beside a running server. Names the first entry that does not fit, and reports erased ones. Exit code 1 if anything is
    not as the log says."""
    problems = integrity_of(place)
    try:
        reports = await _verified(place, only)
    except WorldError as error:
        if not problems:
            raise
        reports, problems = [], [*problems, f"The log cannot be read: {error.detail}"]
    facts = {"ok": not problems and all(report.ok for report in reports), "integrity": problems or "ok",
             "tenants": [{**msgspec.to_builtins(report), "ok": report.ok} for report in reports]}
    show(facts, as_json, _plain)
    if not facts["ok"]:
        raise click.exceptions.Exit(1)


def integrity_of(place: Place) -> list[str]:
    """What SQLite finds wrong with the file: pages, indexes, references between rows. Empty: nothing. Raises StorageCorrupt where it
    cannot even be read."""
    path = place.folder / DATABASE_NAME
    with translated(f"checking {path}"):
        connection = connect_reader(path, None)
        try:
            said = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({PROBLEMS_MAX})")]
            dangling = connection.execute(f"SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT {PROBLEMS_MAX}").fetchall()
        finally:
            connection.close(True)
    broken = [f"A row of {table} refers to a row of {parent} that is not there." for table, parent in dangling]
    return [line for line in said if line != "ok"] + broken


async def _verified(place: Place, only: tuple[str, ...]) -> list[Report]:
    with progress(await _steps(place, only), "Verifying") as bar:
        async with reading_store(place, on_read=bar.update) as store:
            return [await verify_tenant(store, tenant_id) for tenant_id in await _tenants(store, only)]


async def _steps(place: Place, only: tuple[str, ...]) -> int:
    async with reading_store(place) as store, store.storage.reader() as reader:
        return sum([(await reader.head(tenant_id)).seq for tenant_id in await _tenants(store, only)]) * PASSES_OVER_THE_LOG


async def _tenants(store: Store, only: tuple[str, ...]) -> list[str]:
    async with store.storage.reader() as reader:
        known = [one.tenant_id for one in await reader.tenants()]
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise click.BadParameter(f"There is no organisation {', '.join(unknown)}.", param_hint="--tenant")
    return [one for one in known if not only or one in only]


def _plain(facts: dict[str, Any]) -> Iterator[str]:
    yield "SQLite's integrity: " + ("ok" if facts["integrity"] == "ok" else "; ".join(facts["integrity"]))
    for report in facts["tenants"]:
        counted = f"{report['entries']:,} entries, {report['records']:,} records, {report['items']:,} open inbox items"
        yield (f"{report['tenant_id']}: {counted}: " + ("as the log says" if report["ok"] else f"{len(report['findings'])} findings"))
        if report["first_bad_seq"] is not None:
            yield f"  the first bad entry is {report['first_bad_seq']}"
        for finding in report["findings"]:
            where = f" ({finding['collection']} {finding['record_id']})" if finding.get("record_id") else ""
            yield f"  {finding['what']}{where}"
        if report["erased"]:
            shown = ", ".join(map(str, report["erased"][:ERASED_SHOWN_MAX]))
            more = ", …" if len(report["erased"]) > ERASED_SHOWN_MAX else ""
            yield f"  {len(report['erased'])} entries are erased; their chain still checks: {shown}{more}"
        if report["not_comparable"]:
            yield f"  {report['not_comparable']} records were not compared: their past is erased, or an older contract meant something else"
