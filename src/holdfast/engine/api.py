"""What the engine offers to those above it (server, apps, command line, embedded users): one `Store`, called with a `Caller`.

Every method judges rights itself, at the moment it runs, from the member's record; a record that the caller may not read does
not exist for it (NotFound, in the same words as an unknown id).

A *record view* is the JSON a record travels as, everywhere: `{"collection", "id", "rev", "position", "contract", "deleted",
"fields": {…}}`; sensitive fields in plain (those who may read the record have the right to them).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from holdfast.core.entry import Mutation, Request
from holdfast.core.errors import Forbidden, HoldfastError, WorldError
from holdfast.core.messages import Problem, PullReply, PushReply, Result
from holdfast.core.schema import Schema
from holdfast.storage.protocol import Filter

__all__ = ["Caller", "Filter", "ListQuery", "Page", "RecordView", "Resolution", "StoreAPI", "Subscription", "problem_of"]

RecordView = dict[str, Any]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: an authenticated member of one tenant. Roles are looked up by the engine, never trusted from here;
    `narrowed` (a token's roles) can only take away."""

    tenant_id: str
    actor_id: str
    narrowed: frozenset[str] | None = None
    on_behalf_of: str | None = None
    request: Request = Request()


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    filters: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()
    cursor: str | None = None           # opaque, from the page before
    limit: int = 50
    include: tuple[str, ...] = ()       # child collections (records) or "child:count"
    include_deleted: bool = False


class Page(msgspec.Struct, kw_only=True):
    records: list[RecordView]
    cursor: str | None                  # None: that was all


class Resolution(msgspec.Struct, kw_only=True):
    """`POST /v1/inbox/{id}`: one of the four."""

    how: Literal["apply", "value", "discard", "assign"]
    values: dict[str, Any] | None = None    # path -> value, for "value"
    assign_to: str | None = None
    reason: str = ""


class Subscription(Protocol):
    """Hints that a tenant's log has grown: data is read by `pull`. Hints are coalesced and may be lost; truth is in the log."""

    def __aiter__(self) -> AsyncIterator[int]: ...
    async def close(self) -> None: ...


class StoreAPI(Protocol):
    schema: Schema

    # -- devices ------------------------------------------------------------------------------------------------------
    async def push(self, caller: Caller, device_id: str, mutations: Sequence[bytes | Mutation], *, now: int | None = None) -> PushReply:
        """One result each, in order. Raw bytes are decoded one by one: a malformed one is refused alone. Raises Overloaded
        (nothing was queued), LimitExceeded, WorldError (outcome unknown, send again)."""

    async def pull(self, caller: Caller, *, cursor: str | None, limit: int = 500, collections: Sequence[str] | None = None,
                   device_id: str | None = None, contracts: Mapping[str, int] | None = None) -> PullReply: ...
    async def pull_many(self, callers: Sequence[Caller], *, cursor: str | None, limit: int = 500, collections: Sequence[str] | None = None,
                        contracts: Mapping[str, int] | None = None) -> list[PullReply | Forbidden]:
        """What `pull` answers each caller (all of one tenant), from one snapshot; callers who are told the same get the very same object.
        Forbidden stands for a caller who is no member."""

    def snapshot(self, caller: Caller, *, collections: Sequence[str] | None = None, after: str | None = None,
                 pending: Mapping[str, str | None] | None = None) -> AsyncIterator[dict[str, Any]]:
        """First {"cursor": …}, then record views (or {"collection","id","base","changes":[…]} for a record named in `pending`
        with its base: entries since instead of the bare state). `after` resumes ("collection/id" of the last one received)."""

    async def records_since(self, caller: Caller, wanted: Sequence[tuple[str, str, str | None]]) -> list[dict[str, Any]]: ...
    async def report_device(self, caller: Caller, device_id: str, report: Mapping[str, Any]) -> None: ...
    def subscribe(self, tenant_id: str) -> Subscription: ...

    # -- records ------------------------------------------------------------------------------------------------------
    async def get(self, caller: Caller, collection: str, record_id: str, *, include: Sequence[str] = (),
                  include_deleted: bool = False) -> RecordView: ...
    async def list(self, caller: Caller, collection: str, query: ListQuery) -> Page: ...
    async def create(self, caller: Caller, collection: str, fields: Mapping[str, Any], *, record_id: str | None = None,
                     mutation_id: str | None = None) -> Result: ...
    async def change(self, caller: Caller, collection: str, record_id: str, *, fields: Mapping[str, Any] | None = None,
                     ops: Sequence[Mapping[str, Any]] | None = None, base: str | None = None, if_match: int | None = None,
                     mutation_id: str | None = None, atomic: bool = False) -> Result:
        """PATCH. `fields` become sets (finer ops on Text, Counter, Set), null unsets. base None: the state that stands.
        A question (`merge.ask`) is kept: the outcome is `held`, with `inbox_id`; what else cannot be applied raises, and nothing is kept.
        Raises Stale (if_match), Reused (mutation_id with other content), NotFound, Forbidden, InvalidValue, Conflict (a unique value)."""

    async def delete(self, caller: Caller, collection: str, record_id: str, *, if_match: int | None = None,
                     mutation_id: str | None = None) -> Result: ...
    async def undelete(self, caller: Caller, collection: str, record_id: str, *, mutation_id: str | None = None) -> Result: ...

    # -- the past -----------------------------------------------------------------------------------------------------
    async def history(self, caller: Caller, collection: str, record_id: str, *, cursor: str | None = None,
                      limit: int = 50) -> dict[str, Any]: ...
    async def at(self, caller: Caller, collection: str, record_id: str, rev: int) -> RecordView: ...
    async def diff(self, caller: Caller, collection: str, record_id: str, *, frm: int, to: int | None) -> dict[str, Any]: ...
    async def why(self, caller: Caller, collection: str, record_id: str, path: str) -> dict[str, Any]: ...
    async def name_version(self, caller: Caller, collection: str, record_id: str, rev: int, name: str, *,
                           mutation_id: str | None = None) -> Result: ...
    async def restore(self, caller: Caller, collection: str, record_id: str, rev: int, *, paths: Sequence[str] | None = None,
                      mutation_id: str | None = None) -> Result: ...
    async def undo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None = None, seq: int | None = None,
                   mutation_id: str | None = None) -> Result: ...
    async def redo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None = None,
                   mutation_id: str | None = None) -> Result: ...

    # -- what waits, what happened ------------------------------------------------------------------------------------
    async def inbox(self, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> dict[str, Any]: ...
    async def inbox_item(self, caller: Caller, item_id: str) -> dict[str, Any]: ...
    async def resolve(self, caller: Caller, item_id: str, resolution: Resolution, *, mutation_id: str | None = None) -> Result: ...
    async def activity(self, caller: Caller, *, cursor: str | None = None, limit: int = 50, **filters: Any) -> dict[str, Any]: ...

    # -- actions ------------------------------------------------------------------------------------------------------
    async def action(self, caller: Caller, name: str, arguments: Mapping[str, Any], *, mutation_id: str,
                     device_id: str | None = None) -> dict[str, Any]:
        """{"reply", "outcome", "receipt", "position", "results"}; all commit or none; runs again (5 times) if what it read changed,
        then Conflict."""

    async def erase(self, caller: Caller, collection: str, record_id: str, *, seqs: Sequence[int] | None = None, reason: str) -> Result:
        """Erase the payloads of a record's entries (by law); the chain stays checkable. Owners and operators only."""


def problem_of(error: Exception) -> Problem:
    """The wire form of an error of the tree; anything else is one opaque `internal` problem without its text."""
    if isinstance(error, HoldfastError):
        return Problem(code=error.code, detail=error.detail, hint=error.hint, field=error.field,
                       retry_after=error.retry_after if isinstance(error, WorldError) else None)
    return Problem(code="internal", detail="Something failed on our side.",
                   hint="Try again; if it stays, tell the operator the request id.")
