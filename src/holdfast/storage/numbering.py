"""Names as numbers: tenants, the texts that recur in a tenant's log (actors, devices, collections), records and requests are stored once
and named by a small number after that. Numbers mean nothing outside the file.

A number, once committed, never changes its meaning, so what was read may be remembered without end; what a batch makes is remembered
only once it is committed (`keep`). The memory is bounded: a part that is full is emptied, which costs look-ups alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

import apsw

from holdfast.core.entry import Request
from holdfast.core.errors import StorageCorrupt
from holdfast.core.facts import Key
from holdfast.storage.compact import packed_id

__all__ = ["NewNumbers", "Numbers", "Remembered"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REMEMBERED_MAX: Final = 100_000


class Remembered:
    """What is known, shared by the connections of one storage."""

    def __init__(self) -> None:
        self.tenants: dict[str, int] = {}
        self.numbers: dict[tuple[int, str], int] = {}
        self.texts: dict[int, str] = {}
        self.records: dict[tuple[int, str, str], int] = {}
        self.requests: dict[tuple[int, Request], int] = {}
        self.request_texts: dict[int, Request] = {}
        self.seqs: dict[tuple[int, str], int] = {}      # (device number, mutation id) -> seq
        self.highest: dict[int, int] = {}               # device number -> highest mutation key it has used

    def parts(self) -> tuple[dict[Any, Any], ...]:
        return self.tenants, self.numbers, self.texts, self.records, self.requests, self.request_texts, self.seqs, self.highest

    def adopt(self, other: Remembered) -> None:
        for mine, new in zip(self.parts(), other.parts(), strict=True):
            if new:
                if len(mine) + len(new) > REMEMBERED_MAX:
                    mine.clear()
                mine.update(new)

    def doubt(self) -> None:
        """A batch failed: perhaps it is committed after all, and then this is no longer so."""
        self.highest.clear()


class Numbers:
    """Looks numbers up, on one connection. None: the name never occurred."""

    def __init__(self, connection: apsw.Connection, memory: Remembered) -> None:
        self._connection = connection
        self._memory = memory

    def _one(self, sql: str, *values: Any) -> Any:
        found = self._connection.execute(sql, values).fetchone()
        return None if found is None else found[0]

    def _note(self, part: dict[K, V], key: K, value: V) -> V:
        if len(part) >= REMEMBERED_MAX:
            part.clear()
        part[key] = value
        return value

    def tenant(self, tenant: str) -> int | None:
        known = self._memory.tenants.get(tenant)
        if known is None:
            known = self._one("SELECT no FROM hf_heads WHERE tenant_id = ?", tenant)
            if known is not None:
                self._note(self._memory.tenants, tenant, known)
        return known

    def label(self, tenant_no: int, text: str) -> int | None:
        known = self._memory.numbers.get((tenant_no, text))
        if known is None:
            known = self._one("SELECT no FROM hf_labels WHERE tenant_no = ? AND value = ?", tenant_no, text)
            if known is not None:
                self._note(self._memory.numbers, (tenant_no, text), known)
        return known

    def record(self, tenant_no: int, key: Key) -> int | None:
        known = self._memory.records.get((tenant_no, key[0], key[1]))
        if known is None:
            collection_no = self.label(tenant_no, key[0])
            if collection_no is None:
                return None
            known = self._one("SELECT no FROM hf_records WHERE tenant_no = ? AND collection_no = ? AND id = ?",
                              tenant_no, collection_no, packed_id(key[1]))
            if known is not None:
                self._note(self._memory.records, (tenant_no, key[0], key[1]), known)
        return known

    def records(self, tenant_no: int, keys: Sequence[Key]) -> dict[Key, int]:
        """Those of the keys that have a number."""
        return {key: number for key in keys if (number := self.record(tenant_no, key)) is not None}

    def text(self, number: int) -> str:
        """The text of a label."""
        known = self._memory.texts.get(number)
        if known is None:
            found = self._one("SELECT value FROM hf_labels WHERE no = ?", number)
            if found is None:
                raise StorageCorrupt("The log names something that is not in the file.")
            known = self._note(self._memory.texts, number, str(found))
        return known

    def requests(self, numbers: Iterable[int]) -> dict[int, Request]:
        found: dict[int, Request] = {}
        for number in numbers:
            known = self._memory.request_texts.get(number)
            if known is None:
                address, agent = self._connection.execute("SELECT address, agent FROM hf_requests WHERE no = ?", (number,)).fetchall()[0]
                known = self._note(self._memory.request_texts, number, Request(str(address), str(agent)))
            found[number] = known
        return found


class NewNumbers(Numbers):
    """Also gives numbers, within a batch. What it gives is its own until `keep`."""

    def __init__(self, connection: apsw.Connection, memory: Remembered) -> None:
        super().__init__(connection, memory)
        self._new = Remembered()

    def keep(self) -> None:
        """The batch is committed."""
        self._memory.adopt(self._new)

    def _insert(self, sql: str, *values: Any) -> int:
        self._connection.execute(sql, values)
        return self._connection.last_insert_rowid()

    def tenant(self, tenant: str) -> int | None:
        return self._new.tenants.get(tenant) or super().tenant(tenant)

    def label(self, tenant_no: int, text: str) -> int | None:
        return self._new.numbers.get((tenant_no, text)) or super().label(tenant_no, text)

    def record(self, tenant_no: int, key: Key) -> int | None:
        return self._new.records.get((tenant_no, key[0], key[1])) or super().record(tenant_no, key)

    def text(self, number: int) -> str:
        return self._new.texts.get(number) or super().text(number)

    def requests(self, numbers: Iterable[int]) -> dict[int, Request]:
        wanted = set(numbers)
        new = {number: request for number, request in self._new.request_texts.items() if number in wanted}
        return new | super().requests(wanted - new.keys())

    def seq(self, device_no: int, mutation_id: str) -> int | None:
        """Of an entry of this device that was written or read lately."""
        key = (device_no, mutation_id)
        return self._new.seqs.get(key) or self._memory.seqs.get(key)

    def note_seq(self, device_no: int, mutation_id: str, seq: int) -> None:
        self._new.seqs[device_no, mutation_id] = seq

    def rises(self, device_no: int, mutation_key: int) -> bool:
        """Whether the key is above every one that the device has used; from now on it has used it."""
        highest = self._new.highest.get(device_no)
        if highest is None:
            highest = self._memory.highest.get(device_no)
        if highest is None:
            highest = self._one("SELECT max(mutation_key) FROM hf_log WHERE device_no = ?", device_no)
        if highest is not None and mutation_key <= highest:
            return False
        self._new.highest[device_no] = mutation_key
        return True

    def new_tenant(self, tenant: str, digest: bytes) -> int:
        known = self.tenant(tenant)
        if known is None:
            known = self._insert("INSERT INTO hf_heads (tenant_id, seq, digest) VALUES (?, 0, ?)", tenant, digest)
            self._new.tenants[tenant] = known
        return known

    def new_label(self, tenant_no: int, text: str) -> int:
        known = self._memory.numbers.get((tenant_no, text)) or self.label(tenant_no, text)
        if known is None:
            known = self._insert("INSERT INTO hf_labels (tenant_no, value) VALUES (?, ?)", tenant_no, text)
            self._new.numbers[tenant_no, text] = known
            self._new.texts[known] = text
        return known

    def new_record(self, tenant_no: int, key: Key) -> int:
        known = self._memory.records.get((tenant_no, key[0], key[1])) or self.record(tenant_no, key)
        if known is None:
            known = self._insert("INSERT INTO hf_records (tenant_no, collection_no, id) VALUES (?, ?, ?)",
                                 tenant_no, self.new_label(tenant_no, key[0]), packed_id(key[1]))
            self._new.records[tenant_no, key[0], key[1]] = known
        return known

    def new_request(self, tenant_no: int, request: Request) -> int | None:
        """None for the empty one."""
        if not request.address and not request.agent:
            return None
        known = self._memory.requests.get((tenant_no, request)) or self._new.requests.get((tenant_no, request))
        if known is not None:
            return known
        known = self._one("SELECT no FROM hf_requests WHERE tenant_no = ? AND address = ? AND agent = ?",
                          tenant_no, request.address, request.agent)
        if known is None:
            known = self._insert("INSERT INTO hf_requests (tenant_no, address, agent) VALUES (?, ?, ?)",
                                 tenant_no, request.address, request.agent)
        self._new.requests[tenant_no, request] = known
        self._new.request_texts[known] = request
        return known

    def forget_requests(self, numbers: Iterable[int]) -> None:
        """Erased ones: their texts must not live on in memory."""
        gone = set(numbers)
        for memory in (self._memory, self._new):
            memory.requests = {key: number for key, number in memory.requests.items() if number not in gone}
            for number in gone:
                memory.request_texts.pop(number, None)
