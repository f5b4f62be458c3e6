"""`holdfast verify` names what is not as the log says. Defends P1 (kept) and P3 (nothing changed without a trace)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from holdfast import open_store
from holdfast.storage.folder import DATABASE_NAME
from tests.cli.calling import Folder, running_server
from tests.cli.notes import Note, app


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """acme with a note that was changed twice (entries 2 to 4), and beta with nothing."""
    made = Folder(tmp_path / "data").found()
    made.run("tenant", "create", "beta")

    async def write() -> None:
        async with open_store(made.path, apps=[app]) as store:
            me = await store.member("acme", "ada@example.org")
            note = await me.create(Note(title="Groceries", body="Milk"))
            note = await me.change(note, body="Milk and bread")
            await me.change(note, title="Shopping", phone="0123 456")

    asyncio.run(write())
    return made


def sql(folder: Folder, statement: str) -> None:
    connection = apsw.Connection(str(folder.path / DATABASE_NAME))
    connection.execute(statement)
    connection.close()


def test_an_untouched_folder_is_as_the_log_says(folder: Folder) -> None:
    facts = folder.facts("verify")
    assert facts["ok"] and facts["integrity"] == "ok"
    assert [(one["tenant_id"], one["entries"]) for one in facts["tenants"]] == [("acme", 4), ("beta", 0)]


def test_an_entry_that_was_changed_is_named_as_the_first_bad_one(folder: Folder) -> None:
    sql(folder, "UPDATE hf_log SET committed_at = committed_at + 1 WHERE seq = 3")
    done = folder.result("verify")
    assert done.exit_code == 1
    assert "the first bad entry is 3" in done.stdout


def test_a_row_that_was_changed_is_named(folder: Folder) -> None:
    sql(folder, "UPDATE notes SET title = 'Something else'")
    done = folder.result("verify")
    assert done.exit_code == 1
    assert "Field title is not what the log says" in done.stdout


def test_a_row_that_is_gone_is_named(folder: Folder) -> None:
    sql(folder, "DELETE FROM notes")
    done = folder.result("verify")
    assert done.exit_code == 1
    assert "has no row" in done.stdout


def test_what_was_erased_is_reported_and_all_is_well(folder: Folder) -> None:
    async def erase() -> None:
        async with open_store(folder.path, apps=[app]) as store:
            me = await store.member("acme", "ada@example.org")
            [note] = await me.list(Note)
            await store.erase(me.caller, "notes", note.id, seqs=[2], reason="asked to")

    asyncio.run(erase())
    done = folder.result("verify")
    assert done.exit_code == 0, done.output
    assert "erased; their chain still checks: 2" in done.stdout


def test_an_index_that_lacks_a_row_is_found(folder: Folder) -> None:
    sql(folder, "DROP INDEX uq_hf_log_seq; CREATE UNIQUE INDEX uq_hf_log_seq ON hf_log (tenant_no, seq) WHERE seq < 3; "
                "PRAGMA writable_schema = 1; "
                "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE seq < 3', '') WHERE name = 'uq_hf_log_seq'; "
                "PRAGMA writable_schema = 0")
    done = folder.result("verify")
    assert done.exit_code == 1
    assert "missing from index uq_hf_log_seq" in done.stdout


def test_a_file_that_cannot_be_read_is_a_finding_and_no_traceback(folder: Folder) -> None:
    path = folder.path / DATABASE_NAME
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096:page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    done = folder.result("verify")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "damaged" in done.output or "integrity" in done.output


def test_only_the_organisations_named_are_verified(folder: Folder) -> None:
    assert [one["tenant_id"] for one in folder.facts("verify", "--tenant", "beta")["tenants"]] == ["beta"]
    assert "no organisation gamma" in folder.fails("verify", "--tenant", "gamma", code=2)


def test_a_folder_of_another_application_asks_for_it(folder: Folder) -> None:
    said = Folder(folder.path, app="tests.cli.nothing").fails("verify")
    assert "notes" in said and "--app" in said


def test_a_folder_without_a_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    assert "no database" in Folder(tmp_path).fails("verify")


def test_a_running_server_is_verified_beside_it(folder: Folder) -> None:
    with running_server(folder.path, "--app", folder.app):
        assert folder.facts("verify")["ok"]
