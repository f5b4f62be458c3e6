"""What only the server can answer: a record's past, ways back, and what waits for a decision. Defends P3 (both values are there, and can be
applied, merged or discarded) and P5 (receipt and status say so)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdfast.client import Replica, open_replica, open_replica_blocking
from holdfast.core.errors import Conflict, StateError, WorldError
from tests.client.telling import told, until
from tests.client.test_named_failures import Link
from tests.client.world import Folder, Note, World


def test_the_past_of_a_record_can_be_looked_at_and_gone_back_to(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one", body="body"))
            assert await replica.synced()
            first = replica.get(Note, note.id)
            note = replica.change(first, title="two")
            replica.text(note, "body").append("!")
            assert await replica.synced()
            note = replica.get(Note, note.id)
            assert note.rev > first.rev
            entries = await replica.history(note)
            assert entries[-1]["ops"][0]["op"] == "create" and entries[0]["seq"] == note.rev
            assert (await replica.at(note, first.rev)).title == "one"
            assert {one["field"] for one in (await replica.server.diff(note, since=first.rev))["fields"]} == {"title", "body"}
            assert (await replica.server.why(note, "title"))["why"]["seq"] > first.rev
            await replica.server.name_version(note, "as sent")
            await replica.server.restore(note, first.rev, fields=["title"])
            assert await replica.synced()
            back = replica.get(Note, note.id)
            assert (back.title, back.body) == ("one", "body!")

    told(tmp_path, story)


def test_undo_and_redo_are_of_this_devices_own_work(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="one"))
            assert await replica.synced() and await other.synced()
            replica.change(note, title="mine")
            assert await replica.synced() and await other.synced()
            other.change(other.get(Note, note.id), status="done")
            assert await other.synced() and await replica.synced()
            undone = await replica.undo(replica.get(Note, note.id))
            assert (undone.title, undone.status) == ("one", "done"), "the other's work stands"
            assert (await replica.redo(undone)).title == "mine"
            replica.change(replica.get(Note, note.id), title="typed a moment ago")
            assert (await replica.undo(replica.get(Note, note.id))).title == "mine", "what was not sent yet is sent first, then undone"
            theirs = replica.create(Note(title="made elsewhere"))
            assert await replica.synced() and await other.synced()
            with pytest.raises(Conflict):
                await other.undo(other.get(Note, theirs.id))

    told(tmp_path, story)


async def question(here: World, replica: Replica, other: Replica) -> Note:
    """Two people price the same thing differently; the second one's price waits."""
    note = replica.create(Note(title="roof"))
    assert await replica.synced() and await other.synced()
    replica.go_offline()
    replica.change(note, price="10.00", title="roof, mine")
    other.change(other.get(Note, note.id), price="20.00")
    assert await other.synced()
    replica.go_online()
    await until(lambda: replica.status.name == "held")
    assert await replica.synced()
    return replica.get(Note, note.id)


@pytest.mark.parametrize(("way", "price"), [("apply", "10.00"), ("discard", "20.00"), ("settle", "15.00")])
def test_what_waits_for_a_decision_is_said_and_settled_either_way(way: str, price: str, tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = await question(here, replica, other)
            assert replica.receipt(note) == "held" and replica.status.phrase == "Needs your decision (1)"
            assert (str(note.price), note.title) == ("20.00", "roof, mine"), "the rest of the change applied"
            item, = await replica.inbox()
            assert [one["id"] for one in replica.held()] == [item["id"]] and item["collection"] == "notes"
            assert "10" in str(item) and "20" in str(item), "both values"
            if way == "settle":
                await replica.settle(item["id"], {"/price": "15.00"})
            else:
                await (replica.apply if way == "apply" else replica.discard)(item["id"])
            await until(lambda: replica.status.name == "saved")
            assert not replica.held() and replica.receipt(note) == "committed"
            assert await other.synced()
            assert str(replica.get(Note, note.id).price) == str(other.get(Note, note.id).price) == price

    told(tmp_path, story)


def test_a_question_is_still_told_after_a_restart(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("b", email="bob@example.org") as other:
            async with here.replica("a") as replica:
                note = await question(here, replica, other)
            async with here.replica("a") as replica:
                assert replica.status.held == 1 and replica.receipt(note) == "held"
                assert await replica.synced()
                assert replica.status.name == "held"

    told(tmp_path, story)


def test_without_a_network_they_say_so_and_without_a_server_too(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            link.failing = {"request": 10_000}
            for call in (replica.history(note), replica.inbox(), replica.undo(note), replica.server.why(note, "title")):
                with pytest.raises(WorldError) as refused:
                    await call
                assert refused.value.hint
        async with open_replica(tmp_path / "alone.replica", records=[Note, Folder], runtime=here.runtime) as alone:
            with pytest.raises(StateError, match="without a server"):
                await alone.inbox()

    told(tmp_path, story)


def test_a_week_offline_on_both_sides_comes_together(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="diary", body="·"))
            assert await replica.synced() and await other.synced()
            replica.go_offline()
            other.go_offline()
            mine, theirs = replica.text(note, "body"), other.text(other.get(Note, note.id), "body")
            for day in range(7):
                mine.append(f" mine{day}")
                theirs.insert(0, f"theirs{day} ")
                replica.change(replica.get(Note, note.id), views=replica.get(Note, note.id).views + 1, extra={f"day{day}": day})
                other.change(other.get(Note, note.id), views=other.get(Note, note.id).views + 1)
                replica.create(Note(title=f"offline {day}"))
                await asyncio.sleep(24 * 3_600)
            assert replica.status.phrase.startswith("Offline – saved on this device (") and replica.receipt(note) == "local"
            other.go_online()
            replica.go_online()
            assert await other.synced() and await replica.synced() and await other.synced()
            text = "".join(f"theirs{day} " for day in reversed(range(7))) + "·" + "".join(f" mine{day}" for day in range(7))
            for one in (replica, other):
                found = one.get(Note, note.id)
                assert found.body == text and found.views == 14 and len(one.list(Note)) == 8 and not one.refused() and not one.held()

    told(tmp_path, story)


async def test_in_a_notebook_whose_loop_already_runs_the_blocking_form_works(tmp_path: Path) -> None:
    with open_replica_blocking(tmp_path / "a.replica", records=[Note, Folder]) as replica:
        note = replica.create(Note(title="from a cell"))
        assert replica.get(Note, note.id).title == "from a cell"
