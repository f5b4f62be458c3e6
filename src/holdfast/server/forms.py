"""Bodies and replies of the REST calls, as typed values: msgspec reads and checks them, the OpenAPI shows them."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.core.entry import Outcome
from holdfast.core.messages import Receipt

__all__ = [
    "ActionReply", "ChangeRecord", "CreateRecord", "DeviceReport", "History", "InboxPage", "LogIn", "LoggedIn", "NameVersion",
    "NewPassword", "RecordPage", "RecordView", "Redo", "Resolve", "Restore", "Saved", "Since", "SinceReply", "SnapshotQuery", "Undo",
]


class Form(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body: unknown members are an error that names them."""


class LogIn(Form):
    email: str
    password: str
    tenant: str | None = None


class NewPassword(Form):
    current: str
    new: str


class CreateRecord(Form):
    """`id` may be left out: then the server makes one (or, with a natural key, computes it)."""

    fields: dict[str, Any]
    id: str | None = None


class ChangeRecord(Form):
    """Either `fields` (values to set; null empties) or `ops`. `base`: the position the change was made on; absent: what stands now."""

    fields: dict[str, Any] | None = None
    ops: list[dict[str, Any]] | None = None
    base: str | None = None
    atomic: bool = False


class NameVersion(Form):
    rev: int
    name: str


class Restore(Form):
    rev: int
    paths: list[str] | None = None


class Undo(Form):
    device_id: str | None = None
    seq: int | None = None


class Redo(Form):
    device_id: str | None = None


class Resolve(Form):
    """One of the four. `value` maps paths to values."""

    apply: bool | None = None
    value: dict[str, Any] | None = None
    discard: bool | None = None
    assign: str | None = None
    reason: str = ""


class SnapshotQuery(Form):
    """`pending` maps "collection/id" to the base of what the device's outbox holds for that record."""

    collections: list[str] | None = None
    after: str | None = None
    pending: dict[str, str | None] | None = None


class Wanted(Form):
    collection: str
    record_id: str
    base: str | None = None


class Since(Form):
    wanted: list[Wanted]


class DeviceReport(Form):
    """How a device is: what waits in its outbox, since when, and why."""

    device_id: str
    version: str = ""
    pending: int = 0
    held: int = 0
    oldest: str | None = None
    cause: str | None = None


class RecordView(msgspec.Struct, kw_only=True):
    """A record, everywhere."""

    collection: str
    id: str
    rev: int
    position: str
    contract: int
    deleted: bool
    fields: dict[str, Any]


class Saved(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to whatever changes a record."""

    outcome: Outcome
    receipt: Receipt
    mutation_id: str
    rev: int | None = None
    position: str | None = None
    first_outcome: Outcome | None = None
    record: dict[str, Any] | None = None
    inbox_id: str | None = None
    unapplied: list[dict[str, Any]] | None = None


class RecordPage(msgspec.Struct, kw_only=True):
    records: list[dict[str, Any]]
    cursor: str | None


class SinceReply(msgspec.Struct, kw_only=True):
    records: list[dict[str, Any]]


class History(msgspec.Struct, kw_only=True):
    entries: list[dict[str, Any]]
    cursor: str | None


class InboxPage(msgspec.Struct, kw_only=True):
    items: list[dict[str, Any]]
    cursor: str | None


class LoggedIn(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Either a session, or the organisations to choose from (then without a token)."""

    token: str | None = None
    tenant: str | None = None
    actor_id: str | None = None
    expires_at: str | None = None
    tenants: list[dict[str, str]] | None = None


class ActionReply(msgspec.Struct, kw_only=True):
    reply: Any
    outcome: Outcome
    receipt: Receipt
    position: str | None = None
    results: list[dict[str, Any]] = []
