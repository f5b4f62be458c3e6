"""The hash chain of a tenant's log: nobody changes, drops or reorders an entry unseen, and a payload can still be erased.

    payload  = canonical JSON of what can be erased: {extra, ops, request, sent, unapplied, undo}, defaults left out
    header   = canonical JSON of everything else that the entry says, defaults left out, stamps as "ms:counter"
    payload_digest = SHA-256("holdfast payload 1\\n" ‖ salt ‖ payload)                                     32 bytes
    digest         = SHA-256("holdfast entry 1\\n" ‖ previous (32 bytes) ‖ payload_digest ‖ header)        as hex
    sent_hash      = SHA-256("holdfast sent 1\\n" ‖ salt ‖ canonical JSON of the mutation)                 as hex

The first entry's previous digest is 32 zero bytes. Canonical JSON is RFC 8785; defaults are left out so that a later version can
add a member without changing older digests. The payload is hashed as it is stored, with sensitive values sealed, so that the chain
is checked without keys. When payload and salt are erased, `payload_digest` is kept and the chain still checks; what was erased
cannot be guessed from it, because the salt (16 random bytes or more) went too. `sent_hash` stays in the header for that reason.

Where a mutation holds sensitive values its salt must be a secret one (`keyed_salt`): beside a salt stored in plain, a short value
such as a phone number could be found from the hash by trying all of them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from holdfast.core.clock import render
from holdfast.core.entry import Entry, ForkedFrom, Mutation, Request, Unapplied
from holdfast.core.errors import InvalidValue
from holdfast.core.ops import Op, SetOp, SpliceOp
from holdfast.core.values import encode

__all__ = ["FIRST", "SALT_BYTES_MIN", "chain", "header", "keyed_salt", "payload", "payload_digest", "seal", "sent_hash"]

FIRST = "0" * 64
"""The digest before the first entry."""

SALT_BYTES_MIN = 16

_PAYLOAD = b"holdfast payload 1\n"
_ENTRY = b"holdfast entry 1\n"
_SENT = b"holdfast sent 1\n"
_PLAIN_VALUES = (str, int, bool, type(None))
_encode_plain = msgspec.json.Encoder(order="sorted").encode
"""Canonical as it is for what has whole numbers alone, and fixed ASCII keys: a header always, a payload of plain ops."""


class _Payload(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What can be erased, in the order of canonical JSON."""

    extra: dict[str, Any] = {}
    ops: list[Op] = []
    request: Request | None = None
    sent: list[Op] | None = None
    unapplied: list[Unapplied] = []
    undo: list[Op] = []


class _Header(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What stays for ever."""

    actor_id: str
    after: str | None = None
    atomic: bool = False
    base: int | None = None
    collection: str = ""
    committed_at: int
    contract: int = 1
    device_id: str
    edited_at: str | None = None
    forked_from: ForkedFrom | None = None
    kind: str = "change"
    mutation_id: str
    on_behalf_of: str | None = None
    outcome: str = "applied"
    record_id: str = ""
    resolves: list[int] = []
    reverts: int | None = None
    sent_hash: str = ""
    seq: int
    stamp: str
    tenant_id: str
    top: str = ""


def payload(entry: Entry) -> bytes:
    """Canonical bytes of what can be erased. `entry` in its stored form: sensitive values sealed."""
    request = entry.request if entry.request.address or entry.request.agent else None
    if not entry.extra and not entry.unapplied and entry.sent is None and _are_plain(entry.ops) and _are_plain(entry.undo):
        return _encode_plain(_Payload(ops=entry.ops, request=request, undo=entry.undo))
    return encode(_Payload(extra=entry.extra, ops=entry.ops, request=request, sent=entry.sent, unapplied=entry.unapplied, undo=entry.undo))


def header(entry: Entry) -> bytes:
    """Canonical bytes of what stays: everything but the payload, `erased` and `digest`."""
    edited_at, top = entry.edited_at, entry.top
    edited = None if edited_at is None else render(edited_at)
    if not (top or entry.atomic or entry.resolves or entry.forked_from or entry.on_behalf_of is not None or entry.reverts is not None):
        # Nearly all: what is at its default need not be given, and each name given costs.
        return _encode_plain(_Header(
            actor_id=entry.actor_id, after=entry.after, base=entry.base, collection=entry.collection, committed_at=entry.committed_at,
            contract=entry.contract, device_id=entry.device_id, edited_at=edited, kind=entry.kind, mutation_id=entry.mutation_id,
            outcome=entry.outcome, record_id=entry.record_id, sent_hash=entry.sent_hash, seq=entry.seq, stamp=render(entry.stamp),
            tenant_id=entry.tenant_id))
    return _encode_plain(_Header(
        actor_id=entry.actor_id, after=entry.after, atomic=entry.atomic, base=entry.base, collection=entry.collection,
        committed_at=entry.committed_at, contract=entry.contract, device_id=entry.device_id,
        edited_at=edited, forked_from=entry.forked_from, kind=entry.kind,
        mutation_id=entry.mutation_id, on_behalf_of=entry.on_behalf_of, outcome=entry.outcome, record_id=entry.record_id,
        resolves=entry.resolves, reverts=entry.reverts, sent_hash=entry.sent_hash, seq=entry.seq, stamp=render(entry.stamp),
        tenant_id=entry.tenant_id, top=render(top) if top else "",
    ))


def payload_digest(salt: bytes, payload: bytes) -> bytes:
    """SHA-256 (32 bytes) over the salt and what can be erased."""
    return hashlib.sha256(b"".join((_PAYLOAD, salt, payload))).digest()


def chain(previous: str, entry: Entry, payload_digest: bytes) -> str:
    """The digest (hex) that `entry` must bear after `previous` (hex): what sealing writes and checking recomputes. For an erased entry
    `payload_digest` is the one kept."""
    return hashlib.sha256(b"".join((_ENTRY, bytes.fromhex(previous), payload_digest, header(entry)))).hexdigest()


def seal(entry: Entry, previous: str, salt: bytes, payload: bytes) -> Entry:
    """`entry` with its digest. `previous`: digest (hex) of the entry with the seq before, `FIRST` for the first; `salt`: at least 16
    unpredictable bytes, kept beside the entry; `payload`: `digest.payload(entry)`."""
    if len(salt) < SALT_BYTES_MIN:
        raise InvalidValue(f"A salt has at least {SALT_BYTES_MIN} bytes", hint="Take them from Runtime.random_bytes.")
    return msgspec.structs.replace(entry, digest=chain(previous, entry, payload_digest(salt, payload)))


def sent_hash(salt: bytes, mutation: Mutation) -> str:
    """Salted hash (hex) of everything a mutation says, to tell a repetition from an id used again. 1 and 1.0, a member left out and
    one at its default, and any order of keys are the same content. `salt`: the entry's; secret (`keyed_salt`) if the collection
    has sensitive fields."""
    said = _encode_plain(mutation) if _are_plain(mutation.ops) else encode(mutation)
    return hashlib.sha256(b"".join((_SENT, salt, said))).hexdigest()


def _are_plain(ops: list[Op]) -> bool:
    """Whether the ops hold neither a float nor an object: then a fast encoder with sorted keys writes canonical JSON, and nobody has to
    look at the bytes again."""
    for op in ops:
        if type(op) is SpliceOp:
            continue
        if type(op) is not SetOp or type(op.value) not in _PLAIN_VALUES:
            return False
    return True


def keyed_salt(key: bytes, salt: bytes) -> bytes:
    """A salt that nobody without `key` can compute (HMAC-SHA-256), for the hash of a mutation with sensitive values."""
    return hmac.digest(key, b"holdfast sent salt 1" + salt, "sha256")
