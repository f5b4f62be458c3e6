"""A record that is watched, and a text that is typed into. Defends P1 (what was assigned or typed is on the disk) and P3 (what does not fit
is said, never dropped)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.client import Mark, open_replica
from holdfast.core.errors import InvalidValue, LimitExceeded, NotFound, StateError
from tests.client.telling import told, until
from tests.client.world import Folder, Note, World


def test_what_is_assigned_is_on_the_disk_within_100_ms_and_at_the_server_soon(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="before"))
            assert await replica.synced()
            replica.autosave(note)
            note.title, note.tags, note.views = "after", {"urgent"}, 3
            note.extra["nested"] = {"deep": [1, 2]}
            await asyncio.sleep(0.11)
            assert replica.receipt(note) in ("local", "committed") and replica.get(Note, note.id).title == "after"
            await until(lambda: replica.receipt(note) == "committed", 1.0)
        member = await here.store.member("acme", "ada@example.org")
        found = await member.get(Note, note.id)
        assert (found.title, found.tags, found.views, found.extra) == ("after", {"urgent"}, 3, {"nested": {"deep": [1, 2]}})

    told(tmp_path, story)


def test_what_others_change_appears_in_the_object_but_for_what_was_assigned_meanwhile(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="one", body="body"))
            assert await replica.synced() and await other.synced()
            replica.autosave(note)
            theirs = other.get(Note, note.id)
            other.change(theirs, status="done", body="the body", views=2)
            note.body = "body!"
            await until(lambda: note.status == "done")
            assert await replica.synced() and await other.synced()
            assert (note.title, note.body, note.views) == ("one", "the body!", 2), "the text of both"
            assert other.get(Note, note.id).body == "the body!"

    told(tmp_path, story)


def test_a_value_that_does_not_fit_is_not_kept_and_says_why_until_it_does(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            watched = replica.autosave(note)
            note.status = "no such status"  # type: ignore[assignment]
            note.title = "two"
            await asyncio.sleep(0.2)
            assert isinstance(watched.problem, InvalidValue) and watched.problem.field == "status"
            assert replica.status.name == "refused" and "status" in replica.status.cause, "it is not called saved"
            assert replica.get(Note, note.id).title == "one", "half an assignment is none"
            note.status = "done"
            await asyncio.sleep(0.2)
            kept = replica.get(Note, note.id)
            assert replica.status.name != "refused" and watched.problem is None and (kept.title, kept.status) == ("two", "done")

    told(tmp_path, story)


def test_what_is_assigned_at_the_last_moment_is_kept_at_close_and_what_does_not_fit_is_raised(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note, other = replica.create(Note(title="one")), replica.create(Note(title="three"))
            replica.autosave(note)
            replica.autosave(other)
            note.title = "two"
        with pytest.raises(InvalidValue, match="status"):
            async with here.replica("a") as replica:
                wrong, right = replica.get(Note, note.id), replica.get(Note, other.id)
                replica.autosave(wrong)
                replica.autosave(right)
                wrong.status, right.title = "never", "four"  # type: ignore[assignment]
        async with here.replica("a") as replica:
            assert sorted(one.title for one in replica.list(Note)) == ["four", "two"], "the other one's mistake cost nothing"

    told(tmp_path, story)


def test_a_record_that_did_not_come_from_the_replica_cannot_be_watched(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            with pytest.raises(StateError, match="did not come from the replica"):
                replica.autosave(Note(title="from nowhere"))

    told(tmp_path, story)


def test_two_people_type_into_one_text_and_both_see_both(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(body="one two"))
            assert await replica.synced() and await other.synced()
            mine, theirs = replica.text(note, "body"), other.text(other.get(Note, note.id), "body")
            heard: list[object] = []
            mine.on_change(heard.append)
            cursor, end = mine.mark(4), mine.mark(7, sticks_right=True)
            mine.insert(0, "zero ")
            assert (cursor.at, end.at) == (9, 12) and heard == [], "one's own typing moves cursors and is told to nobody"
            theirs.append(" three")
            theirs.delete(0, 4)
            assert await replica.synced() and await other.synced() and await replica.synced()
            assert mine.text == str(theirs) == "zero two three" and len(mine) == 14
            assert heard and (cursor.at, end.at) == (5, 14)
            mine.replace_all("zero 2 three")
            assert await replica.synced() and await other.synced()
            assert theirs.text == "zero 2 three"
            mine.close()
            theirs.append("!")
            assert await other.synced() and await replica.synced()
            assert mine.text == "zero 2 three", "a closed buffer hears nothing"

    told(tmp_path, story)


def test_an_edit_outside_of_the_text_over_the_limit_or_of_a_record_that_is_gone_is_refused(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(body="text"))
            body = replica.text(note, "body")
            for at, deleted in ((-1, 0), (5, 0), (2, 3), (0, -1)):
                with pytest.raises(InvalidValue, match="outside of the text"):
                    body.splice(at, deleted, "x")
            with pytest.raises(LimitExceeded, match="200,000"):
                body.append("x" * 200_000)
            with pytest.raises(InvalidValue, match="no Text field title"):
                replica.text(note, "title")
            assert body.text == "text"
            replica.sign_out("discard")
            for call in (lambda: body.append("x"), lambda: replica.text(note, "body"), lambda: replica.change(note, title="x"),
                         lambda: replica.delete(note)):
                with pytest.raises(NotFound):
                    call()

    told(tmp_path, story)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 12), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 4), st.integers(0, 3)), max_size=8), st.integers(0, 12),
       st.booleans())
def test_a_mark_stays_between_the_same_characters(length: int, edits: list[tuple[int, int, int]], at: int, sticks: bool) -> None:
    """Every character occurs once: what stood left of the mark and is still there stands left of it, the rest right of it."""
    fresh = iter(map(chr, range(0x4E00, 0x9FFF)))
    text = "".join(next(fresh) for _ in range(length))
    at = min(at, length)
    mark, left, right = Mark(at, sticks_right=sticks), set(text[:at]), set(text[at:])
    for where, deleted, count in edits:
        where = min(where, len(text))
        deleted = min(deleted, len(text) - where)
        inserted = "".join(next(fresh) for _ in range(count))
        text = text[:where] + inserted + text[where + deleted:]
        mark.move([(where, deleted, inserted)])
        assert left & set(text) <= set(text[:mark.at]) and right & set(text) <= set(text[mark.at:])


def test_a_buffer_that_nobody_keeps_is_not_kept_either_unless_something_listens(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note())
            listening, heard = len(replica._device.on_changed), list[object]()
            for _ in range(1_000):
                replica.text(note, "body").append("x")
            replica.text(note, "body").on_change(heard.append)
            assert len(replica._device.on_changed) <= listening + 2
            replica.change(replica.get(Note, note.id), body="y" * 10)
            assert heard and replica.get(Note, note.id).body == "y" * 10

    told(tmp_path, story)


async def test_a_text_is_typed_into_without_any_server(tmp_path: Path) -> None:
    async with open_replica(tmp_path / "a.replica", records=[Note, Folder]) as replica:
        note = replica.create(Note())
        body = replica.text(note, "body")
        for letter in "héllo 屋根 👋":
            body.append(letter)
        assert replica.receipt(note) == "local"
    async with open_replica(tmp_path / "a.replica", records=[Note, Folder]) as replica:
        assert replica.get(Note, note.id).body == "héllo 屋根 👋"
