"""Reads of the log on SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from holdfast.core.digest import FIRST
from holdfast.core.entry import Entry
from holdfast.core.facts import Key
from holdfast.storage.compact import hex_text, packed_id, split_id, unpacked_id, unsplit_id
from holdfast.storage.entry_codec import COLUMNS, KIND_NUMBERS, SqlRow, decode_entry
from holdfast.storage.protocol import Head, Seal
from holdfast.storage.sqlite_base import SqliteBase

__all__ = ["SqliteLog"]

_SELECT: Final = (f"SELECT {', '.join(f'l.{name}' for name in COLUMNS)}, r.collection_no, r.id "
                  "FROM hf_log AS l LEFT JOIN hf_records AS r ON r.no = l.record_no WHERE ")
_WIDTH: Final = len(COLUMNS)
_SEQ: Final = COLUMNS.index("seq")
_REQUEST: Final = COLUMNS.index("request_no")
_AFTER: Final = COLUMNS.index("after_back")
_MUTATION: Final = COLUMNS.index("mutation_key")
_PLACE: Final = "(SELECT no FROM hf_log WHERE tenant_no = ? AND seq = ?)"
_NO_MAX: Final = (1 << 63) - 1


class SqliteLog(SqliteBase):
    async def head(self, tenant: str) -> Head:
        found = self.one("SELECT seq, digest FROM hf_heads WHERE tenant_id = ?", tenant)
        return Head(tenant, 0, FIRST) if found is None else Head(tenant, found[0], hex_text(found[1]))

    async def entries(self, tenant: str, *, after: int, until: int | None = None, limit: int,
                      collections: Sequence[str] | None = None) -> list[Entry]:
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return []
        where, values = "l.tenant_no = ? AND l.seq > ?", [tenant_no, after]
        if until is not None:
            where, values = f"{where} AND l.seq <= ?", [*values, until]
        if collections is not None:
            known = [number for name in collections if (number := self.numbers.label(tenant_no, name)) is not None]
            where = f"{where} AND (l.record_no IS NULL OR r.collection_no IN ({', '.join('?' * len(known))}))"
            values = [*values, *known]
        return self.decoded(tenant, tenant_no, self.all(f"{_SELECT}{where} ORDER BY l.seq LIMIT ?", *values, limit))

    async def entry(self, tenant: str, seq: int) -> Entry | None:
        tenant_no = self.numbers.tenant(tenant)
        return None if tenant_no is None else self.entry_at(tenant, tenant_no, seq)

    def entry_at(self, tenant: str, tenant_no: int, seq: int) -> Entry | None:
        found = self.all(f"{_SELECT}l.tenant_no = ? AND l.seq = ?", tenant_no, seq)
        return self.decoded(tenant, tenant_no, found)[0] if found else None

    async def seals(self, tenant: str, seqs: Sequence[int]) -> dict[int, Seal]:
        tenant_no = self.numbers.tenant(tenant)
        rows = self.each("SELECT l.seq, l.salt, e.payload_digest FROM hf_log AS l LEFT JOIN hf_erased AS e ON e.no = l.no "
                         "WHERE l.tenant_no = ? AND l.seq = ?", [(tenant_no, seq) for seq in seqs])
        return {seq: Seal(salt=salt or b"", payload_digest=payload_digest or b"") for seq, salt, payload_digest in rows}

    async def record_entries(self, tenant: str, key: Key, *, after: int = 0, until: int | None = None, not_device: str | None = None,
                             device: str | None = None, descending: bool = False, limit: int | None = None) -> list[Entry]:
        tenant_no = self.numbers.tenant(tenant)
        record_no = None if tenant_no is None else self.numbers.record(tenant_no, key)
        if tenant_no is None or record_no is None or not key[1]:
            return []
        where, values = "l.record_no = ?", [record_no]
        if after > 0:
            where, values = f"{where} AND l.no > {_PLACE}", [*values, tenant_no, after]
        if until is not None:
            where, values = f"{where} AND l.no <= ifnull({_PLACE}, {_NO_MAX if until > 0 else 0})", [*values, tenant_no, until]
        if device is not None:
            where, values = f"{where} AND l.device_no = ?", [*values, self.numbers.label(tenant_no, device) or 0]
        if not_device is not None:
            where, values = f"{where} AND l.device_no <> ?", [*values, self.numbers.label(tenant_no, not_device) or 0]
        sql = f"{_SELECT}{where} ORDER BY l.no{' DESC' if descending else ''} LIMIT ?"
        return self.decoded(tenant, tenant_no, self.all(sql, *values, -1 if limit is None else limit))

    async def by_mutation(self, tenant: str, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return {}
        found = self.each(f"{_SELECT}l.device_no = ? AND l.mutation_key = ? AND l.mutation_rest = ?",
                          ((device_no, *split_id(mutation_id)) for device, mutation_id in ids
                           if (device_no := self.numbers.label(tenant_no, device)) is not None))
        return {(entry.device_id, entry.mutation_id): entry for entry in self.decoded(tenant, tenant_no, found)} if found else {}

    async def prefixes(self, tenant: str, seqs: Sequence[int]) -> dict[int, str]:
        tenant_no = self.numbers.tenant(tenant)
        rows = self.each("SELECT seq, digest FROM hf_log WHERE tenant_no = ? AND seq = ?", [(tenant_no, seq) for seq in seqs])
        return {seq: hex_text(digest)[:8] for seq, digest in rows}

    async def activity(self, tenant: str, *, before: int | None, limit: int, actor_id: str | None = None, device_id: str | None = None,
                       collection: str | None = None, record_id: str | None = None, kind: str | None = None,
                       since: int | None = None, until: int | None = None) -> list[Entry]:
        tenant_no = self.numbers.tenant(tenant)
        if tenant_no is None:
            return []
        wanted: list[tuple[str, Any]] = [("l.tenant_no = ?", tenant_no)]
        if before is not None:
            wanted.append(("l.seq < ?", before))
        for column, name in (("l.actor_no", actor_id), ("l.device_no", device_id), ("r.collection_no", collection)):
            if name is not None:
                wanted.append((f"{column} = ?", self.numbers.label(tenant_no, name) or 0))
        order = "l.seq"
        if collection is not None and record_id is not None:
            wanted.append(("l.record_no = ?", self.numbers.record(tenant_no, (collection, record_id)) or 0))
            order = "l.no"      # as the record's own index has it
        elif record_id is not None:
            wanted.append(("r.id = ?", packed_id(record_id)))
        if kind is not None:
            wanted.append(("l.kind = ?", KIND_NUMBERS.get(kind, -1)))  # type: ignore[call-overload]
        if since is not None:
            wanted.append(("l.committed_at >= ?", since))
        if until is not None:
            wanted.append(("l.committed_at < ?", until))
        sql = f"{_SELECT}{' AND '.join(condition for condition, _ in wanted)} ORDER BY {order} DESC LIMIT ?"
        return self.decoded(tenant, tenant_no, self.all(sql, *(value for _, value in wanted), limit))

    async def last_of_device(self, tenant: str, device: str, keys: Sequence[Key]) -> dict[Key, Entry]:
        tenant_no = self.numbers.tenant(tenant)
        device_no = None if tenant_no is None else self.numbers.label(tenant_no, device)
        if tenant_no is None or device_no is None:
            return {}
        found = self.each(f"{_SELECT}l.no = (SELECT no FROM hf_log WHERE record_no = ? AND device_no = ? AND kind = 0 "
                          "ORDER BY no DESC LIMIT 1)",
                          [(number, device_no) for number in self.numbers.records(tenant_no, keys).values()])
        return {(entry.collection, entry.record_id): entry for entry in self.decoded(tenant, tenant_no, found)}

    # -- decoding -----------------------------------------------------------------------------------------------------

    def decoded(self, tenant: str, tenant_no: int, rows: list[SqlRow]) -> list[Entry]:
        """The entries of rows as `_SELECT` gives them."""
        if not rows:
            return []
        mutations = self._mutations(tenant_no, rows)
        requests = self.numbers.requests({row[_REQUEST] for row in rows if row[_REQUEST] is not None})
        text = self.numbers.text
        found: list[Entry] = []
        for row in rows:
            back, collection_no = row[_AFTER], row[_WIDTH]
            after = None if back is None else mutations[row[_SEQ] - back] if isinstance(back, int) else unpacked_id(back)
            key = ("", "") if collection_no is None else (text(collection_no), unpacked_id(row[_WIDTH + 1]))
            found.append(decode_entry(row[:_WIDTH], tenant_id=tenant, key=key, label=text, requests=requests, after=after))
        return found

    def _mutations(self, tenant_no: int, rows: Iterable[SqlRow]) -> dict[int, str]:
        """Mutation ids by seq: of the rows themselves and of those that their `after_back` leads to."""
        backs = {row[_SEQ] - row[_AFTER] for row in rows if isinstance(row[_AFTER], int)}
        if not backs:
            return {}
        known = {row[_SEQ]: unsplit_id(row[_MUTATION], row[_MUTATION + 1]) for row in rows if row[_SEQ] in backs}
        missing = backs - known.keys()
        if missing:
            sql = "SELECT seq, mutation_key, mutation_rest FROM hf_log WHERE tenant_no = ? AND seq = ?"
            for seq, number, rest in self.each(sql, [(tenant_no, seq) for seq in missing]):
                known[seq] = unsplit_id(number, rest)
        return known
