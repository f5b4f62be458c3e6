"""Actions of an application, called from a device: at once, or queued until there is a network. Defends P2 (a call takes effect once),
P1 (a queued call survives its program) and P3 (a refused one is shown)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast import open_store
from holdfast.app import App, Context, action
from holdfast.client import open_replica
from holdfast.core.errors import Conflict, InvalidValue, NotFound, StateError, WorldError
from holdfast.server.app import asgi_app
from holdfast.testing.asgi import AsgiTransport
from tests.client.telling import until
from tests.client.test_named_failures import Link
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import QUICK, Folder, Note


class Filing(msgspec.Struct):
    note: str
    folder: str


@action("file")
async def file(ctx: Context, args: Filing) -> dict[str, Any]:
    """Put a note into a new folder, and count it."""
    note = await ctx.get(Note, args.note)
    made = ctx.create(Folder(name=args.folder))
    ctx.change(note, views=note.views + 1, title=f"{note.title}, filed")
    return {"folder": made.record}


class Desk:
    """A server with an action, and one replica of it at a time."""

    def __init__(self, path: Path) -> None:
        self.path, self.link, self.runtime = path, Link(), VirtualRuntime(1)

    async def told(self, story: Any) -> None:
        async with open_store(self.path / "server", apps=[App("desk", records=[Note, Folder], actions=[file])], mode="inline",
                              runtime=self.runtime) as self.store:
            self.app = asgi_app(self.store)
            await self.store.member("acme", "ada@example.org", roles=["owner"])
            self.token = await self.store.accounts.create_token("acme", "ada@example.org", name="replica")
            await story(self)
            await self.app.close()

    def replica(self) -> Any:
        return open_replica(self.path / "a.replica", transport=AsgiTransport(self.app, runtime=self.runtime, fault=self.link),
                            token=self.token, records=[Note, Folder], settings=QUICK, runtime=self.runtime)


def told(folder: Path, story: Any) -> None:
    run_virtually(Desk(folder).told(story))


def test_a_call_is_answered_and_what_it_changed_appears(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        async with desk.replica() as replica:
            note = replica.create(Note(title="bill"))
            assert await replica.synced()
            reply = await replica.server.action("desk.file", {"note": note.id, "folder": "2026"})
            assert reply["folder"]["fields"]["name"] == "2026"
            assert await replica.synced()
            assert replica.get(Note, note.id).views == 1 and [one.name for one in replica.list(Folder)] == ["2026"]
            with pytest.raises(InvalidValue, match="folder"):
                await replica.server.action("desk.file", {"note": note.id})
            desk.link.failing = {"request": 1}
            with pytest.raises(WorldError, match="told to fail"):
                await replica.server.action("desk.file", {"note": note.id, "folder": "2027"})

    told(tmp_path, story)


def test_a_call_queued_offline_survives_its_program_and_is_made_once_after_the_edits_before_it(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        async with desk.replica() as replica:
            assert await replica.synced()
            replica.go_offline()
            note = replica.create(Note(title="bill"))
            call = replica.queue_call("desk.file", note=note.id, folder="2026")
            replica.change(note, price="12.50")
            assert replica.receipt(call) == "local" and [one.get("action") for one in replica.pending()] == [None, "desk.file", None]
        desk.link.failing = {"reply": 2}                        # its answer is lost: it is made again, under its id
        async with desk.replica() as replica:
            await until(lambda: replica.receipt(call) == "committed", 30)
            assert await replica.synced()
            found = replica.get(Note, note.id)
            assert (found.title, found.views, str(found.price)) == ("bill, filed", 1, "12.50")
            assert [one.name for one in replica.list(Folder)] == ["2026"], "once"
            assert not replica.pending() and replica.status.name == "saved"

    told(tmp_path, story)


def test_a_queued_call_that_the_server_refuses_is_shown_with_its_reason_and_can_be_made_again(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        async with desk.replica() as replica:
            assert await replica.synced()
            replica.queue_call("desk.no_such", a=1)
            wrong = replica.queue_call("desk.file", note="not an id", folder="2026")
            await until(lambda: len(replica.refused()) == 2)
            assert [one["action"] for one in replica.refused()] == ["desk.no_such", "desk.file"]
            assert all(one["error"]["detail"] for one in replica.refused()) and replica.receipt(wrong) == "refused"
            assert replica.status.name == "refused" and replica.status.phrase == "Not accepted – look at it"
            for one in replica.refused():
                replica.drop(one["mutation_id"])
            note = replica.create(Note(title="goes on"))
            await until(lambda: replica.receipt(note) == "committed")
            with pytest.raises(NotFound):
                replica.drop(wrong)

    told(tmp_path, story)


def test_a_queued_call_can_be_taken_back_until_it_was_sent(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        async with desk.replica() as replica:
            assert await replica.synced()
            replica.go_offline()
            call = replica.queue_call("desk.file", note="x", folder="y")
            replica.cancel_call(call)
            assert replica.pending() == [] and replica.refused() == []
            with pytest.raises(StateError, match="was sent, or is not known"):
                replica.cancel_call(call)

    told(tmp_path, story)


def test_a_call_whose_reading_is_overtaken_again_and_again_is_made_later(tmp_path: Path) -> None:
    async def story(desk: Desk) -> None:
        async with desk.replica() as replica:
            note = replica.create(Note(title="bill"))
            assert await replica.synced()
            action_of_store, overtaken = desk.store.action, []

            async def action_overtaken(*args: Any, **more: Any) -> dict[str, Any]:
                if len(overtaken) < 2:
                    overtaken.append(desk.runtime.monotonic())
                    raise Conflict("What action desk.file reads changed each of the 5 times it ran.", hint="Call it again.")
                return await action_of_store(*args, **more)

            desk.store.action = action_overtaken  # type: ignore[method-assign]
            call = replica.queue_call("desk.file", note=note.id, folder="2026")
            await until(lambda: replica.receipt(call) == "committed", 60)
            assert len(overtaken) == 2 and not replica.refused()

    told(tmp_path, story)
