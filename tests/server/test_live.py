"""The socket: sign-in, changes as they commit, resuming, presence, slow readers. Defends P4 (a socket hears only what its actor may read),
P5 (a heartbeat's cursor never runs ahead of what was sent) and P1 (a slow or lost socket loses nothing: it resumes by its cursor)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from holdfast.core.errors import Overloaded, StorageFailed
from holdfast.engine.api import Caller
from tests.server.fakes import FakePeople, FakeStore, position_of
from tests.server.serving import Served, Talker

ALICE = Caller(tenant_id="t1", actor_id="a")
HELLO = {"device_id": "d1", "token": "hf_a_t1"}


def save(title: str, mutation_id: str = "m1", record_id: str = "r1") -> dict[str, Any]:
    return {"mutation_id": mutation_id, "collection": "notes", "record_id": record_id,
            "ops": [{"op": "set", "path": "/title", "value": title}]}


async def push(store: FakeStore, title: str, *, caller: Caller = ALICE, record_id: str = "r1") -> None:
    await store.push(caller, "other", [json.dumps(save(title, record_id=record_id)).encode()])


async def titles(talker: Talker, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += [change["ops"][0]["value"] for change in (await talker.hear("changes"))["changes"]]
    return found


# -- signing in ------------------------------------------------------------------------------------------------------------
async def test_a_device_that_says_hello_with_its_token_is_welcome(served: Served) -> None:
    async with served.socket(HELLO) as talker:
        welcome = await talker.hear()
        assert welcome["type"] == "welcome" and welcome["tenant"] == "t1" and welcome["actor_id"] == "a"


@pytest.mark.parametrize(("hello", "code"), [
    ({"device_id": "d1"}, 4401),
    ({"device_id": "d1", "token": "hf_a_t2"}, 4401),
    ({"device_id": "d1", "token": "x.y.z"}, 4401),
    ({"device_id": "d1", "token": "hf_a_t1", "tenant": "t2"}, 4403),
    ({"device_id": "not an id!", "token": "hf_a_t1"}, 4400),
    ({"device_id": "d1", "token": "hf_a_t1", "collections": ["nothing"]}, 4400),
    ({"device_id": 7, "token": "hf_a_t1"}, 4400),
])
async def test_a_hello_that_does_not_do_is_told_why_and_closed(served: Served, hello: dict[str, Any], code: int) -> None:
    async with served.socket(hello) as talker:
        assert (await talker.hear())["type"] == "error"
        assert (await talker.closed())[0] == code


@pytest.mark.parametrize("first", ["", "nonsense", "[]", '{"type":"push","id":"1","mutations":[]}', '{"type":"nothing"}',
                                   b"\x00\x01", "[" * 5000])
async def test_a_first_message_that_is_no_hello_is_closed_as_malformed(served: Served, first: Any) -> None:
    async with served.socket(None) as talker:
        await talker.say(first)
        assert (await talker.hear())["type"] == "error"
        assert (await talker.closed())[0] == 4400


async def test_a_socket_that_never_says_hello_is_closed(served: Served) -> None:
    async with served.socket(None) as talker:
        assert (await talker.closed())[0] == 4408


async def test_a_token_in_the_address_signs_nobody_in(served: Served) -> None:
    async with served.socket({"device_id": "d1"}, path="/v1/live?token=hf_a_t1") as talker:
        assert (await talker.hear())["problem"]["code"] == "not_signed_in"


async def test_a_cookie_signs_in_only_from_a_page_of_ours(served: Served) -> None:
    cookie = {"Cookie": "holdfast_session=hf_a_t1"}
    async with served.socket({"device_id": "d1"}, additional_headers=cookie, origin=served.url) as talker:
        assert (await talker.hear())["type"] == "welcome"
    for origin in ("https://evil.example", None):
        async with served.socket({"device_id": "d1"}, additional_headers=cookie, origin=origin) as talker:
            assert (await talker.hear())["problem"]["code"] == "forbidden"
            assert (await talker.closed())[0] == 4403


async def test_there_is_no_socket_at_another_address(served: Served) -> None:
    with pytest.raises(InvalidStatus):
        async with served.socket(HELLO, path="/v1/else"):
            pass


# -- changes ---------------------------------------------------------------------------------------------------------------
async def test_what_was_saved_before_comes_first_and_then_what_is_saved(served: Served, store: FakeStore) -> None:
    await push(store, "before")
    async with served.socket(HELLO) as talker:
        assert await titles(talker, 1) == ["before"]
        await push(store, "after")
        assert await titles(talker, 1) == ["after"]


async def test_a_device_resumes_where_it_was(served: Served, store: FakeStore) -> None:
    for number in range(5):
        await push(store, f"n{number}")
    async with served.socket({**HELLO, "cursor": position_of(3)}) as talker:
        assert await titles(talker, 2) == ["n3", "n4"]


async def test_a_save_over_the_socket_is_answered_by_its_id_and_told_to_others(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker, served.socket({"device_id": "d2", "token": "hf_b_t1"}) as other:
        await talker.say({"type": "push", "id": "p1", "mutations": [save("typed"), {"broken": True}]})
        answer = await talker.hear("pushed")
        assert answer["id"] == "p1" and [one["outcome"] for one in answer["results"]] == ["applied", "refused"]
        assert await titles(other, 1) == ["typed"]


async def test_another_tenant_hears_nothing(served: Served, store: FakeStore) -> None:
    async with served.socket({"device_id": "d3", "token": "hf_c_t2"}) as stranger:
        await stranger.hear("welcome")
        await push(store, "of t1")
        await stranger.silence()


async def test_a_hidden_record_is_told_to_its_owner_alone(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as owner, served.socket({"device_id": "d2", "token": "hf_b_t1"}) as other:
        await owner.hear("welcome")
        await other.hear("welcome")
        await push(store, "a: mine")
        assert await titles(owner, 1) == ["a: mine"]
        await other.silence()
        await push(store, "b: yours", record_id="r2")
        assert await titles(other, 1) == ["b: yours"]


async def test_many_sockets_share_one_pull(served: Served, store: FakeStore) -> None:
    talkers = [served.socket({"token": f"hf_{'ab'[number % 2]}_t1", "device_id": f"d{number}"}) for number in range(6)]
    opened = [await one.__aenter__() for one in talkers]
    for talker in opened:
        await talker.hear("welcome")
    await asyncio.sleep(0.05)
    before = store.shared_pulls
    await push(store, "once")
    assert [await titles(talker, 1) for talker in opened] == [["once"]] * 6
    assert store.shared_pulls - before == 1
    for one in talkers:
        await one.__aexit__(None, None, None)


async def test_a_heartbeat_says_the_cursor_up_to_which_all_was_sent(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await push(store, "b: hidden")
        beat = await talker.hear("heartbeat")
        while beat["cursor"] != position_of(1):
            beat = await talker.hear("heartbeat")
        assert beat["head"] == 1


async def test_another_history_is_told_and_the_socket_waits_for_resume(served: Served, store: FakeStore) -> None:
    await push(store, "one")
    async with served.socket({**HELLO, "cursor": "1.ffffffff"}) as talker:
        assert (await talker.hear("changes"))["reset"] == "history"
        await push(store, "two")
        await talker.silence()
        await talker.say({"type": "resume", "cursor": position_of(1)})
        assert await titles(talker, 1) == ["two"]


async def test_changes_come_in_order_without_gaps_while_many_save(served: Served, store: FakeStore) -> None:
    async def saver(name: str) -> None:
        for number in range(40):
            await push(store, f"{name}{number}", record_id=name)
            await asyncio.sleep(0)

    async with served.socket(HELLO) as early:
        saving = asyncio.gather(*(saver(name) for name in "xyz"))
        async with served.socket({**HELLO, "device_id": "late"}) as late:
            for talker in (early, late):
                seqs: list[int] = []
                while len(seqs) < 120:
                    seqs += [change["seq"] for change in (await talker.hear("changes"))["changes"]]
                assert seqs == list(range(1, 121))
        await saving


# -- messages --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("message", [
    "nonsense", "[]", "{}", '{"type":"nothing"}', '{"type":"push"}', '{"type":"push","id":1,"mutations":[]}',
    '{"type":"hello","device_id":"d"}',
    '{"type":"presence","collection":5}', '{"type":"push","id":"' + "x" * 100 + '","mutations":[]}', '{"type":"resume","cursor":5}',
    '{"type":"push","id":"1","mutations":' + "[" * 4000, "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "ignore"),
])
async def test_a_message_that_cannot_be_read_is_answered_and_the_socket_goes_on(served: Served, message: str) -> None:
    async with served.socket(HELLO) as talker:
        await talker.say(message)
        assert (await talker.hear("error"))["problem"]["detail"]
        await talker.say({"type": "ping", "id": "x"})
        assert (await talker.hear("pong"))["id"] == "x"


async def test_endless_nonsense_is_closed(served: Served) -> None:
    async with served.socket(HELLO) as talker:
        for _ in range(30):
            await talker.say("nonsense")
        assert (await talker.closed())[0] == 4400


async def test_a_message_over_the_limit_is_closed(served: Served) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        with contextlib.suppress(ConnectionClosed):
            await talker.say('{"type":"ping","id":"' + "x" * (5 << 20) + '"}')
        assert (await talker.closed())[0] == 1009


async def test_a_push_over_the_limit_of_mutations_is_refused_whole(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await talker.say({"type": "push", "id": "big", "mutations": [save("x")] * 501})
        answer = await talker.hear("error")
        assert answer["id"] == "big" and answer["problem"]["code"] == "limit" and not store.log


async def test_an_overloaded_store_says_when_to_come_back(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        store.failure = Overloaded("Too much.", retry_after=3)
        await talker.say({"type": "push", "id": "p", "mutations": [save("x")]})
        problem = (await talker.hear("error"))["problem"]
        assert problem["code"] == "overloaded" and problem["retry_after"] == 3


async def test_a_bug_in_the_store_shows_nothing_of_itself(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        store.failure = RuntimeError("secret text")
        await talker.say({"type": "push", "id": "p", "mutations": [save("x")]})
        problem = (await talker.hear("error"))["problem"]
        assert problem["code"] == "internal" and "secret" not in str(problem)


async def test_a_store_that_cannot_be_read_for_a_moment_costs_nothing(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        await asyncio.sleep(0.05)
        store.failure = StorageFailed("Away.")
        store.feed.publish("t1", 1)
        await asyncio.sleep(0.05)
        store.failure = None
        await push(store, "back")
        assert await titles(talker, 1) == ["back"]


# -- endings ---------------------------------------------------------------------------------------------------------------
async def test_a_credential_that_is_withdrawn_ends_its_sockets(served: Served, people: FakePeople) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        people.withdrawn.add("hf_a_t1")
        assert (await talker.closed())[0] == 4401


async def test_a_push_under_a_withdrawn_credential_is_not_kept(served: Served, people: FakePeople, store: FakeStore) -> None:
    async with served.socket(HELLO) as talker:
        await talker.hear("welcome")
        people.withdrawn.add("hf_a_t1")
        await talker.say({"type": "push", "id": "p", "mutations": [save("x")]})
        assert (await talker.hear("error"))["problem"]["code"] == "not_signed_in"
        assert not store.log


async def test_a_reader_that_falls_behind_is_closed_and_resumes_by_its_cursor(served: Served, store: FakeStore) -> None:
    async with served.socket(HELLO, max_queue=1) as slow:
        await slow.hear("welcome")
        await asyncio.sleep(0.05)
        slow.connection.transport.pause_reading()
        for number in range(40):
            await push(store, f"{number} " + "x" * 200_000)
            await asyncio.sleep(0.002)
        slow.connection.transport.resume_reading()
        got: list[dict[str, Any]] = []
        try:
            while True:
                got += (await slow.hear("changes"))["changes"]
        except Exception:
            assert (await slow.closed())[0] in (4508, 1006)
    assert len(got) < 40
    cursor = got[-1]["position"] if got else None
    async with served.socket({**HELLO, "cursor": cursor}) as again:
        rest = await titles(again, 40 - len(got))
        assert [int(one.split()[0]) for one in rest] == list(range(len(got), 40))


async def test_a_first_page_larger_than_the_buffer_is_sent_at_the_readers_pace(served: Served, store: FakeStore) -> None:
    for number in range(30):
        await push(store, f"{number} " + "x" * 100_000)
    async with served.socket(HELLO) as talker:
        assert [int(one.split()[0]) for one in await titles(talker, 30)] == list(range(30))


async def test_the_server_stops_with_sockets_open_and_saves_waiting(served: Served, store: FakeStore) -> None:
    store.gate = asyncio.Event()
    async with served.socket(HELLO) as talker, served.client("hf_a_t1") as client:
        await talker.hear("welcome")
        body = {"device_id": "d1", "mutations": [save("x")]}
        waiting = asyncio.gather(client.post("/v1/push", json=body), return_exceptions=True)
        await asyncio.sleep(0.05)
        served.listener.should_exit = True
        assert (await talker.closed())[0] in (1012, 1006)
        answer = (await asyncio.wait_for(waiting, 6))[0]
        assert not isinstance(answer, httpx.Response) or answer.status_code == 503
