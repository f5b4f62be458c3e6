"""`holdfast schema` and `holdfast migrate`. Defends P1 (kept): a database is brought up whole or not at all, a newer one is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from holdfast.storage.folder import DATABASE_NAME
from tests.cli.calling import Folder, running_server


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def test_the_schema_is_printed_as_json(folder: Folder) -> None:
    described = json.loads(folder.run("schema"))
    assert described["collections"]["notes"]["fields"]["body"]["kind"] == "text"
    assert described["collections"]["notes"]["fields"]["phone"]["sensitive"] is True
    assert not folder.path.exists(), "it needs no folder and makes none"


def test_the_schema_is_printed_as_typescript(folder: Folder) -> None:
    assert "export interface Note {" in folder.run("schema", "--typescript")


def test_an_application_that_is_none_is_named(folder: Folder) -> None:
    said = Folder(folder.path, app="tests.cli.calling").fails("schema")
    assert "tests.cli.calling" in said and "app" in said
    assert "cannot be imported" in Folder(folder.path, app="no_such_module").fails("schema")


def test_an_empty_folder_gets_its_tables(folder: Folder) -> None:
    assert folder.facts("migrate")["done"]
    assert folder.facts("migrate", "--plan")["todo"] == []


def test_a_plan_says_what_is_to_do_and_does_nothing(folder: Folder) -> None:
    folder.run("migrate")
    changed = Folder(folder.path, app="tests.cli.tasks")
    before = (folder.path / DATABASE_NAME).read_bytes()
    done = changed.result("migrate", "--plan")
    assert done.exit_code == 1
    assert "create the table tasks" in done.stdout
    assert (folder.path / DATABASE_NAME).read_bytes() == before


def test_new_declarations_are_brought_into_the_database(folder: Folder) -> None:
    folder.found().run("migrate")
    assert Folder(folder.path, app="tests.cli.tasks").facts("migrate")["done"]
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    assert connection.table_exists("main", "tasks") and connection.table_exists("main", "notes")
    connection.close()


def test_a_newer_database_is_left_alone(folder: Folder) -> None:
    folder.run("migrate")
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    connection.execute("UPDATE hf_revision SET version_num = '9999'")
    connection.close()
    assert "Upgrade Holdfast" in folder.fails("migrate")


def test_while_a_server_holds_the_folder_nothing_is_migrated(folder: Folder) -> None:
    folder.run("migrate")
    with running_server(folder.path, "--app", folder.app):
        assert "held by" in Folder(folder.path, app="tests.cli.tasks").fails("migrate")
