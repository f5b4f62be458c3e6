"""PostgreSQL keeps the storage protocol: the shipped suite, run as it is (P1 Kept to P4 Apart)."""

from __future__ import annotations

from typing import ClassVar

import pytest

from holdfast.core.schema import Schema
from holdfast.storage.postgres import PostgresStorage
from holdfast.storage.protocol import Storage
from holdfast.testing.storage import StorageConformance
from holdfast.testing.storage.commits import CommitCases
from holdfast.testing.storage.random_runs import RandomCases
from tests.postgres.cluster import Place

PLACE = Place("conformance")


class Emptied(PostgresStorage):
    """Begins with an empty place when it is opened for the first time since `forget`."""

    fresh: ClassVar[bool] = False
    made: ClassVar[set[str]] = set()

    async def open(self) -> None:
        if self.schema.digest not in self.made:
            self.made.clear()
            await PLACE.make(self.schema)
            self.made.add(self.schema.digest)
        elif not Emptied.fresh:
            await PLACE.empty()
        Emptied.fresh = True
        await super().open()


class TestPostgres(StorageConformance):
    random_seeds = range(6)

    @pytest.fixture(autouse=True)
    def in_an_empty_place(self) -> None:
        self.forget()

    def make(self, schema: Schema) -> Storage:
        return Emptied(PLACE.app, schema)

    def forget(self) -> None:
        Emptied.fresh = False


class TestPostgresWithoutPreparedStatements(CommitCases, RandomCases):
    """As behind a pooler in transaction mode that keeps none."""

    random_seeds = range(1)
    in_an_empty_place = TestPostgres.in_an_empty_place

    def make(self, schema: Schema) -> Storage:
        return Emptied(PLACE.app, schema, prepared=False)

    def forget(self) -> None:
        Emptied.fresh = False
