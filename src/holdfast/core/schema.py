"""The plain, immutable schema that `model/` compiles declarations to: what core, storage and engine read.

Field values are canonical JSON values (see `values`): strings, whole numbers within ±(2^53 − 1), finite floats, booleans,
null, arrays, objects. How each kind is represented as JSON, in the row, in ops and on the wire:

| kind      | JSON value                                   | ops that change it                | SQL column (SQLite / PostgreSQL) |
|-----------|----------------------------------------------|-----------------------------------|----------------------------------|
| string    | "…"                                          | set, unset                        | TEXT / text                      |
| integer   | whole number                                 | set, unset                        | INTEGER / bigint                 |
| number    | finite float (1.0 is the same value as 1)    | set, unset                        | REAL / double precision          |
| boolean   | true / false                                 | set, unset                        | INTEGER / boolean                |
| date      | "2026-11-20"                                 | set, unset                        | TEXT / text                      |
| datetime  | "2026-11-20T13:58:00.000Z" (UTC, ms)         | set, unset                        | TEXT / text                      |
| choice    | one of `choices`                             | set, unset                        | TEXT / text                      |
| uuid      | "0190…" canonical lower case                 | set, unset                        | TEXT / text                      |
| ref       | the id of a record of collection `ref`       | set, unset                        | TEXT / text                      |
| money     | "12.34" (exact, `scale` digits, minor units in SQL) | set, unset                 | INTEGER / bigint                 |
| json      | any value                                    | set, unset, also at places inside | TEXT / jsonb                     |
| text      | "…", never null                              | splice (a `set` becomes a splice) | TEXT / text                      |
| counter   | whole number, never null                     | add (a `set` becomes an add)      | INTEGER / bigint                 |
| set       | array of distinct strings, sorted by code points | include, exclude (a `set` becomes both) | TEXT / jsonb         |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from holdfast.core.access import All, Rule
from holdfast.core.limits import Limits

__all__ = ["Collection", "Copied", "Field", "Kind", "Merge", "Schema", "Stamped", "Unique", "Upcast", "UpcastStep"]


class Kind(str, Enum):
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    CHOICE = "choice"
    UUID = "uuid"
    REF = "ref"
    MONEY = "money"
    JSON = "json"
    TEXT = "text"
    COUNTER = "counter"
    SET = "set"


class Merge(str, Enum):
    """What a second concurrent `set` of one place does."""

    LATEST = "latest"
    ASK = "ask"


class Stamped(str, Enum):
    """A field that the server fills from the entry itself; a client never sets it (a value it sends is ignored)."""

    CREATED_BY = "created_by"    # the acting member (on_behalf_of where given) of the create; "the caller, never the client's choice"
    CREATED_AT = "created_at"    # committed_at of the create, as datetime
    UPDATED_BY = "updated_by"
    UPDATED_AT = "updated_at"    # committed_at of the entry that last changed the record


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One declared field. `check` is compiled by model: it takes a JSON value of this field (never null; null is judged
    by `optional`) and returns it in canonical form, or raises InvalidValue with a message for people."""

    name: str
    kind: Kind
    optional: bool = False
    required: bool = False                      # must be given by `create`
    default: Any = None                         # the JSON value of a field that is not given
    merge: Merge = Merge.LATEST
    sensitive: bool = False
    searched: bool = False
    immutable: bool = False                     # key fields and fields declared so: set by create alone
    stamped: Stamped | None = None
    ref: str | None = None                      # collection referred to
    choices: tuple[str, ...] | None = None
    scale: int = 2                              # money: digits after the point
    check: Callable[[Any], Any] | None = None
    constraints: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))   # JSON Schema keywords, for forms and clients
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A hidden column: the parent's `source` column (a field or itself a copied column), kept equal in the same transaction."""

    column: str                                 # e.g. "via_session__participant_id"
    ref_field: str                              # the child's Ref field
    parent: str                                 # the parent's collection
    source: str                                 # the parent's column


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpcastStep:
    """One step of an upcaster. `verb` is rename (field, to), convert (field, with), drop (field) or default (field, value)."""

    verb: str
    field: str
    to: str | None = None
    convert: Callable[[Any], Any] | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class Upcast:
    """From contract `frm` to `frm + 1`."""

    frm: int
    steps: tuple[UpcastStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    name: str
    contract: int = 1
    fields: Mapping[str, Field]
    key: tuple[str, ...] | None = None          # natural key: id = uuid5 of collection and key
    unique: tuple[Unique, ...] = ()
    read: Rule = All
    write: Rule = All
    create: Rule | None = None                  # who may create (judged on the new row); None: as write
    delete: Rule | None = None                  # who may delete and undelete; None: as write
    copied: tuple[Copied, ...] = ()
    append_only: bool = False                   # records are created, never changed or deleted by members
    upcasts: Mapping[int, Upcast] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[[Mapping[str, Any]], list[tuple[str, str]]] | None = None   # record-wide rules: [(field, message)]
    indexes: tuple[tuple[str, ...], ...] = ()
    app: str = ""
    doc: str = ""
    title: str = ""                             # field that names a record for people
    record: str = ""                            # name of the record class: TypeScript type, OpenAPI component


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """All collections of a store. `digest` (hex) changes when anything a device must know changes."""

    collections: Mapping[str, Collection]
    digest: str = ""
    limits: Limits = field(default_factory=Limits)

    def children(self, parent: str) -> tuple[tuple[Collection, Field], ...]:
        """The collections with a Ref field to `parent`, with that field."""
        return tuple((c, f) for c in self.collections.values() for f in c.fields.values() if f.ref == parent)
