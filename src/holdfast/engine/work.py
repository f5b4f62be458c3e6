"""What is given to the committer, and what it answers: small structs that travel as MessagePack between the server's process
and the writer's, or as they are within one process.

A *work* is one caller's wish that takes effect whole in one commit: a push of mutations (each judged by itself), one change with
an answer for a person (REST, undo, restore, the inbox), an action's mutations (all or none), or upkeep of what lies outside the log
(accounts, credentials, devices). Every work has exactly one answer: `Results`, `Value` or `Failure`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from holdfast.core.entry import Mutation, Request
from holdfast.core.errors import HoldfastError, WorldError
from holdfast.core.messages import Problem, Result
from holdfast.engine.api import Caller, Resolution
from holdfast.storage.protocol import Account, Credential, Device, Tenant

__all__ = [
    "Act", "Answer", "Arrival", "Change", "Erase", "Failure", "ListRead", "NameVersion", "Progress", "PushWork", "Read", "Resolve",
    "Restore", "Results", "Revert", "TenantWork", "Unfinished", "Upkeep", "Value", "Who", "Work", "decode_answer", "decode_work",
    "encode_answer", "encode_work", "error_of", "failure_of", "mutations_in",
]

SYSTEM_ROLES = frozenset({"owner"})


class Who(msgspec.Struct, frozen=True, array_like=True):
    """The caller of a work. `system`: the server itself, by its command line or its own code; never made from a request."""

    tenant_id: str
    actor_id: str
    narrowed: frozenset[str] | None = None
    on_behalf_of: str | None = None
    address: str = ""
    agent: str = ""
    system: bool = False
    granted: frozenset[str] = frozenset()       # roles that an action acts with, besides the caller's own

    @staticmethod
    def of(caller: Caller) -> Who:
        request = caller.request
        return Who(caller.tenant_id, caller.actor_id, caller.narrowed, caller.on_behalf_of, request.address, request.agent)

    @property
    def request(self) -> Request:
        return Request(self.address, self.agent) if self.address or self.agent else _NOWHERE


_NOWHERE = Request()


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """What whoever takes a mutation in works out of it, so that the writer, of which there is one, need not: the salt of its entry, its
    hash (empty where that takes the organisation's key) and its `edited_at` as a stamp."""

    salt: bytes
    sent_hash: str = ""
    edited_at: int | None = None


class PushWork(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Mutations of one device, each judged by itself. `offset_ms`: how far the device's clock is ahead of the server's. `arrivals`: one
    for each mutation, or none at all."""

    who: Who
    device_id: str
    offset_ms: int
    mutations: list[Mutation]
    arrivals: list[Arrival] = []

    def rest(self, at: int) -> PushWork:
        """The push without its first `at` mutations."""
        return PushWork(self.who, self.device_id, self.offset_ms, self.mutations[at:], self.arrivals[at:])


class Change(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """One mutation of the caller's pseudo-device. Nothing is kept of what cannot be applied, except a question (`merge.ask`).
    `on_current`: made on the state that stands, whatever `mutation.base` says."""

    who: Who
    mutation: Mutation
    on_current: bool = True
    if_match: int | None = None


class Revert(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Undo (or redo) the newest entry of `device_id` about the record, or entry `seq`."""

    who: Who
    mutation_id: str
    collection: str
    record_id: str
    device_id: str
    redo: bool = False
    seq: int | None = None


class Restore(msgspec.Struct, frozen=True, array_like=True, tag=4):
    who: Who
    mutation_id: str
    collection: str
    record_id: str
    rev: int
    paths: list[str] | None = None


class NameVersion(msgspec.Struct, frozen=True, array_like=True, tag=5):
    who: Who
    mutation_id: str
    collection: str
    record_id: str
    rev: int
    name: str


class Resolve(msgspec.Struct, frozen=True, array_like=True, tag=6):
    who: Who
    mutation_id: str
    item_id: str
    resolution: Resolution


class Erase(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """`seqs` None: the record whole, its present state too."""

    who: Who
    mutation_id: str
    collection: str
    record_id: str
    reason: str
    seqs: list[int] | None = None


class Read(msgspec.Struct, frozen=True, array_like=True):
    """A record that an action read: its rev then, 0 if it was missing or hidden."""

    collection: str
    record_id: str
    rev: int


class ListRead(msgspec.Struct, frozen=True, array_like=True):
    """A list that an action read: the collection, and where the log ended then."""

    collection: str
    seq: int


class Act(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """An action's outcome: all of `mutations` and the reply, or nothing. `call` names the action and its arguments; `listed` are the
    records that came in lists: the reply may show them."""

    who: Who
    device_id: str
    call: Mutation
    mutations: list[Mutation]
    reply: Any
    reads: list[Read]
    lists: list[ListRead]
    listed: list[tuple[str, str]] = []


class Upkeep(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """What lies outside the log; written in one transaction of its own. `attempt`: (key, window in ms): counted, and answered."""

    new_tenants: list[Tenant] = []              # refused if they exist: a second one would lose the first one's key
    tenants: list[Tenant] = []
    accounts: list[Account] = []
    credentials: list[Credential] = []
    touches: list[tuple[str, int]] = []
    devices: list[Device] = []
    settings: list[tuple[str, str, Any]] = []
    attempt: tuple[str, int] | None = None


TenantWork: TypeAlias = PushWork | Change | Revert | Restore | NameVersion | Resolve | Erase | Act
Work: TypeAlias = TenantWork | Upkeep


class Results(msgspec.Struct, array_like=True, tag=1):
    """One result for each mutation, in order; `head`: where the tenant's log ends now."""

    results: list[Result]
    head: int


class Value(msgspec.Struct, array_like=True, tag=2):
    value: Any
    head: int = 0


class Failure(msgspec.Struct, array_like=True, tag=3):
    """A HoldfastError on its way between processes. `extra` holds what a conflict carries."""

    code: str
    detail: str
    hint: str = ""
    field: str | None = None
    retry_after: int | None = None
    extra: dict[str, Any] = {}


Answer: TypeAlias = Results | Value | Failure


class Unfinished:
    """Never leaves the writer: so much of a push is committed, and the rest is for the next batch, so that no single push holds the lock
    for long."""

    __slots__ = ("rest", "results")

    def __init__(self, results: list[Result], rest: PushWork) -> None:
        self.results = results
        self.rest = rest


Progress: TypeAlias = Answer | Unfinished

_work_encoder = msgspec.msgpack.Encoder()
_work_decoder: msgspec.msgpack.Decoder[Work] = msgspec.msgpack.Decoder(Work)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode_work(work: Work) -> bytes:
    return _work_encoder.encode(work)


def decode_work(frame: bytes) -> Work:
    """Raises msgspec.DecodeError: the other side is no Holdfast of this version."""
    return _work_decoder.decode(frame)


def encode_answer(answer: Answer) -> bytes:
    return _work_encoder.encode(answer)


def decode_answer(frame: bytes) -> Answer:
    return _answer_decoder.decode(frame)


def mutations_in(work: Work) -> int:
    """How many places in the queue a work takes."""
    if isinstance(work, PushWork):
        return len(work.mutations)
    return len(work.mutations) + 1 if isinstance(work, Act) else 1


def _tree(cls: type[HoldfastError]) -> dict[str, type[HoldfastError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        found.update(_tree(sub))
    return found


def failure_of(error: HoldfastError) -> Failure:
    retry_after = error.retry_after if isinstance(error, WorldError) else None
    return Failure(error.code, error.detail, error.hint, error.field, retry_after, error.extra)


def error_of(failure: Failure | Problem) -> HoldfastError:
    """The error of the tree that `failure` (or the problem of a result) stands for."""
    cls = _tree(HoldfastError).get(failure.code, HoldfastError)
    extra = failure.extra if isinstance(failure, Failure) else {}
    if issubclass(cls, WorldError):
        return cls(failure.detail, hint=failure.hint, field=failure.field, retry_after=failure.retry_after or 1, **extra)
    return cls(failure.detail, hint=failure.hint, field=failure.field, **extra)
