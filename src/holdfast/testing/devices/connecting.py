"""Cases: coming into touch and staying in touch. Hello, cursor, snapshot, socket, HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.faults import Instead, Message, Rewritten, half, lose, repeat, swallow
from holdfast.testing.devices.ops import add, create, put, typed


def cursor_of(message: Message) -> Any:
    return message.body["cursor"] if message.way == "socket" else message.query.get("cursor")


@case("8")
async def a_device_names_its_cursor_and_goes_on_from_there(bench: Bench) -> None:
    """No snapshot the second time, and nothing that it has comes again."""
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.kill()
    await bench.peer().edit(record, put("title", "two"))
    snapshots, asked = len(bench.link.of("snapshot", "a")), len(bench.link.seen)
    await a.open()
    await bench.until_value(a, record, "title", "two")
    since = bench.link.seen[asked:]
    assert len(bench.link.of("snapshot", "a")) == snapshots, "it took a snapshot although it had a cursor"
    assert all(cursor_of(one) for one in since if one.kind in ("hello", "pull")), "it named no cursor when it came back"
    told = [change for one in since if one.kind == "changes" for change in one.body["changes"]]
    assert [one["ops"] for one in told] == [[put("title", "two")]], "what it had came again"


@case("8")
async def a_new_device_has_everything_that_it_may_see(bench: Bench) -> None:
    peer = bench.peer()
    records = [f"notes/{bench.new_id()}" for _ in range(30)]
    for number, record in enumerate(records):
        await peer.edit(record, create(title=str(number), body=f"text {number}", views=number))
    a = await bench.device()
    await a.synced()
    assert await a.ids("notes") == {one.partition("/")[2] for one in records}
    for record in (records[0], records[-1]):
        await bench.agree(record, a)


@case("8")
async def an_entry_is_applied_only_if_it_is_newer_than_the_record(bench: Bench) -> None:
    """A snapshot is read in short pages, so a record in it may be newer than its cursor. What was added meanwhile is added once."""
    peer, record = bench.peer(), f"notes/{bench.new_id()}"
    await peer.edit(record, create(views=1, body="a"))
    then = (await bench.server.call("GET", "/v1/pull"))["cursor"]
    await peer.edit(record, add("views", 10))
    await peer.edit(record, typed(1, "b"))

    def older(lines: bytes) -> bytes:
        first, rest = lines.split(b"\n", 1)
        return msgspec.json.encode({**msgspec.json.decode(first), "cursor": then}) + b"\n" + rest

    bench.link.when("lines", Rewritten(older), device="a", times=None)
    a = await bench.device()
    await a.synced()
    fields = await bench.agree(record, a)
    assert fields["views"] == 11 and fields["body"] == "ab"


@case("8")
async def a_snapshot_that_breaks_off_is_taken_to_its_end(bench: Bench) -> None:
    """What came of it stays; nobody believes that it was all."""
    peer = bench.peer()
    records = [f"notes/{bench.new_id()}" for _ in range(40)]
    for record in records:
        await peer.edit(record, create(title=record))
    rule = bench.link.when("lines", half, device="a", times=2)
    a = await bench.device()
    await a.synced()
    assert rule.hits == 2 and await a.ids("notes") == {one.partition("/")[2] for one in records}


@case("8")
async def changes_that_are_cut_off_come_again_and_count_once(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, views=0, body="")
    rule = bench.link.when("changes", lose, device="a", times=3, where=lambda one: bool(one.body and one.body["changes"]))
    for number in range(12):
        await peer.edit(record, add("views", 1))
        await peer.edit(record, typed(number, str(number % 10)))
    await bench.until_value(a, record, "views", 12)
    fields = await bench.agree(record, a)
    assert rule.hits == 3 and fields["body"] == "012345678901"


@case("9")
async def changes_that_are_told_twice_count_once(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, views=0, body="")
    rule = bench.link.when("changes", repeat, device="a", times=None, where=lambda one: bool(one.body and one.body["changes"]))
    for number in range(5):
        await peer.edit(record, add("views", 1))
        await peer.edit(record, typed(number, str(number)))
    await bench.until_value(a, record, "body", "01234")
    assert rule.hits and (await bench.agree(record, a))["views"] == 5


@case("9")
async def an_old_answer_to_a_pull_changes_nothing_that_is_newer(bench: Bench) -> None:
    """A cache on the way answers as it did a while ago."""
    bench.link.no_sockets = True
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="old", views=0)
    await peer.edit(record, put("title", "older"))
    await peer.edit(record, add("views", 1))
    await a.synced()
    stale = next(one for one in reversed(bench.link.of("changes", "a")) if one.body and one.body["changes"])
    await peer.edit(record, put("title", "new"))
    await a.synced()
    before = len(bench.link.of("pull", "a"))
    rule = bench.link.when("pull", Instead(200, stale.raw), device="a", times=3)
    await bench.until_seen("pull", a, before + 4)
    assert rule.hits == 3 and await a.value(record, "title") == "new" and await a.value(record, "views") == 1
    await peer.edit(record, put("title", "newest"))
    await bench.until_value(a, record, "title", "newest")
    assert (await bench.agree(record, a))["views"] == 1


@case("7")
async def a_page_that_shows_nothing_still_moves_the_cursor(bench: Bench) -> None:
    """What is hidden is left out of the feed; a device must not stand still before it, nor show it."""
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="mine")
    for number in range(20):
        await peer.edit(f"drafts/{bench.new_id()}", create(body=f"hidden {number}"))
    await peer.edit(record, put("title", "seen"))
    await bench.until_value(a, record, "title", "seen")
    assert await a.ids("drafts") == set()
    await a.kill()
    await a.open()
    await bench.in_touch(a)
    head = (await bench.server.call("GET", "/v1/pull", query={"limit": "1"}))["head"]
    named = [cursor_of(one) for one in bench.link.of("hello", "a")]
    assert int(str(named[-1]).partition(".")[0]) >= head - 1, f"it stands at {named[-1]}, the log at {head}"


@case("8")
async def where_no_socket_comes_through_it_works_by_http(bench: Bench) -> None:
    bench.link.no_sockets = True
    a = await bench.device()
    record = await bench.note(a, title="by HTTP")
    await bench.peer().edit(record, put("title", "and back"))
    await bench.until_value(a, record, "title", "and back")
    assert bench.link.of("pull", "a") and not bench.link.of("welcome", "a")
    await bench.until_name(a, "saved")


@case("8")
async def it_comes_back_to_the_socket_by_itself(bench: Bench) -> None:
    bench.link.no_sockets = True
    a = await bench.device()
    record = await bench.note(a, title="by HTTP")
    bench.link.no_sockets = False
    await bench.until_seen("welcome", a)
    await a.edit(record, put("title", "by the socket"))
    await bench.until_receipt(a, record, "committed")
    assert any(one.way == "socket" for one in bench.link.of("push", "a"))


@case("8")
async def a_socket_that_has_gone_silent_is_given_up(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    rule = bench.link.when("*", swallow, device="a", way="socket", times=None, where=lambda one: one.side == "to_device")
    await bench.peer().edit(record, put("title", "two"))
    hellos = len(bench.link.of("hello", "a"))
    await bench.until_seen("hello", a, hellos + 1)
    rule.end()
    await bench.until_value(a, record, "title", "two")


@case("8")
async def a_page_that_is_no_answer_of_the_server_is_not_taken_for_one(bench: Bench) -> None:
    """A network that wants to be signed in to first answers everything with a page of its own."""
    bench.link.no_sockets = True
    a = await bench.device()
    record = await bench.note(a, title="one")
    rule = bench.link.when("*", Instead(200, b"<html>Welcome to the hotel</html>", "text/html"), device="a", way="http", times=None)
    await a.edit(record, put("title", "two"))
    before = rule.hits

    async def tried() -> bool:
        return rule.hits >= before + 5

    await bench.until(tried, "it tries again")
    assert await a.receipt(record) == "local" and await a.value(record, "title") == "two"
    rule.end()
    await bench.until_receipt(a, record, "committed")
    assert (await bench.agree(record, a))["title"] == "two"


@case("8")
async def half_an_answer_is_none(bench: Bench) -> None:
    bench.link.no_sockets = True
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, views=0, body="")
    pushed = bench.link.when("pushed", half, device="a", times=2)
    pulled = bench.link.when("changes", half, device="a", times=2, where=lambda one: bool(one.body and one.body["changes"]))
    await a.edit(record, add("views", 1))
    await peer.edit(record, add("views", 10))
    await peer.edit(record, typed(0, "x"))
    await bench.until_value(a, record, "views", 11)
    fields = await bench.agree(record, a)
    assert pushed.hits == pulled.hits == 2 and fields["views"] == 11 and fields["body"] == "x"
