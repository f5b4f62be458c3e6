"""Sensitive values: plain for those with the right, sealed wherever the server stores them (P4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import Record, Sensitive, open_store, role
from holdfast.app import App, Context, action
from holdfast.core.errors import HoldfastError, UnsafeSettings
from holdfast.core.ops import CreateOp, SetOp
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from holdfast.model.keys import new_master_key
from tests.engine.world import ALL, Device, Secret, StillRuntime

NewId = Callable[[], str]

SPOKEN = "a phrase that is nowhere else"


@action("tell")
async def tell(ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    secret = await ctx.get(Secret, args["id"])
    ctx.change(secret, label="told")
    return {"phone": secret.phone}


APP = App("vault", records=[*ALL, Secret], actions=[tell])


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_no_file_holds_one_in_plain_after_saving_editing_conflict_undo_and_failure(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with open_store(folder, apps=[APP], runtime=StillRuntime()) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop, phone = Device(store, ann, "laptop"), Device(store, ann, "phone")
        secret = await ann.create(Secret(label="x", phone=f"{SPOKEN} 1", file={"who": f"{SPOKEN} 2"}, price=f"{SPOKEN} 3"))
        await laptop.catch_up()
        await phone.catch_up()
        await laptop.set("secrets", secret.id, "/price", f"{SPOKEN} 4")
        assert (await phone.set("secrets", secret.id, "/price", f"{SPOKEN} 5")).outcome == "held"
        await laptop.set("secrets", secret.id, f"/file/{SPOKEN} 6", f"{SPOKEN} 7")
        assert (await laptop.set("secrets", secret.id, "/phone", {"not": f"{SPOKEN} 8"})).outcome == "held"
        await ann.undo(await ann.change(await ann.get(Secret, secret.id), phone=f"{SPOKEN} 9"))
        await ann.call("vault.tell", id=secret.id)
        await ann.delete(await ann.get(Secret, secret.id))
        ben = await store.member("acme", "ben@example.org", roles=set())
        assert (await Device(store, ben, "tablet").set("secrets", secret.id, "/phone", f"{SPOKEN} 10")).outcome == "held"
        await Device(store, ann, "tv").create("secrets", "00000000-0000-7000-8000-0000000000aa", {"phone": f"{SPOKEN} 11"})
        assert SPOKEN.encode() not in everything_in(folder)
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings
    assert SPOKEN.encode() not in everything_in(folder)


async def test_they_are_plain_for_those_with_the_right(store: Store, ann: MemberSession, new_id: NewId) -> None:
    secret = await ann.create(Secret(label="x", phone="555", file={"a": [1]}))
    assert (secret.phone, secret.file) == ("555", {"a": [1]})
    changed = await ann.change(secret, phone="556")
    assert [(await ann.at(secret, rev)).phone for rev in (secret.rev, changed.rev)] == ["555", "556"]
    history = await ann.history(secret)
    assert history[0]["undo"] == [{"op": "set", "path": "/phone", "value": "555"}]
    pulled = await Device(store, ann, "laptop").pull()
    assert any(isinstance(op, SetOp) and op.value == "556" for change in pulled.changes for op in change.ops)
    snapshot = [line async for line in store.snapshot(ann.caller, collections=["secrets"])]
    assert snapshot[1]["fields"]["phone"] == "556"


async def test_both_values_of_a_question_are_plain_in_the_inbox(store: Store, ann: MemberSession) -> None:
    secret = await ann.create(Secret(label="x"))
    laptop, phone = Device(store, ann, "laptop"), Device(store, ann, "phone")
    await laptop.catch_up()
    await phone.catch_up()
    await laptop.set("secrets", secret.id, "/price", "ten")
    held = await phone.set("secrets", secret.id, "/price", "twenty")
    assert held.inbox_id is not None
    part = (await store.inbox_item(ann.caller, held.inbox_id))["parts"][0]
    assert part["op"]["value"] == "twenty"
    await ann.apply(held.inbox_id)
    assert (await ann.get(Secret, secret.id)).price == "twenty"


async def test_a_repeated_mutation_is_known_again_and_an_error_tells_no_value(store: Store, ann: MemberSession, new_id: NewId) -> None:
    laptop, secret = Device(store, ann, "laptop"), new_id()
    create = laptop.mutation("secrets", secret, CreateOp({"label": "x", "phone": SPOKEN}))
    assert [(await laptop.push(create)).results[0].outcome for _ in range(2)] == ["applied", "duplicate"]
    other = await laptop.push(laptop.mutation("secrets", secret, CreateOp({"label": "x", "phone": SPOKEN + "!"}),
                                              mutation_id=create.mutation_id, after=None))
    assert other.results[0].outcome == "refused" and SPOKEN not in str(other)
    with pytest.raises(HoldfastError) as error:
        await store.change(ann.caller, "secrets", secret, fields={"phone": {"x": SPOKEN}})
    assert SPOKEN not in str(error.value) and SPOKEN not in str(error.value.extra)


async def test_a_reply_that_was_stored_is_plain_for_its_caller(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", apps=[APP]) as store:
        ann = await store.member("acme", "ann@example.org")
        secret = await ann.create(Secret(label="x", phone="555"))
        for outcome in ("applied", "duplicate"):
            answer = await store.action(ann.caller, "vault.tell", {"id": secret.id}, mutation_id="m")
            assert (answer["outcome"], answer["reply"]) == (outcome, {"phone": "555"})


async def test_another_master_key_opens_nothing(tmp_path: Path) -> None:
    keys = [new_master_key(lambda count, byte=byte: bytes([byte]) * count) for byte in (1, 2)]  # type: ignore[misc]
    async with open_store(tmp_path / "data", records=[Secret], master_keys=keys[0]) as store:
        ann = await store.member("acme", "ann@example.org")
        secret = await ann.create(Secret(label="x", phone="555"))
    assert not (tmp_path / "data" / "master.key").exists()
    async with open_store(tmp_path / "data", records=[Secret], master_keys=keys[1]) as store:
        with pytest.raises(UnsafeSettings):
            await store.get(ann.caller, "secrets", secret.id)
    async with open_store(tmp_path / "data", records=[Secret], master_keys=f"{keys[1]} {keys[0]}") as store:
        assert (await store.get(ann.caller, "secrets", secret.id))["fields"]["phone"] == "555"


async def test_without_a_given_key_one_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Secret]):
        pass
    path = tmp_path / "data" / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    async with open_store(tmp_path / "data", records=[Secret]):
        pass
    assert path.read_bytes() == before


async def test_an_organisation_made_before_anything_was_sensitive_gets_its_key(tmp_path: Path) -> None:
    class Plain(Record, collection="patients", access=role("owner")):
        phone: str | None = None

    class Sealed(Record, collection="patients", access=role("owner"), contract=2, upcasts={1: []}):
        phone: Sensitive[str] | None = None

    async with open_store(tmp_path / "data", records=[Plain]) as store:
        ann = await store.member("acme", "ann@example.org")
        old = await ann.create(Plain(phone="555"))
    async with open_store(tmp_path / "data", records=[Sealed]) as store:
        again = await store.member("acme", "ann@example.org")
        assert (await again.get(Sealed, old.id)).phone == "555"
        await again.create(Sealed(phone=SPOKEN))
        assert SPOKEN.encode() not in everything_in(tmp_path / "data")
