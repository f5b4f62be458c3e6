"""The envelopes of the wire (DESIGN section 8), decoded by msgspec. Bodies that are records stay JSON values.

Field names here are the wire's. Positions are text "seq.prefix"; stamps text "ms:counter"; times ISO 8601 UTC with
milliseconds; `now` of a push is whole milliseconds since 1970 by the device's clock.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdfast.core.entry import Outcome
from holdfast.core.ops import Op

__all__ = ["Change", "Problem", "PullReply", "Push", "PushReply", "Receipt", "Result"]

Receipt = Literal["local", "committed", "backed_up", "held", "refused"]


class Push(msgspec.Struct, kw_only=True):
    """`mutations` stay raw: each is decoded by itself, so that a malformed one is refused alone."""

    device_id: str
    mutations: list[msgspec.Raw]
    now: int | None = None


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Why a mutation was refused, or the body of an error (RFC 9457 adds type, title, status)."""

    code: str
    detail: str
    hint: str = ""
    field: str | None = None
    retry_after: int | None = None


class Result(msgspec.Struct, kw_only=True, omit_defaults=True):
    mutation_id: str
    outcome: Outcome
    receipt: Receipt
    first_outcome: Outcome | None = None
    position: str | None = None
    seq: int | None = None
    rev: int | None = None
    record: dict[str, Any] | None = None
    inbox_id: str | None = None
    unapplied: list[dict[str, Any]] | None = None
    error: Problem | None = None


class PushReply(msgspec.Struct, kw_only=True):
    results: list[Result]
    head: int


class Change(msgspec.Struct, kw_only=True, omit_defaults=True):
    position: str
    seq: int
    collection: str
    record_id: str
    rev: int
    ops: list[Op]
    actor_id: str
    device_id: str
    mutation_id: str
    committed_at: str
    stamp: str = ""
    kind: str = "change"
    edited_at: str | None = None
    outcome: Outcome | None = None      # own changes only
    inbox_id: str | None = None         # own changes only
    reverts: int | None = None
    partly: bool = False                # a revert that left something out: it cancels nothing
    on_behalf_of: str | None = None     # whom a stamped field names instead of the actor


class PullReply(msgspec.Struct, kw_only=True, omit_defaults=True):
    changes: list[Change]
    cursor: str
    head: int
    backed_up_seq: int
    more: bool
    records: list[dict[str, Any]] = []
    forget: list[dict[str, str]] = []
    reset: Literal["history", "access"] | None = None
    upgrade_required: list[str] = []
