"""How a field's JSON value stands in its SQL column, and back (the kind table of `core.schema`).

Sensitive fields, whatever their kind, are sealed objects here and stand as JSON text. `null` is NULL everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Field, Kind

__all__ = ["INTEGER_MAX", "SqlValue", "decoder", "encoder", "from_minor", "in_order", "is_text", "to_minor"]

SqlValue: TypeAlias = str | int | float | bytes | None

INTEGER_MAX: Final = (1 << 53) - 1
_TEXT_KINDS: Final = frozenset({Kind.STRING, Kind.DATE, Kind.DATETIME, Kind.CHOICE, Kind.UUID, Kind.REF, Kind.TEXT})
_UNORDERED: Final = frozenset({Kind.JSON, Kind.SET})
_MONEY: Final = re.compile(r"-?[0-9]+(?:\.([0-9]+))?")


def is_text(field: Field) -> bool:
    """Whether the column holds the value itself as text."""
    return field.kind in _TEXT_KINDS and not field.sensitive


def in_order(field: Field) -> bool:
    """Whether the field can be filtered by and sorted by: a scalar that is not sensitive."""
    return field.kind not in _UNORDERED and not field.sensitive


def to_minor(text: str, scale: int) -> int:
    """"12.34" at scale 2 -> 1234. Raises InvalidValue if it is not an amount with exactly `scale` digits after the point."""
    match = _MONEY.fullmatch(text)
    if match is None or len(match.group(1) or "") != scale:
        raise InvalidValue(f"An amount of money here is text with {scale} digits after the point.")
    return int(text.replace(".", ""))


def from_minor(minor: int, scale: int) -> str:
    """1234 at scale 2 -> "12.34"."""
    if scale == 0:
        return str(minor)
    digits = f"{abs(minor):0{scale + 1}d}"
    return f"{'-' if minor < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _number(value: float) -> float:
    """A number as its canonical Python value: whole where it is whole and exact."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= INTEGER_MAX:
        return int(value)
    return value


def encoder(field: Field) -> Callable[[Any], SqlValue] | None:
    """JSON value (never null) -> column value; None: it stands as it is."""
    if field.sensitive or field.kind in _UNORDERED:
        return _dump
    if field.kind is Kind.BOOLEAN:
        return int
    if field.kind is Kind.MONEY:
        scale = field.scale
        return lambda value: to_minor(value, scale)
    return None


def decoder(field: Field) -> Callable[[Any], Any] | None:
    """Column value (never NULL) -> JSON value; None: it stands as it is."""
    if field.sensitive or field.kind in _UNORDERED:
        return orjson.loads
    if field.kind is Kind.BOOLEAN:
        return bool
    if field.kind is Kind.NUMBER:
        return _number
    if field.kind is Kind.MONEY:
        scale = field.scale
        return lambda minor: from_minor(minor, scale)
    return None
