"""What was logged comes back exactly, and by every way that leads to it (P2 Once, P3 Never dropped)."""

from __future__ import annotations

from typing import Any

from holdfast.core import digest
from holdfast.core.entry import Entry, ForkedFrom, Request, Unapplied
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.storage.protocol import Head, Seal, Storage
from holdfast.testing.storage.samples import TENANT, Log, an_id
from holdfast.testing.storage.subject import Subject

__all__ = ["LogCases"]


def _unlike() -> list[dict[str, Any]]:
    """Entries that have little in common, with every field used somewhere."""
    return [
        {"ops": [CreateOp({"code": "a", "details": {"x": [1, 2.5, None, True, "é"]}})], "undo": [DeleteOp()]},
        {"ops": [SpliceOp("/notes", [(0, 0, "hello "), (9, 2, "wörld 🎈")])], "undo": [SpliceOp("/notes", [(0, 6, ""), (3, 7, "ab")])],
         "edited_at": 1_789_999_999_000 << 16 | 7, "base": 1, "contract": 3, "outcome": "merged",
         "sent": [SpliceOp("/notes", [(0, 0, "hello ")])], "request": Request("192.0.2.7", "a browser")},
        {"ops": [SetOp("/details/a~1b", {"k": -1}, restated=True), UnsetOp("/rank", if_empty=True), AddOp("/views", -3),
                 IncludeOp("/tags", ["x", "y"]), ExcludeOp("/tags", ["z"])],
         "undo": [IncludeOp("/tags", ["z"]), ExcludeOp("/tags", ["y"]), AddOp("/views", 3), SetOp("/rank", 5), UnsetOp("/details/a~1b")],
         "atomic": True, "top": 1_800_000_000_000 << 16, "on_behalf_of": an_id("boss")},
        {"kind": "undo", "reverts": 2, "device_id": "!" + an_id("me"), "ops": [DeleteOp()], "undo": [UndeleteOp()],
         "forked_from": ForkedFrom("old device", "m-7"), "sent_hash": "ab" * 32},
        {"kind": "resolve", "outcome": "held", "ops": [], "undo": [], "resolves": [1, 2], "extra": {"how": "value", "deep": {"a": []}},
         "unapplied": [Unapplied(reason="conflict", op=SetOp("/cost", "1.00"), waits=True, mine="1.00", theirs="2.00", seq=2),
                       Unapplied(reason="missing_ref", path="/project", ref=("projects", an_id("p")), message="not there", held_by=4)]},
        {"kind": "erase", "ops": [], "undo": [], "collection": "", "record_id": "", "extra": {"seqs": [1], "reason": "law"},
         "mutation_id": "any-text:id.1", "actor_id": "a service"},
        {"ops": [], "undo": [SetOp("/code", None)], "sent": [], "sent_hash": "no hex", "stamp": 0, "edited_at": 0},
    ]


class LogCases(Subject):
    async def _filled(self, storage: Storage) -> tuple[Log, list[Entry]]:
        """Twelve entries of two devices about two records."""
        log, entries = Log(), []
        for number in range(12):
            device = "phone" if number % 3 == 0 else "laptop"
            entries.append(log.add("a" if number % 2 == 0 else "b", device_id=device, kind="change" if number != 10 else "restore",
                                   actor_id=an_id("me" if number < 6 else "you")))
            await log.save(storage)
        return log, entries

    async def test_every_entry_comes_back_as_it_was_written(self) -> None:
        async with self.opened() as storage:
            log = Log()
            entries = [log.add(**fields) for fields in _unlike()]
            await log.save(storage)
            async with storage.reader() as reader:
                assert await reader.entries(TENANT, after=0, limit=99) == entries

    async def test_after_leads_back_to_the_mutation_it_named(self) -> None:
        async with self.opened() as storage:
            log = Log()
            first = log.add(mutation_id="plain text")
            await log.save(storage)
            second = log.add("other", after="plain text")
            third = log.add(after=second.mutation_id)
            await log.save(storage)
            fourth = log.add(after="never heard of", device_id="tablet")
            fifth = log.add(after=first.mutation_id, device_id="tablet")
            await log.save(storage)
            async with storage.reader() as reader:
                assert await reader.entries(TENANT, after=1, limit=99) == [second, third, fourth, fifth]
                assert await reader.entry(TENANT, 2) == second

    async def test_the_digest_chain_can_be_checked_from_what_is_read(self) -> None:
        async with self.opened() as storage:
            log = Log()
            for fields in _unlike():
                log.add(**fields)
            await log.save(storage)
            async with storage.reader() as reader:
                entries = await reader.entries(TENANT, after=0, limit=99)
                seals = await reader.seals(TENANT, [entry.seq for entry in entries])
            previous = digest.FIRST
            for entry in entries:
                assert seals[entry.seq] == Seal(salt=log.salts[entry.seq])
                previous = digest.chain(previous, entry, digest.payload_digest(seals[entry.seq].salt, digest.payload(entry)))
                assert entry.digest == previous
            assert previous == log.head.digest

    async def test_entries_come_in_order_between_bounds(self) -> None:
        async with self.opened() as storage:
            _, entries = await self._filled(storage)
            async with storage.reader() as reader:
                assert await reader.entries(TENANT, after=3, limit=4) == entries[3:7]
                assert await reader.entries(TENANT, after=3, until=5, limit=99) == entries[3:5]
                assert await reader.entries(TENANT, after=12, limit=99) == []
                assert await reader.entries("nobody", after=0, limit=99) == []

    async def test_entries_of_chosen_collections_come_with_those_of_none(self) -> None:
        async with self.opened() as storage:
            log = Log()
            entries = [log.add(), log.add(collection="projects"), log.add(collection="", record_id=""), log.add(collection="members")]
            await log.save(storage)
            async with storage.reader() as reader:
                async def of(*collections: str) -> list[Entry]:
                    return await reader.entries(TENANT, after=0, limit=99, collections=collections)

                assert await of("tasks") == [entries[0], entries[2]]
                assert await of("projects", "members", "unheard") == entries[1:]
                assert await of() == [entries[2]]

    async def test_entries_of_a_record(self) -> None:
        async with self.opened() as storage:
            _, entries = await self._filled(storage)
            key = ("tasks", an_id("a"))
            own = entries[::2]
            async with storage.reader() as reader:
                assert await reader.record_entries(TENANT, key) == own
                assert await reader.record_entries(TENANT, key, descending=True, limit=2) == [own[-1], own[-2]]
                assert await reader.record_entries(TENANT, key, after=4, until=9) == [entry for entry in own if 4 < entry.seq <= 9]
                assert await reader.record_entries(TENANT, key, after=5, until=100) == [entry for entry in own if entry.seq > 5]
                assert await reader.record_entries(TENANT, key, after=100) == []
                assert await reader.record_entries(TENANT, key, until=0) == []
                assert await reader.record_entries(TENANT, key, device="phone") == [one for one in own if one.device_id == "phone"]
                assert await reader.record_entries(TENANT, key, not_device="phone") == [one for one in own if one.device_id != "phone"]
                assert await reader.record_entries(TENANT, key, device="unheard") == []
                assert await reader.record_entries(TENANT, key, not_device="unheard") == own
                assert await reader.record_entries(TENANT, ("projects", an_id("a"))) == []
                assert await reader.record_entries("nobody", key) == []

    async def test_entries_by_device_and_mutation(self) -> None:
        async with self.opened() as storage:
            _, entries = await self._filled(storage)
            first, second = entries[0], entries[1]
            async with storage.reader() as reader:
                found = await reader.by_mutation(TENANT, [
                    (first.device_id, first.mutation_id), (second.device_id, second.mutation_id), ("laptop", first.mutation_id),
                    ("unheard", first.mutation_id), (first.device_id, "unheard")])
                assert await reader.by_mutation("nobody", [(first.device_id, first.mutation_id)]) == {}
            assert found == {(one.device_id, one.mutation_id): one for one in (first, second)}

    async def test_the_newest_change_of_a_device(self) -> None:
        async with self.opened() as storage:
            _, entries = await self._filled(storage)
            keys = [("tasks", an_id(name)) for name in ("a", "b", "c")]
            async with storage.reader() as reader:
                laptop = await reader.last_of_device(TENANT, "laptop", keys)
                assert await reader.last_of_device(TENANT, "unheard", keys) == {}
            # entry 11, about a, is no change
            assert laptop == {keys[0]: entries[8], keys[1]: entries[11]}

    async def test_prefixes_and_seals_leave_unknown_entries_out(self) -> None:
        async with self.opened() as storage:
            log, entries = await self._filled(storage)
            async with storage.reader() as reader:
                assert await reader.prefixes(TENANT, [1, 12, 13]) == {seq: entries[seq - 1].digest[:8] for seq in (1, 12)}
                assert await reader.seals(TENANT, [12, 13]) == {12: Seal(salt=log.salts[12])}
                assert await reader.prefixes("nobody", [1]) == {}

    async def test_activity_is_newest_first_and_filtered(self) -> None:
        async with self.opened() as storage:
            _, entries = await self._filled(storage)
            newest = entries[::-1]
            async with storage.reader() as reader:
                async def found(**options: Any) -> list[int]:
                    return [entry.seq for entry in await reader.activity(TENANT, **{"before": None, "limit": 99, **options})]

                assert await found(limit=3) == [12, 11, 10]
                assert await found(before=4) == [3, 2, 1]
                assert await found(actor_id=an_id("you")) == [entry.seq for entry in newest if entry.seq > 6]
                assert await found(device_id="phone") == [entry.seq for entry in newest if entry.device_id == "phone"]
                assert await found(kind="restore") == [11]
                assert await found(kind="unheard") == await found(actor_id="unheard") == await found(device_id="unheard") == []
                assert await found(collection="tasks", limit=2) == [12, 11]
                assert await found(collection="projects") == []
                assert await found(collection="tasks", record_id=an_id("b"), before=7) == [6, 4, 2]
                assert await found(record_id=an_id("b"), before=7) == [6, 4, 2]
                assert await found(since=entries[3].committed_at, until=entries[6].committed_at) == [6, 5, 4]

    async def test_tenants_have_logs_of_their_own(self) -> None:
        async with self.opened() as storage:
            log, entries = await self._filled(storage)
            other = Log("zenith")
            own = other.add("a", device_id="phone", mutation_id=entries[0].mutation_id)
            await other.save(storage)
            async with storage.reader() as reader:
                assert await reader.head("zenith") == other.head
                assert await reader.head(TENANT) == log.head
                assert await reader.head("nobody") == Head("nobody", 0, digest.FIRST)
                assert await reader.entries("zenith", after=0, limit=99) == [own]
                assert await reader.record_entries("zenith", ("tasks", an_id("a"))) == [own]
                assert await reader.by_mutation("zenith", [("phone", own.mutation_id)]) == {("phone", own.mutation_id): own}
                assert await reader.last_of_device("zenith", "phone", [("tasks", an_id("a"))]) == {("tasks", an_id("a")): own}
                assert [entry.seq for entry in await reader.activity("zenith", before=None, limit=9)] == [1]
