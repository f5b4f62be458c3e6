"""A database on PostgreSQL grows with its declarations, keeps what it held, and refuses what a newer version wrote (P1 Kept, P3 Never
dropped)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest

from holdfast.core.access import Actor, All, Own
from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError, StorageConstraint, StorageFailed, StorageNewer, StorageOutdated
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema, Unique, Upcast
from holdfast.storage.postgres.migration import migrate
from holdfast.storage.postgres.names import APP_ROLE, MIGRATOR_ROLE
from holdfast.storage.protocol import Query, Tenant
from holdfast.testing.storage.samples import SCHEMA, Log, an_id
from tests.postgres.cluster import Place, server

PLACE = Place("migrations")
TITLE = Field(name="title", kind=Kind.STRING, default="")
OWNER = Field(name="owner_id", kind=Kind.UUID, optional=True)


def books(*fields: Field, **options: Any) -> Schema:
    return Schema(collections={"books": Collection(name="books", fields={field.name: field for field in fields}, **options)})


OLD = books(TITLE, OWNER)


@pytest.fixture
async def held() -> None:
    """A database of the old declarations, with two books."""
    await PLACE.make(OLD)
    storage = PLACE.storage(OLD)
    await storage.open()
    await Log().save_rows(storage, Row(collection="books", id=an_id("a"), fields={"title": "12.50", "owner_id": an_id("me")}),
                          Row(collection="books", id=an_id("b"), fields={"title": "0.99"}))
    await storage.close()


async def found(schema: Schema, collection: str = "books") -> dict[str, Mapping[str, Any]]:
    storage = PLACE.storage(schema)
    await storage.open()
    try:
        async with storage.reader() as reader:
            rows = await reader.page("acme", Query(collection=collection, rule=All, actor=Actor("x"), limit=99))
        return {row.id: {**row.fields, **row.copied} for row in rows}
    finally:
        await storage.close()


async def test_what_is_current_is_left_alone(held: None) -> None:
    assert await migrate(PLACE.admin, OLD) == ()


async def test_new_fields_indexes_and_collections_are_added_and_rows_get_the_defaults(held: None) -> None:
    new = books(TITLE, OWNER, Field(name="pages", kind=Kind.INTEGER, default=7), Field(name="done", kind=Kind.BOOLEAN, default=True),
                Field(name="details", kind=Kind.JSON, default={"a": 1}), indexes=(("pages",),),
                unique=(Unique(name="title", fields=("title",)),))
    with pytest.raises(StorageOutdated, match=r"add books\.pages"):
        await PLACE.storage(new).open()
    assert len(await migrate(PLACE.admin, new)) >= 4
    assert (await found(new))[an_id("b")] == {"title": "0.99", "owner_id": None, "pages": 7, "done": True, "details": {"a": 1}}
    assert await migrate(PLACE.admin, new) == ()


async def test_a_rule_that_changed_changes_the_policies(held: None) -> None:
    new = books(TITLE, OWNER, read=Own("owner_id"))
    assert await migrate(PLACE.admin, new) == ("create the index ix_books_owner_id", "write the policies of books anew")
    connection = await asyncpg.connect(PLACE.app)
    async with connection.transaction():
        await connection.execute("SELECT holdfast.act_as('acme', $1, '')", an_id("me"))
        assert [row[0] for row in await connection.fetch("SELECT id FROM holdfast.books")] == [an_id("a")]
    await connection.close()


async def test_a_raised_contract_passes_the_rows_through_the_upcaster(held: None) -> None:
    new = books(Field(name="title", kind=Kind.MONEY), OWNER, contract=2, upcasts=MappingProxyType({1: Upcast(1, ())}))
    tenants: list[str] = []

    def upcast(tenant: Tenant, row: Row, collection: Collection) -> Row:
        tenants.append(tenant.tenant_id)
        return replace_row(row, fields={**row.fields, "title": row.fields["title"]}, contract=2)

    await migrate(PLACE.admin, new, upcast)
    assert tenants == ["acme", "acme"]
    assert {row["title"] for row in (await found(new)).values()} == {"12.50", "0.99"}


def replace_row(row: Row, **changes: Any) -> Row:
    return Row(**{**{name: getattr(row, name) for name in row.__struct_fields__}, **changes})


async def test_a_representation_that_changes_without_a_contract_is_refused_and_nothing_has_changed(held: None) -> None:
    with pytest.raises(DeclarationError, match=r"books\.title is stored as text"):
        await migrate(PLACE.admin, books(Field(name="title", kind=Kind.MONEY), OWNER))
    assert len(await found(OLD)) == 2


async def test_a_new_unique_that_records_break_is_refused_and_nothing_has_changed(held: None) -> None:
    with pytest.raises(StorageConstraint, match="declared unique now"):
        await migrate(PLACE.admin, books(TITLE, replace(OWNER, default=None), Field(name="kind", kind=Kind.STRING, default="x"),
                                         unique=(Unique(name="kind", fields=("kind",)),)))
    assert len(await found(OLD)) == 2


async def test_a_new_copied_column_takes_its_parents_values(held: None) -> None:
    def chapters(*copied: Copied) -> Schema:
        chapter = Collection(name="chapters", fields={"book": Field(name="book", kind=Kind.REF, ref="books", optional=True)}, copied=copied)
        return Schema(collections={**OLD.collections, "chapters": chapter})

    await migrate(PLACE.admin, chapters())
    storage = PLACE.storage(chapters())
    await storage.open()
    await Log().save_rows(storage, Row(collection="chapters", id=an_id("c"), fields={"book": an_id("a")}))
    await storage.close()
    new = chapters(Copied(column="via_book__owner_id", ref_field="book", parent="books", source="owner_id"))
    await migrate(PLACE.admin, new)
    assert (await found(new, "chapters"))[an_id("c")]["via_book__owner_id"] == an_id("me")


async def test_a_newer_database_is_left_alone(held: None) -> None:
    await migrate(PLACE.admin, books(TITLE, OWNER, contract=3), lambda tenant, row, collection: replace_row(row, contract=3))
    for attempt in (PLACE.storage(OLD).open(), migrate(PLACE.admin, OLD)):
        with pytest.raises(StorageNewer, match="contract 3"):
            await attempt


async def test_other_applications_tables_and_policies_stay_as_they_are(held: None) -> None:
    await migrate(PLACE.admin, SCHEMA)
    assert len(await found(OLD)) == 2
    connection = await asyncpg.connect(PLACE.admin)
    assert await connection.fetchval("SELECT count(*) FROM pg_policies WHERE tablename = 'books'") == 4
    await connection.close()


async def test_the_migrators_role_is_enough_once_the_roles_are_there(held: None) -> None:
    new = books(TITLE, OWNER, Field(name="pages", kind=Kind.INTEGER, default=7))
    await migrate(server().url(PLACE.name, MIGRATOR_ROLE), new)
    assert len(await found(new)) == 2
    with pytest.raises(StorageFailed):
        await migrate(server().url(PLACE.name, APP_ROLE), SCHEMA)


async def test_names_that_postgresql_would_cut_off_are_refused(held: None) -> None:
    with pytest.raises(DeclarationError, match="too long"):
        await migrate(PLACE.admin, books(Field(name="x" * 64, kind=Kind.STRING)))
    long = books(TITLE, Field(name="y" * 60, kind=Kind.STRING, optional=True), indexes=(("y" * 60, "title"), ("y" * 60,)))
    await migrate(PLACE.admin, long)
    assert len(await found(long)) == 2
