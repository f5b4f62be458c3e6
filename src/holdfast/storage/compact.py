"""Ids and digests in few bytes: a UUID as its 16 bytes, hex as its bytes, anything else as the text it is. What comes back is exactly
what went in, because only the one canonical spelling is shortened.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

__all__ = ["MutationKey", "hex_text", "packed_hex", "packed_id", "split_id", "unpacked_id", "unsplit_id"]

MutationKey = tuple[int, bytes | str]

_UUID_CHARACTERS: Final = 36
_REMEMBERED: Final = 8_192      # an id comes several times in one save: as mutation, as the one before, in its row


@lru_cache(_REMEMBERED)
def packed_id(text: str) -> bytes | str:
    """A UUID in canonical lower case as 16 bytes; any other id as it is."""
    if len(text) == _UUID_CHARACTERS and text[8:24:5] == "----":
        digits = text.replace("-", "")
        # 32 characters that make 16 bytes are digits all of them: `fromhex` skips white space, and would come out shorter
        if len(digits) == 32 and digits == digits.lower():
            try:
                packed = bytes.fromhex(digits)
            except ValueError:
                return text
            if len(packed) == 16:
                return packed
    return text


def unpacked_id(packed: bytes | str) -> str:
    if isinstance(packed, str):
        return packed
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@lru_cache(_REMEMBERED)
def split_id(text: str) -> MutationKey:
    """An id as (a number to look it up by, what else is needed to tell it): the halves of a UUID, so that UUIDv7 ids of one device
    lie in their order in time and new ones touch one page of the index; for other ids a checksum and the whole text."""
    packed = packed_id(text)
    if isinstance(packed, str):
        return zlib.crc32(text.encode()), text
    return int.from_bytes(packed[:8], "big", signed=True), packed[8:]


def unsplit_id(key: int, rest: bytes | str) -> str:
    if isinstance(rest, str):
        return rest
    return unpacked_id(key.to_bytes(8, "big", signed=True) + rest)


def packed_hex(text: str) -> bytes | str | None:
    """Lower-case hex as bytes; empty as None; any other text as it is."""
    if not text:
        return None
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    return packed if packed.hex() == text else text         # `fromhex` skips white space and takes upper case


def hex_text(packed: bytes | str | None) -> str:
    if packed is None:
        return ""
    return packed if isinstance(packed, str) else packed.hex()
