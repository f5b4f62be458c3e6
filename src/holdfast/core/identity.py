"""Ids: which texts are ids, and the id of a record with a natural key."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any, Final

from holdfast.core.values import canonical

__all__ = ["NATURAL_KEYS", "is_id", "is_record_id", "natural_id", "pseudo_device"]

NATURAL_KEYS: Final = uuid.UUID("6f1d3c52-7a0e-5b64-9a51-0d5c1b7e4f20")
"""Namespace of the ids of records with a natural key (RFC 9562, UUIDv5)."""

_ID: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_id(text: object) -> bool:
    """Whether `text` can be a mutation or device id: 1 to 64 of `A-Z a-z 0-9 _ . : -`."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_record_id(text: object) -> bool:
    """Whether `text` is a record id: a UUID in canonical lower case."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def natural_id(collection: str, values: Sequence[Any]) -> str:
    """The id of the record of `collection` whose key fields hold `values` (canonical JSON values, in declared order): two
    devices that create the same thing offline make the same record."""
    return str(uuid.uuid5(NATURAL_KEYS, canonical([collection, *values]).decode()))


def pseudo_device(actor_id: str) -> str:
    """The device that stands for what the server makes for an actor, or what comes by REST. Sorts below every real device."""
    return "!" + actor_id
