"""`holdfast replica`: what a program's replica holds that the server has not, why, and how to get it out. Defends P1 (nothing typed is
beyond reach, whatever became of its program) and P5 (the file says how it stands)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.client import ReplicaSettings, open_replica
from holdfast.client.replica_file import FORMAT, ReplicaFile
from tests.cli.calling import APP, Folder, running_server
from tests.cli.notes import Note

QUICK = ReplicaSettings(hold_ms=5, hold_ms_max=20, connect_seconds_max=2.0)


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner(env={"HOLDFAST_TOKEN": None, **environment}).invoke(main, ["replica", *arguments])


def facts(*arguments: str, **environment: str) -> Any:
    done = run(*arguments, "--json", **environment)
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return json.loads(done.stdout)


def fails(*arguments: str, **environment: str) -> str:
    done = run(*arguments, **environment)
    assert done.exit_code == 1 and "Traceback" not in done.output, done.output
    said: str = done.stderr
    return said


def written(path: Path, *titles: str, url: str | None = None, token: str = "hf_nobody") -> None:
    """A replica with unsent notes: its program was closed before anything could be sent."""
    async def write() -> None:
        async with open_replica(path, url, token=token, records=[Note], settings=QUICK) as replica:
            replica.go_offline()
            for title in titles:
                replica.create(Note(title=title))

    asyncio.run(write())


def titles_of(exported: Any) -> list[str]:
    return [one["ops"][0]["value"]["title"] for one in exported["mutations"] if one["ops"]]


def test_status_says_whose_it_is_and_how_much_is_unsent(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    written(path, "one", "two")
    found = facts("status", str(path))
    assert (found["waiting"], found["refused"], found["held"], found["server"]) == (2, 0, 0, None) and found["oldest"]
    printed = run("status", str(path)).stdout
    assert "nobody yet at no server yet" in printed and "2 changes are not at the server, the oldest from 20" in printed


def test_pending_lists_what_is_unsent_and_why_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    written(path, "one", "two")
    found = facts("pending", str(path))["pending"]
    assert [one["ops"][0]["value"]["title"] for one in found] == ["one", "two"]
    assert {one["state"] for one in found} == {"unsent"} and all(one["why"] for one in found)
    assert run("pending", str(path)).stdout.count("notes") == 2
    written(tmp_path / "none.replica")
    assert "Nothing is unsent." in run("pending", str(tmp_path / "none.replica")).stdout


def test_what_is_exported_can_be_made_again_in_another_replica(tmp_path: Path) -> None:
    written(tmp_path / "a.replica", "one", "two")
    exported = facts("export", str(tmp_path / "a.replica"))
    assert titles_of(exported) == ["one", "two"]

    async def make_again() -> None:
        async with open_replica(tmp_path / "b.replica", records=[Note]) as replica:
            assert replica.import_unsent(exported) == (2, [])
            assert sorted(note.title for note in replica.list(Note)) == ["one", "two"]

    asyncio.run(make_again())


def test_a_damaged_file_says_what_to_do_and_its_export_gives_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    titles = [f"note {number} " + "x" * 300 for number in range(60)]
    written(path, *titles)
    content = bytearray(path.read_bytes())
    page = content.index(b"note 30 ") // 4096 * 4096
    content[page:page + 4096] = b"\xa5" * 4096
    path.write_bytes(bytes(content))
    for command in ("status", "pending", "retry"):
        said = fails(command, str(path), HOLDFAST_TOKEN="hf_x")
        assert "damaged" in said and "holdfast replica export" in said
    done = run("export", str(path))
    assert done.exit_code == 0 and "what can still be read" in done.stderr
    exported = json.loads(done.stdout)
    assert exported["damaged"] and set(titles) > set(titles_of(exported)) > {titles[0], titles[-1]}
    assert path.read_bytes() == bytes(content), "nothing was touched"


def copy_damaged(path: Path, to: Path) -> None:
    """A copy as a crash leaves it, with its write-ahead log; a page of another table than the outbox is damaged."""
    content = bytearray(path.read_bytes())
    content[2 * 4096:3 * 4096] = b"\xa5" * 4096
    to.write_bytes(bytes(content))
    Path(f"{to}-wal").write_bytes(Path(f"{path}-wal").read_bytes())


def test_work_that_is_still_in_the_write_ahead_log_is_exported_from_a_damaged_file_too(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    written(path, "in the file")

    async def write_and_copy() -> None:
        async with open_replica(path, records=[Note], settings=QUICK) as replica:
            replica.create(Note(title="in the log"))
            copy_damaged(path, tmp_path / "b.replica")

    asyncio.run(write_and_copy())
    assert "in the log" in titles_of(json.loads(run("export", str(tmp_path / "b.replica")).stdout))


def test_a_file_of_a_newer_holdfast_is_explained_and_can_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    written(path, "from the future")
    file = ReplicaFile(path)
    file.open()
    file.connection.pragma("user_version", FORMAT + 1)
    file.close()
    assert "newer Holdfast" in fails("status", str(path))
    assert titles_of(json.loads(run("export", str(path)).stdout)) == ["from the future"]


@pytest.mark.parametrize("command", ["status", "pending", "export", "retry"])
def test_what_is_no_replica_is_said_to_be_none_and_left_alone(command: str, tmp_path: Path) -> None:
    assert "There is no file" in fails(command, str(tmp_path / "nothing"), HOLDFAST_TOKEN="hf_x")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "letter").write_bytes(b"Dear diary, " * 500)
    (tmp_path / "empty").write_bytes(b"")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE things(name TEXT)")
    for name in ("letter", "empty", "other.db"):
        before = (tmp_path / name).read_bytes()
        assert fails(command, str(tmp_path / name), HOLDFAST_TOKEN="hf_x")
        assert (tmp_path / name).read_bytes() == before


def test_retry_sends_what_is_unsent_to_the_server_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data").found()
    token = folder.run("token", "create", "--user", "ada@example.org", "--tenant", "acme").strip()
    path = tmp_path / "a.replica"
    with running_server(folder.path, "--app", APP) as server:
        written(path, "one", "two", url=server.address, token=token)
        assert "token" in fails("retry", str(path))
        assert "not_signed_in" in fails("retry", str(path), "--json", HOLDFAST_TOKEN="hf_wrong")
        assert facts("status", str(path))["waiting"] == 2
        assert facts("retry", str(path), HOLDFAST_TOKEN=token) == {"acknowledged": 2, "refused": [], "waiting": 0}
        assert facts("retry", str(path), HOLDFAST_TOKEN=token) == {"acknowledged": 0, "refused": [], "waiting": 0}
        assert "Everything is at the server." in run("status", str(path)).stdout

        async def read() -> list[str]:
            async with open_replica(path, server.address, token=token, records=[Note], settings=QUICK) as replica:
                assert await replica.synced()
                entries = [entry for note in replica.list(Note) for entry in await replica.history(note)]
                assert len(entries) == 2, "neither was made twice"
                return sorted(note.title for note in replica.list(Note))

        assert asyncio.run(read()) == ["one", "two"]


def test_retry_sends_nothing_under_another_persons_name(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data").found()
    folder.run("user", "create", "bob@example.org", "--tenant", "acme", "--role", "owner", "--password-stdin", given="correct horse\n")
    ada, bob = (folder.run("token", "create", "--user", f"{name}@example.org", "--tenant", "acme").strip() for name in ("ada", "bob"))
    path = tmp_path / "a.replica"
    with running_server(folder.path, "--app", APP) as server:
        async def write() -> None:
            async with open_replica(path, server.address, token=ada, records=[Note], settings=QUICK) as replica:
                assert await replica.synced()
                replica.go_offline()
                replica.create(Note(title="Ada's"))

        asyncio.run(write())
        assert "another person" in fails("retry", str(path), HOLDFAST_TOKEN=bob)
        assert facts("status", str(path))["waiting"] == 1


def test_retry_without_a_network_says_so_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.replica"
    written(path, "one")
    assert "--url" in fails("retry", str(path), HOLDFAST_TOKEN="hf_x")
    said = fails("retry", str(path), "--url", "http://127.0.0.1:9", HOLDFAST_TOKEN="hf_x")
    assert "cannot be reached" in said and "still there" in said
    assert facts("status", str(path))["waiting"] == 1
