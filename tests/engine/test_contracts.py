"""A store that is opened for a newer contract: P3 (what an older device sends is read, or waits with its reason)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from holdfast import Record, Sensitive, Text, merge, open_store, tenant, upcast
from holdfast.core.ops import CreateOp, SetOp, SpliceOp
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Device

NOTE = "00000000-0000-7000-8000-000000000001"


class First(Record, collection="estimates", access=tenant):
    name: str
    cents: int = 0
    fax: str = ""
    notes: Text = ""
    phone: Sensitive[str] | None = None


class Second(Record, collection="estimates", access=tenant, contract=2, upcasts={1: [
        upcast.rename("name", "title"), upcast.drop("fax"), upcast.convert("cents", lambda cents: f"{cents // 100}.{cents % 100:02d}"),
        upcast.rename("cents", "price"), upcast.rename("phone", "mobile")]}):
    title: str
    price: Annotated[str, merge.ask] = "0.00"
    notes: Text = ""
    mobile: Sensitive[str] | None = None


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Written under the first contract."""
    async with open_store(tmp_path / "data", records=[First]) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        await laptop.create("estimates", NOTE, {"name": "roof", "cents": 1234, "fax": "1", "notes": "hello", "phone": "555"})
        await laptop.set("estimates", NOTE, "/cents", 5678)
        await laptop.set("estimates", NOTE, "/fax", "2")
    return tmp_path / "data"


async def test_rows_are_read_under_the_new_contract(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        found = await ann.get(Second, NOTE)
        assert (found.title, found.price, found.notes, found.mobile) == ("roof", "56.78", "hello", "555")


async def test_so_is_their_history(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        found = await ann.get(Second, NOTE)
        history = await ann.history(found)
        assert [entry["ops"] for entry in history] == [
            [], [{"op": "set", "path": "/price", "value": "56.78"}],
            [{"op": "create", "value": {"title": "roof", "price": "12.34", "notes": "hello", "mobile": "555"}}]]
        assert (await ann.at(found, history[2]["seq"])).price == "12.34"


async def test_an_older_device_pushes_in_the_form_it_knows(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        laptop.after["estimates", NOTE] = "laptop-3"
        laptop._count = 3
        results = [await laptop.send("estimates", NOTE, SetOp("/name", "roof 2"), base=(await ann.get(Second, NOTE)).position),
                   await laptop.send("estimates", NOTE, SetOp("/cents", 100), base=(await ann.get(Second, NOTE)).position),
                   await laptop.send("estimates", NOTE, SetOp("/fax", "3"), base=(await ann.get(Second, NOTE)).position),
                   await laptop.send("estimates", NOTE, SpliceOp("/notes", [(5, 0, "!")]), base=(await ann.get(Second, NOTE)).position)]
        assert [result.outcome for result in results] == ["applied"] * 4
        found = await ann.get(Second, NOTE)
        assert (found.title, found.price, found.notes) == ("roof 2", "1.00", "hello!")


@pytest.mark.parametrize("op", [CreateOp({"name": "x", "cents": "many"}), CreateOp({"name": "x", "unknown": 1})])
async def test_what_does_not_fit_waits_as_old_contract(folder: Path, op: Any) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        result = await Device(store, ann, "phone").send("estimates", NOTE[:-1] + "2", op)
        assert result.outcome == "held" and result.unapplied is not None
        assert {part["reason"] for part in result.unapplied} <= {"old_contract", "invalid"}


async def test_a_device_of_the_future_waits_too(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        result = await Device(store, ann, "phone").send("estimates", NOTE, SetOp("/title", "x"), contract=3,
                                                        base=(await ann.get(Second, NOTE)).position)
        assert result.outcome == "held" and result.unapplied is not None and result.unapplied[0]["reason"] == "old_contract"


async def test_its_pull_says_that_it_must_be_upgraded(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        reply = await store.pull(ann.caller, cursor=None, contracts={"estimates": 1})
        assert reply.upgrade_required == ["estimates"] and {change.collection for change in reply.changes} == {"members"}


async def test_verify_reads_both_contracts(folder: Path) -> None:
    async with open_store(folder, records=[Second]) as store:
        ann = await store.member("acme", "ann@example.org")
        await ann.change(await ann.get(Second, NOTE), title="new")
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings


