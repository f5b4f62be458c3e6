"""What `decide` may know besides state and mutation, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from holdfast.core.access import Actor
from holdfast.core.entry import Entry, EntryKind, Item, Request, Row, Waiting

__all__ = ["Context", "Decision", "Facts", "Key", "Lookups", "UniqueKey"]

Key: TypeAlias = tuple[str, str]
"""(collection, record id)"""

UniqueKey: TypeAlias = tuple[str, str, tuple[Any, ...]]
"""(collection, unique name, values)"""


class Context(msgspec.Struct, frozen=True):
    """A device's context row for one record: per Text field the others' entries not yet in its context. `through` is the seq up
    to which it is complete. No row means: no entry of others newer than base came before the device's newest change of a text."""

    texts: Mapping[str, list[Waiting]]
    through: int


class Lookups(msgspec.Struct, frozen=True):
    """What must be loaded before `decide`: records referred to, and unique values that may be taken."""

    refs: frozenset[Key] = frozenset()
    uniques: frozenset[UniqueKey] = frozenset()
    own_since: bool = False             # also the device's own entries since base (a `set` on Text, Counter or Set that must be refined)


class Facts(msgspec.Struct, kw_only=True):
    """All times ms since 1970, stamps packed (`clock`). `seq` is the number the entry will bear."""

    tenant_id: str
    seq: int
    now: int
    actor: Actor
    device_id: str
    stamp: int                                          # decided stamp (`clock.decided`)
    base: int | None = None                             # seq of the mutation's base on this history
    edited_at: int | None = None
    on_behalf_of: str | None = None
    request: Request = Request()
    refs: Mapping[Key, Row | None] = {}         # None or absent: missing
    taken: Mapping[UniqueKey, str] = {}         # who holds it: record id
    item: Item | None = None                            # the open inbox item of this device and record
    own_since: list[Entry] = []                 # when `Lookups.own_since`
    same_history: bool = True                           # False: base belongs to another history
    base_kept: bool = True                              # False: retention removed payloads newer than base
    old_contract: str | None = None                     # why the mutation could not be upcast
    sent_hash: str = ""
    kind: EntryKind = "change"
    reverts: int | None = None
    resolves: list[int] = []
    extra: dict[str, Any] = {}


class Decision(msgspec.Struct, frozen=True):
    """The entry (not sealed yet: `digest` is empty) and every view that changes with it."""

    entry: Entry
    row: Row | None                                     # None: the record does not exist, before or after
    row_changed: bool                                   # the row must be written (bookkeeping counts)
    context: Context | None                             # the device's new context row; None: none is needed (delete one that stands)
    item: Item | None = None                            # the open item as it stands now, if this mutation opened, joined or closed parts
    closed: Item | None = None                          # an item that is settled by this entry
    inbox_id: str | None = None
