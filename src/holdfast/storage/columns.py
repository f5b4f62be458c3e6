"""How a field's JSON value stands in its SQL column, and back (the kind table of `core.schema`).

A *representation* names that, so that a column can also be read when its declaration has changed: `text`, `integer`, `number`,
`boolean`, `json` (anything that is not one scalar, and sensitive values, which are sealed objects here) and `money:2` (minor units
at a scale). Null is NULL in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import orjson

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Field, Kind

__all__ = ["INTEGER_MAX", "SQL_TYPES", "SqlValue", "decoder", "encoder", "from_minor", "in_order", "is_text", "representation",
           "sql_type", "to_minor"]

SqlValue: TypeAlias = str | int | float | bytes | None

INTEGER_MAX: Final = (1 << 53) - 1
SQL_TYPES: Final = {"text": "TEXT", "integer": "INTEGER", "number": "REAL", "boolean": "INTEGER", "json": "TEXT", "money": "INTEGER"}
_REPRESENTATIONS: Final = {
    Kind.STRING: "text", Kind.DATE: "text", Kind.DATETIME: "text", Kind.CHOICE: "text", Kind.UUID: "text", Kind.REF: "text",
    Kind.TEXT: "text", Kind.INTEGER: "integer", Kind.COUNTER: "integer", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean",
    Kind.JSON: "json", Kind.SET: "json",
}
_MONEY: Final = re.compile(r"-?[0-9]{1,16}(?:\.([0-9]+))?")


def representation(field: Field) -> str:
    """The representation of a declared field."""
    if field.sensitive:
        return "json"
    return f"money:{field.scale}" if field.kind is Kind.MONEY else _REPRESENTATIONS[field.kind]


def sql_type(name: str) -> str:
    """The SQLite type of a column of this representation."""
    return SQL_TYPES[name.partition(":")[0]]


def is_text(field: Field) -> bool:
    """Whether the column holds the value itself as text."""
    return representation(field) == "text"


def in_order(field: Field) -> bool:
    """Whether the field can be filtered by and sorted by: a scalar that is not sensitive."""
    return representation(field) != "json"


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


def encoder(name: str) -> Callable[[Any], SqlValue] | None:
    """JSON value (never null) -> column value, by representation; None: it stands as it is."""
    if name == "json":
        return _dump
    if name == "boolean":
        return int
    if name.startswith("money"):
        return partial(to_minor, scale=int(name.partition(":")[2]))
    return None


def decoder(name: str) -> Callable[[Any], Any] | None:
    """Column value (never NULL) -> JSON value, by representation; None: it stands as it is."""
    if name == "json":
        return orjson.loads
    if name == "boolean":
        return bool
    if name == "number":
        return _number
    if name.startswith("money"):
        return partial(from_minor, scale=int(name.partition(":")[2]))
    return None
