"""A random world for comparing backends: small pools of tenants, records, devices and values, so that everything meets everything.

One seed decides all of it. `writes` makes a batch that is often, not always, allowed; `question` makes a read.
"""

from __future__ import annotations

import random
from typing import Any, Final

from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role, Rule
from holdfast.core.entry import HeldText, Item, Request, Row, Unapplied, Waiting
from holdfast.core.facts import Context
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, Op, SetOp, SpliceOp
from holdfast.storage.protocol import Device, Filter, Query, Writes
from holdfast.testing.storage.samples import Log, an_id, project, task

__all__ = ["Question", "World"]

Question = tuple[str, tuple[Any, ...], dict[str, Any]]

TENANTS: Final = ("acme", "zenith")
DEVICES: Final = ("phone", "laptop", "!" + an_id("me"))
ACTORS: Final = tuple(an_id(name) for name in ("me", "you", "boss"))
RECORDS: Final = tuple(an_id(name) for name in range(6))
TEXTS: Final = ("", "a", "ab", "b", "B", "é", "\U0001f388", "\ufffd", "zz")
KINDS: Final = ("change", "change", "change", "undo", "restore", "access")
DeviceKey = tuple[str, str, str]


class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.logs = {tenant: Log(tenant) for tenant in TENANTS}
        self.open: dict[str, dict[DeviceKey, Item]] = {tenant: {} for tenant in TENANTS}
        self.mutations: dict[str, list[tuple[str, str]]] = {tenant: [] for tenant in TENANTS}

    # -- writing ------------------------------------------------------------------------------------------------------

    def mark(self) -> Any:
        return {tenant: (log.head, dict(self.open[tenant]), list(self.mutations[tenant])) for tenant, log in self.logs.items()}

    def back_to(self, mark: Any) -> None:
        """The batches since were not committed."""
        for tenant, (head, items, mutations) in mark.items():
            self.logs[tenant].head, self.open[tenant], self.mutations[tenant] = head, items, mutations
            self.logs[tenant].pending.clear()

    def writes(self, tenant: str) -> Writes:
        log, rng = self.logs[tenant], self.rng
        for _ in range(rng.randrange(5)):
            self._add_entry(log)
        items, closed = self._items(tenant)
        return log.writes(
            rows=[self._row() for _ in range(rng.randrange(4))],
            contexts={self._device_key(): self._context() for _ in range(rng.randrange(3))},
            items=items, closed_items=closed,
            erased=[rng.randrange(1, log.head.seq + 3) for _ in range(rng.randrange(3))] if rng.random() < 0.2 else [],
            devices=[self._device(tenant) for _ in range(rng.randrange(2))],
        )

    def _add_entry(self, log: Log) -> None:
        rng = self.rng
        device, mutations = rng.choice(DEVICES), self.mutations[log.tenant]
        ops, undo = self._ops()
        own = [mutation for other, mutation in mutations if other == device]
        collection = rng.choice(["tasks", "tasks", "projects", ""])
        entry = log.add(
            device_id=device, actor_id=rng.choice(ACTORS), kind=rng.choice(KINDS), collection=collection,
            record_id=rng.choice(RECORDS) if collection else "", ops=ops, undo=undo, sent=rng.choice([None, None, ops, []]),
            mutation_id=rng.choice([an_id(rng.random()), f"m-{rng.randrange(10**6)}"]),
            after=rng.choice([None, *own[-3:], "unheard"]), base=rng.choice([None, 0, log.head.seq]),
            edited_at=rng.choice([None, 1_790_000_000_000 << 16, 17]), outcome=rng.choice(["applied", "merged", "held"]),
            top=rng.choice([0, 0, 1_800_000_000_000 << 16]), contract=rng.choice([1, 1, 7]), atomic=rng.random() < 0.1,
            request=rng.choice([Request(), Request("192.0.2.1", "agent"), Request("192.0.2.2", "")]),
            on_behalf_of=rng.choice([None, None, ACTORS[0]]), sent_hash=rng.choice(["", "ab" * 32]),
            reverts=rng.choice([None, None, 3]), resolves=rng.choice([[], [], [1, 2]]), extra=rng.choice([{}, {}, {"rev": 3, "x": [None]}]),
            unapplied=rng.choice([[], [], [Unapplied(reason="superseded", op=SetOp("/rank", 1), mine=1, theirs=2.5, seq=1)]]),
        )
        mutations.append((device, entry.mutation_id))

    def _ops(self) -> tuple[list[Op], list[Op]]:
        rng, text = self.rng, self.rng.choice(TEXTS)
        choices: list[tuple[list[Op], list[Op]]] = [
            ([SpliceOp("/notes", [(3, 0, text)])], [SpliceOp("/notes", [(3, len(text), "")])]),
            ([SpliceOp("/notes", [(3, 1, text), (20, 2, "x")])], [SpliceOp("/notes", [(3, len(text), "q"), (21 - len(text), 1, "rs")])]),
            ([SetOp("/details/k", {"v": [text]}), AddOp("/views", 2)], [AddOp("/views", -2), SetOp("/details/k", None)]),
            ([CreateOp({"code": text})], [DeleteOp()]),
            ([], []),
        ]
        return rng.choice(choices)

    def _row(self) -> Row:
        rng = self.rng
        if rng.random() < 0.3:
            row = project(0, title=rng.choice(TEXTS), owner_id=rng.choice([None, *ACTORS]))
        else:
            row = task(
                0, project=rng.choice([None, None, *RECORDS]), code=rng.choice([None, None, None, "a", "b", "c", "d"]),
                rank=rng.choice([None, -1, 0, 1, 10]), weight=rng.choice([None, 0, 1.5, -2]), done=rng.random() < 0.5,
                due=rng.choice([None, "2026-01-01", "2026-01-02"]), status=rng.choice(["open", "closed"]),
                assignee=rng.choice([None, *ACTORS]), cost=rng.choice([None, "0.00", "9.50", "10.00", "-1.25"]),
                notes=rng.choice(TEXTS), views=rng.randrange(3), tags=rng.choice([[], ["x"]]), details=rng.choice([None, {}, {"a": [1]}]))
            row.copied["via_project__owner_id"] = rng.choice([None, *ACTORS])
        row.id, row.rev, row.deleted, row.stamp = rng.choice(RECORDS), rng.randrange(5), rng.random() < 0.2, rng.randrange(1 << 60)
        row.last_device, row.last_mutation = rng.choice(["", *DEVICES]), rng.choice(["", "m", an_id(1)])
        row.last_prefix = rng.choice(["", "00ff00ff"])
        return row

    def _device_key(self) -> DeviceKey:
        return self.rng.choice(DEVICES), "tasks", self.rng.choice(RECORDS)

    def _context(self) -> Context | None:
        return self.rng.choice([None, Context({}, 3), Context({"notes": [Waiting(2, "phone", [1, "x", -2])]}, 9)])

    def _items(self, tenant: str) -> tuple[list[Item], list[str]]:
        rng, standing = self.rng, self.open[tenant]
        closed = [standing.pop(key).id for key in list(standing) if rng.random() < 0.2]
        made: list[Item] = []
        for key, item in list(standing.items()):
            if rng.random() < 0.2:
                standing[key] = Item(**{**{name: getattr(item, name) for name in item.__struct_fields__}, "bytes": rng.randrange(99),
                                        "assigned_to": rng.choice([None, *ACTORS]), "parts": self._parts()})
                made.append(standing[key])
        taken = {item.opened for item in standing.values()} | {int(one) for one in closed}
        key, opened = self._device_key(), self.logs[tenant].head.seq
        if opened and opened not in taken and key not in standing and rng.random() < 0.6:
            held = HeldText(seq=opened, back=opened, change=["x"])
            standing[key] = Item(id=str(opened), device_id=key[0], actor_id=rng.choice(ACTORS), collection=key[1], record_id=key[2],
                                 opened=opened, last=opened, parts=self._parts(), texts={"notes": [held]}, bytes=5)
            made.append(standing[key])
        return made, closed

    def _parts(self) -> list[Unapplied]:
        rng = self.rng
        return [Unapplied(reason="missing_ref", waits=rng.random() < 0.8, ref=("projects", rng.choice(RECORDS)))
                for _ in range(rng.randrange(3))]

    def _device(self, tenant: str) -> Device:
        rng = self.rng
        return Device(tenant_id=tenant, device_id=rng.choice(DEVICES), actor_id=rng.choice(ACTORS), first_seen=1,
                      last_seen=rng.randrange(9), report=rng.choice([{}, {"held": 2}]))

    # -- asking -------------------------------------------------------------------------------------------------------

    def questions(self, count: int) -> list[Question]:
        return [self._question() for _ in range(count)]

    def _question(self) -> Question:
        rng, tenant = self.rng, self.rng.choice(TENANTS)
        head = self.logs[tenant].head.seq
        key = (rng.choice(["tasks", "projects"]), rng.choice(RECORDS))
        keys = [(rng.choice(["tasks", "projects"]), record) for record in rng.sample(RECORDS, 3)]
        device_keys = [self._device_key() for _ in range(3)]
        low, high = sorted((rng.randrange(head + 2), rng.randrange(head + 2)))
        mutations = rng.sample(self.mutations[tenant], min(3, len(self.mutations[tenant])))
        questions: list[Question] = [
            ("head", (tenant,), {}), ("rows", (tenant, keys), {}), ("page", (tenant, self._query()), {}),
            ("page", (tenant, self._query()), {}), ("page", (tenant, self._query()), {}),
            ("counts", (tenant, self._query(), "status"), {}) if rng.random() < 0.5 else ("tenants", (), {}),
            ("entries", (tenant,), {"after": low, "until": rng.choice([None, high]), "limit": rng.choice([1, 4, 99]),
                                    "collections": rng.choice([None, None, ["tasks"], ["projects", "unheard"], []])}),
            ("entry", (tenant, high), {}), ("seals", (tenant, [low, high]), {}), ("prefixes", (tenant, [low, high]), {}),
            ("record_entries", (tenant, key), {
                "after": rng.choice([0, low]), "until": rng.choice([None, high]), "device": rng.choice([None, None, *DEVICES]),
                "not_device": rng.choice([None, None, *DEVICES]), "descending": rng.random() < 0.5, "limit": rng.choice([None, 2])}),
            ("by_mutation", (tenant, [*mutations, ("phone", "unheard")]), {}),
            ("last_of_device", (tenant, rng.choice(DEVICES), keys), {}), ("contexts", (tenant, device_keys), {}),
            ("items", (tenant, device_keys), {}), ("item", (tenant, str(high)), {}),
            ("inbox", (tenant,), {
                "actor_id": rng.choice([None, *ACTORS]), "after": rng.choice([None, str(low)]), "limit": rng.choice([1, 50])}),
            ("inbox_usage", (tenant, rng.choice(ACTORS)), {}), ("waiting_for", (tenant, keys), {}),
            ("holders", (tenant, [("tasks", "code", (code,)) for code in ("a", "c", None)]), {}),
            ("children", (tenant, "tasks", "project", rng.sample(RECORDS, 2)), {}), ("devices", (tenant, rng.choice([None, *ACTORS])), {}),
            ("devices_named", (tenant, ["phone", "tablet"]), {}),
            ("activity", (tenant,), {
                "before": rng.choice([None, high]), "limit": rng.choice([2, 99]), "actor_id": rng.choice([None, None, *ACTORS]),
                "device_id": rng.choice([None, None, *DEVICES]), "collection": rng.choice([None, "tasks"]),
                "record_id": rng.choice([None, None, key[1]]), "kind": rng.choice([None, None, "undo"]),
                "since": rng.choice([None, 1_790_000_000_000 + low]), "until": rng.choice([None, 1_790_000_000_000 + high])}),
        ]
        return rng.choice(questions)

    def _query(self) -> Query:
        rng = self.rng
        sort = rng.choice([(), (("rank", True),), (("cost", False), ("code", True)), (("notes", False),), (("rev", True),),
                           (("weight", True), ("done", False)), (("status", True), ("due", False))])
        values: dict[str, tuple[Any, ...]] = {
            "rank": (None, 0, 1), "cost": (None, "9.50"), "code": (None, "a", "b"), "notes": TEXTS, "weight": (None, 1.5), "rev": (0, 2),
            "done": (True, False), "status": ("open",), "due": (None, "2026-01-01")}
        after = (*(rng.choice(values[name]) for name, _ in sort), rng.choice(RECORDS)) if rng.random() < 0.5 else None
        return Query(collection="tasks", rule=self.rule(), actor=Actor(rng.choice(ACTORS), frozenset(rng.sample(["boss", "clerk"], 1))),
                     filters=tuple(self._filter() for _ in range(rng.randrange(3))), sort=sort, after=after, limit=rng.choice([1, 3, 50]),
                     include_deleted=rng.random() < 0.3, only_deleted=rng.random() < 0.2)

    def _filter(self) -> Filter:
        rng = self.rng
        return rng.choice([
            Filter("rank", rng.choice(["lt", "lte", "gt", "gte", "eq", "ne"]), rng.choice([-1, 0, 5])),
            Filter("rank", "in", rng.choice([[1, None], [0, 10], []])), Filter("code", "null", rng.random() < 0.5),
            Filter("notes", "prefix", rng.choice(TEXTS)), Filter("notes", rng.choice(["lt", "gt"]), rng.choice(TEXTS)),
            Filter("cost", rng.choice(["lt", "gte", "eq", "ne"]), "9.50"), Filter("done", "eq", rng.random() < 0.5),
            Filter("weight", rng.choice(["gt", "lte"]), 0), Filter("assignee", rng.choice(["eq", "ne"]), rng.choice([None, *ACTORS])),
        ])

    def rule(self, depth: int = 0) -> Rule:
        rng = self.rng
        leaves: list[Rule] = [Everyone(), Nobody(), Own("assignee"), Own("via_project__owner_id"), Own("id"), Own("unheard"),
                              Role(frozenset({"boss"})), Role(frozenset({"clerk", "boss"})), Role(frozenset())]
        if depth > 2 or rng.random() < 0.4:
            return rng.choice(leaves)
        parts = tuple(self.rule(depth + 1) for _ in range(rng.randrange(4)))
        return And(parts) if rng.random() < 0.5 else Or(parts)
