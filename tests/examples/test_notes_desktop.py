"""The desktop example, driven by its headless pilot against a real server. Defends P1 (kept) and P5 (the line at the bottom says what is
so)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from notes_app import Note
from notes_desktop import BoundArea, NotesDesktop
from textual.pilot import Pilot
from textual.widgets import Static

from holdfast.client import Replica, open_replica
from tests.examples.scene import Cable, Server, cable_to, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "data", "--app", "notes_app") as running:
        yield running


@pytest.fixture
def cable(server: Server) -> Iterator[Cable]:
    with cable_to(server) as made:
        yield made


async def until(pilot: Pilot[None], condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await pilot.pause(0.02)


def bottom(desktop: NotesDesktop) -> str:
    return str(desktop.query_one("#status", Static).content)


def area_of(desktop: NotesDesktop) -> BoundArea:
    return desktop.query_one(BoundArea)


@asynccontextmanager
async def other_device(path: Path, server: Server, token: str) -> AsyncIterator[Replica]:
    async with open_replica(path / "other.replica", server.address, token=token, records=[Note]) as replica:
        yield replica


async def type_in(pilot: Pilot[None], text: str) -> None:
    for letter in text:
        await pilot.press({" ": "space", "\n": "enter"}.get(letter, letter))


async def test_a_note_is_typed_through_a_cut_and_a_killed_server(tmp_path: Path, server: Server, cable: Cable) -> None:
    token = server.token_for("ada@example.org")
    desktop = NotesDesktop(str(tmp_path / "a.replica"), cable.address, token)
    async with desktop.run_test() as pilot:
        await pilot.press("ctrl+n")
        await type_in(pilot, "online ")
        await until(pilot, lambda: bottom(desktop).startswith("Saved "))
        cable.cut()
        await type_in(pilot, "cut ")
        await until(pilot, lambda: "Offline" in bottom(desktop) or "Not saved – retrying" in bottom(desktop))
        server.kill()
        cable.plug_in()
        await type_in(pilot, "killed")
        assert area_of(desktop).text == "online cut killed" and not bottom(desktop).startswith("Saved")
        server.start()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: bottom(desktop).startswith("Saved "))
        note_id = desktop.shown[0]
    async with other_device(tmp_path, server, token) as replica:
        assert await replica.synced(60) and replica.get(Note, note_id).body == "online cut killed"


async def test_what_another_device_types_appears_and_the_cursor_stays_where_it_is(tmp_path: Path, server: Server, cable: Cable) -> None:
    token = server.token_for("ada@example.org")
    async with other_device(tmp_path, server, token) as other:
        note = other.create(Note(title="Shared", body="two three"))
        assert await other.synced(60)
        desktop = NotesDesktop(str(tmp_path / "a.replica"), cable.address, token)
        async with desktop.run_test() as pilot:
            await until(pilot, lambda: note.id in desktop.shown)
            assert desktop.replica is not None
            area = area_of(desktop)
            area.bind_to(desktop.replica.text(desktop.replica.get(Note, note.id), "body"))
            area.cursor_location = (0, 3)
            theirs = other.text(note, "body")
            theirs.insert(0, "one\n")
            await until(pilot, lambda: area.text == "one\ntwo three")
            assert area.cursor_location == (1, 3)
            await type_in(pilot, "!")
            await until(pilot, lambda: theirs.text == "one\ntwo! three")
            await pilot.press("ctrl+z")
            await until(pilot, lambda: theirs.text == area.text == "one\ntwo three")


async def test_what_was_typed_is_there_when_the_program_comes_back_without_any_server(tmp_path: Path) -> None:
    for expected in ("", "typed"):
        desktop = NotesDesktop(str(tmp_path / "a.replica"), "http://127.0.0.1:9", "hf_x")
        async with desktop.run_test() as pilot:
            if not expected:
                await pilot.press("ctrl+n")
            await until(pilot, lambda desktop=desktop: area_of(desktop).buffer is not None)
            assert area_of(desktop).text == expected
            await type_in(pilot, "" if expected else "typed")
            await until(pilot, lambda desktop=desktop: "waiting)" in bottom(desktop) or "retrying" in bottom(desktop))
