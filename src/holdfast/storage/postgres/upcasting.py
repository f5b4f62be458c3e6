"""Rows of a raised contract, read as the older one declared them and written under the present one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError
from holdfast.core.schema import Collection
from holdfast.storage.layout import Table, quoted
from holdfast.storage.postgres.columns import cast_of, decoder, selected
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.people import TENANT
from holdfast.storage.postgres.row_codec import RowCodec
from holdfast.storage.protocol import Tenant
from holdfast.storage.standing import Layout

__all__ = ["upcast_rows"]

_ROWS_AT_ONCE: Final = 500


async def upcast_rows(connection: Any, collection: Collection, table: Table, before: Layout, aside: dict[str, str],
                      upcast: Callable[[Tenant, Row, Collection], Row] | None) -> None:
    """`connection`: of a role that is past the policies. Raises DeclarationError if there is nothing to upcast with."""
    codec = RowCodec(collection, table)
    tenants = {row["tenant_id"]: Tenant(**dict(row)) for row in await connection.fetch(
        f"SELECT {', '.join(TENANT)} FROM {qualified('hf_tenants')}")}
    kinds = [*((column.name, column.representation) for column in table.fields), ("contract", "integer")]
    count = len(table.fields)
    assignments = ", ".join(f"{quoted(name)} = x.v{at}{cast_of(kind)}" for at, (name, kind) in enumerate(kinds))
    aliases = ", ".join(f"v{at}" for at in range(len(kinds)))
    arrays = ", ".join(f"${at + 1}::text[]" for at in range(len(kinds) + 2))
    update = (f"UPDATE {qualified(table.name)} AS t SET {assignments} FROM unnest({arrays}) AS x(tenant, id, {aliases}) "
              "WHERE t.tenant_id = x.tenant AND t.id = x.id")
    async for rows in _old_rows(connection, table, before, aside):
        made: list[list[str | None]] = []
        for tenant, row in rows:
            if upcast is None:
                raise DeclarationError(f"{table.name} has rows of contract {row.contract}; "
                                       "the store was given nothing to upcast them with.")
            new = upcast(tenants.get(tenant) or Tenant(tenant_id=tenant, name=tenant, created_at=0), row, collection)
            made.append([tenant, row.id, *codec.encode(new)[:count], str(new.contract)])
        await connection.execute(update, *(list(column) for column in zip(*made, strict=True)))


async def _old_rows(connection: Any, table: Table, before: Layout, aside: dict[str, str]) -> AsyncIterator[list[tuple[str, Row]]]:
    """The rows of an older contract as it had declared them, some at a time."""
    fields = [(name, before["columns"][name]) for name in before["fields"]]
    columns = ", ".join(['"tenant_id"', '"id"', '"contract"',
                         *(selected(quoted(aside.get(name, name)), kind) for name, kind in fields)])
    last = ("", "")
    while True:
        found = await connection.fetch(
            f'SELECT {columns} FROM {qualified(table.name)} WHERE ("tenant_id", "id") > ($1, $2) AND "contract" < $3 '
            f'ORDER BY "tenant_id", "id" LIMIT {_ROWS_AT_ONCE}', *last, table.contract)
        if not found:
            return
        yield [_old_row(raw, table, fields) for raw in found]
        last = (found[-1][0], found[-1][1])


def _old_row(raw: Any, table: Table, fields: list[tuple[str, str]]) -> tuple[str, Row]:
    tenant, record_id, contract, *values = raw
    decoded = {name: value if value is None or (turn := decoder(kind)) is None else turn(value)
               for (name, kind), value in zip(fields, values, strict=True)}
    return str(tenant), Row(collection=table.name, id=str(record_id), fields=decoded, contract=int(contract))
