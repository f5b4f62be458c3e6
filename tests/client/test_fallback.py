"""Where no socket comes through, calls do. Defends P1 (what is typed arrives) and P5 (the status stays true)."""

from __future__ import annotations

from pathlib import Path

from holdfast.client import State
from tests.client.telling import told, until
from tests.client.test_named_failures import Link
from tests.client.world import Note, World


def test_behind_a_proxy_without_sockets_everything_goes_by_calls_and_the_socket_is_tried_again(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        link.failing["connect"] = 1_000_000
        async with here.replica("a", fault=link) as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="one", body="body"))
            assert await replica.synced() and replica.status.connection is State.POLLING
            assert replica.status.name == "saved" and replica.receipt(note) == "committed"
            assert await other.synced()
            other.change(other.get(Note, note.id), title="two")
            body = replica.text(note, "body")
            body.append("!")
            assert await other.synced() and await replica.synced()
            assert replica.get(Note, note.id).title == "two" and body.text == "body!"
            link.failing.clear()
            await until(lambda: replica.status.connection is State.LIVE, 400)
            body.append("!")
            assert await replica.synced() and body.text == "body!!"

    told(tmp_path, story)


def test_a_socket_that_breaks_in_the_middle_is_opened_again_and_nothing_is_missed(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="counted"))
            assert await replica.synced() and await other.synced()
            for number in range(20):
                link.failing = {"send" if number % 2 else "receive": 1}
                replica.change(replica.get(Note, note.id), views=replica.get(Note, note.id).views + 1)
                other.change(other.get(Note, note.id), views=other.get(Note, note.id).views + 1)
                assert await replica.synced(60) and await other.synced(60)
            assert await replica.synced(60)
            assert replica.get(Note, note.id).views == other.get(Note, note.id).views == 40

    told(tmp_path, story)
