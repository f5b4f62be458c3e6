"""The socket on the real store: what each person is told as rights, roles and records change. Defends P4 (a socket tells what a pull would
tell, no more) and P2 (a save that is sent on the socket and by HTTP takes effect once)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from holdfast.server.settings import Settings
from tests.server.office import Office, office
from tests.server.serving import Served, Talker, serving

QUICK = Settings(port=0, heartbeat_seconds=0.3, presence_seconds=0.01)


class Desk:
    """An office that listens."""

    def __init__(self, found: Office, served: Served, stack: AsyncExitStack) -> None:
        self.office = found
        self.served = served
        self._stack = stack

    async def sit(self, name: str, **hello: Any) -> Talker:
        """A socket of a person, in step with what is there."""
        async with self.office.client(name) as client:
            cursor = (await client.get("/v1/pull?limit=1000")).json()["cursor"]
        hello = {"device_id": f"d-{name}", "token": self.office.tokens[name], "cursor": cursor, **hello}
        talker = await self._stack.enter_async_context(self.served.socket(hello))
        await talker.hear("welcome")
        return talker

    async def call(self, name: str, method: str, address: str, body: Any = None) -> dict[str, Any]:
        async with self.office.client(name) as client:
            answer = await client.request(method, address, json=body)
        assert answer.status_code < 300, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def opened() -> AsyncIterator[Desk]:
    async with office(QUICK) as found, serving(found.app, QUICK) as served, AsyncExitStack() as stack:
        yield Desk(found, served, stack)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as found:
        yield found


def places(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["collection"], one["record_id"]) for one in message["changes"]]


async def test_a_save_is_told_to_those_who_may_read_it_and_to_nobody_else(desk: Desk) -> None:
    emil, ines, zoe = await desk.sit("emil"), await desk.sit("ines"), await desk.sit("zoe")
    made = await desk.call("emil", "POST", "/v1/records/diaries", {"fields": {"writer": desk.office.actors["emil"]}})
    assert places(await emil.hear("changes")) == [("diaries", made["record"]["id"])]
    await ines.silence()
    await zoe.silence()


async def test_a_record_that_comes_into_view_comes_whole_and_one_that_leaves_is_forgotten(desk: Desk) -> None:
    made = await desk.call("emil", "POST", "/v1/records/diaries", {"fields": {"writer": desk.office.actors["emil"], "text": "dear"}})
    diary = made["record"]["id"]
    page = (await desk.call("emil", "POST", "/v1/records/pages", {"fields": {"diary": diary, "number": 4}}))["record"]["id"]
    emil, ines = await desk.sit("emil"), await desk.sit("ines")
    await desk.call("arno", "PATCH", f"/v1/records/diaries/{diary}", {"fields": {"writer": desk.office.actors["ines"]}})
    told = await ines.hear("changes")
    assert {(one["collection"], one["id"]) for one in told["records"]} == {("diaries", diary), ("pages", page)}
    assert next(one for one in told["records"] if one["id"] == diary)["fields"]["text"] == "dear"
    told = await emil.hear("changes")
    assert {(one["collection"], one["id"]) for one in told["forget"]} == {("diaries", diary), ("pages", page)} and not told["changes"]


async def test_a_change_of_the_own_roles_resets_that_person_alone(desk: Desk) -> None:
    emil, ines = await desk.sit("emil"), await desk.sit("ines")
    account = await desk.office.store.accounts.account("emil@acme.example")
    assert account is not None
    await desk.office.store.accounts.add_member("acme", account, ["owner"])
    told = await emil.hear("changes")
    assert told["reset"] == "access"
    made = await desk.call("olga", "POST", "/v1/records/salaries", {"fields": {"person": "x"}})
    await emil.silence()
    await ines.silence()
    await emil.say({"type": "resume", "cursor": told["cursor"]})
    assert places(await emil.hear("changes")) == [("salaries", made["record"]["id"])]


async def test_who_is_no_member_any_more_is_told_nothing_and_closed(desk: Desk) -> None:
    emil = await desk.sit("emil")
    ines = await desk.sit("ines")
    await desk.office.store.accounts.remove_member("acme", desk.office.actors["emil"])
    await desk.call("ines", "POST", "/v1/records/notes", {"fields": {"title": "after"}})
    assert (await emil.hear("error"))["problem"]["code"] == "forbidden"
    assert (await emil.closed())[0] == 4403
    assert [place[0] for place in places(await ines.hear("changes"))] == ["notes"]


async def test_the_own_outcome_and_inbox_come_to_oneself_alone(desk: Desk) -> None:
    note = await desk.office.note(title="Priced")
    await desk.call("olga", "PATCH", f"/v1/records/notes/{note['id']}", {"fields": {"price": "20.00"}})
    emil, ines = await desk.sit("emil"), await desk.sit("ines")
    await emil.say({"type": "push", "id": "p", "mutations": [{"mutation_id": "h1", "collection": "notes", "record_id": note["id"],
                                                               "base": note["position"],
                                                               "ops": [{"op": "set", "path": "/price", "value": "10.00"}]}]})
    mine, other = await emil.hear("changes"), await ines.hear("changes")
    assert mine["changes"][0]["outcome"] == "held" and mine["changes"][0]["inbox_id"]
    assert "outcome" not in other["changes"][0] and "inbox_id" not in other["changes"][0] and other["changes"][0]["ops"] == []
    assert mine["cursor"] == other["cursor"]


async def test_a_save_sent_on_the_socket_and_again_by_http_takes_effect_once(desk: Desk) -> None:
    emil = await desk.sit("emil")
    mutation = {"mutation_id": "once", "collection": "notes", "record_id": "01980000-0000-7000-8000-000000000001",
                "ops": [{"op": "create", "value": {"title": "Once"}}]}
    await emil.say({"type": "push", "id": "p", "mutations": [mutation]})
    first = (await emil.hear("pushed"))["results"][0]
    again = (await desk.call("emil", "POST", "/v1/push", {"device_id": "d-emil", "mutations": [mutation]}))["results"][0]
    assert first["outcome"] == "applied" and again["outcome"] == "duplicate" and again["seq"] == first["seq"]


async def test_collections_and_contracts_narrow_what_is_told(desk: Desk) -> None:
    notes, old = await desk.sit("emil", collections=["notes"]), await desk.sit("emil", device_id="old", contracts={"notes": 0})
    folder = await desk.call("emil", "POST", "/v1/records/folders", {"fields": {"name": "F"}})
    assert places(await old.hear("changes")) == [("folders", folder["record"]["id"])]
    note = await desk.office.note(title="N")
    assert places(await notes.hear("changes")) == [("notes", note["id"])]
    told = await old.hear("changes")
    assert told["upgrade_required"] == ["notes"] and told["changes"] == []


async def test_a_cursor_that_is_none_is_told_and_closed(desk: Desk) -> None:
    hello = {"device_id": "d", "token": desk.office.tokens["emil"], "cursor": "yesterday"}
    async with desk.served.socket(hello) as talker:
        assert (await talker.hear("error"))["problem"]["code"] == "malformed"
        assert (await talker.closed())[0] == 4400


async def test_presence_follows_the_rules_of_the_real_store(desk: Desk) -> None:
    made = await desk.call("emil", "POST", "/v1/records/diaries", {"fields": {"writer": desk.office.actors["emil"]}})
    emil, ines = await desk.sit("emil"), await desk.sit("ines", watch=["diaries", "notes"])
    await emil.say({"type": "presence", "collection": "diaries", "record_id": made["record"]["id"]})
    await emil.hear("presence")
    await ines.silence()
    note = await desk.office.note(title="Open")
    await emil.say({"type": "presence", "collection": "notes", "record_id": note["id"], "field": "body"})
    told = await ines.hear("presence")
    assert told["record_id"] == note["id"] and told["here"][0]["actor_id"] == desk.office.actors["emil"]
