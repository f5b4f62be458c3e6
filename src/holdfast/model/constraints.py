"""A field's constraints as JSON Schema keywords, taken from pydantic's own JSON Schema of the annotated type, so that devices and
forms can say beforehand what the server will say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic.errors import PydanticUserError

from holdfast.core.schema import Kind
from holdfast.model.annotation import Reading
from holdfast.model.checks import adapter_for

__all__ = ["constraint_keywords"]

_RANGE: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LENGTH: Final = frozenset({"minLength", "maxLength", "pattern", "format"})
_BY_KIND: Final[dict[Kind, frozenset[str]]] = {
    Kind.STRING: _LENGTH, Kind.TEXT: _LENGTH, Kind.INTEGER: _RANGE, Kind.NUMBER: _RANGE, Kind.COUNTER: _RANGE, Kind.MONEY: _RANGE,
    Kind.SET: frozenset({"minItems", "maxItems", "items"}),
}


def constraint_keywords(reading: Reading) -> dict[str, Any]:
    """`Annotated[str, Field(max_length=80)]` -> {"maxLength": 80}. Validators that are code say nothing here. Bounds of an amount
    of money are numbers, although its value is text."""
    wanted = _BY_KIND.get(reading.kind)
    if wanted is None or not (reading.constraints or reading.kind is Kind.SET or reading.python is not str):
        return {}
    try:
        schema = adapter_for(reading).json_schema()
    except (PydanticUserError, TypeError, ValueError):
        return {}
    found = {key: value for part in _parts(schema) for key, value in part.items() if key in wanted}
    if reading.kind is Kind.MONEY or found.get("items") == {"type": "string"}:
        found.pop("pattern", None)
        found.pop("items", None)
    return dict(sorted(found.items()))


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and its alternatives: an amount of money is a number or a text to pydantic."""
    yield from schema.get("anyOf", ())
    yield schema
