"""The store, and what it gives, for code that blocks.

Made by `make faces` from the asynchronous classes; a test compares.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from holdfast.core.entry import Mutation
from holdfast.core.messages import PullReply, PushReply, Result
from holdfast.core.schema import Collection, Schema
from holdfast.engine.api import Caller, ListQuery, Page, RecordView, Resolution
from holdfast.model.record import Record
from holdfast.storage.protocol import Account, Tenant

__all__ = ["BlockingAccounts", "BlockingFeed", "BlockingMember", "BlockingStore"]

R = TypeVar("R", bound=Record)
Views: TypeAlias = list[dict[str, Any]]


class BlockingStore(Protocol):
    """`Store`, each call of which blocks until it is done."""

    @property
    def accounts(self) -> BlockingAccounts: ...

    @property
    def schema(self) -> Schema: ...

    def member(self, tenant_id: str, email: str, *, roles: Iterable[str] | None=None, display_name: str='') -> BlockingMember:
        """Work as this person in this organisation. Whatever of the organisation, the account and the member does not exist is made; the
        first member of a new organisation is its owner, unless `roles` says otherwise. Raises InvalidValue."""

    def as_caller(self, caller: Caller) -> BlockingMember:
        """Typed work as a member who was authenticated otherwise."""

    def ready(self) -> None:
        """The writer takes saves and the disk takes commits. Raises the WorldError that says why not."""

    def push(self, caller: Caller, device_id: str, mutations: Sequence[bytes | Mutation], *, now: int | None=None) -> PushReply:
        """See `StoreAPI.push`."""

    def pull(self, caller: Caller, *, cursor: str | None, limit: int=500, collections: Sequence[str] | None=None,
             device_id: str | None=None, contracts: Mapping[str, int] | None=None) -> PullReply:
        """See `StoreAPI.pull`. Raises Malformed (the cursor), NotFound (a collection)."""

    def snapshot(self, caller: Caller, *, collections: Sequence[str] | None=None, after: str | None=None, pending: Mapping[str,
                 str | None] | None=None) -> Iterator[dict[str, Any]]:
        """See `StoreAPI.snapshot`."""

    def records_since(self, caller: Caller, wanted: Sequence[tuple[str, str, str | None]]) -> builtins.list[dict[str, Any]]:
        """For each (collection, id, base): {"collection", "id", "base", "changes"}, a record view where the changes since are not to be
        had, or {"collection", "id", "forget": true}."""

    def report_device(self, caller: Caller, device_id: str, report: Mapping[str, Any]) -> None:
        """Keep what a device tells of itself. Raises Forbidden if it belongs to somebody else, LimitExceeded."""

    def subscribe(self, tenant_id: str) -> BlockingFeed: ...

    def get(self, caller: Caller, collection: str, record_id: str, *, include: Sequence[str]=(),
            include_deleted: bool=False) -> RecordView:
        """Raises NotFound, InvalidValue (`include`)."""

    def list(self, caller: Caller, collection: str, query: ListQuery) -> Page:
        """Raises NotFound (the collection), InvalidValue, Malformed (the cursor), LimitExceeded (too many children)."""

    def create(self, caller: Caller, collection: str, fields: Mapping[str, Any], *, record_id: str | None=None,
               mutation_id: str | None=None) -> Result:
        """See `StoreAPI.create`. A natural key makes the id; a given one must be that."""

    def new_record_id(self, caller: Caller, collection: Collection, fields: Mapping[str, Any], mutation_id: str | None) -> str:
        """The id that a natural key makes; else a call that is repeated under its id must name the same record, without anybody
        remembering it."""

    def change(self, caller: Caller, collection: str, record_id: str, *, fields: Mapping[str, Any] | None=None,
               ops: Sequence[Mapping[str, Any]] | None=None, base: str | None=None, if_match: int | None=None,
               mutation_id: str | None=None, atomic: bool=False) -> Result:
        """See `StoreAPI.change`."""

    def delete(self, caller: Caller, collection: str, record_id: str, *, if_match: int | None=None,
               mutation_id: str | None=None) -> Result: ...

    def undelete(self, caller: Caller, collection: str, record_id: str, *, mutation_id: str | None=None) -> Result: ...

    def history(self, caller: Caller, collection: str, record_id: str, *, cursor: str | None=None, limit: int=50) -> dict[str, Any]: ...

    def at(self, caller: Caller, collection: str, record_id: str, rev: int) -> RecordView: ...

    def diff(self, caller: Caller, collection: str, record_id: str, *, frm: int, to: int | None) -> dict[str, Any]: ...

    def why(self, caller: Caller, collection: str, record_id: str, path: str) -> dict[str, Any]: ...

    def name_version(self, caller: Caller, collection: str, record_id: str, rev: int, name: str, *,
                     mutation_id: str | None=None) -> Result: ...

    def restore(self, caller: Caller, collection: str, record_id: str, rev: int, *, paths: Sequence[str] | None=None,
                mutation_id: str | None=None) -> Result: ...

    def undo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None=None, seq: int | None=None,
             mutation_id: str | None=None) -> Result:
        """`device_id` None: what the caller did by this API (not by a device that pushes)."""

    def redo(self, caller: Caller, collection: str, record_id: str, *, device_id: str | None=None,
             mutation_id: str | None=None) -> Result: ...

    def inbox(self, caller: Caller, *, cursor: str | None=None, limit: int=50) -> dict[str, Any]: ...

    def inbox_item(self, caller: Caller, item_id: str) -> dict[str, Any]: ...

    def resolve(self, caller: Caller, item_id: str, resolution: Resolution, *, mutation_id: str | None=None) -> Result: ...

    def activity(self, caller: Caller, *, cursor: str | None=None, limit: int=50, **filters: Any) -> dict[str, Any]: ...

    def erase(self, caller: Caller, collection: str, record_id: str, *, seqs: Sequence[int] | None=None, reason: str,
              mutation_id: str | None=None) -> Result:
        """See `StoreAPI.erase`. An operator need not be a member."""

    def action(self, caller: Caller, name: str, arguments: Mapping[str, Any], *, mutation_id: str,
               device_id: str | None=None) -> dict[str, Any]:
        """See `StoreAPI.action`. Raises NotFound (no such action), Forbidden, InvalidValue, Reused, Conflict, and what the action
        raises."""


class BlockingMember(Protocol):
    """`MemberSession`, each call of which blocks until it is done."""

    @property
    def caller(self) -> Caller: ...

    @property
    def actor_id(self) -> str: ...

    def create(self, record: R, *, mutation_id: str | None=None) -> R:
        """Keep a new record; returns it as it was kept. With a natural key, and if it exists, it is merged. Raises InvalidValue, Forbidden,
        Conflict (a unique value is taken), Held."""

    def change(self, record: R, *, base: str | None=None, mutation_id: str | None=None, **fields: Any) -> R:
        """Change the fields given, on the version of `record` in hand: what others did since is merged. Returns the record as it stands;
        `record` itself stays as it was. Raises InvalidValue, Forbidden, NotFound, Held (a question: both values are in the inbox)."""

    def save(self, record: R, *, mutation_id: str | None=None) -> R:
        """Keep what was assigned to `record` since it was read; see `change`. Nothing assigned: nothing is written."""

    def delete(self, record: Record) -> None:
        """It can be undeleted. Raises Forbidden, NotFound."""

    def undelete(self, record: R) -> R: ...

    def get(self, kind: type[R], id: str, *, include_deleted: bool=False) -> R:
        """Raises NotFound, for what does not exist and for what you may not see."""

    def list(self, kind: type[R], *, sort: Sequence[str]=(), limit: int=50, include_deleted: bool=False,
             **where: Any) -> builtins.list[R]:
        """Records by the values of their fields: `list(Note, title="Groceries", rev__gt=10, sort=["-created_at"])`."""

    def each(self, kind: type[R], *, sort: Sequence[str]=(), include_deleted: bool=False, **where: Any) -> Iterator[R]:
        """All such records, page by page."""

    def history(self, record: Record) -> Views:
        """All entries about the record, newest first: who changed what, when, and the names of versions."""

    def at(self, record: R, rev: int) -> R:
        """The record as it stood at `rev`."""

    def diff(self, record: Record, *, since: int, to: int | None=None) -> dict[str, Any]: ...

    def why(self, record: Record, field: str) -> dict[str, Any]:
        """Where the value of a field (or of a place in it, as `field/inside`) comes from."""

    def undo(self, record: R) -> R:
        """Take back the newest change that was made of the record by this API as this member. Raises Conflict (nothing to undo)."""

    def redo(self, record: R) -> R: ...

    def restore(self, record: R, rev: int, *, fields: Sequence[str] | None=None) -> R:
        """Bring back what the record (or some of its fields) held at `rev`, as a new change."""

    def name_version(self, record: Record, name: str, *, rev: int | None=None) -> None: ...

    def erase(self, record: Record, *, reason: str, seqs: Sequence[int] | None=None) -> None:
        """Erase what the record's entries (or those chosen) held, for good; without chosen ones its present state too. Owners and operators
        only. `reason` is kept. Raises Forbidden, NotFound, InvalidValue."""

    def inbox(self) -> Views:
        """What waits for this member's decision, oldest first."""

    def apply(self, item_id: str) -> None:
        """Apply what waits, over what stands. Raises what a change raises; then it waits on."""

    def discard(self, item_id: str, reason: str='') -> None: ...

    def settle(self, item_id: str, values: Mapping[str, Any]) -> None:
        """Put these values (path -> JSON value) in place of both that are in question."""

    def call(self, action: str, *, mutation_id: str | None=None, **arguments: Any) -> Any:
        """Call an action ("workshop.save") and return its reply."""


class BlockingAccounts(Protocol):
    """`Accounts`, each call of which blocks until it is done."""

    def create_tenant(self, tenant_id: str, name: str='') -> Tenant:
        """Raises InvalidValue (the slug), Conflict (it exists)."""

    def create_account(self, email: str, password: str | None=None, *, operator: bool=False) -> Account:
        """Raises InvalidValue, Conflict (the address is taken). Without a password nobody can sign in to it by one."""

    def account(self, email: str) -> Account | None: ...

    def add_member(self, tenant_id: str, account: Account, roles: Iterable[str], *, display_name: str='') -> str:
        """Make the account a member with these roles, or give the member these roles. Returns the actor id. Raises NotFound (the
        organisation), Forbidden (it would be left without an owner)."""

    def remove_member(self, tenant_id: str, account_id: str) -> None:
        """Raises NotFound, Forbidden (the last owner)."""

    def ensure_member(self, tenant_id: str, email: str, roles: Iterable[str] | None, *, display_name: str='') -> str:
        """The actor id of this person in this organisation, making whatever of them does not exist yet: the organisation, the account, the
        member. `roles` None: the roles it has; for a new member none, or `owner` in a new organisation."""

    def create_token(self, tenant_id: str, email: str, *, name: str='', roles: Iterable[str] | None=None,
                     expires_at: int | None=None) -> str:
        """A new API token: the secret, which nobody can read again. `roles` can only take away of the member's. Raises NotFound."""

    def set_password(self, account: Account, password: str) -> None:
        """By an operator. Raises InvalidValue."""

    def keep_account(self, account: Account) -> None:
        """By an operator: disable it, make it an operator's, give it another address. Raises Conflict (the address is taken)."""

    def account_id(self, *, email: str | None=None, account_id: str | None=None) -> str | None:
        """The id of an account that may sign in, by address or id."""

    def memberships(self, account_id: str) -> builtins.list[str]: ...

    def profile(self, tenant_id: str, account_id: str, narrowed: frozenset[str] | None) -> dict[str, Any]:
        """{"account", "email", "display_name", "tenant", "tenant_name", "tenants", "roles", "operator"}. Raises Forbidden."""


class BlockingFeed(Protocol):
    """`FeedSubscription`, each call of which blocks until it is done."""

    def __iter__(self) -> Iterator[int]: ...

    def close(self) -> None:
        """End the iteration, also one that waits. Closing twice is harmless."""
