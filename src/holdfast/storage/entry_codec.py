"""An entry as one row of `hf_log`, and back, exactly.

The log is what every save adds to, so its rows are small: names are numbers (`numbering`), ids and hashes are bytes, times, stamps and
bases are differences to a neighbour, and the payload is one blob without what follows from the rest of it. Fields that nearly always
hold their default share the blob `rare`. What erasing takes away is in `body`, `salt` and `request_no`; an entry whose `salt` is
NULL is an erased one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from holdfast.core.entry import Entry, EntryKind, ForkedFrom, Outcome, Request, Unapplied
from holdfast.storage.columns import SqlValue
from holdfast.storage.compact import hex_text, packed_hex, split_id, unsplit_id
from holdfast.storage.op_codec import decode_ops, decode_undo, encode_ops, encode_undo

__all__ = ["COLUMNS", "KIND_NUMBERS", "Names", "SqlRow", "body_parts", "decode_entry", "encode_entry"]

SqlRow = tuple[Any, ...]

KINDS: Final[tuple[EntryKind, ...]] = ("change", "undo", "redo", "restore", "resolve", "redecide", "access", "version", "action", "erase")
OUTCOMES: Final[tuple[Outcome, ...]] = ("applied", "merged", "held", "duplicate", "refused")
KIND_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
_OUTCOME_NUMBERS: Final = {outcome: number for number, outcome in enumerate(OUTCOMES)}

COLUMNS: Final = ("tenant_no", "seq", "record_no", "device_no", "actor_no", "request_no", "kind", "outcome", "contract", "committed_at",
                  "stamp_back", "edited_back", "base_back", "after_back", "mutation_key", "mutation_rest", "digest", "salt", "sent_hash",
                  "body", "rare")

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode
_ENTRY_BODY_PARTS: Final = 5      # ops, undo, sent, unapplied, extra
_COUNTER_BITS: Final = 16


class Names(msgspec.Struct, frozen=True):
    """The numbers under which an entry's names are stored."""

    tenant_no: int
    record_no: int | None
    device_no: int
    actor_no: int
    request_no: int | None
    behalf_no: int | None


def encode_entry(entry: Entry, names: Names, salt: bytes | None, after_seq: int | None) -> SqlRow:
    """The row of `COLUMNS`. `salt`: None for an erased entry. `after_seq`: seq of the entry that `after` names, where it is known."""
    key, rest = split_id(entry.mutation_id)
    seq, stamp = entry.seq, entry.stamp
    after: SqlValue = None
    if entry.after is not None:
        after = entry.after if after_seq is None else seq - after_seq
    return (
        names.tenant_no, seq, names.record_no, names.device_no, names.actor_no, names.request_no,
        KIND_NUMBERS[entry.kind], _OUTCOME_NUMBERS[entry.outcome], entry.contract, entry.committed_at,
        (entry.committed_at << _COUNTER_BITS) - stamp,
        None if entry.edited_at is None else stamp - entry.edited_at,
        None if entry.base is None else seq - entry.base,
        after, key, rest, packed_hex(entry.digest), salt, packed_hex(entry.sent_hash), _body(entry),
        _rare(entry, names.behalf_no),
    )


def _body(entry: Entry) -> bytes | None:
    parts = body_parts(entry)
    return _encode(parts) if parts else None


def body_parts(entry: Entry) -> list[Any]:
    """What can be erased of an entry, ready to be encoded: ops, their inverse, what was sent, what was not applied, what is beside it; what
    is nothing at the end is left out."""
    parts: list[Any] = [
        encode_ops(entry.ops),
        encode_undo(entry.undo, entry.ops),
        None if entry.sent is None else encode_ops(entry.sent),
        entry.unapplied or None,
        entry.extra or None,
    ]
    while parts and parts[-1] is None:
        parts.pop()
    return [] if parts == [[]] else parts


def _rare(entry: Entry, behalf_no: int | None) -> bytes | None:
    found: dict[int, Any] = {}
    if entry.top:
        found[0] = entry.top - entry.stamp
    if behalf_no is not None:
        found[1] = behalf_no
    if entry.atomic:
        found[2] = True
    if entry.forked_from is not None:
        found[3] = (entry.forked_from.device_id, entry.forked_from.mutation_id)
    if entry.reverts is not None:
        found[4] = entry.reverts
    if entry.resolves:
        found[5] = entry.resolves
    return _encode(found) if found else None


def decode_entry(row: SqlRow, *, tenant_id: str, key: tuple[str, str], label: Callable[[int], str], requests: Mapping[int, Request],
                 after: str | None) -> Entry:
    """The entry of a row of `COLUMNS`. `key`: collection and record id, ("", "") without; `label`: the text of a number;
    `after`: the mutation id that the row's `after_back` leads to."""
    (_, seq, _, device_no, actor_no, request_no, kind, outcome, contract, committed_at, stamp_back, edited_back, base_back, _,
     mutation_key, mutation_rest, digest, salt, sent_hash, body, rare) = row
    stamp = (committed_at << _COUNTER_BITS) - stamp_back
    parts = [] if body is None else _decode(body)
    parts += [None] * (_ENTRY_BODY_PARTS - len(parts))
    ops = decode_ops(parts[0] or ())
    rarely = {} if rare is None else _decode(rare)
    behalf_no, forked_from, top = rarely.get(1), rarely.get(3), rarely.get(0)
    return Entry(
        tenant_id=tenant_id, seq=seq, committed_at=committed_at, stamp=stamp, actor_id=label(actor_no), device_id=label(device_no),
        mutation_id=unsplit_id(mutation_key, mutation_rest), kind=KINDS[kind], collection=key[0], record_id=key[1], contract=contract,
        outcome=OUTCOMES[outcome], edited_at=None if edited_back is None else stamp - edited_back,
        top=0 if top is None else stamp + top, on_behalf_of=None if behalf_no is None else label(behalf_no), after=after,
        base=None if base_back is None else seq - base_back, sent=None if parts[2] is None else decode_ops(parts[2]),
        sent_hash=hex_text(sent_hash), ops=ops, undo=decode_undo(parts[1], ops),
        unapplied=[] if parts[3] is None else msgspec.convert(parts[3], list[Unapplied]),
        atomic=rarely.get(2, False), forked_from=None if forked_from is None else ForkedFrom(*forked_from), reverts=rarely.get(4),
        resolves=rarely.get(5, []), extra=parts[4] or {}, request=Request() if request_no is None else requests[request_no],
        erased=salt is None, digest=hex_text(digest),
    )
