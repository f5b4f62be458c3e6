"""Holdfast: a persistence layer for applications whose users never lose work.

    from holdfast import Json, Money, Record, Ref, Text, merge, role

    class Estimate(Record, collection="estimates", access=role("estimator", "owner")):
        base_cost: Annotated[Money, merge.ask] | None = None
        notes: Text = ""
"""

from holdfast.core.errors import (
    CallerError,
    Conflict,
    DeclarationError,
    Forbidden,
    Held,
    HoldfastError,
    InvalidValue,
    LimitExceeded,
    NotFound,
    NotSignedIn,
    StateError,
    WorldError,
)
from holdfast.core.limits import Limits
from holdfast.core.schema import Schema
from holdfast.engine.api import Caller
from holdfast.engine.bridge import open_store_blocking
from holdfast.engine.opening import open_store
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.model import merge, upcast
from holdfast.model.access import nobody, own, role, tenant, via
from holdfast.model.builtin import Member
from holdfast.model.compile import compile_schema
from holdfast.model.jsonschema import json_schema
from holdfast.model.kinds import (
    Counter,
    CreatedAt,
    CreatedBy,
    Json,
    Money,
    Ref,
    Sensitive,
    Set,
    Text,
    UpdatedAt,
    UpdatedBy,
    by_server,
    immutable,
    scale,
    search,
    unique,
)
from holdfast.model.record import Record
from holdfast.model.typed import changed_fields, from_fields, record_id, to_fields
from holdfast.model.typescript import typescript

__all__ = [
    "Caller",
    "CallerError",
    "Conflict",
    "Counter",
    "CreatedAt",
    "CreatedBy",
    "DeclarationError",
    "Forbidden",
    "Held",
    "HoldfastError",
    "InvalidValue",
    "Json",
    "LimitExceeded",
    "Limits",
    "Member",
    "MemberSession",
    "Money",
    "NotFound",
    "NotSignedIn",
    "Record",
    "Ref",
    "Schema",
    "Sensitive",
    "Set",
    "StateError",
    "Store",
    "Text",
    "UpdatedAt",
    "UpdatedBy",
    "WorldError",
    "by_server",
    "changed_fields",
    "compile_schema",
    "from_fields",
    "immutable",
    "json_schema",
    "merge",
    "nobody",
    "open_store",
    "open_store_blocking",
    "own",
    "record_id",
    "role",
    "scale",
    "search",
    "tenant",
    "to_fields",
    "typescript",
    "unique",
    "upcast",
    "via",
]
