"""A contract that moved on while a device was offline for a week. Defends P1 (a week's work arrives) and P5 (a program that cannot read
what others made says so)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast import Record, Text, open_store, tenant, upcast
from holdfast.client import Replica, State, open_replica
from holdfast.core.errors import StorageNewer
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from holdfast.testing.asgi import AsgiTransport
from tests.client.telling import until
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import QUICK

WEEK_SECONDS = 7 * 24 * 3_600


class First(Record, collection="estimates", access=tenant):
    """As the program of last week declares it."""

    name: str
    cents: int = 0
    fax: str = ""
    notes: Text = ""


class Second(Record, collection="estimates", access=tenant, contract=2, upcasts={1: [
        upcast.rename("name", "title"), upcast.drop("fax"), upcast.convert("cents", lambda cents: f"{cents // 100}.{cents % 100:02d}"),
        upcast.rename("cents", "price")]}):
    """As the server declares it today."""

    title: str
    price: str = "0.00"
    notes: Text = ""


class Place:
    """One server's folder and one replica's file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runtime = folder, VirtualRuntime(1)
        self.token = ""

    @asynccontextmanager
    async def server(self, record: type[Record]) -> AsyncIterator[None]:
        async with open_store(self.folder / "server", records=[record], mode="inline", runtime=self.runtime) as store:
            await store.member("acme", "ada@example.org", roles=["owner"])
            self.token = self.token or await store.accounts.create_token("acme", "ada@example.org", name="replica")
            self.app = asgi_app(store, settings=Settings(heartbeat_seconds=0.1))
            yield
            await self.app.close()

    @asynccontextmanager
    async def replica(self, record: type[Record], name: str = "a") -> AsyncIterator[Replica]:
        async with open_replica(self.folder / f"{name}.replica", transport=AsgiTransport(self.app, runtime=self.runtime), token=self.token,
                                records=[record], settings=QUICK, runtime=self.runtime) as replica:
            yield replica

    async def week_offline(self) -> str:
        """Work on what was pulled and on what is new, for a week, without a server."""
        async with self.server(First), self.replica(First) as replica:
            roof = replica.create(First(name="roof", cents=1234, notes="hello"))
            assert await replica.synced()
            replica.go_offline()
            for _ in range(7):
                await asyncio.sleep(WEEK_SECONDS / 7)
                replica.text(replica.get(First, roof.id), "notes").append("!")
            replica.change(replica.get(First, roof.id), cents=5678, fax="555")
            replica.create(First(name="new", cents=100, notes="made offline"))
        return roof.id


def told(folder: Path, story: Any) -> None:
    run_virtually(story(Place(folder)))


def test_a_newer_program_takes_over_the_file_and_a_weeks_work_arrives_under_the_new_contract(tmp_path: Path) -> None:
    async def story(place: Place) -> None:
        roof = await place.week_offline()
        async with place.server(Second), place.replica(Second) as replica:
            shown = replica.get(Second, roof)
            assert (shown.title, shown.price, shown.notes) == ("roof", "56.78", "hello!!!!!!!"), "before it was ever in touch"
            assert sorted(one.title for one in replica.list(Second)) == ["new", "roof"]
            replica.change(shown, title="the roof")
            assert await replica.synced() and not replica.refused() and not replica.held()
            async with place.replica(Second, "b") as other:
                assert await other.synced()
                found = other.get(Second, roof)
                assert (found.title, found.price, found.notes) == ("the roof", "56.78", "hello!!!!!!!")
                assert [(one.title, one.price) for one in other.list(Second, sort="title")] == [("new", "1.00"), ("the roof", "56.78")]

    told(tmp_path, story)


def test_an_older_program_sends_its_work_to_a_newer_server_and_says_that_it_has_to_be_upgraded(tmp_path: Path) -> None:
    async def story(place: Place) -> None:
        roof = await place.week_offline()
        async with place.server(Second):
            async with place.replica(First) as replica:
                await until(lambda: not replica.pending(), 60)
                await until(lambda: bool(replica.status.cause))
                assert "estimates under a newer contract" in replica.status.cause and "Upgrade this program" in replica.status.hint
                assert replica.get(First, roof).name == "roof", "shown as this program knows it"
                replica.change(replica.get(First, roof), cents=9900)
                await until(lambda: not replica.pending(), 60)
            async with place.replica(Second) as replica:
                assert await replica.synced()
                assert replica.get(Second, roof).price == "99.00" and len(replica.list(Second)) == 2

    told(tmp_path, story)


def test_an_older_program_that_begins_anew_shows_nothing_it_cannot_read_and_says_so(tmp_path: Path) -> None:
    async def story(place: Place) -> None:
        await place.week_offline()
        async with place.server(Second), place.replica(First, "new") as replica:
            await until(lambda: bool(replica.status.cause) and replica.status.connection is State.LIVE)
            assert "estimates under a newer contract" in replica.status.cause
            assert replica.list(First) == []
            made = replica.create(First(name="made by the older program", cents=250))
            await until(lambda: replica.receipt(made) == "committed")
            async with place.replica(Second, "b") as other:
                assert await other.synced()
                assert other.get(Second, made.id).price == "2.50"

    told(tmp_path, story)


def test_an_older_program_does_not_touch_a_file_that_a_newer_one_took_over_and_says_why(tmp_path: Path) -> None:
    async def story(place: Place) -> None:
        await place.week_offline()
        async with place.server(Second):
            async with place.replica(Second) as replica:
                assert await replica.synced()
            with pytest.raises(StorageNewer, match="estimates under contract 2; this program declares contract 1") as refused:
                async with place.replica(First):
                    pass
            assert "newer program" in refused.value.hint

    told(tmp_path, story)
