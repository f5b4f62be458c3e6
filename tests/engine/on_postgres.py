"""The engine's tests on PostgreSQL: one database per test file, emptied for each test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from holdfast import Record
from holdfast.engine.database import migrate_database
from holdfast.engine.keeping import Declarations
from holdfast.model.keys import new_master_key
from holdfast.runtime import RealRuntime
from tests.postgres.cluster import Place, server

__all__ = ["MASTER_KEYS", "on_postgres"]

MASTER_KEYS = new_master_key(lambda count: b"k" * count)


@cache
def _place(name: str) -> Place:
    return Place(name)


_made: set[str] = set()


async def on_postgres(records: Sequence[type[Record]], name: str) -> str:
    """The address of an empty store of these records, of this test file's."""
    place = _place(name)
    if place.name in _made:
        await place.empty()
    else:
        await server().make_database(place.name)
        await migrate_database(place.admin, Declarations.of(records, (), None), RealRuntime(), MASTER_KEYS)
        _made.add(place.name)
    return place.app
