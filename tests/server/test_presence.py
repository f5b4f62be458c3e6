"""Who is here. Defends P4: presence in a record reaches only those who may read the record, at the moment of telling."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from holdfast.engine.api import Caller
from tests.server.fakes import FakeStore
from tests.server.serving import Served, Talker
from tests.server.test_live import push

ALICE = Caller(tenant_id="t1", actor_id="a")


async def arrive(stack: AsyncExitStack, served: Served, account: str, **hello: Any) -> Talker:
    tenant = "t2" if account == "c" else "t1"
    talker = await stack.enter_async_context(served.socket({"device_id": f"d-{account}", "token": f"hf_{account}_{tenant}", **hello}))
    await talker.hear("welcome")
    return talker


async def enter(talker: Talker, record_id: str | None, **more: Any) -> None:
    await talker.say({"type": "presence", "collection": "notes", "record_id": record_id, **more})


def people(message: dict[str, Any]) -> list[tuple[str, str | None]]:
    return sorted((one["actor_id"], one.get("field")) for one in message["here"])


@pytest.fixture
async def stack() -> Any:
    async with AsyncExitStack() as found:
        yield found


async def test_people_in_one_record_hear_of_each_other_and_of_the_field(served: Served, store: FakeStore, stack: AsyncExitStack) -> None:
    await push(store, "open to all")
    alice, bob = await arrive(stack, served, "a"), await arrive(stack, served, "b")
    await enter(alice, "r1", field="title")
    assert people(await alice.hear("presence")) == [("a", "title")]
    await enter(bob, "r1", field="body", state={"at": 5})
    told = await alice.hear("presence")
    assert people(told) == [("a", "title"), ("b", "body")] and told["here"][1]["state"] == {"at": 5}


async def test_who_leaves_the_record_or_the_socket_is_gone_from_the_list(served: Served, store: FakeStore, stack: AsyncExitStack) -> None:
    await push(store, "open to all")
    alice, bob = await arrive(stack, served, "a"), await arrive(stack, served, "b")
    for talker in (alice, bob):
        await enter(talker, "r1")
    while len((await alice.hear("presence"))["here"]) < 2:
        continue
    await enter(bob, None)
    assert people(await alice.hear("presence")) == [("a", None)]
    await enter(bob, "r1")
    assert len((await alice.hear("presence"))["here"]) == 2
    await bob.connection.close()
    assert people(await alice.hear("presence")) == [("a", None)]


async def test_a_record_one_may_not_read_cannot_be_entered_and_answers_as_an_unknown_one(served: Served, store: FakeStore,
                                                                                         stack: AsyncExitStack) -> None:
    await push(store, "a: mine")
    bob = await arrive(stack, served, "b")
    await enter(bob, "r1")
    hidden = await bob.hear("error")
    await enter(bob, "r999")
    assert await bob.hear("error") == hidden


async def test_a_watcher_hears_only_of_records_it_may_read(served: Served, store: FakeStore, stack: AsyncExitStack) -> None:
    await push(store, "a: mine", record_id="hidden")
    await push(store, "all", record_id="open")
    alice = await arrive(stack, served, "a")
    bob = await arrive(stack, served, "b", watch=["notes"])
    await enter(alice, "hidden")
    await alice.hear("presence")
    await bob.hear("changes")
    await bob.silence()
    await enter(alice, "open")
    assert (await bob.hear("presence"))["record_id"] == "open"


async def test_a_watcher_who_comes_later_hears_who_is_there_already(served: Served, store: FakeStore, stack: AsyncExitStack) -> None:
    await push(store, "all")
    alice = await arrive(stack, served, "a")
    await enter(alice, "r1")
    await alice.hear("presence")
    bob = await arrive(stack, served, "b", watch=["notes"])
    assert people(await bob.hear("presence")) == [("a", None)]


async def test_who_loses_the_right_is_told_nothing_more_and_is_listed_no_more(served: Served, store: FakeStore,
                                                                             stack: AsyncExitStack) -> None:
    await push(store, "open to all")
    alice, bob = await arrive(stack, served, "a"), await arrive(stack, served, "b")
    for talker in (alice, bob):
        await enter(talker, "r1")
    while len((await alice.hear("presence"))["here"]) < 2:
        continue
    await push(store, "a: mine now")
    await alice.hear("changes")
    await enter(alice, "r1", field="title")
    while people(await alice.hear("presence")) != [("a", "title")]:
        continue
    await enter(bob, "r1")
    assert (await bob.hear("error"))["problem"]["code"] == "not_found"


async def test_another_tenants_watcher_hears_nothing(served: Served, store: FakeStore, stack: AsyncExitStack) -> None:
    await push(store, "all")
    stranger = await arrive(stack, served, "c", watch=["notes"])
    alice = await arrive(stack, served, "a")
    await enter(alice, "r1")
    await alice.hear("presence")
    await stranger.silence()


@pytest.mark.parametrize(("place", "code"), [
    ({"record_id": "r1"}, "invalid"),
    ({"collection": "notes", "record_id": "r1", "field": "x" * 300}, "invalid"),
    ({"collection": "notes", "record_id": "r1", "state": "x" * 2000}, "limit"),
    ({"collection": "nothing", "record_id": "r1"}, "not_found"),
])
async def test_a_place_that_does_not_do_is_refused(served: Served, store: FakeStore, stack: AsyncExitStack, place: dict[str, Any],
                                                   code: str) -> None:
    await push(store, "all")
    alice = await arrive(stack, served, "a")
    await alice.say({"type": "presence", **place})
    assert (await alice.hear("error"))["problem"]["code"] == code
