"""Reads of the collections' tables on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.core.entry import Row
from holdfast.core.facts import Key, UniqueKey
from holdfast.storage.columns import encoder, representation
from holdfast.storage.conditions import checked, raise_if_not_text
from holdfast.storage.layout import quoted
from holdfast.storage.page_sql import counts_sql, page_sql
from holdfast.storage.protocol import Query
from holdfast.storage.sqlite_base import SqliteBase

__all__ = ["SqliteRows"]

_PARENTS_AT_ONCE = 500


class SqliteRows(SqliteBase):
    async def rows(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Row]:
        by_collection: dict[str, list[tuple[str, str]]] = {}
        for collection, record_id in keys:
            by_collection.setdefault(collection, []).append((tenant, record_id))
        found: dict[Key, Row] = {}
        for collection, bindings in by_collection.items():
            codec = self.codecs[collection]
            for raw in self.each(codec.select, bindings):
                self.note_raw(tenant, collection, raw)
                found[collection, raw[0]] = codec.decode(raw, self.numbers.text)
        return found

    def note_raw(self, tenant: str, collection: str, raw: tuple[Any, ...]) -> None:
        """A row was read by its key. A batch remembers what it needs to write it again."""

    async def page(self, tenant: str, query: Query) -> list[Row]:
        codec = self.codecs[query.collection]
        columns = codec.columns if query.bookkeeping else codec.shown_columns
        sql, values = page_sql(columns, tenant, query, checked(codec.collection, query), codec.table)
        found = self.connection.execute(sql, values).fetchall()
        if not query.bookkeeping:
            return list(map(codec.decode_shown, found))
        text = self.numbers.text
        return [codec.decode(raw, text) for raw in found]

    async def counts(self, tenant: str, query: Query, by: str) -> dict[str, int]:
        codec = self.codecs[query.collection]
        raise_if_not_text(codec.collection, by)
        sql, values = counts_sql(tenant, query, by, checked(codec.collection, query), codec.table)
        return {value: count for value, count in self.all(sql, *values)}

    async def holders(self, tenant: str, uniques: Sequence[UniqueKey]) -> dict[UniqueKey, str]:
        found: dict[UniqueKey, str] = {}
        for wanted in uniques:
            collection_name, unique_name, values = wanted
            collection = self.codecs[collection_name].collection
            fields = next(unique.fields for unique in collection.unique if unique.name == unique_name)
            if None in values:
                continue
            bindings = []
            for name, value in zip(fields, values, strict=True):
                encode = encoder(representation(collection.fields[name]))
                bindings.append(value if encode is None else encode(value))
            where = " AND ".join(f"{quoted(name)} = ?" for name in fields)
            row = self.one(f'SELECT "id" FROM {quoted(collection_name)} WHERE "tenant_id" = ? AND {where}', tenant, *bindings)
            if row is not None:
                found[wanted] = row[0]
        return found

    async def children(self, tenant: str, collection: str, ref_field: str, parents: Sequence[str]) -> list[Row]:
        codec = self.codecs[collection]
        found: list[Row] = []
        for start in range(0, len(parents), _PARENTS_AT_ONCE):
            some = parents[start:start + _PARENTS_AT_ONCE]
            sql = (f'SELECT {codec.columns} FROM {quoted(collection)} WHERE "tenant_id" = ? '
                   f"AND {quoted(ref_field)} IN ({', '.join('?' * len(some))})")
            found += [codec.decode(raw, self.numbers.text) for raw in self.all(sql, tenant, *some)]
        return sorted(found, key=lambda row: row.id)
