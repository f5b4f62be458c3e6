"""Positions: a `seq` with the first bytes of that entry's digest, as the wire carries them: "17.a1b2c3d4".

Opaque to devices. The digits tell another history of the same tenant (a server restored from a backup, a lossy failover) from
this one, where the same `seq` is another entry.
"""

from __future__ import annotations

import re

from holdfast.core.errors import Malformed

__all__ = ["PREFIX_DIGITS", "SEQ_MAX", "parse", "prefix", "render"]

PREFIX_DIGITS = 8
SEQ_MAX = (1 << 53) - 1

_POSITION = re.compile(r"(0|[1-9][0-9]{0,15})\.([0-9a-f]{8})")


def prefix(digest: str) -> str:
    """The part of a digest (hex) that a position carries."""
    return digest[:PREFIX_DIGITS]


def render(seq: int, digest: str) -> str:
    """The position of the entry `seq` with this digest (hex, whole or its first 8 digits at least). Seq 0, with a digest of zeros,
    stands before the first entry."""
    return f"{seq}.{digest[:PREFIX_DIGITS]}"


def parse(text: str) -> tuple[int, str]:
    """(seq, first 8 hex digits of the digest). Raises Malformed."""
    found = _POSITION.fullmatch(text)
    if found is None or int(found[1]) > SEQ_MAX:
        raise Malformed("This is no position.", hint="Send back a position as it was received, or null for none.")
    return int(found[1]), found[2]
