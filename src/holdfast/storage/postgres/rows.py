"""Reads of the collections' tables on PostgreSQL.

A page that is asked for under the collection's own read rule runs as the actor: then the policy says the same once more. Everything else
here is asked by the server itself, which judges what it found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.core.access import Actor
from holdfast.core.entry import Row
from holdfast.core.facts import Key, UniqueKey
from holdfast.storage.columns import representation
from holdfast.storage.conditions import checked, raise_if_not_text
from holdfast.storage.layout import quoted
from holdfast.storage.postgres.base import PostgresBase
from holdfast.storage.postgres.columns import cast_of, to_text
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.page import counts_sql, page_sql
from holdfast.storage.protocol import Query

__all__ = ["PostgresRows"]


class PostgresRows(PostgresBase):
    async def rows(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Row]:
        wanted: dict[str, list[str]] = {}
        for collection, record_id in keys:
            wanted.setdefault(collection, []).append(record_id)
        found: dict[Key, Row] = {}
        for collection, ids in wanted.items():
            codec = self.codecs[collection]
            for raw in await self.tenant_rows(tenant, codec.select, ids):
                row = codec.decode(raw)
                found[collection, row.id] = row
            self.note_rows(tenant, collection, ids, found)
        return {key: found[key] for key in keys if key in found}

    def note_rows(self, tenant: str, collection: str, ids: Sequence[str], found: dict[Key, Row]) -> None:
        """Rows were read by their keys. A batch remembers what it needs to write them again."""

    async def page(self, tenant: str, query: Query) -> list[Row]:
        codec = self.codecs[query.collection]
        sql, values = page_sql(codec.columns, tenant, query, checked(codec.collection, query), codec.table)
        return [codec.decode(raw) for raw in await self._as_asked(tenant, query, sql, values)]

    async def counts(self, tenant: str, query: Query, by: str) -> dict[str, int]:
        codec = self.codecs[query.collection]
        raise_if_not_text(codec.collection, by)
        sql, values = counts_sql(tenant, query, by, checked(codec.collection, query), codec.table)
        return {value: count for value, count in await self._as_asked(tenant, query, sql, values)}

    async def _as_asked(self, tenant: str, query: Query, sql: str, values: list[Any]) -> list[Any]:
        if not tenant:
            return []
        own_rule = query.rule == self.codecs[query.collection].collection.read
        actor: Actor | None = query.actor if own_rule else None
        await self.link.act(tenant, actor)
        return await self.link.fetch(sql, *values)

    async def holders(self, tenant: str, uniques: Sequence[UniqueKey]) -> dict[UniqueKey, str]:
        by_unique: dict[tuple[str, str], list[UniqueKey]] = {}
        for wanted in uniques:
            if None not in wanted[2]:
                by_unique.setdefault(wanted[:2], []).append(wanted)
        found: dict[UniqueKey, str] = {}
        for (collection_name, unique_name), keys in by_unique.items():
            collection = self.codecs[collection_name].collection
            names = next(unique.fields for unique in collection.unique if unique.name == unique_name)
            kinds = [representation(collection.fields[name]) for name in names]
            arrays = [[value if (turn := to_text(kind)) is None else turn(value) for value in values]
                      for kind, values in zip(kinds, zip(*(key[2] for key in keys), strict=True), strict=True)]
            for holder, place in await self.tenant_rows(tenant, _holders_sql(collection_name, names, kinds), *arrays):
                found[keys[place - 1]] = holder
        return found

    async def children(self, tenant: str, collection: str, ref_field: str, parents: Sequence[str]) -> list[Row]:
        codec = self.codecs[collection]
        sql = (f'SELECT {codec.columns} FROM {qualified(collection)} WHERE "tenant_id" = $1 AND {quoted(ref_field)} = ANY($2::text[]) '
               'ORDER BY "id"')
        return [codec.decode(raw) for raw in await self.tenant_rows(tenant, sql, list(parents))]


def _holders_sql(collection: str, names: Sequence[str], kinds: Sequence[str]) -> str:
    arrays = ", ".join(f"${at + 2}::text[]" for at in range(len(names)))
    aliases = ", ".join(f"v{at}" for at in range(len(names)))
    equal = " AND ".join(f"t.{quoted(name)} = x.v{at}{cast_of(kind)}" for at, (name, kind) in enumerate(zip(names, kinds, strict=True)))
    return (f'SELECT t."id", x.place FROM unnest({arrays}) WITH ORDINALITY AS x({aliases}, place) JOIN {qualified(collection)} AS t '
            f'ON t."tenant_id" = $1 AND {equal} WHERE t."tenant_id" = $1')
