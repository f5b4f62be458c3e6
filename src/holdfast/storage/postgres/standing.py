"""How a database stands to the declarations: read at opening, with what the app's role may read."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import orjson

from holdfast.core.errors import StorageNewer
from holdfast.core.schema import Schema
from holdfast.storage.layout import describe
from holdfast.storage.postgres.errors import connecting, translated
from holdfast.storage.postgres.names import SCHEMA, qualified
from holdfast.storage.postgres.policies import digests
from holdfast.storage.standing import Layout, Standing, differences

__all__ = ["REVISIONS", "meta", "outdated_policies", "revision_of", "standing_at", "standing_of"]

REVISIONS: Final = ("0001",)
_VERSIONS: Final = "hf_revision"


async def revision_of(connection: Any) -> str | None:
    """The revision of the fixed tables; None: there are none."""
    if await connection.fetchval("SELECT to_regclass($1)::text", f"{SCHEMA}.{_VERSIONS}") is None:
        return None
    found: str | None = await connection.fetchval(f"SELECT version_num FROM {qualified(_VERSIONS)}")
    return found


async def meta(connection: Any, name: str) -> str | None:
    """A line of what the last migration noted."""
    found: str | None = await connection.fetchval(f"SELECT value FROM {qualified('hf_meta')} WHERE name = $1", name)
    return found


async def outdated_policies(connection: Any, schema: Schema) -> list[str]:
    """The tables ("": all fixed ones) whose policies are not those of the declarations."""
    text = await meta(connection, "policies")
    stored = {} if text is None else orjson.loads(text)
    return [name for name, digest in digests(schema).items() if stored.get(name) != digest]


async def standing_of(connection: Any, schema: Schema) -> Standing:
    """Raises StorageNewer if the fixed tables or a collection's contract were written by a newer version; driver errors as they are."""
    revision = await revision_of(connection)
    if revision is None:
        return Standing(None, ("create all tables",))
    if revision not in REVISIONS:
        raise StorageNewer(f"The database is at revision {revision[:32]!r}, which this version of Holdfast does not know.")
    behind = [f"revise the fixed tables from {revision} to {later}" for later in REVISIONS[REVISIONS.index(revision) + 1:]]
    text = await meta(connection, "layout")
    stored: Layout = {} if text is None else orjson.loads(text)
    declared = describe(schema)
    todo = [line for name in declared for line in differences(name, stored.get(name), declared[name])]
    todo += [f"write the policies of {name or 'the fixed tables'} anew" for name in await outdated_policies(connection, schema)]
    return Standing(revision, (*behind, *todo))


async def standing_at(url: str, schema: Schema) -> Standing:
    """The same of an address."""
    with connecting():
        connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        with translated("looking at the database"):
            return await standing_of(connection, schema)
    finally:
        await connection.close()
