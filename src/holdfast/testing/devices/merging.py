"""Cases: what two do at once. Optimistic, rebased over others' work, and nothing overwritten without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from holdfast.core import text
from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.faults import swallow
from holdfast.testing.devices.ops import add, ask, create, delete, exclude, include, put, typed, undelete

BASE = "The quick brown f\U0001f98ax jumps over the lazy dog, again."

TRANSFORMS: list[dict[str, Any]] = [
    {"left": [3, "L"], "right": [3, "R"], "left_first": True, "right_after": [4, "R"]},
    {"left": [3, "L"], "right": [3, "R"], "left_first": False, "right_after": [3, "R"]},
    {"left": [1, -2], "right": [1, -2], "left_first": True, "right_after": []},
    {"left": [-4], "right": [2, "R"], "left_first": True, "right_after": ["R"]},
]
"""A few of the shared vectors' kind, for where there are none."""


def transforms(bench: Bench) -> Iterator[tuple[list[Any], list[Any], str]]:
    """(the edits of the one whose insertion stands left, those of the other, the text that must come of both)"""
    folder = bench.setting.vectors
    for one in TRANSFORMS if folder is None else json.loads((folder / "text.json").read_text("utf-8"))["transform"]:
        after = text.apply(text.apply(BASE, one["left"]), one["right_after"])
        left, right = text.to_edits(one["left"]), text.to_edits(one["right"])
        yield (left, right, after) if one["left_first"] else (right, left, after)


@case("9")
async def an_edit_shows_at_once_and_stays_on_top_of_what_comes_in(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="middle", views=1)
    hold = bench.link.when("push", swallow, device="a", times=None)
    await a.edit(record, put("title", "mine"), typed(6, " end"), add("views", 1))
    assert await a.value(record, "body") == "middle end"
    await peer.edit(record, put("status", "done"), typed(0, "start "), add("views", 10))
    await bench.until_value(a, record, "body", "start middle end")
    shown = await a.read(record)
    assert shown is not None and shown["fields"]["title"] == "mine" and shown["fields"]["status"] == "done"
    assert shown["fields"]["views"] == 12 and await a.receipt(record) == "local"
    hold.end()
    bench.link.cut()
    await a.retry_now()
    fields = await bench.agree(record, a)
    assert (fields["title"], fields["status"], fields["body"], fields["views"]) == ("mine", "done", "start middle end", 12)


@case("5")
async def what_two_typed_at_once_is_merged_on_the_screen_as_at_the_server(bench: Bench) -> None:
    """The shared vectors: each pair of changes of one text, the device's own and another's, with either of them on the left."""
    a = await bench.device()
    await a.synced()
    for number, peer in enumerate((bench.peer("bob", "0-left"), bench.peer("bob", "z-right"))):
        stories = []
        for left, right, after in transforms(bench):
            record = f"notes/{bench.new_id()}"
            await peer.edit(record, create(body=BASE))
            mine, theirs = (right, left) if number == 0 else (left, right)
            stories.append((record, mine, theirs, after))
        await a.synced()
        await a.offline()
        for record, mine, theirs, _ in stories:
            if mine:
                await a.edit(record, {"op": "splice", "path": "/body", "edits": mine})
            if theirs:
                await peer.edit(record, {"op": "splice", "path": "/body", "edits": theirs})
        hold = bench.link.when("push", swallow, device="a", times=None)
        await a.online()
        last = f"notes/{bench.new_id()}"
        await peer.edit(last, create(title="the end"))
        await bench.until_value(a, last, "title", "the end")
        shown = {record: await a.value(record, "body") for record, *_ in stories}
        hold.end()
        bench.link.cut()
        await a.retry_now()
        await a.synced()
        for record, mine, theirs, after in stories:
            at_server = await bench.server_value(record, "body")
            seen = (shown[record], at_server, await a.value(record, "body"))
            assert seen == (after, after, after), f"{mine} over {theirs}: {seen}, not {after!r}"


@case("5")
async def two_devices_of_one_person_come_to_agree_and_lose_nothing(bench: Bench) -> None:
    a, b = await bench.device("a"), await bench.device("b")
    record = await bench.note(a, title="one", body="·", tags=["old"])
    await bench.agree(record, a, b)
    await a.offline()
    await b.offline()
    for number in range(5):
        await a.edit(record, typed(0, f"a{number} "), add("views", 1))
        await b.edit(record, typed(len(str(await b.value(record, "body"))), f" b{number}"), add("views", 10))
    await a.edit(record, include("tags", "a"), put("extra/a", 1))
    await b.edit(record, include("tags", "b"), exclude("tags", "old"), put("extra/b", 2))
    await a.online()
    await b.online()
    fields = await bench.agree(record, a, b)
    assert fields["views"] == 55 and fields["tags"] == ["a", "b"] and fields["extra"] == {"a": 1, "b": 2}
    assert all(f"{who}{number}" in fields["body"] for who in "ab" for number in range(5)), fields["body"]
    assert not await a.inbox() and a.id != b.id


@case("5")
async def the_later_of_two_values_wins_wherever_it_arrives_first(bench: Bench) -> None:
    a, b = await bench.device("a"), await bench.device("b", "bob")
    record = await bench.note(a, title="one")
    await bench.agree(record, a, b)
    await a.offline()
    await a.edit(record, put("title", "earlier"))
    await bench.sleep(0.2)
    await b.edit(record, put("title", "later"))
    await b.synced()
    await a.online()
    assert (await bench.agree(record, a, b))["title"] == "later"


@case("5")
async def what_two_made_with_the_same_key_is_one_record(bench: Bench) -> None:
    """A natural key: the id follows from it, so that both have made the same."""
    a, b = await bench.device("a"), await bench.device("b", "bob")
    await a.synced()
    await b.synced()
    await a.offline()
    await b.offline()
    record = f"answers/{bench.answer_id('why?')}"
    await a.edit(record, create(question="why?", text="because"))
    await b.edit(record, create(question="why?", mark="good"))
    await a.online()
    await b.online()
    fields = await bench.agree(record, a, b)
    assert fields["text"] == "because" and fields["mark"] == "good"
    assert await a.ids("answers") == {record.partition("/")[2]}


@case("5")
async def a_question_waits_with_both_values_until_somebody_answers_it(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one")
    await a.offline()
    await a.edit(record, ask("2.00"))
    await a.edit(record, put("title", "goes through"))
    await peer.edit(record, ask("1.00"))
    await a.online()
    status = await bench.until_name(a, "held")
    assert status["held"] == 1 and status["phrase"] == "Needs your decision (1)"
    assert await a.receipt(record) == "held"
    await a.kill()
    await a.open()
    await bench.until_name(a, "held")
    await bench.in_touch(a)
    items = await a.inbox()
    assert len(items) == 1 and "2.00" in json.dumps(items) and "1.00" in json.dumps(items), items
    fields = await bench.agree(record, a)
    assert fields["price"] == "1.00" and fields["title"] == "goes through"
    await a.resolve(items[0]["id"], apply=True)
    await bench.until_name(a, "saved")
    assert (await bench.agree(record, a))["price"] == "2.00" and not await a.inbox()


@case("5")
async def a_question_can_be_discarded_and_the_other_value_stays(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one")
    await a.offline()
    await a.edit(record, ask("2.00"))
    await peer.edit(record, ask("1.00"))
    await a.online()
    await bench.until_name(a, "held")
    await a.resolve((await a.inbox())[0]["id"], discard=True)
    await bench.until_name(a, "saved")
    assert (await bench.agree(record, a))["price"] == "1.00" and not await a.inbox()


@case("5")
async def an_edit_of_a_record_deleted_meanwhile_is_held_and_not_lost(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="text")
    await a.offline()
    await a.edit(record, typed(4, " and more"))
    await peer.edit(record, delete(), outcome="applied")
    await a.online()
    await bench.until_name(a, "held")
    await a.synced()
    shown = await a.read(record)
    assert shown is None or shown["deleted"], "the record is deleted"
    items = await a.inbox()
    assert len(items) == 1 and " and more" in json.dumps(items), json.dumps(items)
    await peer.edit(record, undelete())
    await a.synced()
    await a.resolve(items[0]["id"], apply=True)
    assert (await bench.agree(record, a))["body"] == "text and more"


@case("5")
async def a_delete_stands_over_edits_it_had_not_seen_and_undelete_returns_them(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="text")
    await a.offline()
    await a.edit(record, delete())
    await peer.edit(record, typed(4, " unseen"))
    await a.online()
    await a.synced()
    stands = await bench.server.record("notes", record.partition("/")[2])
    assert stands is not None and stands["deleted"]
    assert record.partition("/")[2] not in await a.ids("notes")
    await a.edit(record, undelete())
    assert (await bench.agree(record, a))["body"] == "text unseen"


@case("5")
async def an_acknowledged_delete_never_comes_back_by_itself(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="to go")
    await a.edit(record, delete())
    await bench.until_receipt(a, record, "committed")
    await a.kill()
    for _ in range(2):
        await a.open(online=False)
        assert record.partition("/")[2] not in await a.ids("notes")
        await a.online()
        await a.synced()
        assert record.partition("/")[2] not in await a.ids("notes")
        await a.kill()


@case("5")
async def undo_takes_back_the_own_change_and_leaves_the_others_and_redo_brings_it_back(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="middle")
    await a.edit(record, typed(6, " end"))
    await a.synced()
    await peer.edit(record, typed(0, "start "))
    await bench.until_value(a, record, "body", "start middle end")
    await a.undo(record)
    assert await a.value(record, "body") == "start middle"
    assert (await bench.agree(record, a))["body"] == "start middle"
    await a.redo(record)
    assert (await bench.agree(record, a))["body"] == "start middle end"


@case("5")
async def undo_leaves_a_value_alone_that_somebody_else_changed_since(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="")
    await a.edit(record, put("title", "mine"), typed(0, "typed"))
    await a.synced()
    await peer.edit(record, put("title", "theirs"))
    await bench.until_value(a, record, "title", "theirs")
    await a.undo(record)
    fields = await bench.agree(record, a)
    assert fields["title"] == "theirs" and fields["body"] == ""
