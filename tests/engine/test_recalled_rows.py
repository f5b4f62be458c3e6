"""The writer recalls rows that single saves lately asked for instead of reading them, and what it recalls is what stands. Defends P2 (once)
and P3 (never dropped): a save judged upon a row that is no longer so would overwrite somebody's change without a trace."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from holdfast import open_store
from holdfast.core.entry import Row
from holdfast.core.errors import StorageFull
from holdfast.core.ops import SetOp, SpliceOp
from holdfast.engine.committer import Committer
from holdfast.engine.memory import ROW_BYTES_MAX, Rows
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from holdfast.model.keys import new_master_key
from holdfast.storage.protocol import Head
from holdfast.storage.sqlite_batch import SqliteBatch
from tests.engine.recalling import Recalls
from tests.engine.test_random_stories import SeededRuntime
from tests.engine.test_usual import PAGES, Diary, Page, Story
from tests.engine.world import ALL, Device, Secret

HERE, ELSEWHERE = "a" * 64, "b" * 64


class LongerStory(Story):
    """Also with pushes that are not recalled, with changes over REST and with erasing."""

    async def edit(self, device: Device) -> None:
        kind = self.dice.random()
        page = self.dice.choice(PAGES)
        if kind < 0.1:
            self.answers.append(await device.push(*[device.mutation("pages", page, SetOp("/step", step)) for step in range(9)]))
        elif kind < 0.2:
            await device.store.change(device.caller, "pages", page, fields={"title": self.dice.choice("rst")})
        elif kind < 0.23:
            seqs = await self.some_of(device, page) if kind >= 0.21 else None
            await device.store.erase(device.caller, "pages", page, reason="asked for", seqs=seqs)
        else:
            await super().edit(device)

    async def some_of(self, device: Device, page: str) -> list[int]:
        """The newest entries of a record mostly, which others have not seen; or none."""
        entries = (await device.store.history(device.caller, "pages", page, limit=12))["entries"]
        return self.dice.sample([entry["seq"] for entry in entries], min(len(entries), self.dice.choice([0, 1, 2])))


async def told(seed: int, folder: Path | None) -> list[str]:
    """Tell one story; returns what is not as the log says."""
    async with open_store(folder, records=[Page, Diary], mode="inline", runtime=SeededRuntime(seed)) as store:
        ann, ben = [await store.member("acme", f"{name}@example.org", roles={"owner"}) for name in ("ann", "ben")]
        devices = [Device(store, ann, "a1"), Device(store, ann, "a2"), Device(store, ben, "b1")]
        for page in PAGES:
            await devices[0].create("pages", page, {})
            await devices[0].create("diaries", page, {"writer": ann.actor_id})
        await LongerStory(devices, seed).run()
        return [f"{finding.what} {finding.record_id}" for finding in (await verify_tenant(store, "acme")).findings]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_whatever_was_done_what_is_recalled_is_what_stands(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    note(f"replay with told({seed}, folder)")
    with monkeypatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        recalls = Recalls(patch)
        wrong = asyncio.run(told(seed, Path(folder)))
        assert not recalls.wrong
        assert len(recalls.keys) > 30
        assert not wrong


async def saved(store: Store, device: Device, *pages: str) -> None:
    for page in pages:
        assert (await device.send("pages", page, SpliceOp("/body", [(0, 0, "x")]))).outcome == "applied"


async def test_a_save_upon_the_save_before_it_reads_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(tmp_path, records=[Page, Diary], mode="inline", runtime=SeededRuntime(1)) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        device = Device(store, ann, "a1")
        await device.create("pages", PAGES[0], {})
        read: list[Any] = []
        rows = SqliteBatch.rows

        async def counted(batch: SqliteBatch, tenant: str, keys: Any) -> Any:
            read.extend(keys)
            return await rows(batch, tenant, keys)

        monkeypatch.setattr(SqliteBatch, "rows", counted)
        await saved(store, device, *[PAGES[0]] * 5)
        assert read == [], "neither the record's nor the member's"


async def test_after_a_commit_that_failed_everything_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(tmp_path, records=[Page, Diary], mode="inline", runtime=SeededRuntime(1)) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        device = Device(store, ann, "a1")
        await device.create("pages", PAGES[0], {})
        recalls = Recalls(monkeypatch)
        await saved(store, device, PAGES[0])
        assert recalls.keys

        async def full(batch: SqliteBatch, writes: Any) -> None:
            raise StorageFull("The disk is full.")

        with monkeypatch.context() as patch, pytest.raises(StorageFull):
            patch.setattr(SqliteBatch, "write", full)
            await device.store.change(device.caller, "pages", PAGES[0], fields={"title": "not kept"})
        recalls.keys.clear()
        await saved(store, device, PAGES[0])
        assert not recalls.keys
        assert isinstance(store.gate, Committer)


async def test_sensitive_values_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recalls = Recalls(monkeypatch)
    async with open_store(tmp_path, records=[*ALL, Secret], mode="inline", runtime=SeededRuntime(1),
                          master_keys=new_master_key(SeededRuntime(2).random_bytes)) as store:
        ann = await store.member("acme", "ann@example.org", roles={"owner"})
        laptop = Device(store, ann, "laptop")
        await laptop.create("secrets", PAGES[0], {"phone": "123"})
        for number in range(3):
            await laptop.set("secrets", PAGES[0], "/phone", str(number))
        assert {collection for collection, _ in recalls.keys} == {"members"} and not recalls.wrong


def row(text: str = "") -> Row:
    return Row(collection="pages", id="p", fields={"body": text})


def test_what_was_remembered_counts_only_while_the_log_ends_where_it_ended() -> None:
    rows = Rows()
    rows.put(rows.at(Head("acme", 5, HERE)), ("acme", "pages", "p"), row(), ())
    assert rows.get(rows.at(Head("acme", 5, HERE)), ("acme", "pages", "p")) is not None
    for head in (Head("acme", 5, ELSEWHERE), Head("acme", 6, HERE), Head("acme", 4, HERE), Head("acme", 5, HERE)):
        assert rows.get(rows.at(head), ("acme", "pages", "p")) is None, "once doubted, it is read again"


def test_what_is_remembered_is_bounded_and_the_one_asked_for_longest_ago_goes_first() -> None:
    rows = Rows(count_max=3, bytes_max=100_000)
    standing = rows.at(Head("acme", 1, HERE))
    for name in "abc":
        rows.put(standing, ("acme", "pages", name), row(), ())
    assert rows.get(standing, ("acme", "pages", "a")) is not None
    rows.put(standing, ("acme", "pages", "d"), row(), ())
    assert [name for name in "abcd" if ("acme", "pages", name) in rows] == ["a", "c", "d"]
    rows.put(standing, ("acme", "pages", "d"), row("x" * 60_000), ())
    rows.put(standing, ("acme", "pages", "e"), row("x" * 60_000), ())
    assert len(rows) == 1 and rows.size_bytes < 100_000
    rows.put(standing, ("acme", "pages", "e"), row("x" * ROW_BYTES_MAX), ())
    assert len(rows) == 0 and rows.size_bytes == 0, "a large one is not remembered, and the older one of it neither"
    rows.clear()
    assert rows.get(standing, ("acme", "pages", "a")) is None
