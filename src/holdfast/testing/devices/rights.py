"""Cases: whose the work is. Sign-in, sign-out, rights that come and go, another person on the same device."""

from __future__ import annotations

import json

from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.driver import DriverError
from holdfast.testing.devices.ops import create, put, typed


@case("9")
async def an_expired_sign_in_stops_sending_and_not_typing(bench: Bench) -> None:
    seconds = 30.0 if bench.setting.virtual else 1.5
    token = await bench.server.token("ada", "a", seconds)
    a = await bench.device(token=token)
    record = await bench.note(a, title="one", body="")
    await bench.sleep(seconds + 0.5)
    for number in range(5):
        await a.edit(record, typed(number, str(number)))
        await bench.sleep(bench.pace.hold_ms / 1_000)
    assert await a.value(record, "body") == "01234" and await a.receipt(record) == "local"
    assert await bench.server_value(record, "body") == "", "nothing is saved under a sign-in that ended"
    status = await a.status()
    assert status["name"] in ("offline", "error", "saving", "editing") and status["waiting"] >= 1
    await a.sign_in(await bench.server.token("ada", "a"))
    await bench.until_receipt(a, record, "committed")
    assert (await bench.agree(record, a))["body"] == "01234"


@case("7")
async def signing_out_with_unsent_work_says_so_and_can_keep_it(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.offline()
    await a.edit(record, put("title", "unsent"))
    try:
        await a.sign_out("ask")
    except DriverError as error:
        assert error.code == "state", error
    else:
        raise AssertionError("it signed out although something was unsent")
    assert await a.value(record, "title") == "unsent" and len((await a.export())["mutations"]) == 1
    await a.sign_out("keep")
    await a.kill()
    await a.open()
    await a.synced()
    assert (await bench.agree(record, a))["title"] == "unsent"


@case("7")
async def signing_out_with_nothing_unsent_leaves_nothing_behind(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.sign_out("ask")
    assert await a.read(record) is None and await a.ids("notes") == set()


@case("7")
async def unsent_work_that_is_discarded_at_signing_out_is_gone(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.offline()
    await a.edit(record, put("title", "unsent"))
    await a.sign_out("discard")
    assert not await a.pending() and await a.read(record) is None
    await a.kill()
    await a.open()
    await a.synced()
    assert (await bench.agree(record, a))["title"] == "one"


@case("7")
async def another_person_on_the_same_device_never_sends_what_is_not_theirs(bench: Bench) -> None:
    a = await bench.device()
    await a.synced()
    await a.offline()
    record = f"drafts/{bench.new_id()}"
    await a.edit(record, create(body="ada's"))
    await a.kill()
    other = bench.again(a, person="bob")
    try:
        await other.open()
        await bench.sleep(120 if bench.setting.virtual else 1)
        await other.kill()
    except DriverError as error:
        assert error.code == "forbidden", error
    assert await bench.server.record("drafts", record.partition("/")[2]) is None
    sent = json.dumps([one["record_id"] for one in bench.link.mutations("a")])
    assert record.partition("/")[2] not in sent, "ada's work was sent under bob's name"
    await a.open()
    await bench.until_receipt(a, record, "committed")
    mine = await bench.server.call("GET", f"/v1/records/{record}", person="ada")
    assert mine["fields"]["body"] == "ada's"


@case("7")
async def a_right_to_write_that_is_withdrawn_holds_what_was_queued(bench: Bench) -> None:
    a = await bench.device()
    await a.synced()
    record = f"reports/{bench.new_id()}"
    await a.edit(record, create(title="one", body="text"))
    await a.synced()
    await a.offline()
    await a.edit(record, typed(4, " and more"))
    await bench.server.member("ada", roles=["reader"])
    await a.online()
    await bench.until_name(a, "held")
    assert await bench.server_value(record, "body") == "text"
    items = await a.inbox()
    assert len(items) == 1 and " and more" in json.dumps(items), json.dumps(items)

    async def gone() -> bool:
        return await a.read(record) is None

    await bench.until(gone, "what ada may no longer see is forgotten")
    await bench.server.member("ada", roles=["editor"])
    await bench.until_value(a, record, "body", "text")
    await a.resolve(items[0]["id"], apply=True)
    assert (await bench.agree(record, a))["body"] == "text and more"


@case("7")
async def what_comes_into_view_appears_and_what_leaves_it_goes(bench: Bench) -> None:
    a, peer = await bench.device(), bench.peer("bob")
    await bench.server.member("ada", roles=["reader"])
    record = f"reports/{bench.new_id()}"
    await peer.edit(record, create(title="secret", body="before"))
    await peer.edit(record, typed(6, " and then"))
    await a.synced()
    assert await a.read(record) is None
    await bench.server.member("ada", roles=["editor"])
    await bench.until_value(a, record, "body", "before and then")
    await bench.server.member("ada", roles=["reader"])

    async def gone() -> bool:
        return await a.read(record) is None

    await bench.until(gone, "it is forgotten")


@case("7")
async def a_member_who_is_removed_keeps_the_unsent_work_and_sends_it_when_back(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one", body="")
    await bench.server.remove("ada")
    await bench.sleep(1)
    await a.edit(record, typed(0, "typed without a right"))
    await bench.sleep(30 if bench.setting.virtual else 1)
    assert await a.value(record, "body") == "typed without a right" and await bench.server_value(record, "body") == ""
    await bench.server.member("ada")
    await a.retry_now()
    await bench.until(lambda: _there(bench, record), "what was typed meanwhile is at the server")
    await bench.agree(record, a)


async def _there(bench: Bench, record: str) -> bool:
    return bool(await bench.server_value(record, "body") == "typed without a right")
