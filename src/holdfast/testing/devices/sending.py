"""Cases: from an edit to its receipt. Kept on the device, sent in order, under one id, until it is acknowledged or refused."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.driver import DriverError
from holdfast.testing.devices.faults import Delayed, Late, Results, Rewritten, lose, repeat
from holdfast.testing.devices.ops import add, create, put, typed


@case("9")
async def an_edit_survives_the_end_of_the_program_before_it_was_sent(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one", body="")
    await a.offline()
    await a.edit(record, typed(0, "typed offline"))
    made = [one["mutation_id"] for one in await a.pending()]
    assert await a.receipt(record) == "local" and len(made) == 1
    for _ in range(2):
        await a.kill()
        await a.open(online=False)
        assert await a.value(record, "body") == "typed offline"
        assert [one["mutation_id"] for one in await a.pending()] == made, "its id is kept"
    await a.online()
    await bench.until_receipt(a, record, "committed")
    assert (await bench.agree(record, a))["body"] == "typed offline"
    assert made[0] in {one["mutation_id"] for one in await bench.server.changes()}


@case("1")
async def a_receipt_says_local_then_committed_then_backed_up_and_never_too_early(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    pushes = len(bench.link.of("push", "a"))
    bench.link.when("push", Delayed(1.0), device="a")
    await a.edit(record, put("title", "two"))
    await bench.until_seen("push", a, pushes + 1)
    assert await a.receipt(record) == "local" and await a.name() in ("editing", "saving")
    await bench.until_receipt(a, record, "committed")

    def backed_up(body: Any) -> Any:
        return {**body, "backed_up_seq": body["head"]}

    await bench.sleep(0.1)
    assert await a.receipt(record) == "committed"
    bench.link.when("heartbeat", Rewritten(backed_up), device="a", times=None)
    bench.link.when("changes", Rewritten(backed_up), device="a", times=None)
    await bench.until_receipt(a, record, "backed_up")
    await a.kill()
    await a.open(online=False)
    assert await a.receipt(record) == "backed_up", "it survives a reload"


@case("1")
async def a_save_whose_answer_is_lost_is_sent_again_under_its_id_and_counts_once(bench: Bench) -> None:
    bench.link.no_sockets = True
    a = await bench.device()
    record = await bench.note(a, views=0, body="")
    rule = bench.link.when("pushed", lose, device="a", times=3)
    bench.link.when("changes", Rewritten(lambda body: {**body, "changes": [], "cursor": body["cursor"] if not body["changes"] else before}),
                    device="a", times=None, where=lambda one: rule.hits < 3)
    before = (await bench.server.call("GET", "/v1/pull"))["cursor"]
    await a.edit(record, add("views", 1))
    await bench.until_receipt(a, record, "committed")
    sent = [one["mutation_id"] for one in bench.link.mutations("a") if one["ops"] == [add("views", 1)]]
    assert rule.hits == 3 and len(sent) == 4 and len(set(sent)) == 1, sent
    assert (await bench.agree(record, a))["views"] == 1
    adds = [op for one in await bench.server.changes(record.partition("/")[2]) for op in one["ops"] if op["op"] == "add"]
    assert len(adds) == 1, "once, in the log too"


@case("1")
async def a_save_that_never_arrived_is_sent_again(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, views=0)
    rule = bench.link.when("push", lose, device="a", times=3)
    await a.edit(record, add("views", 1))
    await bench.until_receipt(a, record, "committed")
    assert rule.hits == 3 and (await bench.agree(record, a))["views"] == 1


@case("1")
async def an_end_between_sending_and_the_answer_sends_it_again_and_it_counts_once(bench: Bench) -> None:
    """The server has it; the device was ended before it heard so."""
    gate = asyncio.Event()
    a = await bench.device()
    record = await bench.note(a, views=0, body="")
    pushed = len(bench.link.of("pushed", "a"))
    bench.link.when("pushed", Late(gate), device="a", times=None)
    bench.link.when("changes", Delayed(3_600), device="a", times=1)
    await a.edit(record, add("views", 1))
    await a.edit(record, typed(0, "once"))
    await bench.until_seen("pushed", a, pushed + 1)
    await a.kill()
    bench.link.heal()
    await a.open()
    await a.synced()
    fields = await bench.agree(record, a)
    assert fields["views"] == 1 and fields["body"] == "once"


@case("1")
async def a_push_that_arrives_twice_and_answers_that_come_twice_change_nothing(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, views=0, body="")
    bench.link.when("push", repeat, device="a", times=None)
    bench.link.when("pushed", repeat, device="a", times=None)
    for number in range(6):
        await a.edit(record, add("views", 1))
        await a.edit(record, typed(number, str(number)))
        await bench.sleep(bench.pace.hold_ms_max / 1_000)
    fields = await bench.agree(record, a)
    assert fields["views"] == 6 and fields["body"] == "012345" and not await a.refused()


@case("9")
async def an_answer_that_comes_after_the_change_itself_takes_nothing_back(bench: Bench) -> None:
    """What was pushed comes back as a change before the push is answered."""
    gate = asyncio.Event()
    a = await bench.device()
    record = await bench.note(a, views=0, body="")
    rule = bench.link.when("pushed", Late(gate), device="a")
    await a.edit(record, add("views", 1))
    await a.edit(record, typed(0, "one"))
    await bench.until(lambda: _hit(rule), "the answer is held back")
    await bench.peer().edit(record, typed(0, "two "))
    await bench.until_value(a, record, "body", "two one")
    await a.edit(record, typed(7, "!"))
    gate.set()
    fields = await bench.agree(record, a)
    assert fields["body"] == "two one!" and fields["views"] == 1


async def _hit(rule: Any) -> bool:
    return bool(rule.hits)


@case("9")
async def what_is_typed_while_answers_are_on_their_way_is_never_overwritten(bench: Bench) -> None:
    bench.link.when("pushed", Delayed(0.15), device="a", times=None)
    bench.link.when("changes", Delayed(0.07), device="a", times=None)
    a = await bench.device()
    record = await bench.note(a, body="", title="0")
    text = ""
    for number in range(60):
        await a.edit(record, typed(len(text), chr(97 + number % 26)), put("title", str(number)))
        text += chr(97 + number % 26)
        await bench.sleep(0.05)
        assert await a.value(record, "body") == text and await a.value(record, "title") == str(number)
    assert (await bench.agree(record, a))["body"] == text


@case("9")
async def typing_without_a_pause_is_sent_after_the_longest_wait(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, body="")
    before, began = len(bench.link.of("push", "a")), bench.runtime.monotonic()
    step = bench.pace.hold_ms / 5_000
    for number in range(12 * bench.pace.hold_ms_max // bench.pace.hold_ms):
        await a.edit(record, typed(number, "x"))
        await bench.sleep(step)
    pushes = bench.link.of("push", "a")[before:]
    assert pushes, "nothing was sent while somebody typed"
    slack = 0.1 if bench.setting.virtual else 0.4
    assert pushes[0].at - began <= bench.pace.hold_ms_max / 1_000 + slack, "it waited longer than the longest wait"
    assert len(pushes) <= 2 + (bench.runtime.monotonic() - began) / (bench.pace.hold_ms / 1_000), "it does not gather what belongs together"


@case("9")
async def closing_sends_what_is_unsent(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.edit(record, put("title", "two"))
    await a.close()

    async def there() -> bool:
        return bool(await bench.server_value(record, "title") == "two")

    await bench.until(there, "what was typed last is at the server")


@case("9")
async def a_record_that_is_stuck_never_blocks_another(bench: Bench) -> None:
    a = await bench.device()
    stuck, free = await bench.note(a, title="stuck"), await bench.note(a, title="free")
    stuck_id, asked = stuck.partition("/")[2], list[str]()

    def withhold(body: Any) -> Any:
        asked[:] = [one["mutation_id"] for one in body["mutations"]]
        return {**body, "mutations": [one for one in body["mutations"] if one["record_id"] != stuck_id]}

    def refuse(body: Any) -> Any:
        given = {one["mutation_id"]: one for one in body["results"]}
        error = {"code": "rate", "detail": "Too many at once.", "retry_after": 60}
        return {**body, "results": [given.get(one) or {"mutation_id": one, "outcome": "refused", "receipt": "refused", "error": error}
                                    for one in asked]}

    rules = [bench.link.when("push", Rewritten(withhold), device="a", times=None),
             bench.link.when("pushed", Rewritten(refuse), device="a", times=None)]
    await a.edit(stuck, put("title", "stuck still"))
    await a.edit(free, put("title", "free indeed"))
    await bench.until_receipt(a, free, "committed")
    assert await a.receipt(stuck) == "local" and rules[0].hits
    for rule in rules:
        rule.end()
    await a.retry_now()
    await bench.until_receipt(a, stuck, "committed")
    assert (await bench.agree(stuck, a))["title"] == "stuck still"


@case("3")
async def a_line_that_is_out_of_order_is_sent_again_from_its_first(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, body="", views=0)
    await a.offline()

    rule = bench.link.when("push", Results("out_of_order"), device="a", times=2)
    await a.edit(record, typed(0, "one "))
    await bench.sleep(2.1 if bench.setting.virtual else 0)
    await a.edit(record, typed(4, "two"))
    await a.edit(record, add("views", 1))
    await a.online()
    fields = await bench.agree(record, a)
    assert rule.hits == 2 and fields["body"] == "one two" and fields["views"] == 1 and not await a.refused()


@case("3")
async def a_final_refusal_leaves_the_line_and_what_stands_behind_it_goes_on(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, body="·", title="one")
    await a.offline()
    await a.edit(record, typed(0, "bad "), {"op": "set", "path": "/title", "value": "bad"})
    await bench.sleep(2.1)
    await a.edit(record, typed(4, "good "))
    bad = (await a.pending())[0]["mutation_id"]

    def spoil(body: Any) -> Any:
        return {**body, "mutations": [{**one, "ops": [{"op": "no such op"}]} if one["mutation_id"] == bad else one
                                      for one in body["mutations"]]}

    bench.link.when("push", Rewritten(spoil), device="a", times=None)
    await a.online()
    await bench.until_name(a, "refused")
    refused = await a.refused()
    assert [one["mutation_id"] for one in refused] == [bad] and refused[0]["error"]["code"]
    assert await a.receipt(record) == "refused"
    assert bad in {one["mutation_id"] for one in (await a.export())["mutations"]}, "it can be got out"
    await bench.until_value(a, record, "body", "good ·")
    assert (await bench.agree(record, a))["body"] == "good ·"
    await a.send_again(bad)
    bench.link.heal()
    assert (await bench.agree(record, a))["body"] == "bad good ·"


@case("5")
async def what_is_over_a_limit_is_said_and_blocks_nothing(bench: Bench) -> None:
    a = await bench.device()
    record, other = await bench.note(a, body="short", title="one"), await bench.note(a, title="other")
    over = "x" * 200_001
    try:
        await a.edit(record, typed(0, over))
    except DriverError as error:
        assert error.code == "limit", error
        assert await a.value(record, "body") == "short"
    else:
        await bench.until_name(a, "refused", "held")
    await a.edit(other, put("title", "goes on"))
    await bench.until_receipt(a, other, "committed")
    assert await bench.server_value(record, "body") == "short"


@case("5")
async def a_long_time_offline_goes_out_in_pushes_within_the_limits(bench: Bench) -> None:
    """Many edits, made over a long time, of which the server takes so many at once."""
    a = await bench.device()
    await a.synced()
    await a.offline()
    records = [f"notes/{bench.new_id()}" for _ in range(650)]
    for number, record in enumerate(records):
        await a.edit(record, create(title=str(number), body="x" * (100 if number < 600 else 90_000)))
        if number % 50 == 0 and bench.setting.virtual:
            await bench.sleep(30)
    assert (await a.status())["waiting"] == len(records)
    await a.kill()
    await a.open()
    await a.synced()
    pushes = bench.link.of("push", "a")
    assert len(pushes) > 1
    for one in pushes:
        assert len(one.body["mutations"]) <= 500 and len(one.raw) <= 4 << 20, "a push is over the limit"
    assert {one["record_id"] for one in await bench.server.changes()} >= {one.partition("/")[2] for one in records}
    assert not await a.pending() and not await a.refused()
