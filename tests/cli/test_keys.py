"""`holdfast keys` rotates what seals sensitive values, and nothing that was sealed is lost. Defends P1 (kept) and P4 (apart)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from holdfast import open_store
from holdfast.storage.folder import DATABASE_NAME
from tests.cli.calling import Folder, running_server
from tests.cli.notes import Note, app

FIRST, SECOND = "0123 456", "0987 654"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """acme with one note whose phone number is sealed by its first key, and beta."""
    made = Folder(tmp_path / "data").found()
    made.run("tenant", "create", "beta")
    write_phone(made, FIRST)
    return made


def write_phone(folder: Folder, phone: str) -> None:
    async def write() -> None:
        async with open_store(folder.path, apps=[app]) as store:
            me = await store.member("acme", "ada@example.org")
            await me.create(Note(title="Call", phone=phone))

    asyncio.run(write())


def phones(folder: Folder) -> set[str | None]:
    async def read() -> set[str | None]:
        async with open_store(folder.path, apps=[app]) as store:
            me = await store.member("acme", "ada@example.org")
            return {note.phone for note in await me.list(Note)}

    return asyncio.run(read())


def wrapped_keys(folder: Folder, tenant: str) -> dict[str, str]:
    """version -> "master id.…" as it is stored."""
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    stored: Any = connection.execute("SELECT wrapped_key FROM hf_tenants WHERE tenant_id = ?", (tenant,)).fetchall()
    connection.close()
    keys: dict[str, str] = json.loads(stored[0][0])["keys"]
    return keys


def test_after_a_rotation_old_values_are_read_and_new_ones_are_sealed_with_the_new_key(folder: Folder) -> None:
    made = folder.facts("keys", "rotate")["tenants"]
    assert {(one["tenant"], one["version"]) for one in made} == {("acme", 2), ("beta", 2)}
    write_phone(folder, SECOND)
    assert phones(folder) == {FIRST, SECOND}
    assert folder.facts("verify")["ok"]


def test_a_rotation_of_one_organisation_leaves_the_others(folder: Folder) -> None:
    before = wrapped_keys(folder, "beta")
    folder.run("keys", "rotate", "--tenant", "acme")
    assert set(wrapped_keys(folder, "acme")) == {"1", "2"}
    assert wrapped_keys(folder, "beta") == before


def test_a_new_master_key_is_printed_alone(folder: Folder) -> None:
    printed = folder.run("keys", "create")
    assert printed.startswith("hfmk_") and printed.count("\n") == 1
    assert printed != folder.run("keys", "create")


def test_after_the_keys_are_wrapped_by_a_new_master_key_the_old_one_is_not_needed(folder: Folder) -> None:
    file, fresh = folder.path / "master.key", folder.run("keys", "create")
    file.write_text(fresh + file.read_text())
    assert {one["version"] for one in folder.facts("keys", "rotate", "--rewrap")["tenants"]} == {1}
    file.write_text(fresh)
    assert phones(folder) == {FIRST}


def test_a_master_key_that_wrapped_nothing_rotates_nothing(folder: Folder) -> None:
    before = wrapped_keys(folder, "acme")
    (folder.path / "master.key").write_text(folder.run("keys", "create"))
    assert "which is not here" in folder.fails("keys", "rotate")
    assert wrapped_keys(folder, "acme") == before


def test_beside_a_running_server_nothing_is_rotated(folder: Folder) -> None:
    before = wrapped_keys(folder, "acme")
    with running_server(folder.path, "--app", folder.app):
        assert "is held by process" in folder.fails("keys", "rotate")
    assert wrapped_keys(folder, "acme") == before


def test_an_unknown_organisation_and_a_folder_without_database_are_said(folder: Folder, tmp_path: Path) -> None:
    assert "no organisation 'zeta'" in folder.fails("keys", "rotate", "--tenant", "zeta")
    assert "no database" in Folder(tmp_path / "nothing").fails("keys", "rotate")


def test_where_no_organisation_has_a_key_it_is_said(folder: Folder) -> None:
    """As after an upgrade from declarations without anything sensitive."""
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    connection.execute("UPDATE hf_tenants SET wrapped_key = ''")
    connection.close()
    assert "has a key yet" in folder.fails("keys", "rotate")
