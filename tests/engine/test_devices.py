"""What the server knows of devices: P1 (what a device may need is known) and P4 (a device is one person's)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast.core.errors import Forbidden, LimitExceeded, Malformed
from holdfast.core.ops import SetOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.storage.protocol import Device as Known
from tests.engine.world import Device, StillRuntime

Devices = Callable[..., Device]
NewId = Callable[[], str]


async def known(store: Store, device_id: str) -> Known | None:
    async with store.storage.reader() as reader:
        return (await reader.devices_named("acme", [device_id])).get(device_id)


async def test_a_device_that_pushes_is_known_with_its_person_and_times(store: Store, ann: MemberSession, device: Devices, new_id: NewId,
                                                                       runtime: StillRuntime) -> None:
    laptop = device(ann, "laptop")
    await laptop.create("notes", new_id(), {"title": "a"})
    began = runtime.now
    runtime.pass_ms(120_000)
    await laptop.create("notes", new_id(), {"title": "a"})
    found = await known(store, "laptop")
    assert found is not None and (found.actor_id, found.first_seen, found.last_seen) == (ann.actor_id, began, runtime.now)


async def test_a_report_is_kept_and_survives_a_push(store: Store, ann: MemberSession, device: Devices, new_id: NewId,
                                                    runtime: StillRuntime) -> None:
    await store.report_device(ann.caller, "laptop", {"pending": 3, "version": "1"})
    runtime.pass_ms(120_000)
    await device(ann, "laptop").create("notes", new_id(), {"title": "a"})
    found = await known(store, "laptop")
    assert found is not None and (found.report, found.last_seen) == ({"pending": 3, "version": "1"}, runtime.now)


async def test_nobody_reports_for_somebody_elses_device(store: Store, ann: MemberSession, ben: MemberSession) -> None:
    await store.report_device(ann.caller, "laptop", {})
    with pytest.raises(Forbidden):
        await store.report_device(ben.caller, "laptop", {})


async def test_a_report_is_small(store: Store, ann: MemberSession) -> None:
    with pytest.raises(LimitExceeded):
        await store.report_device(ann.caller, "laptop", {"cause": "x" * 10_000})


async def test_how_far_a_device_has_pulled_is_noted_now_and_then(store: Store, ann: MemberSession, device: Devices, new_id: NewId,
                                                                 runtime: StillRuntime) -> None:
    laptop = device(ann, "laptop")
    result = await laptop.create("notes", new_id(), {"title": "a"})
    await store.pull(ann.caller, cursor=None, device_id="laptop")
    await store.ready()
    await store.ready()
    found = await known(store, "laptop")
    assert found is not None and found.cursor == result.seq


async def test_a_pull_in_another_persons_devices_name_changes_nothing(store: Store, ann: MemberSession, ben: MemberSession, device: Devices,
                                                                      new_id: NewId) -> None:
    await device(ann, "laptop").create("notes", new_id(), {"title": "a"})
    await store.pull(ben.caller, cursor=None, device_id="laptop")
    await store.ready()
    await store.ready()
    found = await known(store, "laptop")
    assert found is not None and (found.actor_id, found.cursor) == (ann.actor_id, 0)


@pytest.mark.parametrize("device_id", ["", "a b", "!x", "x" * 65, "ä"])
async def test_what_is_no_device_id_is_malformed(store: Store, ann: MemberSession, device_id: str) -> None:
    with pytest.raises(Malformed):
        await store.push(ann.caller, device_id, [])


async def test_a_clock_that_is_wrong_by_hours_does_not_win(store: Store, ann: MemberSession, ben: MemberSession, device: Devices,
                                                           new_id: NewId,
                                                          runtime: StillRuntime) -> None:
    """The offset of a device's clock is taken out of its stamps, and no stamp is later than the server's time."""
    note, right, wrong = new_id(), device(ann), device(ben)
    await right.create("notes", note, {"title": "a"})
    await right.catch_up()
    await wrong.catch_up()
    runtime.pass_ms(60_000)
    hours = 6 * 3_600_000
    late_edit = wrong.mutation("notes", note, edit("theirs"), edited_at=f"{runtime.now - 5_000 + hours}:0")
    await right.send("notes", note, edit("mine"), edited_at=f"{runtime.now - 1_000}:0")
    await wrong.push(late_edit, now=runtime.now + hours)
    assert (await store.get(ann.caller, "notes", note))["fields"]["title"] == "mine"


def edit(title: str) -> SetOp:
    return SetOp("/title", title)
