"""Cases: a server that is away, busy or in trouble, and what a device says of it."""

from __future__ import annotations

import itertools

from holdfast.testing.devices.bench import Bench
from holdfast.testing.devices.cases import case
from holdfast.testing.devices.faults import Refused
from holdfast.testing.devices.ops import create, put, typed


@case("9")
async def a_busy_server_is_given_the_time_it_asks_for(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    seconds = 30 if bench.setting.virtual else 1
    rule = bench.link.when("push", Refused(503, "overloaded", retry_after=seconds), device="a", times=2)
    before = len(bench.link.of("push", "a"))
    await a.edit(record, put("title", "two"))
    await bench.until_receipt(a, record, "committed")
    tried = [one.at for one in bench.link.of("push", "a")[before:]]
    assert rule.hits == 2 and len(tried) == 3
    assert all(later - earlier >= seconds for earlier, later in itertools.pairwise(tried)), tried
    assert (await bench.agree(record, a))["title"] == "two"


@case("9")
async def a_busy_server_is_given_its_time_by_http_too(bench: Bench) -> None:
    bench.link.no_sockets = True
    a = await bench.device()
    record = await bench.note(a, title="one")
    seconds = 30 if bench.setting.virtual else 1
    rule = bench.link.when("push", Refused(503, "overloaded", retry_after=seconds), device="a", times=2)
    before = len(bench.link.of("push", "a"))
    await a.edit(record, put("title", "two"))
    await bench.until_receipt(a, record, "committed")
    tried = [one.at for one in bench.link.of("push", "a")[before:]]
    assert rule.hits == 2 and all(later - earlier >= seconds for earlier, later in itertools.pairwise(tried)), tried


@case("9")
async def after_three_failed_retries_the_status_is_error_and_retrying_goes_on(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    bench.link.down()
    await a.edit(record, put("title", "two"))
    status = await bench.until_name(a, "error")
    assert status["phrase"].startswith("Not saved") and status["cause"] and status["waiting"] == 1
    assert await a.receipt(record) == "local"
    seen = len(bench.link.seen)

    async def tried() -> bool:
        return len(bench.link.seen) > seen

    await bench.until(tried, "it goes on trying")
    bench.link.up()
    await bench.until_receipt(a, record, "committed")
    await bench.until_name(a, "saved")


@case("9")
async def waits_grow_and_are_drawn_anew_each_time(bench: Bench) -> None:
    """Exponential, with full jitter, never longer than the bound."""
    a = await bench.device()
    record = await bench.note(a, title="one")
    bench.link.down()
    await a.edit(record, put("title", "two"))
    began = len(bench.link.seen)

    async def often() -> bool:
        return len(_tries(bench, began)) >= 11

    await bench.until(often, "it tries again and again", bench.patience * 2)
    tries = _tries(bench, began)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    bound = bench.pace.backoff_ms_max / 1_000
    slack = bench.pace.backoff_ms / 1_000 + 0.3
    for number, wait in enumerate(waits):
        assert wait <= min(bound, bench.pace.backoff_ms / 1_000 * 2 ** (number + 2)) + slack, waits
    assert len({round(wait, 3) for wait in waits}) > 5, f"no jitter: {waits}"
    bench.link.up()
    await a.retry_now()
    await bench.until_receipt(a, record, "committed")


def _tries(bench: Bench, began: int) -> list[float]:
    """When it tried: what it did within a moment is one try."""
    found: list[float] = []
    for one in bench.link.seen[began:]:
        if not found or one.at - found[-1] > 0.002:
            found.append(one.at)
    return found


@case("9")
async def retry_now_does_not_wait(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    rule = bench.link.when("push", Refused(503, "overloaded", retry_after=3_000), device="a")
    await a.edit(record, put("title", "two"))
    await bench.until_seen("push", a, len(bench.link.of("push", "a")) + 1)
    assert rule.hits == 1
    await bench.sleep(0.2)
    await a.retry_now()
    began = bench.runtime.monotonic()
    await bench.until_receipt(a, record, "committed")
    assert bench.runtime.monotonic() - began < 60


@case("9")
async def offline_is_said_with_what_waits_and_never_as_saved(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, title="one")
    await a.offline()
    await a.edit(record, put("title", "two"))
    await a.edit(f"notes/{bench.new_id()}", create(title="another"))
    status = await a.status()
    assert status["name"] == "offline" and status["waiting"] == 2, status
    assert status["phrase"].startswith("Offline") and "saved on this device" in status["phrase"] and "2" in status["phrase"]
    await a.online()
    await bench.until_name(a, "saved")


@case("9")
async def a_server_that_is_restarted_in_the_middle_of_typing_costs_nothing(bench: Bench) -> None:
    a = await bench.device()
    record = await bench.note(a, body="")
    text = ""
    for number in range(30):
        await a.edit(record, typed(len(text), chr(97 + number % 26)))
        text += chr(97 + number % 26)
        if number in (8, 16, 24):
            await bench.server.stop()
        elif number in (12, 20, 28):
            await bench.server.start()
        await bench.sleep(bench.pace.hold_ms / 2_000)
    assert (await bench.agree(record, a))["body"] == text
