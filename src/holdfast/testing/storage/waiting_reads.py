"""What waits for a person, and what a device has not seen, is kept beside the log (P3 Never dropped)."""

from __future__ import annotations

from typing import Any

from holdfast.core.entry import HeldText, Item, Unapplied, Waiting
from holdfast.core.facts import Context
from holdfast.core.ops import SetOp
from holdfast.storage.protocol import Storage
from holdfast.testing.storage.samples import TENANT, Log, an_id
from holdfast.testing.storage.subject import Subject

__all__ = ["WaitingCases"]


def _item(opened: int, record: str, *, device: str = "phone", actor: str = "me", refs: tuple[str, ...] = (), **fields: Any) -> Item:
    parts = [Unapplied(reason="missing_ref", path="/project", waits=True, ref=("projects", an_id(name)), held_by=opened) for name in refs]
    parts = parts or [Unapplied(reason="conflict", op=SetOp("/cost", "1.00"), waits=True)]
    return Item(**{"id": str(opened), "device_id": device, "actor_id": an_id(actor), "collection": "tasks", "record_id": an_id(record),
                   "opened": opened, "last": opened, "parts": parts, "seqs": [opened], "bytes": 10 * opened, **fields})


class WaitingCases(Subject):
    async def _items(self, storage: Storage) -> tuple[Log, list[Item]]:
        held = HeldText(seq=3, back=3, change=[2, "x", -1], waiting=[Waiting(2, "laptop", ["y"])])
        items = [
            _item(3, "a", base=1, texts={"notes": [held]}, opened_at=99),
            _item(20, "b", actor="you"), _item(7, "b", device="laptop", refs=("p", "q")),
            _item(11, "c", assigned_to=an_id("you"), refs=("q",)),
        ]
        log = Log()
        for _ in range(20):
            log.add()
        await log.save(storage, items=items)
        return log, sorted(items, key=lambda item: item.opened)

    async def test_contexts_are_kept_replaced_and_removed(self) -> None:
        async with self.opened() as storage:
            log, key, other = Log(), ("phone", "tasks", an_id("a")), ("laptop", "tasks", an_id("a"))
            first, second = Context({"notes": [Waiting(3, "laptop", [1, "x", -2])]}, 3), Context({}, 9)
            log.add()
            await log.save(storage, contexts={key: first, other: second})
            async with storage.reader() as reader:
                assert await reader.contexts(TENANT, [key, other, ("tablet", "tasks", an_id("a"))]) == {key: first, other: second}
                assert await reader.contexts("nobody", [key]) == {}
            log.add()
            await log.save(storage, contexts={key: second, other: None})
            async with storage.reader() as reader:
                assert await reader.contexts(TENANT, [key, other]) == {key: second}

    async def test_open_items_by_device_and_record_and_by_id(self) -> None:
        async with self.opened() as storage:
            _, items = await self._items(storage)
            keys = [(item.device_id, item.collection, item.record_id) for item in items]
            async with storage.reader() as reader:
                assert await reader.items(TENANT, [*keys, ("tablet", "tasks", an_id("a"))]) == dict(zip(keys, items, strict=True))
                assert [await reader.item(TENANT, item.id) for item in items] == items
                for unheard in ("4", "x", "", "-3", "03", "9" * 30):
                    assert await reader.item(TENANT, unheard) is None
                assert await reader.item("nobody", items[0].id) is None

    async def test_the_inbox_goes_by_the_order_of_opening(self) -> None:
        async with self.opened() as storage:
            _, items = await self._items(storage)
            async with storage.reader() as reader:
                assert await reader.inbox(TENANT) == items
                assert await reader.inbox(TENANT, limit=2) == items[:2]
                assert await reader.inbox(TENANT, after="7") == items[2:]
                assert await reader.inbox(TENANT, after="8", limit=1) == [items[2]]
                assert await reader.inbox("nobody") == []

    async def test_an_actors_inbox_holds_the_own_and_the_assigned(self) -> None:
        async with self.opened() as storage:
            _, items = await self._items(storage)
            async with storage.reader() as reader:
                assert await reader.inbox(TENANT, actor_id=an_id("you")) == items[2:]
                assert await reader.inbox(TENANT, actor_id=an_id("me"), after="3") == items[1:3]
                assert await reader.inbox(TENANT, actor_id="unheard") == []
                assert await reader.inbox_usage(TENANT, an_id("me")) == (3, 30 + 70 + 110)
                assert await reader.inbox_usage(TENANT, an_id("you")) == (1, 200)
                assert await reader.inbox_usage(TENANT, "unheard") == await reader.inbox_usage("nobody", an_id("me")) == (0, 0)

    async def test_items_change_and_close(self) -> None:
        async with self.opened() as storage:
            log, items = await self._items(storage)
            changed = _item(7, "b", device="laptop", refs=("q",), assigned_to=an_id("boss"), last=21, seqs=[7, 21], bytes=5)
            reopened = _item(21, "a")
            log.add()
            await log.save(storage, items=[changed, reopened], closed_items=[items[0].id])
            async with storage.reader() as reader:
                assert await reader.inbox(TENANT) == [changed, *items[2:], reopened]
                assert await reader.items(TENANT, [("phone", "tasks", an_id("a"))]) == {("phone", "tasks", an_id("a")): reopened}
                assert await reader.waiting_for(TENANT, [("projects", an_id("p"))]) == []
                assert await reader.inbox_usage(TENANT, an_id("me")) == (3, 5 + 110 + 210)

    async def test_items_that_wait_for_a_record(self) -> None:
        async with self.opened() as storage:
            log, items = await self._items(storage)
            p, q = ("projects", an_id("p")), ("projects", an_id("q"))
            async with storage.reader() as reader:
                assert await reader.waiting_for(TENANT, [q]) == items[1:3]
                assert await reader.waiting_for(TENANT, [p, q]) == items[1:3]
                assert await reader.waiting_for(TENANT, [("tasks", an_id("p")), ("projects", an_id("r"))]) == []
                assert await reader.waiting_for("nobody", [q]) == []
            await log.save(storage, closed_items=[items[1].id])
            async with storage.reader() as reader:
                assert await reader.waiting_for(TENANT, [p, q]) == [items[2]]
