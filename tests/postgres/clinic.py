"""Collections with every kind of access rule, and rows of two tenants in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from holdfast.core.access import Actor, And, Everyone, Nobody, Or, Own, Role, Rule
from holdfast.core.entry import Row
from holdfast.core.schema import Collection, Copied, Field, Kind, Schema, Unique
from holdfast.storage.protocol import Storage
from holdfast.testing.storage.samples import Log, an_id

__all__ = ["ACTORS", "PEOPLE", "SCHEMA", "TENANTS", "fill", "rows_of"]

TENANTS: Final = ("acme", "zenith")
PEOPLE: Final = (an_id("me"), an_id("you"))
ROLES: Final = ("doctor", "owner", "it's, \\ \"odd\"")
ACTORS: Final = [Actor(person, frozenset(roles)) for person in PEOPLE
                 for roles in ((), ("doctor",), ("owner",), ("doctor", "owner"), (ROLES[2],), ("server",))]

_DOCTOR, _OWNER, _ODD = (Role(frozenset({role})) for role in ROLES)
_FIELDS: Final = {name: Field(name=name, kind=kind, optional=True) for name, kind in
                  (("owner_id", Kind.UUID), ("label", Kind.STRING), ("rank", Kind.INTEGER), ("due", Kind.DATE), ("notes", Kind.TEXT),
                   ("details", Kind.JSON), ("cost", Kind.MONEY), ("done", Kind.BOOLEAN), ("weight", Kind.NUMBER))}


def _collection(name: str, read: Rule, write: Rule, **more: Any) -> Collection:
    return Collection(**{"name": name, "fields": _FIELDS, "read": read, "write": write, "indexes": (("rank", "due"),),
                         "unique": (Unique(name="label", fields=("label",)),), **more})


SCHEMA: Final = Schema(digest="clinic", collections={collection.name: collection for collection in (
    Collection(name="members", fields={"roles": Field(name="roles", kind=Kind.SET, default=[])}),
    _collection("open_to_all", Everyone(), Everyone()),
    _collection("closed", Nobody(), Nobody()),
    _collection("own_notes", Own("owner_id"), Own("owner_id")),
    _collection("charts", Or((Own("owner_id"), _DOCTOR, _ODD)), Or((Own("owner_id"), _OWNER)), create=_DOCTOR, delete=_OWNER),
    _collection("referrals", And((Own("owner_id"), _DOCTOR)), And((Or((Own("owner_id"), _OWNER)), _DOCTOR))),
    _collection("trail", Everyone(), Everyone(), append_only=True),
    _collection("in_json", Own("details"), Own("details")),
    _collection("visits", Own("via_chart__owner_id"), Or((Own("via_chart__owner_id"), _OWNER)),
                fields={**_FIELDS, "chart": Field(name="chart", kind=Kind.REF, ref="charts", optional=True)},
                copied=(Copied(column="via_chart__owner_id", ref_field="chart", parent="charts", source="owner_id"),)),
)})


def rows_of(collection: Collection, tenant: str) -> Iterator[Row]:
    """A row for each combination of what a rule may read."""
    if collection.name == "members":
        return
    for at, (owner, copied, details) in enumerate(product([None, *PEOPLE], [None, *PEOPLE], [None, PEOPLE[0]])):
        if (copied is not None and not collection.copied) or (details is not None and collection.name != "in_json"):
            continue
        fields: Mapping[str, Any] = {**dict.fromkeys(collection.fields), "owner_id": owner, "details": details, "label": f"{at}"}
        yield Row(collection=collection.name, id=an_id((tenant, collection.name, at)), fields=dict(fields),
                  copied={one.column: copied for one in collection.copied})


async def fill(storage: Storage) -> None:
    """All rows of both tenants, each with one log entry."""
    for tenant in TENANTS:
        log = Log(tenant)
        log.add()
        rows = [row for collection in SCHEMA.collections.values() for row in rows_of(collection, tenant)]
        rows.append(Row(collection="members", id=PEOPLE[0], fields={"roles": ["owner"]}))
        await log.save(storage, rows=rows)
