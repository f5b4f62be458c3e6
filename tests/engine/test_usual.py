"""The usual save, decided from what the writer remembers, ends in the very entry that the general way makes. Defends P2 (once) and P3
(never dropped): a short cut past the log must not overlook a duplicate, a gap in a device's line, or somebody else's change."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from holdfast import Json, Record, Text, open_store, own, tenant
from holdfast.core.entry import Mutation
from holdfast.core.errors import HoldfastError
from holdfast.core.ops import CreateOp, DeleteOp, Op, SetOp, SpliceOp, UndeleteOp
from holdfast.engine import judge
from holdfast.engine.usual import decide_usual
from tests.engine.test_random_stories import SeededRuntime
from tests.engine.world import Device

PAGES = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(2)]
STEPS = 60


class Page(Record, collection="pages", access=tenant):
    title: str = ""
    step: int = 0
    body: Text = ""
    plan: Json = {}


class Diary(Record, collection="diaries", read=own("writer") | tenant, write=own("writer")):
    writer: str
    body: Text = ""


class Story:
    """Two people with three devices; mostly each goes on where it stopped."""

    def __init__(self, devices: list[Device], seed: int) -> None:
        self.dice = random.Random(seed)
        self.devices = devices
        self.sent: list[tuple[Device, Mutation]] = []
        self.answers: list[Any] = []

    async def run(self) -> None:
        for _ in range(STEPS):
            device = self.dice.choice([*self.devices[:1] * 6, *self.devices])
            kind = self.dice.random()
            try:
                if kind < 0.75:
                    await self.edit(device)
                elif kind < 0.92:
                    await device.pull()
                elif kind < 0.97 and self.sent:
                    device, mutation = self.dice.choice(self.sent)
                    self.answers.append(await device.push(mutation))
                else:
                    await device.store.undo(device.caller, "pages", self.dice.choice(PAGES), device_id=device.id)
            except HoldfastError as error:
                self.answers.append(error.code)
            device.store.runtime.pass_ms(self.dice.choice([0, 1, 90_000]))  # type: ignore[attr-defined]

    async def edit(self, device: Device) -> None:
        mutations = []
        for _ in range(self.dice.choice([1, 1, 3])):
            mutations.append(self.mutation(device))
            self.sent.append((device, mutations[-1]))
        reply = await device.push(*mutations, now=self.dice.choice([None, 1_800_000_500_000]))
        self.answers.append(reply)
        for mutation, result in zip(mutations, reply.results, strict=True):
            key = (mutation.collection, mutation.record_id)
            if result.outcome == "refused" and mutation.after is not None:
                device.after[key] = mutation.after
            elif result.outcome == "refused":
                device.after.pop(key, None)
            elif result.position and self.dice.random() < 0.3:
                device.base[key] = result.position      # as if it had heard of its own entry

    def mutation(self, device: Device) -> Mutation:
        dice = self.dice
        collection = dice.choice(["pages", "pages", "diaries"]) if device.id != "b1" else "pages"
        op: Op = dice.choice([
            SetOp("/title", dice.choice("abc")), SetOp("/step", dice.choice([1, 2, 2.0])), SetOp("/plan", {"a": dice.choice([1, 1.0])}),
            SetOp("/plan/a", 1), SpliceOp("/body", [(0, 0, dice.choice("xyz"))]), SpliceOp("/body", [(0, 0, dice.choice("XYZ"))]),
            SpliceOp("/body", [(0, dice.choice([0, 1]), "")]), SpliceOp("/body", [(0, 0, "q"), (1, 0, "r")]), SetOp("/body", "anew")])
        if dice.random() < 0.03:
            op = SetOp("/step", "x")
        if dice.random() < 0.03:
            op = dice.choice([DeleteOp(), UndeleteOp(), CreateOp({"writer": device.caller.actor_id} if collection == "diaries" else {})])
        more: dict[str, Any] = {} if dice.random() < 0.5 else {"edited_at": f"{1_800_000_000_000 + dice.randrange(-9_000, 9_000)}:0"}
        if dice.random() < 0.02:
            more["after"] = "never-sent"
        if dice.random() < 0.03:
            more["base"] = dice.choice(["3.00000000", "900.aaaaaaaa", None])
        mine = [mutation.mutation_id for sender, mutation in self.sent if sender is device]
        more["mutation_id"] = dice.choice(mine) if mine and dice.random() < 0.05 else f"m{len(mine)}"     # two devices may use one id
        return device.mutation(collection, dice.choice(PAGES), op, atomic=dice.random() < 0.03, **more)


async def told(seed: int) -> tuple[list[Any], list[Any]]:
    """Tell one story in memory: every answer, and every entry."""
    async with open_store(None, records=[Page, Diary], mode="inline", runtime=SeededRuntime(seed)) as store:
        ann, ben = [await store.member("acme", f"{name}@example.org", roles={"owner"}) for name in ("ann", "ben")]
        devices = [Device(store, ann, "a1"), Device(store, ann, "a2"), Device(store, ben, "b1")]
        for page in PAGES:
            await devices[0].create("pages", page, {})
            await devices[0].create("diaries", page, {"writer": ann.actor_id})
        story = Story(devices, seed)
        await story.run()
        async with store.storage.reader() as reader:
            return story.answers, await reader.entries("acme", after=0, limit=10_000)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_story_ends_in_the_very_same_log_without_the_short_cut(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    note(f"replay with told({seed})")
    with_it = asyncio.run(told(seed))
    with monkeypatch.context() as patch:
        patch.setattr(judge, "decide_usual", lambda *given: None)
        assert asyncio.run(told(seed)) == with_it


async def test_a_device_that_goes_on_where_it_stopped_saves_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []

    def counted(*given: Any) -> Any:
        decision = decide_usual(*given)
        taken.append(decision is not None)
        return decision

    monkeypatch.setattr(judge, "decide_usual", counted)
    async with open_store(None, records=[Page, Diary], mode="inline", runtime=SeededRuntime(1)) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        device = Device(store, ann, "a1")
        await device.create("pages", PAGES[0], {})
        await device.create("diaries", PAGES[0], {"writer": ann.actor_id})
        taken.clear()
        for step in range(5):
            await device.push(device.mutation("pages", PAGES[0], SetOp("/step", step)),
                              device.mutation("diaries", PAGES[0], SpliceOp("/body", [(0, 0, "x")])))
            await device.pull()
    assert taken == [True] * 10
