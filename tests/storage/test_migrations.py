"""A store is made, grows with its declarations, keeps what it held, and refuses what a newer version wrote (P1 Kept, P3 Never dropped)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import sqlalchemy as sa

from holdfast.core.access import Actor, All, Own
from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError, InvalidValue, StorageConstraint, StorageNewer, StorageOutdated
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema, Unique
from holdfast.runtime import RealRuntime
from holdfast.storage import open_storage
from holdfast.storage.drive import run_sync
from holdfast.storage.layout import HEAD_REVISION, REVISIONS, describe, fingerprint, tables_of
from holdfast.storage.metadata import metadata_of
from holdfast.storage.migration import REVISIONS_FOLDER, compare, connected
from holdfast.storage.protocol import Filter, Query, Storage
from holdfast.storage.sqlite import SqliteStorage
from holdfast.testing.disk import Survival
from holdfast.testing.storage.samples import SCHEMA, Log, an_id, raising
from tests.storage.on_disk import OnDisk, boot

TENANT = "acme"


def collection(name: str, *fields: Field, **options: Any) -> Collection:
    return Collection(name=name, fields={field.name: field for field in fields}, **options)


def schema(*collections: Collection) -> Schema:
    return Schema(collections={one.name: one for one in collections})


TITLE = Field(name="title", kind=Kind.STRING, default="")
NOTES = Field(name="notes", kind=Kind.TEXT, default="")
OLD = schema(collection("books", TITLE, NOTES))


async def opened(folder: Path, wanted: Schema, **options: Any) -> Storage:
    return await open_storage(folder, wanted, RealRuntime(), writer=True, **options)


def book(name: object, **fields: Any) -> Row:
    return Row(collection="books", id=an_id(name), fields=fields)


async def filled(folder: Path, wanted: Schema, *rows: Row) -> Log:
    storage = await opened(folder, wanted)
    log = Log()
    log.add(collection="books")
    await log.save(storage, rows=list(rows))
    await storage.close()
    return log


async def books(storage: Storage, **options: Any) -> dict[str, Mapping[str, Any]]:
    async with storage.reader() as reader:
        rows = await reader.page(TENANT, Query(**{"collection": "books", "rule": All, "actor": Actor("me"), "limit": 99, **options}))
    return {row.id: row.fields for row in rows}


# -- a new store --------------------------------------------------------------------------------------------------------------------


async def test_a_new_store_has_exactly_the_tables_that_are_declared(tmp_path: Path) -> None:
    storage = await opened(tmp_path, SCHEMA)
    assert isinstance(storage, SqliteStorage) and storage._writer is not None
    with connected(storage._writer) as tools:
        assert compare(tools, SCHEMA) == []
        declared = metadata_of(SCHEMA)
        found = sa.MetaData()
        found.reflect(tools)
    assert set(found.tables) - {"hf_revision"} == set(declared.tables)
    for name, table in declared.tables.items():
        there = found.tables[name]
        assert [(c.name, str(c.type), c.nullable) for c in there.columns] == [(c.name, str(c.type.compile(sa.dialects.sqlite.dialect())),
                                                                               c.nullable) for c in table.columns], name
        assert [c.name for c in there.primary_key] == [c.name for c in table.primary_key], name
        assert {(i.name, i.unique, tuple(c.name for c in i.columns)) for i in there.indexes} == {
            (i.name, bool(i.unique), tuple(c.name for c in i.columns)) for i in table.indexes}, name
    await storage.close()


def test_every_key_unique_index_and_foreign_key_of_a_collection_carries_the_tenant() -> None:
    declared = metadata_of(SCHEMA)
    for name in SCHEMA.collections:
        table = declared.tables[name]
        assert [column.name for column in table.primary_key] == ["tenant_id", "id"]
        assert all(index.columns[0].name == "tenant_id" for index in table.indexes if index.unique)
        assert all(key.column_keys[0] == "tenant_id" for key in table.foreign_key_constraints)


def test_the_known_revisions_are_those_in_the_folder() -> None:
    names = sorted(path.name.partition("_")[0] for path in (REVISIONS_FOLDER / "versions").glob("[0-9]*.py"))
    assert tuple(names) == REVISIONS and names[-1] == HEAD_REVISION


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    await filled(tmp_path, SCHEMA)
    before = _schema_of(tmp_path)
    storage = await opened(tmp_path, SCHEMA, migrate=True)
    await storage.close()
    assert _schema_of(tmp_path) == before


def _schema_of(folder: Path) -> list[Any]:
    connection = apsw.Connection(str(folder / "holdfast.db"))
    found = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    return found


# -- what has changed -----------------------------------------------------------------------------------------------------------------


async def test_a_store_of_other_declarations_says_what_is_to_be_done_and_is_not_touched(tmp_path: Path) -> None:
    await filled(tmp_path, OLD, book("a", title="x", notes="y"))
    before = _schema_of(tmp_path)
    wanted = schema(collection("books", TITLE, NOTES, Field(name="pages", kind=Kind.INTEGER, optional=True)), collection("shelves", TITLE))
    for writer in (True, False):
        with pytest.raises(StorageOutdated, match=r"add books.pages; create the table shelves") as caught:
            await open_storage(tmp_path, wanted, RealRuntime(), writer=writer)
        assert "holdfast migrate" in caught.value.hint
    assert _schema_of(tmp_path) == before


async def test_new_fields_take_their_defaults_in_rows_that_stood_before(tmp_path: Path) -> None:
    log = await filled(tmp_path, OLD, book("a", title="x", notes="it's: y"))
    wanted = schema(collection(
        "books", TITLE, NOTES, Field(name="pages", kind=Kind.INTEGER, optional=True), Field(name="price", kind=Kind.MONEY, default="1.50"),
        Field(name="lent", kind=Kind.BOOLEAN, default=True), Field(name="tags", kind=Kind.SET, default=["a: 'b'", "%c"]),
        Field(name="state", kind=Kind.STRING, default="it's: new\\n"), Field(name="weight", kind=Kind.NUMBER, default=-1.5),
        Field(name="phone", kind=Kind.STRING, optional=True, sensitive=True)))
    storage = await opened(tmp_path, wanted, migrate=True)
    assert await books(storage) == {an_id("a"): {
        "title": "x", "notes": "it's: y", "pages": None, "price": "1.50", "lent": True, "tags": ["a: 'b'", "%c"],
        "state": "it's: new\\n", "weight": -1.5, "phone": None}}
    async with storage.reader() as reader:
        assert await reader.head(TENANT) == log.head
    log.add(collection="books")
    await log.save(storage, rows=[book("b", title="z", price="2.00")])
    assert (await books(storage))[an_id("b")]["price"] == "2.00"
    await storage.close()


async def test_a_field_that_is_no_longer_declared_keeps_its_column_and_can_come_back(tmp_path: Path) -> None:
    await filled(tmp_path, schema(collection("books", TITLE, NOTES, unique=(Unique(name="title", fields=("title",)),))),
                 book("a", title="x", notes="kept"))
    storage = await opened(tmp_path, schema(collection("books", TITLE)), migrate=True)
    assert await books(storage) == {an_id("a"): {"title": "x"}}
    log = Log("zenith")
    log.add(collection="books")
    await log.save(storage, rows=[book("b", title="x"), book("c", title="x")])      # the unique index went with its declaration
    await storage.close()
    storage = await opened(tmp_path, OLD, migrate=True)
    assert await books(storage) == {an_id("a"): {"title": "x", "notes": "kept"}}
    await storage.close()


async def test_a_collection_that_is_no_longer_declared_stays(tmp_path: Path) -> None:
    await filled(tmp_path, OLD, book("a", title="x", notes=""))
    storage = await opened(tmp_path, schema(collection("shelves", TITLE)), migrate=True)
    await storage.close()
    storage = await opened(tmp_path, schema(collection("shelves", TITLE), *OLD.collections.values()), migrate=True)
    assert await books(storage) == {an_id("a"): {"title": "x", "notes": ""}}
    await storage.close()


async def test_indexes_follow_the_declarations(tmp_path: Path) -> None:
    unique = Unique(name="title", fields=("title",))
    await filled(tmp_path, OLD, book("a", title="x", notes=""))
    wanted = schema(collection("books", TITLE, NOTES, unique=(unique,), indexes=(("notes", "title"),)))
    storage = await opened(tmp_path, wanted, migrate=True)
    assert {"uq_books_title", "ix_books_notes_title"} <= {row[0] for row in _schema_of(tmp_path)}
    with raising(StorageConstraint):
        await Log().save(storage, rows=[book("b", title="x")])
    await storage.close()


async def test_a_unique_that_records_break_already_is_refused_whole(tmp_path: Path) -> None:
    await filled(tmp_path, OLD, book("a", title="x"), book("b", title="x"))
    before = _schema_of(tmp_path)
    wanted = schema(collection("books", TITLE, NOTES, Field(name="pages", kind=Kind.INTEGER, optional=True),
                               unique=(Unique(name="title", fields=("title",)),)))
    with pytest.raises(StorageConstraint, match="books hold one value"):
        await opened(tmp_path, wanted, migrate=True)
    assert _schema_of(tmp_path) == before
    storage = await opened(tmp_path, OLD)
    await storage.close()


async def test_a_new_reference_is_a_foreign_key_and_what_it_copies_is_filled(tmp_path: Path) -> None:
    owner = Field(name="owner", kind=Kind.UUID, optional=True)
    shelf = Field(name="shelf", kind=Kind.REF, ref="shelves", optional=True)
    unique, shelves = (Unique(name="t", fields=("title",)),), collection("shelves", owner)
    await filled(tmp_path, schema(collection("books", TITLE, NOTES, unique=unique), shelves),
                 book("a", title="x", notes="n"), book("b", title="y", notes=""),
                 Row(collection="shelves", id=an_id("s"), fields={"owner": an_id("me")}))
    wanted = schema(collection("books", TITLE, NOTES, shelf, unique=unique), shelves)
    storage = await opened(tmp_path, wanted, migrate=True)
    assert (await books(storage))[an_id("a")] == {"title": "x", "notes": "n", "shelf": None}
    log = Log()
    async with storage.reader() as reader:
        log.head = await reader.head(TENANT)
    with raising(StorageConstraint):
        await log.save(storage, rows=[book("a", title="x", notes="n", shelf=an_id("nowhere"))])
    await log.save(storage, rows=[book("a", title="x", notes="n", shelf=an_id("s"))])
    with raising(StorageConstraint):
        await log.save(storage, rows=[book("c", title="x")])        # the unique index outlived the rebuilding of the table
    await storage.close()
    copied = Copied(column="via_shelf__owner", ref_field="shelf", parent="shelves", source="owner")
    wanted = schema(collection("books", TITLE, NOTES, shelf, copied=(copied,), read=Own("via_shelf__owner")), shelves)
    storage = await opened(tmp_path, wanted, migrate=True)
    assert list(await books(storage, rule=Own("via_shelf__owner"), actor=Actor(an_id("me")))) == [an_id("a")]
    await storage.close()


# -- contracts ------------------------------------------------------------------------------------------------------------------------

PRICED = schema(collection("books", TITLE, Field(name="price", kind=Kind.INTEGER, optional=True),
                           Field(name="old", kind=Kind.MONEY, default="0.00")))
REPRICED = schema(collection("books", TITLE, Field(name="price", kind=Kind.MONEY, optional=True),
                             Field(name="new", kind=Kind.MONEY, default="0.00"), contract=2))


def repriced(tenant: str, row: Row, wanted: Collection) -> Row:
    assert (tenant, row.contract, wanted.contract) == (TENANT, 1, 2)
    cents = row.fields["price"]
    if cents == 13:
        raise InvalidValue("13 brings bad luck.")
    return msgspec.structs.replace(row, contract=2, fields={
        "title": row.fields["title"].upper(), "price": None if cents is None else f"{cents // 100}.{cents % 100:02d}",
        "new": row.fields["old"]})


async def test_rows_of_a_raised_contract_pass_through_the_upcaster(tmp_path: Path) -> None:
    rows = [book(number, title=f"t{number}", price=number * 5 if number % 3 else None, old=f"{number}.00") for number in range(1_100)]
    await filled(tmp_path, PRICED, *rows)
    storage = await opened(tmp_path, REPRICED, migrate=True, upcast=repriced)
    async with storage.reader() as reader:
        found = await reader.rows(TENANT, [("books", row.id) for row in rows])
    assert {row.contract for row in found.values()} == {2} and len(found) == 1_100
    assert found["books", an_id(31)].fields == {"title": "T31", "price": "1.55", "new": "31.00"}
    assert found["books", an_id(30)].fields == {"title": "T30", "price": None, "new": "30.00"}
    assert list(await books(storage, filters=(Filter("price", "gte", "54.85"),))) == sorted([an_id(1099), an_id(1097)])
    await storage.close()
    storage = await opened(tmp_path, REPRICED)
    await storage.close()


async def test_a_value_that_does_not_fit_leaves_the_old_store_whole(tmp_path: Path) -> None:
    await filled(tmp_path, PRICED, book("a", title="x", price=5, old="1.00"), book("b", title="y", price=13, old="1.00"))
    before = _schema_of(tmp_path)
    for upcast, error in ((repriced, InvalidValue), (None, DeclarationError)):
        with pytest.raises(error):
            await opened(tmp_path, REPRICED, migrate=True, upcast=upcast)
        assert _schema_of(tmp_path) == before
    storage = await opened(tmp_path, PRICED)
    assert (await books(storage))[an_id("a")] == {"title": "x", "price": 5, "old": "1.00"}
    await storage.close()


async def test_a_kind_that_changes_without_a_contract_is_a_mistake(tmp_path: Path) -> None:
    await filled(tmp_path, PRICED, book("a", title="x", price=5, old="1.00"))
    wanted = schema(collection("books", TITLE, Field(name="price", kind=Kind.STRING, optional=True)))
    with pytest.raises(DeclarationError, match=r"books.price is stored as integer and declared as text"):
        await opened(tmp_path, wanted, migrate=True)


async def test_a_store_that_a_newer_version_wrote_is_refused_and_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path, PRICED)
    storage = await opened(tmp_path, REPRICED, migrate=True, upcast=repriced)
    await storage.close()
    for options in ({}, {"migrate": True}):
        with pytest.raises(StorageNewer, match="contract 2"):
            await opened(tmp_path, PRICED, **options)
    connection = apsw.Connection(str(tmp_path / "holdfast.db"))
    connection.execute("UPDATE hf_revision SET version_num = '9999'")
    connection.close()
    before = (tmp_path / "holdfast.db").read_bytes()
    for writer in (True, False):
        with pytest.raises(StorageNewer, match="9999") as caught:
            await open_storage(tmp_path, REPRICED, RealRuntime(), writer=writer, migrate=True)
        assert "Upgrade" in caught.value.hint
    assert (tmp_path / "holdfast.db").read_bytes() == before


# -- whole or not at all --------------------------------------------------------------------------------------------------------------


def test_a_power_cut_while_migrating_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with boot(folder, {}) as (disk, _):
        storage = SqliteStorage(folder, PRICED, OnDisk(disk), writer=True)
        run_sync(storage.open())
        log = Log()
        log.add(collection="books")
        run_sync(log.save(storage, rows=[book(number, title="t", price=number, old="1.00") for number in range(20, 60)]))
        run_sync(storage.close())
        files = {name: bytes(held.seen) for name, held in disk.files.items()}
    step, whole = 0, False
    outcomes = set()
    while not whole:
        step += 5
        with boot(folder, files) as (disk, _):
            disk.cut_power_at(step)
            try:
                storage = SqliteStorage(folder, REPRICED, OnDisk(disk), writer=True, migrate=True, upcast=repriced)
                run_sync(storage.open())
                run_sync(storage.close())
            except Exception:
                assert not disk.power
            whole = disk.power
            after = disk.after_power_cut(Survival(writes=0.6, torn=0.5), random.Random(step))
        outcomes.add(_stands_whole(folder, after))
    assert outcomes == {"old", "new"}


def _stands_whole(folder: Path, files: dict[str, bytes]) -> str:
    with boot(folder, files) as (disk, _):
        connection = apsw.Connection(str(folder / "holdfast.db"), vfs=disk.name)
        assert connection.pragma("integrity_check") == "ok"
        connection.close()
        try:
            storage = SqliteStorage(folder, PRICED, OnDisk(disk), writer=True)
            run_sync(storage.open())
            found, first = "old", {"title": "t", "price": 20, "old": "1.00"}
        except StorageNewer:
            storage = SqliteStorage(folder, REPRICED, OnDisk(disk), writer=True)
            run_sync(storage.open())
            found, first = "new", {"title": "T", "price": "0.20", "new": "1.00"}
        rows = run_sync(books(storage))
        assert len(rows) == 40 and rows[an_id(20)] == first
        run_sync(storage.close())
        return found


# -- the layout -----------------------------------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_the_layout_and_with_nothing_else() -> None:
    notes = Field(name="notes", kind=Kind.TEXT, default="", doc="said otherwise", searched=True)
    same = schema(collection("books", TITLE, notes, title="title", doc="other words"))
    assert fingerprint(same) == fingerprint(OLD) and describe(same) == describe(OLD)
    assert fingerprint(schema(collection("books", TITLE, NOTES, contract=2))) != fingerprint(OLD)


@pytest.mark.parametrize("bad", [
    schema(collection("books", Field(name="rev", kind=Kind.INTEGER))),
    schema(collection("books", Field(name="tenant_id", kind=Kind.STRING))),
    schema(collection("books", TITLE, Field(name="Title", kind=Kind.STRING))), schema(collection("hf_log", TITLE)),
    schema(collection("sqlite_books", TITLE)),
    schema(collection("books", TITLE, copied=(Copied(column="c", ref_field="title", parent="books", source="nothing"),)))])
def test_names_that_sql_cannot_keep_apart_are_a_mistake(bad: Schema) -> None:
    with pytest.raises(DeclarationError):
        tables_of(bad)


def test_parents_come_before_children_and_circles_end() -> None:
    def ref(name: str, to: str) -> Field:
        return Field(name=name, kind=Kind.REF, ref=to, optional=True)

    made = tables_of(schema(collection("c", ref("b", "b")), collection("b", ref("a", "a")), collection("a", ref("a", "a")),
                            collection("x", ref("y", "y")), collection("y", ref("x", "x"))))
    assert list(made) == ["a", "b", "c", "y", "x"]
