"""How a database stands to the declarations: empty, current, older (then what is to be done), or newer (then it is left alone).

Read at opening with plain SQL, so that a store that is current never loads the tools that migrate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import apsw
import orjson

from holdfast.core.errors import DeclarationError, StorageNewer
from holdfast.core.schema import Schema
from holdfast.storage.layout import REVISIONS, describe, tables_of

__all__ = ["REVISION_TABLE", "Layout", "Standing", "differences", "raise_if_unconverted", "standing_of", "stored_layout"]

REVISION_TABLE: Final = "hf_revision"
Layout = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """`revision`: of the fixed tables, None for an empty database. `todo`: what a migration would do, for people; nothing: current."""

    revision: str | None
    todo: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return self.revision is None


def standing_of(connection: apsw.Connection, schema: Schema) -> Standing:
    """Raises StorageNewer if the fixed tables or a collection's contract were written by a newer version."""
    revision = _revision(connection)
    if revision is None:
        return Standing(None, ("create all tables",))
    if revision not in REVISIONS:
        raise StorageNewer(f"The database is at revision {revision[:32]!r}, which this version of Holdfast does not know.")
    behind = [f"revise the fixed tables from {revision} to {later}" for later in REVISIONS[REVISIONS.index(revision) + 1:]]
    stored, declared = stored_layout(connection), describe(schema)
    todo = [line for name in declared for line in differences(name, stored.get(name), declared[name])]
    return Standing(revision, (*behind, *todo))


def stored_layout(connection: apsw.Connection) -> Layout:
    """What the last migration made (`layout.describe`), with the columns of fields that are no longer declared."""
    found = connection.execute("SELECT value FROM hf_meta WHERE name = 'layout'").fetchone()
    layout: Layout = {} if found is None else orjson.loads(found[0])
    return layout


def _revision(connection: apsw.Connection) -> str | None:
    if not connection.table_exists("main", REVISION_TABLE):
        return None
    found = connection.execute(f"SELECT version_num FROM {REVISION_TABLE}").fetchone()
    return None if found is None else str(found[0])


def differences(name: str, stored: Layout | None, declared: Layout) -> list[str]:
    """What a migration of one collection's table would do, for people (arguments: `layout.describe`, of then and of now)."""
    if stored is None:
        return [f"create the table {name}"]
    if stored["contract"] > declared["contract"]:
        raise StorageNewer(f"The collection {name} is at contract {stored['contract']}, this application declares {declared['contract']}.",
                           hint="Start the newer application; the data was not touched.")
    columns = stored["columns"]
    return [
        *(f"add {name}.{column}" for column in declared["columns"] if column not in columns),
        *(f"convert {name}.{column} from {columns[column]} to {kind}" for column, kind in declared["columns"].items()
          if columns.get(column, kind) != kind),
        *([f"read {name} under contract {declared['contract']}"] if stored["contract"] < declared["contract"] else []),
        *(f"drop the index {index[0]}" for index in stored["indexes"] if index not in declared["indexes"]),
        *(f"create the index {index[0]}" for index in declared["indexes"] if index not in stored["indexes"]),
        *(f"let {name}.{column} refer to {target}" for column, target in declared["references"]
          if [column, target] not in stored["references"]),
    ]


def raise_if_unconverted(stored: Layout, schema: Schema) -> None:
    """A column whose values stand otherwise needs an upcaster, and so a higher contract. Raises DeclarationError."""
    for table in tables_of(schema).values():
        before = stored.get(table.name)
        if before is None or before["contract"] < table.contract:
            continue
        for column in table.fields:
            old = before["columns"].get(column.name, column.representation)
            if old != column.representation and column.name in before["fields"]:
                raise DeclarationError(f"{table.name}.{column.name} is stored as {old} and declared as {column.representation} now.",
                                       hint="Raise the contract and give an upcaster with `convert`, or choose another name.",
                                       field=column.name)
