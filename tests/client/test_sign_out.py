"""Signing out, and a sign-in that ends. Defends P1 (unsent work is not lost by a click) and P4 (what a person leaves behind is gone)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.client import State
from holdfast.core.errors import StateError
from tests.client.telling import told, until
from tests.client.test_identity import everything_in
from tests.client.world import Note, World


def test_signing_out_with_unsent_work_asks_and_says_how_much(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            replica.go_offline()
            replica.change(note, title="two")
            replica.create(Note(title="three"))
            with pytest.raises(StateError, match="2 changes are not at the server yet") as asked:
                replica.sign_out()
            assert asked.value.extra["unsent"] == 2 and "export()" in asked.value.hint and "keep" in asked.value.hint
            assert replica.get(Note, note.id).title == "two", "nothing happened"

    told(tmp_path, story)


def test_what_is_assigned_to_a_watched_record_counts_as_unsent(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            replica.go_offline()
            replica.autosave(note)
            note.title = "assigned a moment ago"
            with pytest.raises(StateError, match="1 change is not at the server yet"):
                replica.sign_out()

    told(tmp_path, story)


def test_signing_out_with_keep_leaves_the_work_for_the_next_sign_in(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            assert await replica.synced()
            replica.go_offline()
            note = replica.create(Note(title="kept"))
            replica.sign_out("keep")
            replica.go_online()
            await until(lambda: replica.status.connection is State.SIGNED_OUT)
            assert replica.receipt(note) == "local" and replica.status.waiting == 1
        async with here.replica("a") as replica:
            assert await replica.synced()
            assert replica.receipt(note) == "committed"

    told(tmp_path, story)


@pytest.mark.parametrize("way", ["nothing unsent", "discard"])
def test_signing_out_leaves_nothing_of_the_work_in_the_file_nor_its_log(way: str, tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            for number in range(50):
                replica.create(Note(title=f"secret {number}", body="secret " * 200))
            assert await replica.synced()
            if way == "discard":
                replica.go_offline()
                replica.create(Note(title="secret and unsent"))
                replica.sign_out("discard")
            else:
                replica.sign_out()
            assert replica.list(Note) == [] and replica.pending() == []
            assert b"secret" not in everything_in(tmp_path, "a")
            await until(lambda: replica.status.connection in (State.SIGNED_OUT, State.OFFLINE))
            assert replica.list(Note) == [], "what was under way does not come after it"
        async with here.replica("a") as replica:
            assert await replica.synced()
            assert len(replica.list(Note)) == 50, "the person's next sign-in brings back what the server has"

    told(tmp_path, story)


def test_an_expired_token_stops_sending_and_a_new_one_goes_on_at_once(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            assert await replica.synced()
            replica.sign_in("hf_expired")
            await until(lambda: replica.status.connection is State.SIGNED_OUT)
            note = replica.create(Note(title="typed signed out"))
            assert replica.receipt(note) == "local" and replica.status.phrase.startswith("Offline – saved on this device")
            assert replica.status.cause
            began = here.runtime.monotonic()
            replica.sign_in(await here.token())
            await until(lambda: replica.receipt(note) == "committed")
            assert here.runtime.monotonic() - began < 0.5

    told(tmp_path, story)


def test_a_function_that_fails_to_get_a_token_is_asked_again_and_its_reason_shown(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        token, asked = await here.token(), []

        async def fetch() -> str:
            asked.append(here.runtime.monotonic())
            if len(asked) < 5:
                raise OSError("the keyring is locked")
            return token

        async with here.replica("a") as replica:
            replica.sign_in(fetch)
            note = replica.create(Note(title="kept"))
            await until(lambda: "the keyring is locked" in replica.status.cause)
            await until(lambda: replica.receipt(note) == "committed", 60)
            assert len(asked) >= 5

    told(tmp_path, story)
