"""An entry as one row of `hf_log`, and back, exactly.

What is looked for or counted stands in columns of its own, under plain names; what erasing takes away is in `body` (JSON: ops, their
inverse, as sent, unapplied, extra), `salt`, `address` and `agent`. Fields that nearly always hold their default share `rare` (JSON). An
entry whose salt is NULL is an erased one, and has `payload_digest` instead.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from holdfast.core.entry import Entry, ForkedFrom, Request, Unapplied
from holdfast.storage.entry_codec import KIND_NUMBERS, KINDS, OUTCOMES, body_parts
from holdfast.storage.op_codec import decode_ops, decode_undo
from holdfast.storage.postgres.names import qualified
from holdfast.storage.postgres.row_codec import anchored

__all__ = ["APPEND", "REWRITE", "SELECTED", "body_text", "decode_entry", "encode_entry"]

_COLUMNS: Final = (
    ("seq", "{}::bigint"), ("collection", "{}"), ("record_id", "{}"), ("device_id", "{}"), ("actor_id", "{}"), ("mutation_id", "{}"),
    ("kind", "{}::smallint"), ("outcome", "{}::smallint"), ("contract", "{}::bigint"), ("committed_at", "{}::bigint"),
    ("stamp", "{}::bigint"), ("edited_at", "{}::bigint"), ("base", "{}::bigint"), ("after", "{}"), ("digest", "decode({}, 'hex')"),
    ("salt", "decode({}, 'hex')"), ("sent_hash", "{}"), ("body", "{}"), ("rare", "{}"), ("address", "{}"), ("agent", "{}"),
)
_NAMES: Final = ", ".join(f'"{name}"' for name, _ in _COLUMNS)
_TAKEN, _SOURCE = anchored([cast for _, cast in _COLUMNS])

APPEND: Final = f"INSERT INTO {qualified('hf_log')} (tenant_id, {_NAMES}) SELECT {_TAKEN} FROM {_SOURCE}"
"""Parameters: the tenant, and one text array for each value of `encode_entry`."""
REWRITE: Final = (f"UPDATE {qualified('hf_log')} AS l SET body = x.body, payload_digest = decode(x.digest, 'hex'), salt = NULL, "
                  "address = '', agent = '' FROM unnest($2::text[], $3::text[], $4::text[]) AS x(seq, body, digest) "
                  "WHERE l.tenant_id = $1 AND l.seq = x.seq::bigint")
"""Parameters: the tenant, seqs, bodies and payload digests (hex) as text arrays."""
SELECTED: Final = ", ".join(f'l."{name}"' for name, _ in _COLUMNS)

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_PARTS: Final = 5      # ops, undo, sent, unapplied, extra
_OUTCOME_NUMBERS: Final = {outcome: str(number) for number, outcome in enumerate(OUTCOMES)}
_KIND_TEXTS: Final = {kind: str(number) for kind, number in KIND_NUMBERS.items()}


def encode_entry(entry: Entry, salt: bytes | None) -> list[str | None]:
    """The texts of the columns. `salt`: None for an erased entry."""
    request = entry.request
    return [
        str(entry.seq), entry.collection, entry.record_id, entry.device_id, entry.actor_id, entry.mutation_id, _KIND_TEXTS[entry.kind],
        _OUTCOME_NUMBERS[entry.outcome], str(entry.contract), str(entry.committed_at), str(entry.stamp),
        None if entry.edited_at is None else str(entry.edited_at), None if entry.base is None else str(entry.base), entry.after,
        entry.digest, None if salt is None else salt.hex(), entry.sent_hash, body_text(entry), _rare(entry), request.address, request.agent,
    ]


def body_text(entry: Entry) -> str | None:
    parts = body_parts(entry)
    return _encode(parts).decode() if parts else None


def _rare(entry: Entry) -> str | None:
    found: dict[str, Any] = {}
    if entry.top:
        found["top"] = entry.top
    if entry.on_behalf_of is not None:
        found["on_behalf_of"] = entry.on_behalf_of
    if entry.atomic:
        found["atomic"] = True
    if entry.forked_from is not None:
        found["forked_from"] = [entry.forked_from.device_id, entry.forked_from.mutation_id]
    if entry.reverts is not None:
        found["reverts"] = entry.reverts
    if entry.resolves:
        found["resolves"] = entry.resolves
    return _encode(found).decode() if found else None


def decode_entry(raw: Any, tenant_id: str) -> Entry:
    """The entry of a row of `SELECTED`."""
    (seq, collection, record_id, device_id, actor_id, mutation_id, kind, outcome, contract, committed_at, stamp, edited_at, base, after,
     digest, salt, sent_hash, body, rare, address, agent) = raw
    parts = [] if body is None else _decode(body)
    parts += [None] * (_PARTS - len(parts))
    ops = decode_ops(parts[0] or ())
    rarely = {} if rare is None else _decode(rare)
    forked_from = rarely.get("forked_from")
    return Entry(
        tenant_id=tenant_id, seq=seq, committed_at=committed_at, stamp=stamp, actor_id=actor_id, device_id=device_id,
        mutation_id=mutation_id, kind=KINDS[kind], collection=collection, record_id=record_id, contract=contract, outcome=OUTCOMES[outcome],
        edited_at=edited_at, top=rarely.get("top", 0), on_behalf_of=rarely.get("on_behalf_of"), after=after, base=base,
        sent=None if parts[2] is None else decode_ops(parts[2]), sent_hash=sent_hash, ops=ops, undo=decode_undo(parts[1], ops),
        unapplied=[] if parts[3] is None else msgspec.convert(parts[3], list[Unapplied]), atomic=rarely.get("atomic", False),
        forked_from=None if forked_from is None else ForkedFrom(*forked_from), reverts=rarely.get("reverts"),
        resolves=rarely.get("resolves", []), extra=parts[4] or {}, request=Request(address, agent), erased=salt is None,
        digest=digest.hex(),
    )
