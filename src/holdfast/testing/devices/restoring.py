"""Cases: a server with another history, another contract, a copied store, and two windows on one store."""

from __future__ import annotations

from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.driver import DriverError
from holdfast.testing.devices.faults import swallow
from holdfast.testing.devices.ops import add, create, put, typed


@case("3")
async def a_server_put_back_to_a_backup_gets_the_work_back(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one", body="before", views=1)
    await bench.server.back_up()
    await a.synced()
    other = f"notes/{bench.new_id()}"
    await a.edit(record, typed(6, " after"), add("views", 1))
    await a.edit(other, create(title="made after the backup"))
    await a.synced()
    await a.edit(record, put("title", "two"))
    await a.synced()
    await bench.server.put_back()
    assert await bench.server_value(record, "body") == "before"
    fields = await bench.agree(record, a)
    assert (fields["title"], fields["body"], fields["views"]) == ("two", "before after", 2)
    assert (await bench.agree(other, a))["title"] == "made after the backup"


@case("3")
async def others_work_that_a_restored_server_lacks_is_taken_off_and_the_own_stays_whole(bench: Bench) -> None:
    """What the own work was made upon may be gone; it is carried over."""
    a, peer = await bench.device(), bench.peer()
    record = await bench.note(a, title="one", body="text")
    await bench.server.back_up()
    await a.synced()
    await peer.edit(record, typed(0, "theirs "), put("status", "done"))
    await bench.until_value(a, record, "body", "theirs text")
    await a.edit(record, typed(11, " mine"))
    await a.synced()
    await bench.server.put_back()
    fields = await bench.agree(record, a)
    assert fields["body"] == "text mine" and fields["status"] == "open"


@case("3")
async def a_server_put_back_to_just_where_the_device_stands_is_found_out(bench: Bench) -> None:
    """It lacks only what it acknowledged, and looks like the same server."""
    a = await bench.device()
    record = await bench.note(a, title="one", body="")
    await bench.server.back_up()
    await a.synced()
    rules = [bench.link.when(kind, swallow, device="a", times=None) for kind in ("changes", "heartbeat")]
    await a.edit(record, typed(0, "acknowledged"))
    await bench.until_receipt(a, record, "committed")
    await a.kill()
    for rule in rules:
        rule.end()
    await bench.server.put_back()
    await a.open()
    await bench.in_touch(a)
    assert (await bench.agree(record, a))["body"] == "acknowledged"


@case("3")
async def work_made_while_a_server_was_being_restored_arrives_as_well(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, body="0")
    await bench.server.back_up()
    await a.synced()
    await a.edit(record, typed(1, "1"))
    await a.synced()
    await a.offline()
    await a.edit(record, typed(2, "2"))
    await bench.server.put_back()
    await a.edit(record, typed(3, "3"))
    await a.online()
    assert (await bench.agree(record, a))["body"] == "0123"


@case("4")
async def a_device_of_yesterdays_contract_still_pushes_and_is_told_to_move_on(bench: Bench) -> None:
    a = await bench.device()
    await a.synced()
    card, note = f"cards/{bench.new_id()}", f"notes/{bench.new_id()}"
    await a.edit(card, create(title="one", body="text"))
    await a.synced()
    await a.offline()
    await a.edit(card, put("title", "two"), typed(4, " more"))
    await bench.server.upgrade()
    await a.edit(note, create(title="beside it"))
    await a.online()
    await bench.until_receipt(a, card, "committed")
    await bench.until_receipt(a, note, "committed")
    stands = await bench.server.record("cards", card.partition("/")[2])
    assert stands is not None and stands["fields"]["heading"] == "two" and stands["fields"]["body"] == "text more"
    assert await a.value(card, "title") == "two" and not await a.refused()


@case("4")
async def a_newer_program_takes_over_what_the_older_one_kept(bench: Bench) -> None:
    """A week in which the contract moved on: unsent work is read under the new one."""
    a = await bench.device()
    await a.synced()
    card, unsent = f"cards/{bench.new_id()}", f"cards/{bench.new_id()}"
    await a.edit(card, create(title="one", body="text"))
    await a.synced()
    await a.offline()
    await a.edit(card, put("title", "two"))
    await a.edit(unsent, create(title="new", body="·"))
    await a.kill()
    await bench.server.upgrade()
    await a.open(contract=2, online=False)
    assert await a.value(card, "heading") == "two" and await a.value(unsent, "heading") == "new"
    await a.online()
    await a.synced()
    assert (await bench.agree(card, a))["heading"] == "two"
    assert (await bench.agree(unsent, a))["heading"] == "new"
    await a.kill()
    try:
        await a.open(contract=1)
    except DriverError as error:
        assert error.code, error
    else:
        raise AssertionError("an older program opened what a newer one wrote, and said nothing")


@case("3")
async def a_copied_store_becomes_a_device_of_its_own(bench: Bench) -> None:
    """Two devices under one id are one line of edits that forks: the second to come takes a new id, and nothing is lost or doubled."""
    a = await bench.device("a")
    record = await bench.note(a, body="·", views=0)
    await a.kill()
    b = await bench.copy(a, "twin")
    await a.open()
    await b.open(online=False)
    assert b.id == a.id
    await a.edit(record, typed(0, "first "), add("views", 1))
    await a.synced()
    await b.edit(record, typed(1, " second"), add("views", 10))
    await b.online()
    fields = await bench.agree(record, a, b)
    assert fields["body"] == "first · second" and fields["views"] == 11, fields
    ids = {one["device_id"] for one in await bench.server.changes(record.partition("/")[2])}
    assert len(ids) == 2, "the twin kept the id"


@case("9")
async def two_windows_on_one_store_are_one_device(bench: Bench) -> None:
    """Each may write; each sees what the other wrote; on the wire it is one line of edits."""
    a = await bench.device("a")
    record = await bench.note(a, body="", views=0)
    second = await bench.device("a", window="a, second window")
    assert second.id == a.id
    for number in range(10):
        window = (a, second)[number % 2]
        shown = str(await window.value(record, "body"))
        assert len(shown) == number, "each sees at once what the other has kept"
        await window.edit(record, typed(number, str(number)), add("views", 1))
    fields = await bench.agree(record, a, second)
    assert fields["body"] == "0123456789" and fields["views"] == 10
    assert not await a.refused() and {one["device_id"] for one in await bench.server.changes(record.partition("/")[2])} == {a.id}


@case("9")
async def when_the_window_that_sends_is_ended_another_one_goes_on(bench: Bench) -> None:
    a = await bench.device("a")
    record = await bench.note(a, body="")
    second = await bench.device("a", window="a, second window")
    await second.synced()
    await a.edit(record, typed(0, "left behind"))
    await a.kill()
    await second.edit(record, typed(11, ", and found"))
    await bench.until_receipt(second, record, "committed")
    assert (await bench.agree(record, second))["body"] == "left behind, and found"
