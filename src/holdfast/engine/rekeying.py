"""Rotating keys: an organisation gets a new data key, or those it has are wrapped by another master key.

Nothing that is stored is sealed anew: a data key's version stands beside each value, and older versions go on opening what they sealed.
So a rotation touches one row per organisation. It is done while no server runs: a running one would not know the new version and could not
open what was sealed with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.core.errors import NotFound, UnsafeSettings
from holdfast.engine.keeping import Declarations, master_keys_for, opened_for_writing
from holdfast.model.keys import MasterKeys, rewrap, rotate_tenant_keys, unwrap
from holdfast.runtime import Runtime
from holdfast.storage.protocol import Reader, Tenant

__all__ = ["Rotated", "rotate_keys"]


@dataclass(frozen=True, slots=True)
class Rotated:
    """One organisation after it: the version of the data key that seals from now on, and the id of the master key that wraps all."""

    tenant_id: str
    version: int
    master_id: str


async def rotate_keys(folder: Path, runtime: Runtime, *, tenants: Collection[str] = (), rewrap_only: bool = False,
                      master_keys: str | None = None) -> list[Rotated]:
    """Give the organisations named (or all that have one) a new data key, and wrap all their keys by the first master key; `rewrap_only`:
    wrap alone. Each organisation in a transaction of its own; repeating it is harmless. Raises StorageLocked while a server runs, NotFound,
    UnsafeSettings (no organisation has a key, or the master key that wrapped one is not here)."""
    opened = await opened_for_writing(str(folder), Declarations.of((), (), None), runtime, master_keys, migrate=False)
    try:
        async with opened.storage.reader() as reader:
            chosen = await _chosen(reader, tenants)
        masters = master_keys_for(str(folder), master_keys, runtime)
        made = []
        for tenant in chosen:
            step = rewrap if rewrap_only else rotate_tenant_keys
            wrapped = step(tenant.wrapped_key, tenant.tenant_id, masters, runtime.random_bytes)
            async with opened.storage.batch([tenant.tenant_id]) as batch:
                await batch.put_tenant(msgspec.structs.replace(tenant, wrapped_key=wrapped))
            made.append(_facts(tenant.tenant_id, wrapped, masters))
        return made
    finally:
        await opened.storage.close()


async def _chosen(reader: Reader, tenants: Collection[str]) -> list[Tenant]:
    there = await reader.tenants()
    for missing in sorted(set(tenants) - {one.tenant_id for one in there}):
        raise NotFound(f"There is no organisation {missing!r}.")
    found = [one for one in there if one.wrapped_key and (not tenants or one.tenant_id in tenants)]
    if not found:
        raise UnsafeSettings("None of these organisations has a key yet.",
                             hint="They get one with the first application that has sensitive fields.")
    return found


def _facts(tenant_id: str, wrapped: str, masters: MasterKeys) -> Rotated:
    return Rotated(tenant_id, unwrap(wrapped, tenant_id, masters).newest, masters.ids[0])
