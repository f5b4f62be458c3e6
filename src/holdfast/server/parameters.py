"""Parameters of a call (query and headers): declared in the route table, read here, shown in the OpenAPI.

A parameter that is not declared is an error: a misspelt `limt=` that is silently ignored gives answers that look right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from holdfast.core.errors import InvalidValue, Malformed

__all__ = ["Parameter", "flag", "instant", "names", "parse_query", "read_parameters", "text", "whole"]

_FIELDS_MAX = 100
_TEXT_MAX = 4_096
_WHOLE = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared parameter. `kind` is text, whole, flag, instant (ISO 8601) or names (comma-separated)."""

    name: str
    kind: str
    doc: str
    required: bool = False
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None


def text(name: str, doc: str, *, required: bool = False, pattern: str | None = None) -> Parameter:
    return Parameter(name=name, kind="text", doc=doc, required=required, pattern=pattern)


def whole(name: str, doc: str, *, default: int | None = None, minimum: int = 0, maximum: int = (1 << 53) - 1,
          required: bool = False) -> Parameter:
    return Parameter(name=name, kind="whole", doc=doc, default=default, minimum=minimum, maximum=maximum, required=required)


def flag(name: str, doc: str) -> Parameter:
    return Parameter(name=name, kind="flag", doc=doc, default=False)


def instant(name: str, doc: str) -> Parameter:
    return Parameter(name=name, kind="instant", doc=doc)


def names(name: str, doc: str) -> Parameter:
    return Parameter(name=name, kind="names", doc=doc)


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """The query string as pairs. Raises Malformed for bytes that are no UTF-8, control characters, or too many pairs."""
    if not raw:
        return []
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except (UnicodeDecodeError, ValueError):
        raise Malformed("The query string cannot be read: it must be percent-encoded UTF-8 with at most "
                        f"{_FIELDS_MAX} parameters.", hint="Encode each name and value.") from None
    for name, value in pairs:
        if "\0" in name or "\0" in value or len(value) > _TEXT_MAX * 4:
            raise Malformed("A query parameter holds U+0000 or is too long.", hint="Send a shorter value without control characters.")
    return pairs


def read_parameters(declared: Iterable[Parameter], pairs: list[tuple[str, str]]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Values by name (absent ones have their default), and the pairs that are not declared. Raises InvalidValue, Malformed."""
    by_name = {parameter.name: parameter for parameter in declared}
    values: dict[str, Any] = {name: parameter.default for name, parameter in by_name.items()}
    seen: set[str] = set()
    rest = []
    for name, value in pairs:
        parameter = by_name.get(name)
        if parameter is None:
            rest.append((name, value))
            continue
        if name in seen:
            raise Malformed(f"The parameter {name} is there twice.", field=name, hint="Name it once; lists are comma-separated.")
        seen.add(name)
        values[name] = read_value(parameter, value)
    for name, parameter in by_name.items():
        if parameter.required and name not in seen:
            raise InvalidValue(f"The parameter {name} is missing: {parameter.doc}", field=name)
    return values, rest


def read_value(parameter: Parameter, value: str) -> Any:
    """The typed value of one parameter. Raises InvalidValue."""
    if len(value) > _TEXT_MAX:
        raise InvalidValue(f"The parameter {parameter.name} is longer than {_TEXT_MAX} characters.", field=parameter.name)
    if parameter.kind == "whole":
        return _read_whole(parameter, value)
    if parameter.kind == "flag":
        if value not in ("", "0", "1", "true", "false"):
            raise InvalidValue(f"The parameter {parameter.name} is true or false.", field=parameter.name)
        return value in ("", "1", "true")
    if parameter.kind == "instant":
        return parse_instant(parameter.name, value)
    if parameter.kind == "names":
        return tuple(part for part in value.split(",") if part)
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, value):
        raise InvalidValue(f"The parameter {parameter.name} is not of the form {parameter.pattern}.", field=parameter.name)
    return value


def _read_whole(parameter: Parameter, value: str) -> int:
    if not _WHOLE.fullmatch(value):
        raise InvalidValue(f"The parameter {parameter.name} is a whole number.", field=parameter.name)
    number = int(value)
    if (parameter.minimum is not None and number < parameter.minimum) or (parameter.maximum is not None and number > parameter.maximum):
        raise InvalidValue(f"The parameter {parameter.name} lies between {parameter.minimum} and {parameter.maximum}.",
                           field=parameter.name)
    return number


def parse_instant(name: str, value: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time with its offset."""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidValue(f"{name} is a time with its offset, such as 2026-11-20T13:58:00Z.", field=name) from None


def required_text(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    assert isinstance(value, str)
    return value
