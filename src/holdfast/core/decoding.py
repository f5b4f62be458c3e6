"""Reading JSON strictly, at the speed of a lenient reader (`values` says what is taken).

Theory of operation. orjson refuses by itself what is no JSON (RFC 8259), no UTF-8, a lone surrogate, an infinity, or over 1,024 levels.
What it lets through is found by writing the value again and comparing: a key that came twice, or a number that was turned into
a double, is missing or different in what is written. For almost all bodies that settles it; only what differs in a suspicious way is
read once more, slowly and exactly, by a reader that also knows the place.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from holdfast.core import pointer
from holdfast.core.errors import Malformed

__all__ = ["DEPTH_MAX", "INTEGER_MAX", "decode_json"]

DEPTH_MAX = 128
"""Levels that are read at all: more than any limit on values, less than any JSON codec here can take."""

INTEGER_MAX = (1 << 53) - 1
"""Whole numbers up to here, either way, are the same number for every reader."""

_EXPLAINED_BYTES_MAX = 1 << 16      # a longer body that is no JSON is not read again to say more about it
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 16


def decode_json(raw: bytes | memoryview) -> Any:
    """The value that `raw` (one JSON text in UTF-8, without a byte order mark) says.

    Numbers are as JSON has them (1.0 stays a float): `values.normalise` makes the canonical form. Raises Malformed with the place, as
    a JSON Pointer where there is one, for: no JSON, no UTF-8, a duplicate key, U+0000, a lone surrogate, a number beyond the range of
    doubles, a whole number beyond ±(2^53 - 1), more than DEPTH_MAX levels.
    """
    raw = bytes(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _explained(raw, error) from None
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and _levels(value) > DEPTH_MAX:
        raise _too_deep()
    try:
        again = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        again = b""
    if (b"\\" in raw and b"\\u0000" in raw) or (again != raw and not _says_the_same(raw, again)):
        _raise_if_wrong(raw.decode())
    return value


def _says_the_same(raw: bytes, again: bytes) -> bool:
    """Whether `raw` surely holds no key twice and no whole number out of range, judged by its bytes.

    Every member has one colon outside of strings and `again` holds each key once: equal counts mean that none was dropped, unless
    escaped colons in `raw` make up for it. A whole number out of range has at least sixteen digits.
    """
    if raw.count(b":") != again.count(b":") or b"\\u003a" in raw or b"\\u003A" in raw:
        return False
    return _LONG_NUMBER not in raw.translate(_ZEROS)


def _levels(value: Any) -> int:
    levels, row = 0, [value]
    while row:
        inner: list[Any] = []
        for one in row:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        if any(isinstance(one, dict | list) for one in row):
            levels += 1
        row = inner
    return levels


# -- the slow and exact reader ---------------------------------------------------------------------------------------------


class _Twice:
    """Stands for an object in which a key came twice."""

    def __init__(self, key: str) -> None:
        self.key = key


class _TooLarge:
    """Stands for a whole number beyond the range."""


class _NotFinite:
    """Stands for a number that is no double."""


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Twice(key)
        seen.add(key)
    raise AssertionError("fewer members than pairs, and none twice")


def _whole(digits: str) -> Any:
    return _TooLarge() if len(digits) > 17 or abs(int(digits)) > INTEGER_MAX else int(digits)


def _double(digits: str) -> Any:
    value = float(digits)
    return value if abs(value) != float("inf") else _NotFinite()


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _raise_if_wrong(text: str) -> None:
    """Read `text`, which is JSON of at most DEPTH_MAX levels, exactly; raise Malformed for the first thing that is refused."""
    value = json.loads(text, object_pairs_hook=_pairs, parse_int=_whole, parse_float=_double, parse_constant=_constant)
    stack: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while stack:
        place, one = stack.pop()
        if isinstance(one, dict):
            for key in one:
                _raise_if_wrong_text(key, place, "A key")
            stack.extend([((*place, key), item) for key, item in reversed(one.items())])
        elif isinstance(one, list):
            stack.extend([((*place, str(index)), item) for index, item in reversed(list(enumerate(one)))])
        elif isinstance(one, str):
            _raise_if_wrong_text(one, place, "The text")
        elif isinstance(one, _Twice):
            raise _malformed(f"The key {one.key[:80]!r} comes twice in the object", place, "Send each key once.")
        elif isinstance(one, _TooLarge):
            raise _malformed("The whole number", place, "Send it as a string.", " lies beyond ±9007199254740991")
        elif isinstance(one, _NotFinite):
            raise _malformed("The number", place, "Send a finite number, or a string.", " is beyond what a double can hold")


def _raise_if_wrong_text(text: str, place: tuple[str, ...], what: str) -> None:
    if "\0" in text:
        raise _malformed(what, place, "Remove it, or send bytes as base64 text.", " holds the character U+0000")
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise _malformed(what, place, "Cut text between characters, not between UTF-16 units.", " holds half of a surrogate pair")


def _malformed(what: str, place: tuple[str, ...], hint: str, why: str = "") -> Malformed:
    path = pointer.render(place)[:200]
    path = path.encode("utf-8", "replace").decode()
    return Malformed(f"{what} at {path or 'the top'}{why}.", hint=hint, field=path or None)


def _too_deep() -> Malformed:
    return Malformed(f"The JSON is nested deeper than {DEPTH_MAX} levels.", hint="Keep such data flatter.")


_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def _explained(raw: bytes, error: orjson.JSONDecodeError) -> Malformed:
    """What orjson refused, with the place where it can be told. Its own message holds line and column, never the text."""
    if len(raw) <= _EXPLAINED_BYTES_MAX:
        try:
            text = raw.decode()
        except UnicodeDecodeError as bad:
            return Malformed(f"The body is not UTF-8 (byte {bad.start}).", hint="Send JSON as UTF-8, without a byte order mark.")
        depth = 0
        for found in _STRING_OR_BRACKET.finditer(raw):
            mark = found[0][:1]
            depth += 1 if mark in b"[{" else -1 if mark in b"]}" else 0
            if depth > DEPTH_MAX:
                return _too_deep()
        try:
            _raise_if_wrong(text)
        except Malformed as found_wrong:
            return found_wrong
        except ValueError:
            pass    # no JSON for the lenient reader either: what orjson says is all there is to say
    reason = str(error)
    return Malformed(f"The body is no JSON: {reason}.", hint="Send well-formed JSON (RFC 8259) as UTF-8.")
