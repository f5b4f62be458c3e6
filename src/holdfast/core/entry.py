"""The facts of the log: mutation, entry, row, unapplied, inbox item. Frozen where stored or sent; nobody mutates a fact.

`seq` numbers are per tenant, from 1. A *stamp* is a hybrid logical clock value packed in one integer, `ms << 16 | counter`
(see `clock`). Ids are text (UUIDs for records; mutation and device ids any text of 1 to 64 of `A-Z a-z 0-9 _ . : -`). The pseudo-device
of an actor (REST, server-made entries) is `"!" + actor id`: it sorts below every real one.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.core.ops import Op

__all__ = ["Entry", "EntryKind", "ForkedFrom", "HeldText", "Item", "Mutation", "Outcome", "Reason", "Request", "Row", "TextChange",
           "Unapplied", "Waiting"]

Outcome = Literal["applied", "merged", "held", "duplicate", "refused"]

EntryKind = Literal[
    "change",       # a mutation from a device, REST or an action
    "undo", "redo", "restore",
    "resolve",      # an inbox item applied, given a value, discarded or assigned
    "redecide",     # a held mutation decided again because what it waited for arrived
    "access",       # copied columns of a child rewritten because its parent changed
    "version",      # a version was named
    "action",       # an action call: its reply and the seqs it made
    "erase",        # payloads of entries erased
]

Reason = Literal[
    "superseded",       # a newer concurrent set stands (latest); kept for the record, waits for nobody
    "kept_inside",      # a newer value inside the place was written back; waits for nobody
    "left_out",         # undo or restore left a place out that somebody else changed since; waits for nobody
    "conflict",         # merge.ask: two values, a person decides
    "invalid",          # the value does not fit the field or the record
    "unavailable",      # the record does not exist or may not be seen (one reason for both)
    "forbidden",        # it may be read, not written
    "deleted",          # the record was deleted meanwhile
    "missing_ref",      # refers to a record that is missing or may not be seen; decided again when it arrives
    "taken",            # a unique value is held by another record
    "old_contract",     # does not fit the present contract
    "base_too_old",     # what it was made on is no longer kept, and somebody touched its places since
    "other_history",    # made on another history of this server; its splices cannot be placed
    "atomic",           # would apply, but another part of its atomic mutation is held
]

TextChange = list[int | str]
"""A change of a text in normal form: retain (n > 0), delete (n < 0) and insert (str); what follows is retained. See `text`."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    address: str = ""
    agent: str = ""


class ForkedFrom(msgspec.Struct, frozen=True):
    device_id: str
    mutation_id: str


class Mutation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device sends. `base` is a position ("seq.digestprefix") or None; `edited_at` a stamp as text ("ms:counter") or None."""

    mutation_id: str
    collection: str
    record_id: str
    ops: list[Op]
    after: str | None = None
    contract: int = 1
    base: str | None = None
    edited_at: str | None = None
    atomic: bool = False
    forked_from: ForkedFrom | None = None


class Unapplied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a mutation that was not applied. `waits` says whether it is in the inbox."""

    reason: Reason
    op: Op | None = None                # the op as sent (or as it stood after rebasing); None: see `path`
    path: str | None = None             # the place, where `op` does not say it
    waits: bool = False
    mine: Any = None                    # the value not applied
    theirs: Any = None                  # the value that stands
    base_value: Any = None              # the value both started from, where known
    message: str = ""                   # for people
    ref: tuple[str, str] | None = None  # missing_ref: (collection, id)
    seq: int = 0                        # the entry that stands against it, where one does
    held_by: int = 0                    # in an inbox item: the held entry whose change this is


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decided mutation: a line of the log. Times are ms since 1970; `digest` is hex SHA-256."""

    tenant_id: str
    seq: int
    committed_at: int
    stamp: int                          # decided stamp
    actor_id: str
    device_id: str
    mutation_id: str
    kind: EntryKind = "change"
    collection: str = ""
    record_id: str = ""
    contract: int = 1
    outcome: Outcome = "applied"
    edited_at: int | None = None        # stamp as the device gave it
    top: int = 0                        # newest stamp in the record up to here, if newer than `stamp`; else 0
    on_behalf_of: str | None = None
    after: str | None = None
    base: int | None = None             # seq of the base (its digest prefix was checked at admission)
    sent: list[Op] | None = None        # as sent; None: equal to `ops`
    sent_hash: str = ""                 # salted hash (hex) over the canonical mutation, to tell a duplicate from a reused id
    ops: list[Op] = []                  # what was applied, also ops that changed nothing
    undo: list[Op] = []                 # their exact inverse, to be applied in this order
    unapplied: list[Unapplied] = []
    atomic: bool = False
    forked_from: ForkedFrom | None = None
    reverts: int | None = None          # seq of the entry this one undoes (or, for redo, of the undo)
    resolves: list[int] = []            # seqs of held entries this one settles
    extra: dict[str, Any] = {}          # by kind: restore {rev}, version {rev, name}, action {name, reply, seqs}, access {columns},
                                        # erase {seqs, reason, whole, waits}, resolve {how, assign}
    request: Request = Request()
    erased: bool = False                # payload and salt are gone; digest still checkable
    digest: str = ""                    # filled by `digest.seal`


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A record as it stands: all declared fields with values (defaults filled in), copied columns, and bookkeeping."""

    collection: str
    id: str
    fields: dict[str, Any]
    copied: dict[str, Any] = {}
    contract: int = 1
    deleted: bool = False
    rev: int = 0                        # seq of the last entry that changed it
    last: int = 0                       # seq of the newest entry about it, held ones and no-ops included
    last_prefix: str = ""               # first 8 hex digits of that entry's digest
    last_device: str = ""
    last_mutation: str = ""
    last_foreign: int = 0               # newest entry about it by a device other than `last_device`
    stamp: int = 0                      # newest stamp in the record

    def columns(self) -> dict[str, Any]:
        """Fields, copied columns and the id together: what access rules read."""
        return {**self.fields, **self.copied, "id": self.id}


class Waiting(msgspec.Struct, array_like=True):
    """An entry of somebody else that is not in the device's context yet, as it stands after the device's own later ones."""

    seq: int
    device_id: str
    change: TextChange
    reverts: int = 0                    # the entry this one took back, all of it; 0: none


class HeldText(msgspec.Struct, kw_only=True):
    """A held splice of one Text: everything the device typed in its own context until it learned of it, composed, and what that is
    parallel to. What it typed on after it had learned, if that was held again, is another one beside it."""

    seq: int                            # the entry that held it first
    back: int                           # the entry whose coming back takes it off the device's screen: that one, or an earlier held one
    change: TextChange
    waiting: list[Waiting] = []         # others' changes at the time of holding, transformed past the device's applied ones


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An open inbox item: one per device and record. Derived from the log; `id` is the seq of its first held entry, as text."""

    id: str
    device_id: str
    actor_id: str
    collection: str
    record_id: str
    opened: int                         # seq of the first held entry
    last: int                           # seq of the newest held entry that joined
    base: int | None = None             # base of the first held entry
    parts: list[Unapplied] = []         # what waits, newest value per place
    texts: dict[str, list[HeldText]] = {}   # per Text field, rising
    seqs: list[int] = []                # all entries in it
    assigned_to: str | None = None
    opened_at: int = 0
    bytes: int = 0
