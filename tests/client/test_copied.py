"""A copied replica file: two programs that believe to be one device. Defends P1 (the work of both arrives), P2 (none of it twice)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from holdfast.client import Replica
from tests.client.telling import told, until
from tests.client.world import QUICK, Note, World


def test_a_copied_file_is_noticed_and_the_work_of_both_arrives(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one", body="·"))
            assert await replica.synced()
            first_id = replica.device_id
        shutil.copyfile(tmp_path / "a.replica", tmp_path / "copy.replica")
        async with here.replica("a") as replica, here.replica("copy") as copy:
            assert copy.device_id == first_id
            replica.text(note, "body").append("original")
            assert await replica.synced()
            copy.text(copy.get(Note, note.id), "body").insert(0, "copy")
            copy.change(copy.get(Note, note.id), views=1)
            made = copy.create(Note(title="of the copy"))
            assert await copy.synced(60) and await replica.synced()
            assert copy.device_id != first_id and replica.device_id == first_id, "who comes second takes a new id"
            for one in (replica, copy):
                assert one.get(Note, note.id).body == "copy·original" and one.get(Note, note.id).views == 1
                assert one.get(Note, made.id).title == "of the copy" and not one.refused() and not one.held()

    told(tmp_path, story)


def test_a_file_copied_with_unsent_work_sends_it_once_and_then_goes_its_own_way(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            replica.go_offline()
            replica.change(note, views=5)
            replica.create(Note(title="made once"))
        shutil.copyfile(tmp_path / "a.replica", tmp_path / "copy.replica")
        async with here.replica("a") as replica, here.replica("copy") as copy:
            assert await replica.synced(60) and await copy.synced(60)
            copy.change(copy.get(Note, note.id), views=6)
            replica.change(replica.get(Note, note.id), views=7)
            assert await copy.synced(60) and await replica.synced(60) and await copy.synced()
            for one in (replica, copy):
                assert one.get(Note, note.id).views == 8, "5, and 1 and 2 more"
                assert sorted(each.title for each in one.list(Note)) == ["made once", "one"] and not one.refused()
            assert copy.device_id != replica.device_id

    told(tmp_path, story)


def test_two_programs_that_copied_each_other_over_and_over_lose_nothing(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("0") as replica:
            note = replica.create(Note(title="counted"))
            assert await replica.synced()
        for number in range(1, 5):
            shutil.copyfile(tmp_path / f"{number - 1}.replica", tmp_path / f"{number}.replica")
            async with here.replica(str(number - 1)) as older, here.replica(str(number)) as newer:
                for one in (older, newer):
                    assert await one.synced(60)
                    one.change(one.get(Note, note.id), views=one.get(Note, note.id).views + 1)
                await until(lambda older=older, newer=newer: not older.pending() and not newer.pending(), 60)
                assert await older.synced(60) and await newer.synced(60)
                assert newer.get(Note, note.id).views == 2 * number

    told(tmp_path, story)


def test_what_was_typed_before_a_copy_took_its_new_id_stays_where_it_stood(tmp_path: Path) -> None:
    """Of two insertions at one place that of the smaller id stands left. What the copy typed stood left of somebody else's, and then it
    deleted some of theirs: under its new id it deletes the same letters, and none of its own."""
    held = replace(QUICK, hold_ms=60_000, hold_ms_max=60_000)

    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one", body="·"))
            assert await replica.synced()
        shutil.copyfile(tmp_path / "a.replica", tmp_path / "copy.replica")
        async with here.replica("a") as replica, here.replica("b") as other, here.replica("copy", settings=held) as copy:
            for one in (replica, other, copy):
                assert await one.synced()
            assert copy.device_id == replica.device_id < other.device_id
            typed(copy, note.id, 1, 0, "own")
            replica.change(replica.get(Note, note.id), views=1)
            typed(other, note.id, 1, 0, "theirs")
            await until(lambda: copy.get(Note, note.id).body == "·owntheirs" and copy.get(Note, note.id).views == 1, 60)
            await here.runtime.sleep(5)
            typed(copy, note.id, 4, 3, "")
            assert len(copy.pending()) == 2 and copy.get(Note, note.id).body == "·ownirs"
            for one in (copy, replica, other):
                assert await one.synced(60)
                assert one.get(Note, note.id).body == "·ownirs"
            assert replica.device_id < copy.device_id < other.device_id, "a new id, in the place of the old one"

    told(tmp_path, story)


def typed(replica: Replica, note_id: str, at: int, gone: int, new: str) -> None:
    body = replica.text(replica.get(Note, note_id), "body")
    body.splice(at, gone, new)
    body.close()
