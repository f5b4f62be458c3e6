"""How a field's JSON value stands in a column of PostgreSQL, and back (representations as in `storage.columns`).

Rows are written as one array of text per column, cast inside the statement: the driver asks the catalogue about every other kind of
array, once per connection, which takes seconds on a distributed server. So a value has two forms: `to_text` for such an array, `to_value`
as a single parameter.

Text stands under the collation "C", in which the order of bytes is the order of code points. Dates, times and UUIDs are text too: what
was written comes back letter for letter, a prefix of them can be asked for, and their order as text is their order in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from holdfast.storage import columns
from holdfast.storage.columns import INTEGER_MAX

__all__ = ["cast_of", "decoder", "selected", "sql_type", "to_text", "to_value"]

_TYPES: Final = {"text": 'text COLLATE "C"', "integer": "bigint", "number": "double precision", "boolean": "boolean", "json": "jsonb",
                 "money": "bigint"}
_CASTS: Final = {"text": "", "integer": "::bigint", "number": "::double precision", "boolean": "::boolean", "json": "::jsonb",
                 "money": "::bigint"}
_LONG_NUMBER: Final = re.compile(r"[0-9]{16}")


def _kind(representation: str) -> str:
    return representation.partition(":")[0]


def sql_type(representation: str) -> str:
    return _TYPES[_kind(representation)]


def cast_of(representation: str) -> str:
    """What turns an element of a text array into the column's type."""
    return _CASTS[_kind(representation)]


def selected(name: str, representation: str) -> str:
    """A quoted column as it is selected: in a type the driver knows without asking."""
    return f"{name}::text" if representation == "json" else name


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def to_text(representation: str) -> Callable[[Any], str] | None:
    """JSON value (never null) -> element of a text array; None: it is one already."""
    kind = _kind(representation)
    if kind == "text":
        return None
    if kind == "json":
        return _dump
    if kind == "boolean":
        return _boolean
    if kind == "number":
        return repr
    encode = columns.encoder(representation)
    return str if encode is None else lambda value: str(encode(value))


def to_value(representation: str) -> Callable[[Any], Any] | None:
    """JSON value (never null) -> single parameter; None: it stands as it is."""
    kind = _kind(representation)
    if kind == "boolean":
        return bool
    if kind == "number":
        return float
    return columns.encoder(representation)


def decoder(representation: str) -> Callable[[Any], Any] | None:
    """Selected value (never NULL) -> JSON value; None: it stands as it is."""
    kind = _kind(representation)
    if kind == "boolean":
        return None
    return _load if kind == "json" else columns.decoder(representation)


def _boolean(value: Any) -> str:
    return "true" if value else "false"


def _load(text: str) -> Any:
    """`jsonb` writes 1e16 as 10000000000000000. A whole number beyond 2^53 is no JSON value here, so it was such a one."""
    value = orjson.loads(text)
    return _floats(value) if _LONG_NUMBER.search(text) else value


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_floats(one) for one in value]
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        return float(value)
    return value
