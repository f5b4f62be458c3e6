"""A change to a record that its person may no longer see is held at the server; then the server is put back to a backup from before it.
Defends P1: what was typed is at the server again, whether the record is still hidden there or not; and P2: it is there once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from holdfast import Record, Text, own, role
from holdfast.client import Replica, State
from holdfast.client.transport import ChannelClosed
from holdfast.engine.opening import open_store
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from holdfast.testing.asgi import Leg
from tests.client.telling import until
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import World

OWNER, WRITER = "ada@example.org", "ben@example.org"


class Page(Record, collection="pages", access=own("writer_id") | role("owner")):
    """Its writer's, until the owner gives it to somebody else."""

    writer_id: str
    body: Text = ""


class Office:
    """A server with an owner and a writer, that can be backed up and put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = VirtualRuntime(1)
        self.tokens: dict[str, str] = {}
        self.stack = AsyncExitStack()

    async def start(self) -> None:
        self.store = await self.stack.enter_async_context(
            open_store(self.folder / "server", records=[Page], mode="inline", runtime=self.runtime))
        app = asgi_app(self.store, settings=Settings(heartbeat_seconds=0.1, presence_seconds=0.01))
        self.stack.push_async_callback(app.close)
        self.world = World(self.store, app, self.folder, self.runtime)
        self.world.tokens = self.tokens
        await self.world.token(OWNER, roles=("owner",))
        await self.world.token(WRITER, roles=("member",))

    async def back_up(self) -> None:
        await self.stack.aclose()
        shutil.copytree(self.folder / "server", self.folder / "backup")
        await self.start()

    async def put_back(self) -> None:
        await self.stack.aclose()
        shutil.rmtree(self.folder / "server")
        shutil.copytree(self.folder / "backup", self.folder / "server")
        await self.start()

    async def id_of(self, email: str) -> str:
        account = await self.store.accounts.account(email)
        assert account is not None
        return account.id

    async def give(self, page: Page, email: str) -> None:
        """Make the page somebody else's."""
        owner = await self.store.member("acme", OWNER)
        await self.store.change(owner.caller, "pages", page.id, fields={"writer_id": await self.id_of(email)})

    async def body_of(self, page: Page) -> str:
        owner = await self.store.member("acme", OWNER)
        return str((await self.store.get(owner.caller, "pages", page.id))["fields"]["body"])

    async def waiting(self) -> str:
        """All that waits for a person's decision."""
        async with self.store.storage.reader() as reader:
            return " ".join(str((item.parts, item.texts)) for item in await reader.inbox("acme", limit=100))

    def writers(self, **options: Any) -> AbstractAsyncContextManager[Replica]:
        return self.world.replica("ben", email=WRITER, records=[Page], **options)


def told(folder: Path, story: Callable[[Office], Awaitable[None]]) -> None:
    async def main() -> None:
        office = Office(folder)
        await office.start()
        try:
            await story(office)
        finally:
            await office.stack.aclose()

    run_virtually(main())


async def made(office: Office) -> Page:
    async with office.writers() as replica:
        page = replica.create(Page(writer_id=await office.id_of(WRITER), body="seen "))
        assert await replica.synced()
    return page


async def typed_offline(office: Office, page: Page) -> None:
    async with office.writers() as replica:
        assert await replica.synced()
        replica.go_offline()
        await until(lambda: replica.status.connection is State.OFFLINE)
        body = replica.text(replica.get(Page, page.id), "body")
        body.append("kept")
        body.close()


async def held_and_hidden(office: Office, page: Page) -> None:
    """What was typed offline is sent, and held: the page is no longer the writer's to see."""
    async with office.writers() as replica:
        assert await replica.synced()
        assert replica.find(Page, page.id) is None and not replica.pending(), "it is hidden, and nothing waits here"
    assert "kept" in await office.waiting() and "kept" not in await office.body_of(page)


def test_what_was_held_of_a_hidden_record_is_held_again_by_a_server_that_was_put_back(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        page = await made(office)
        await typed_offline(office, page)
        await office.give(page, OWNER)
        await office.back_up()
        await held_and_hidden(office, page)
        await office.put_back()
        assert "kept" not in await office.waiting(), "the server has lost it"
        for _ in range(2):
            await held_and_hidden(office, page)
        assert (await office.waiting()).count("kept") == 1, "once"

    told(tmp_path, story)


def test_what_was_held_of_a_hidden_record_is_in_it_where_the_server_that_was_put_back_shows_it(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        page = await made(office)
        await typed_offline(office, page)
        await office.back_up()
        await office.give(page, OWNER)
        await held_and_hidden(office, page)
        await office.put_back()
        async with office.writers() as replica:
            assert await replica.synced()
            assert replica.get(Page, page.id).body == await office.body_of(page) == "seen kept"

    told(tmp_path, story)


def test_what_was_held_and_rests_on_something_that_is_lost_too_is_made_anew_without_it(tmp_path: Path) -> None:
    async def story(office: Office) -> None:
        page = await made(office)
        await office.back_up()
        owner = await office.store.member("acme", OWNER)
        await office.store.change(owner.caller, "pages", page.id, fields={"body": "once more seen "})
        await typed_offline(office, page)
        await office.give(page, OWNER)
        await held_and_hidden(office, page)
        await office.put_back()
        async with office.writers() as replica:
            assert await replica.synced()
            assert replica.get(Page, page.id).body == await office.body_of(page) == "seen kept"

    told(tmp_path, story)


class Late:
    """A `Fault`. It notes each push of what was typed; `arrives`, if there is one, is awaited before the next of them, and then the socket
    is cut, before the device hears of it."""

    def __init__(self) -> None:
        self.pushed: list[Any] = []
        self.arrives: Callable[[], Awaitable[None]] | None = None
        self.cuts = False

    async def __call__(self, leg: Leg, what: str) -> None:
        if leg == "send" and "kept" in what:
            self.pushed.append(json.loads(what)["mutations"])
            arrives, self.arrives = self.arrives, None
            if arrives is not None:
                await arrives()
                self.cuts = True
        elif leg == "receive" and self.cuts:
            self.cuts = False
            raise ChannelClosed()


def test_what_arrived_late_and_was_hidden_then_is_sent_again_by_what_the_server_says_of_it(tmp_path: Path) -> None:
    """The server is put back, and a push from before that arrives while the device makes its work anew: the server knows the id with other
    content, and the device is not shown the entry. Put back again, the server has it from the device again."""

    async def story(office: Office) -> None:
        late, page = Late(), await made(office)
        await office.back_up()
        owner = await office.store.member("acme", OWNER)
        await office.store.change(owner.caller, "pages", page.id, fields={"body": "once more seen "})
        async with office.writers(fault=late) as replica:
            assert await replica.synced()
            body = replica.text(replica.get(Page, page.id), "body")
            body.append("kept")
            body.close()
            assert await replica.synced()
            device_id = replica.device_id
        await office.put_back()

        async def arrives() -> None:
            writer = await office.store.member("acme", WRITER)
            reply = await office.store.push(writer.caller, device_id, [json.dumps(one).encode() for one in late.pushed[0]])
            assert all(one.outcome != "refused" for one in reply.results)
            await office.give(page, OWNER)

        late.arrives = arrives
        async with office.writers(fault=late) as replica:
            assert await replica.synced()
            assert replica.find(Page, page.id) is None and not replica.pending() and not replica.refused()
        assert late.pushed[1] != late.pushed[0] == late.pushed[-1], "made anew, and then as it was at first"
        await office.put_back()
        async with office.writers() as replica:
            assert await replica.synced()
            assert replica.get(Page, page.id).body == await office.body_of(page)
        assert "kept" in await office.body_of(page) + await office.waiting()

    told(tmp_path, story)
