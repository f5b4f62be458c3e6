"""Calls of one action that get into each other's way: none is lost and none is refused for it (P1, P2); a repeated one is answered from
the log with the records as they stand (P2, P5); a record's content is in its own entries alone, where it can be erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import InvalidValue, MemberSession, Record, Store, Text, open_store, record_id, tenant
from holdfast.app import App, Context, action
from tests.engine.world import Device

CALLS = 40


class Sheet(Record, collection="sheets", access=tenant, key=("name",)):
    name: str
    body: Text = ""
    saves: int = 0


@action("append")
async def append(ctx: Context, given: dict[str, Any]) -> Any:
    """Reads, then writes what depends on it: lost updates would show."""
    sheet = await ctx.find(Sheet, record_id(Sheet, name=given["name"]))
    if sheet is None:
        return {"saves": ctx.create(Sheet(name=given["name"], saves=1)).value("fields", "saves")}
    change = ctx.change(sheet, saves=sheet.saves + 1)
    return {"saves": change.value("fields", "saves"), "whole": change.record, "outcome": change.outcome,
            "first_outcome": change.first_outcome, "nothing": change.value("fields", "saves", "deeper")}


@action("make")
async def make(ctx: Context, given: dict[str, Any]) -> Any:
    return ctx.create(Sheet(name=given["name"], saves=given["saves"])).record


@action("own_position")
async def own_position(ctx: Context, given: dict[str, Any]) -> Any:
    return {"position": await ctx.last_own_position(Sheet, record_id(Sheet, name=given["name"]))}


@pytest.fixture(params=["memory", "sqlite"])
async def sheets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    folder = tmp_path / "data" if request.param == "sqlite" else None
    async with open_store(folder, apps=[App("office", records=[Sheet], actions=[append, make, own_position])]) as store:
        yield store


@pytest.fixture
async def ann(sheets: Store) -> MemberSession:
    return await sheets.member("acme", "ann@example.org")


async def test_many_calls_at_once_all_take_effect(ann: MemberSession) -> None:
    answers = await asyncio.gather(*(ann.call("office.append", name="one") for _ in range(CALLS)))
    assert sorted(answer["saves"] for answer in answers) == list(range(1, CALLS + 1))
    assert (await ann.get(Sheet, record_id(Sheet, name="one"))).saves == CALLS


async def test_calls_of_two_people_at_once_all_take_effect(sheets: Store, ann: MemberSession) -> None:
    ben = await sheets.member("acme", "ben@example.org", roles={"member"})
    await asyncio.gather(*(one.call("office.append", name="one") for one in (ann, ben) for _ in range(3)))
    assert (await ann.get(Sheet, record_id(Sheet, name="one"))).saves == 6


async def test_a_call_that_is_given_up_while_it_waits_for_its_turn_stops_nobody(ann: MemberSession) -> None:
    loop = asyncio.get_running_loop()
    calls = [loop.create_task(ann.call("office.append", name="one", mutation_id=f"call-{number}")) for number in range(CALLS)]
    await calls[0]
    for call in calls[10:20]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, Exception) and not isinstance(answer, asyncio.CancelledError)] == []
    assert (await ann.call("office.append", name="one"))["saves"] >= CALLS - 10 + 1


async def test_a_repeated_call_is_a_duplicate_with_its_first_outcome_and_the_record_as_it_stands(ann: MemberSession) -> None:
    await ann.call("office.append", name="one")
    first = await ann.call("office.append", name="one", mutation_id="m")
    await ann.call("office.append", name="one")
    again = await ann.call("office.append", name="one", mutation_id="m")
    assert (first["outcome"], first["saves"], first["nothing"], "first_outcome" in first) == ("applied", 2, None, False)
    assert (again["outcome"], again["first_outcome"], again["saves"]) == ("duplicate", "applied", 3)
    assert again["whole"]["position"] == (await ann.get(Sheet, record_id(Sheet, name="one"))).position


async def test_values_that_a_record_class_refuses_are_the_callers_mistake(ann: MemberSession) -> None:
    with pytest.raises(InvalidValue) as refused:
        await ann.call("office.make", name="one", saves="many")
    assert refused.value.field == "/saves"


async def test_the_entry_of_a_call_holds_nothing_of_the_records_content(sheets: Store, ann: MemberSession) -> None:
    sheet = await ann.create(Sheet(name="one", body="only here"))
    await ann.call("office.append", name="one")
    async with sheets.storage.reader() as reader:
        entries = await reader.entries("acme", after=0, limit=100)
    holding = [entry for entry in entries if "only here" in repr(entry)]
    assert {(entry.collection, entry.record_id) for entry in holding} == {("sheets", sheet.id)}
    assert [entry.kind for entry in entries][-1] == "action"


async def test_the_last_own_position_is_of_this_way_not_of_a_device_that_pushes(sheets: Store, ann: MemberSession) -> None:
    sheet = await ann.create(Sheet(name="one"))
    phone = Device(sheets, ann, "phone")
    await phone.type("sheets", sheet.id, "/body", 0, 0, "typed on the phone", base=sheet.position)
    assert (await ann.call("office.own_position", name="one"))["position"] == sheet.position


async def test_the_last_own_position_of_a_record_that_only_others_wrote_is_none(sheets: Store, ann: MemberSession) -> None:
    ben = await sheets.member("acme", "ben@example.org", roles={"member"})
    await ann.create(Sheet(name="one"))
    assert (await ben.call("office.own_position", name="one"))["position"] is None
