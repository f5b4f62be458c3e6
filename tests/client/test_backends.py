"""Where the small door keeps documents: every backend by the same cases. Defends P1 (what a save answered is there after a crash) and P5
(a failure has a kind that is true)."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from holdfast import Record, Text, tenant
from holdfast.client import AutoSaver, Backend, FileBackend, MemoryBackend, ServerBackend, SQLiteBackend
from holdfast.core.errors import InvalidValue, StorageCorrupt, StorageReadOnly, WorldError
from holdfast.testing.asgi import AsgiTransport
from tests.client.world import World, world

KINDS = ["memory", "file", "sqlite", "server"]
NAMES = ["roof", "Roof 2 / north", "..", "dot.dot", "ünïcode – 屋根", "%41", "a" * 200]


class Document(Record, collection="documents", key=("name",), access=tenant):
    """A document of the small door."""

    name: str
    content: Text = ""


def of_server(here: World, token: str) -> ServerBackend:
    return ServerBackend(transport=AsgiTransport(here.app), token=token)


@asynccontextmanager
async def backend_of(kind: str, folder: Path) -> AsyncIterator[Backend]:
    if kind == "server":
        async with world(folder, records=[Document]) as here:
            yield of_server(here, await here.token())
    else:
        yield {"memory": MemoryBackend, "file": lambda: FileBackend(folder / "documents"),
               "sqlite": lambda: SQLiteBackend(folder / "documents.db")}[kind]()


@pytest.mark.parametrize("kind", KINDS)
async def test_five_calls_keep_find_replace_list_and_delete(kind: str, tmp_path: Path) -> None:
    async with backend_of(kind, tmp_path) as backend:
        assert await backend.list() == [] and await backend.load("roof") is None and not await backend.exists("roof")
        for name in NAMES:
            await backend.save(name, f'"{name}"'.encode())
        assert await backend.list() == sorted(NAMES)
        for name in NAMES:
            assert await backend.load(name) == f'"{name}"'.encode() and await backend.exists(name)
        await backend.save("roof", b"2")
        assert await backend.load("roof") == b"2"
        for name in NAMES[1:]:
            await backend.delete(name)
        await backend.delete("never was")
        assert await backend.list() == ["roof"] and not await backend.exists("dot.dot")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_document_that_was_deleted_can_be_saved_again(kind: str, tmp_path: Path) -> None:
    async with backend_of(kind, tmp_path) as backend:
        for content in (b"1", b"2", b"3"):
            await backend.save("roof", content)
            assert await backend.load("roof") == content and await backend.list() == ["roof"]
            await backend.delete("roof")
            assert await backend.load("roof") is None and await backend.list() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_the_saver_works_on_it(kind: str, tmp_path: Path) -> None:
    project = {"title": "Roof", "parts": [{"name": f"part {number}", "price": "12.50"} for number in range(100)]}
    async with backend_of(kind, tmp_path) as backend, AutoSaver(backend, debounce_seconds=0.01) as saver:
        saver.schedule_auto_save("roof", project)
        await asyncio.sleep(0)
        assert (await saver.flush())["roof"].success
        assert (await saver.load("roof")).value == project and (await saver.list()).value == ["roof"]
        assert (await saver.delete("roof")).success and not (await saver.exists("roof")).value


@pytest.mark.parametrize("kind", ["file", "sqlite"])
async def test_what_was_saved_is_there_for_the_next_program(kind: str, tmp_path: Path) -> None:
    async with backend_of(kind, tmp_path) as backend:
        await backend.save("roof", b"kept")
    async with backend_of(kind, tmp_path) as backend:
        assert await backend.load("roof") == b"kept"


async def test_documents_of_the_server_are_there_for_another_device(tmp_path: Path) -> None:
    async with world(tmp_path, records=[Document]) as here:
        await of_server(here, await here.token()).save("roof", b"shared")
        assert await of_server(here, await here.token("bob@example.org")).load("roof") == b"shared"


async def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FileBackend(tmp_path / "documents")
    await backend.save("roof", b"old")

    def fails(*paths: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(WorldError, match="disk is full"):
        await backend.save("roof", b"new")
    assert await backend.load("roof") == b"old" and os.listdir(tmp_path / "documents") == ["roof.json"]
    assert (tmp_path / "documents" / "roof.json").stat().st_mode & 0o077 == 0


async def test_a_name_too_long_for_a_file_is_refused_by_the_file_backend_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="too long"):
        await FileBackend(tmp_path).save("屋" * 100, b"1")
    await SQLiteBackend(tmp_path / "documents.db").save("屋" * 100, b"1")


async def test_a_place_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("a letter, no database " * 100)
    with pytest.raises(StorageCorrupt, match="in-the-way") as refused:
        await SQLiteBackend(tmp_path / "in-the-way").load("roof")
    assert "replica" not in str(refused.value)
    with pytest.raises(WorldError, match="in-the-way"):
        await FileBackend(tmp_path / "in-the-way").save("roof", b"1")


def test_a_folder_that_may_not_be_written_says_so() -> None:
    user = os.geteuid()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        if user == 0:       # whom no mode keeps from writing
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            with pytest.raises(StorageReadOnly):
                asyncio.run(FileBackend(Path(folder)).save("roof", b"1"))
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o700)


async def test_a_server_that_is_not_there_may_pass_and_a_wrong_token_does_not(tmp_path: Path) -> None:
    result = await AutoSaver(ServerBackend("http://127.0.0.1:9", token="hf_x")).load("roof")
    assert result.kind == "unavailable" and result.hint
    async with world(tmp_path, records=[Document]) as here, AutoSaver(of_server(here, "hf_wrong")) as saver:
        refused = await saver.save("roof", 1)
        assert refused.kind == "not_allowed" and not refused.retries
