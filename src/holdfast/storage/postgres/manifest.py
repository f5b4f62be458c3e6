"""Which tables there are, and what each is to the tenants: the fixed ones here, the collections' after them, parents before children.

`tenant`: rows of one tenant, `tenant_id` first in the key; `reference`: small, for all tenants (the directory of accounts, credentials
and tenants); `local`: of this database alone.
"""

from __future__ import annotations

from typing import Final, Literal

from holdfast.core.schema import Schema
from holdfast.storage.layout import tables_of

__all__ = ["ANCHOR", "FIXED", "Kind", "tables_in_order"]

Kind = Literal["tenant", "reference", "local"]

ANCHOR: Final = "hf_heads"
"""The table whose rows everything of a tenant is written beside: all tenant tables are colocated with it."""

FIXED: Final[dict[str, Kind]] = {
    "hf_meta": "local",
    "hf_attempts": "local",
    "hf_tenants": "reference",
    "hf_accounts": "reference",
    "hf_credentials": "reference",
    "hf_memberships": "reference",
    ANCHOR: "tenant",
    "hf_log": "tenant",
    "hf_contexts": "tenant",
    "hf_items": "tenant",
    "hf_item_refs": "tenant",
    "hf_devices": "tenant",
    "hf_settings": "tenant",
}


def tables_in_order(schema: Schema) -> dict[str, Kind]:
    """All tables of a store of this schema, in the order in which they can be made and distributed."""
    return {**FIXED, **dict.fromkeys(tables_of(schema), "tenant")}
