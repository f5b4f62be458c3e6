"""The storage protocol: what a backend gives the engine. One conformance suite (`holdfast.testing.storage`) runs on every
backend; the memory backend is its oracle.

All methods are coroutines so that one engine drives an embedded library and a network database. The SQLite backend never
really suspends: its coroutines can also be driven without an event loop.

Rules for every backend:
- A `Batch` is one transaction over one or several tenants' heads, locked when it opens; nothing in it is visible before commit;
  leaving the `async with` normally commits durably, leaving it by an exception rolls everything back.
- A `Reader` sees one consistent snapshot for as long as it is open.
- Values go in and out as canonical JSON values of their field's kind (see `core.schema`), sensitive ones already sealed by the
  engine's cipher (`{"$sealed": "…"}`); a backend never sees their plain text.
- Driver errors come out as `WorldError`s of `core.errors`, through one table.
- Every method takes the tenant first and repeats it in its SQL.
- What is asked for and not there is left out of an answer, or None.
- A deleted record keeps its row, and with it its unique values: undeleting can never collide.
- A constraint that fires (a unique value, a missing parent, a batch that does not continue the log, a mutation id that is there) is
  StorageConstraint, at `write` or at commit, and nothing of the batch is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from holdfast.core.access import Actor, Rule
from holdfast.core.entry import Entry, Item, Row
from holdfast.core.facts import Context, Key, UniqueKey
from holdfast.core.schema import Schema

__all__ = ["Account", "Batch", "Credential", "Device", "Filter", "Head", "Query", "Reader", "Seal", "Storage", "Tenant", "Writes"]


class Head(msgspec.Struct, frozen=True):
    """Where a tenant's log ends."""

    tenant_id: str
    seq: int
    digest: str                     # hex; 64 zeros before the first entry


class Seal(msgspec.Struct, frozen=True):
    """What an entry's digest was made with. Of an erased entry the salt is empty and the digest of its payload is kept; of any
    other the payload digest is empty here, because it is computed from salt and entry (`core.digest`)."""

    salt: bytes
    payload_digest: bytes = b""


class Filter(msgspec.Struct, frozen=True):
    """One condition on a scalar column; `value` is a canonical JSON value, a list for `in`, true or false for `null`. Null satisfies
    nothing but `null`, `ne` another value, `eq` null and an `in` that names it."""

    field: str
    op: Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "prefix", "null"]
    value: Any


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A page of one collection, within an access rule; keyset paging over `sort` with the id as tie-breaker, which runs in the
    direction of the last sort key. Null stands below every value; text is ordered by code points, money by amount. A column that is
    no scalar, is sensitive or unknown, and a value of another kind, raise InvalidValue."""

    collection: str
    rule: Rule
    actor: Actor
    filters: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = ()     # (column, descending); besides fields: "rev"
    after: tuple[Any, ...] | None = None        # sort values and id of the last row of the page before
    limit: int = 50
    include_deleted: bool = False
    only_deleted: bool = False
    bookkeeping: bool = True                    # False: the rows may lack what only the writer asks for (last_device, last_mutation,
                                                # last_foreign, stamp), which makes a page of them a sixth cheaper


class Writes(msgspec.Struct, kw_only=True):
    """Everything one tenant's batch changes. Set-wise: one statement per table."""

    head: Head
    rows: list[Row] = []
    entries: list[Entry] = []                                           # sealed, in order of seq
    salts: dict[int, bytes] = {}                                        # seq -> salt of the payload digest
    contexts: dict[tuple[str, str, str], Context | None] = {}           # (device, collection, record id); None deletes
    items: list[Item] = []                                              # open items, new or changed
    closed_items: list[str] = []
    erased: list[int] = []                                              # seqs whose payload and salt go (payload digest stays)
    devices: list[Device] = []


class Account(msgspec.Struct, kw_only=True):
    """Global: a person who can sign in. `id` is the actor id in every tenant."""

    id: str
    email: str                      # lower case, unique
    password_hash: str | None
    created_at: int
    operator: bool = False
    disabled: bool = False


class Tenant(msgspec.Struct, kw_only=True):
    tenant_id: str                  # the slug
    name: str
    created_at: int
    suspended: bool = False
    wrapped_key: str = ""           # the tenant's data key, wrapped by the master key (text, versioned)


class Credential(msgspec.Struct, kw_only=True):
    """A session (browser) or an API token; the secret itself is never stored, only its SHA-256."""

    hash: str
    kind: Literal["session", "token"]
    account_id: str
    tenant_id: str
    created_at: int
    expires_at: int | None
    name: str = ""
    last_used_at: int | None = None
    revoked_at: int | None = None
    csrf: str = ""
    roles: list[str] | None = None  # a token's narrower roles; None: the member's


class Device(msgspec.Struct, kw_only=True):
    """A device as the server knows it, per tenant."""

    tenant_id: str
    device_id: str
    actor_id: str
    first_seen: int
    last_seen: int
    cursor: int = 0
    report: dict[str, Any] = {}


class Reader(Protocol):
    """Reads of one snapshot."""

    async def head(self, tenant: str) -> Head: ...
    async def rows(self, tenant: str, keys: Sequence[Key]) -> dict[Key, Row]: ...
    async def page(self, tenant: str, query: Query) -> list[Row]: ...
    async def entries(self, tenant: str, *, after: int, until: int | None = None, limit: int,
                      collections: Sequence[str] | None = None) -> list[Entry]:
        """Entries of the tenant with after < seq <= until, rising; `collections` also lets through entries without a collection."""

    async def entry(self, tenant: str, seq: int) -> Entry | None: ...
    async def seals(self, tenant: str, seqs: Sequence[int]) -> dict[int, Seal]:
        """What the digests of these entries were made with."""

    async def record_entries(self, tenant: str, key: Key, *, after: int = 0, until: int | None = None, not_device: str | None = None,
                             device: str | None = None, descending: bool = False, limit: int | None = None) -> list[Entry]: ...
    async def by_mutation(self, tenant: str, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        """(device, mutation id) -> its entry."""

    async def prefixes(self, tenant: str, seqs: Sequence[int]) -> dict[int, str]:
        """First 8 hex digits of entries' digests: whether a position belongs to this history. Unknown seqs are left out."""

    async def activity(self, tenant: str, *, before: int | None, limit: int, actor_id: str | None = None, device_id: str | None = None,
                       collection: str | None = None, record_id: str | None = None, kind: str | None = None,
                       since: int | None = None, until: int | None = None) -> list[Entry]:
        """Newest first, seq < before; `since` <= committed_at < `until` (ms)."""

    async def last_of_device(self, tenant: str, device: str, keys: Sequence[Key]) -> dict[Key, Entry]:
        """The device's newest entry about each record (a `change` it pushed itself)."""

    async def contexts(self, tenant: str, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Context]: ...
    async def items(self, tenant: str, keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Item]:
        """Open items by (device, collection, record id)."""

    async def item(self, tenant: str, item_id: str) -> Item | None: ...
    async def inbox(self, tenant: str, *, actor_id: str | None = None, after: str | None = None, limit: int = 50) -> list[Item]:
        """Open items in the order in which they opened, those opened after item `after`; of an actor: the own ones and those assigned
        to the actor."""

    async def inbox_usage(self, tenant: str, actor_id: str) -> tuple[int, int]:
        """(items, bytes) of one actor's open items."""

    async def waiting_for(self, tenant: str, keys: Sequence[Key]) -> list[Item]:
        """Open items with a `missing_ref` part on one of these records."""

    async def holders(self, tenant: str, uniques: Sequence[UniqueKey]) -> dict[UniqueKey, str]:
        """Who holds these values, deleted records included; a null among the values is held by nobody."""

    async def children(self, tenant: str, collection: str, ref_field: str, parents: Sequence[str]) -> list[Row]:
        """The records that refer to one of the parents, deleted ones included, by id."""

    async def counts(self, tenant: str, query: Query, by: str) -> dict[str, int]:
        """How many rows `query` finds for each value of the column `by` (its limit, sort and `after` do not count)."""

    async def devices(self, tenant: str, actor_id: str | None = None) -> list[Device]: ...
    async def devices_named(self, tenant: str, ids: Sequence[str]) -> dict[str, Device]: ...

    async def tenant(self, tenant: str) -> Tenant | None: ...
    async def tenants(self) -> list[Tenant]: ...
    async def account(self, *, account_id: str | None = None, email: str | None = None) -> Account | None: ...
    async def memberships(self, account_id: str) -> list[str]:
        """Tenants in which the account is a member (its record in `members` is not deleted)."""

    async def credential(self, hash: str) -> Credential | None: ...
    async def credentials(self, tenant: str, account_id: str | None = None) -> list[Credential]: ...
    async def setting(self, tenant: str, name: str) -> Any: ...


class Batch(Reader, Protocol):
    """A transaction that writes. Reads inside it see what it has written."""

    async def write(self, writes: Writes) -> None: ...
    async def put_tenant(self, tenant: Tenant) -> None: ...
    async def put_account(self, account: Account) -> None: ...
    async def put_credential(self, credential: Credential) -> None: ...
    async def touch_credential(self, hash: str, last_used_at: int) -> None: ...
    async def put_device(self, device: Device) -> None: ...
    async def put_setting(self, tenant: str, name: str, value: Any) -> None: ...
    async def count_attempt(self, key: str, now: int, window_ms: int) -> int:
        """Count one attempt under `key` in the current window; returns the count (rate limits that hold across processes)."""


class Storage(Protocol):
    """A backend, opened for one schema."""

    schema: Schema

    async def open(self) -> None:
        """Check version, settings and integrity at a glance; raise StorageNewer, UnsafeSettings, StorageLocked, StorageCorrupt."""

    async def close(self) -> None: ...
    def batch(self, tenants: Sequence[str]) -> AbstractAsyncContextManager[Batch]: ...
    def reader(self) -> AbstractAsyncContextManager[Reader]: ...
    async def maintain(self) -> None:
        """Work that can wait until nothing else does (checkpoints). Cheap when there is none; never raises."""

    async def sizes(self) -> Mapping[str, int]:
        """Bytes by part: log, tables, indexes, file, wal."""
