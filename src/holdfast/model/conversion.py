"""One field's value in Python and in JSON: `Decimal("12.3")` and "12.30", a `datetime` and "2026-11-20T13:58:00.000Z".

`to_json` makes the JSON form of whatever Python value may stand in the field, and passes on what it does not know: the field's check,
which always runs after it, says what is wrong. `from_json` takes canonical JSON alone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID

from holdfast.core.schema import Kind

__all__ = ["Conversion", "from_json", "plain_copy", "to_json"]

Conversion: TypeAlias = Callable[[Any], Any]


def plain_copy(value: Any) -> Any:
    """A copy of a JSON value that shares nothing that can be changed."""
    if isinstance(value, dict):
        return {key: plain_copy(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_copy(one) for one in value]
    return value


def _same(value: Any) -> Any:
    return value


def _date_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value


def instant_text(value: datetime) -> str:
    """An aware datetime as canonical text: UTC, whole milliseconds (what is finer is cut off)."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _instant(value: Any) -> Any:
    return instant_text(value) if isinstance(value, datetime) and value.tzinfo is not None else value


def _amount(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


def _items(value: Any) -> Any:
    return list(value) if isinstance(value, set | frozenset | tuple) else value


_TO_JSON: Final[dict[Kind, Conversion]] = {
    Kind.DATE: _date_text, Kind.DATETIME: _instant, Kind.MONEY: _amount, Kind.CHOICE: _text, Kind.UUID: _text, Kind.STRING: _text,
    Kind.REF: _text, Kind.JSON: plain_copy, Kind.SET: _items,
}
_FROM_JSON: Final[dict[Kind, Conversion]] = {
    Kind.DATE: date.fromisoformat, Kind.DATETIME: datetime.fromisoformat, Kind.MONEY: Decimal, Kind.UUID: UUID, Kind.NUMBER: float,
    Kind.JSON: plain_copy, Kind.SET: set,
}


def to_json(kind: Kind) -> Conversion:
    """What makes the JSON form of a Python value (never None) of this kind."""
    return _TO_JSON.get(kind, _same)


def from_json(kind: Kind, python: Any) -> Conversion:
    """What makes the Python value of a canonical JSON value (never null) of this kind; `python` is the annotated type."""
    if kind is Kind.CHOICE and isinstance(python, type) and issubclass(python, Enum):
        return python
    return _FROM_JSON.get(kind, _same)
