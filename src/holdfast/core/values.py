"""JSON values: the one canonical form (RFC 8785), and what a value must be to be kept at all.

A value is stored, hashed and compared in its canonical form, on every backend and in every language. Hence these decisions:

| what | decision |
|---|---|
| U+0000, lone surrogates, in strings and keys | refused: PostgreSQL and many readers cannot keep them |
| key order | has no meaning; canonical form sorts by UTF-16 code units |
| a key twice in one object | refused when read (`decode_json`): readers disagree about which one counts |
| -0, 1.0, 1e2 | the numbers 0, 1, 100 |
| a number that its canonical form writes in plain digits, beyond ±(2^53 - 1) | refused: send it as a string |
| other numbers, from 1e21 up to 1.7976931348623157e308, and fractions | doubles, written as ECMAScript does |
| beyond the range of doubles (1e400), NaN, Infinity | refused |
| too small for a double (1e-400) | 0 |
| deeper or longer than the limits | refused |

So whatever is taken is written in a form that is taken again and means the same. A Python value in canonical form holds None, bool, str,
list, dict with str keys, int within ±(2^53 - 1), and float only for what is no such int. Values are never mutated, and never copied
where they already are in that form.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

import msgspec
import orjson

from holdfast.core import pointer
from holdfast.core.decoding import DEPTH_MAX, INTEGER_MAX, decode_json
from holdfast.core.errors import HoldfastError, InvalidValue, LimitExceeded
from holdfast.core.limits import Limits

__all__ = ["DEPTH_MAX", "INTEGER_MAX", "canonical", "decode_json", "encode", "normalise", "same", "size"]

_SAFE = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_ENVELOPE_LEVELS = 16   # around a value: an entry's payload, its ops
_PLAIN_FROM = 1e21      # from here on a whole number is written with an exponent


# -- canonical form --------------------------------------------------------------------------------------------------------

# The fast encoders differ from RFC 8785 in two things: how some floats are written, and the order of keys beyond U+FFFF.
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_MAY_BE_EXPONENT = re.compile(rb"0e")                       # in what _ZEROS makes; faster than `in`
_MAY_BE_WHOLE = re.compile(rb"\.0(?:[,\]}]|$)")
_UNLIKE = re.compile(rb"(?:^|[:,\[])-?\d[\d.]*(?:e|(?<=\.0)(?=[,\]}]|$))")
_NOT_ASTRAL = bytes(set(range(256)) - set(range(0xF0, 0xF5)))
_NOT_BELOW_ASTRAL = bytes(set(range(256)) - {0xEE, 0xEF})

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The canonical form (RFC 8785) of a JSON value. Raises InvalidValue for what cannot be kept, naming the place."""
    try:
        encoded = orjson.dumps(value, option=_SAFE)
    except TypeError:
        return _exact(value)
    if b"\\u0000" in encoded or (b"null" in encoded and _holds_non_finite(value)):
        return _exact(value)
    return encoded if _is_canonical(encoded) else _exact(value)


def encode(value: Any) -> bytes:
    """The canonical form of msgspec structs, alone or inside lists, tuples and dicts: a struct is the object of its fields, without
    those at their default where it omits them. It writes down what has been sent, hence refuses nothing that a device can send:
    a number out of range is written as it is, one that is not finite as null."""
    encoded = _encoder.encode(value)
    return encoded if _is_canonical(encoded) else _exact(msgspec.to_builtins(value), strict=False)


def _is_canonical(encoded: bytes) -> bool:
    """Whether what a fast encoder made with sorted keys is exactly RFC 8785. Looks at the bytes with C loops alone, first coarsely."""
    suspicious = _MAY_BE_WHOLE.search(encoded) or _MAY_BE_EXPONENT.search(encoded.translate(_ZEROS))
    if suspicious and _UNLIKE.search(encoded):
        return False
    return encoded.isascii() or not (encoded.translate(None, _NOT_ASTRAL) and encoded.translate(None, _NOT_BELOW_ASTRAL))


def _holds_non_finite(value: Any) -> bool:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, float):
            if not isfinite(one):
                return True
        elif isinstance(one, dict):
            stack.extend(one.values())
        elif isinstance(one, list | tuple):
            stack.extend(one)
    return False


def _exact(value: Any, *, strict: bool = True) -> bytes:
    parts: list[str] = []
    try:
        _write(value, parts, DEPTH_MAX + _ENVELOPE_LEVELS, strict)
        return "".join(parts).encode()
    except _Fault as fault:
        raise fault.error("") from None


def _write(value: Any, parts: list[str], room: int, strict: bool) -> None:
    """Append the canonical form of `value`, as RFC 8785 says it, one sign after another. Raises _Fault; if not `strict`, only for
    what has no form at all."""
    if strict and not isinstance(value, dict | list | tuple):
        value = _normal_scalar(value)
    if isinstance(value, str):
        parts.append(orjson.dumps(value).decode())
    elif value is None or isinstance(value, bool):
        parts.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, float):
        parts.append(_number(value) if isfinite(value) else "null")
    elif room <= 0:
        raise _Fault(f"nested deeper than {DEPTH_MAX} levels", "Keep such data flatter.")
    elif isinstance(value, dict):
        _write_object(value, parts, room, strict)
    else:
        mark = "["
        for index, item in enumerate(value):
            parts.append(mark)
            mark = ","
            with _Inside(str(index)):
                _write(item, parts, room - 1, strict)
        parts.append("]" if value else "[]")


def _write_object(value: dict[Any, Any], parts: list[str], room: int, strict: bool) -> None:
    if strict:
        for key in value:
            _check_key(key)
    mark = "{"
    for key in sorted(value, key=lambda key: str(key).encode("utf-16-be")):
        parts.append(mark + orjson.dumps(key).decode() + ":")
        mark = ","
        with _Inside(key):
            _write(value[key], parts, room - 1, strict)
    parts.append("}" if value else "{}")


def _number(value: float) -> str:
    """A finite double, as ECMAScript's Number::toString writes it (ECMA-262, 6.1.6.1.20)."""
    if not value:
        return "0"
    sign, text = ("-", repr(value)[1:]) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        return sign + (digits.ljust(point, "0") if len(digits) <= point else f"{digits[:point]}.{digits[point:]}")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{sign}{shown}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def same(left: Any, right: Any) -> bool:
    """Whether two values have one canonical form: 1 and 1.0 do, 1 and True do not, nor do objects that differ in a key."""
    if type(left) is type(right) and not isinstance(left, dict | list):
        return bool(left == right)
    if isinstance(left, dict | list) is not isinstance(right, dict | list):
        return False
    return canonical(left) == canonical(right)


def size(value: Any) -> int:
    """Bytes of the canonical form."""
    return len(canonical(value))


# -- what may be kept ------------------------------------------------------------------------------------------------------


class _Fault(Exception):
    """Why a value cannot be kept; the place is collected on the way out."""

    def __init__(self, reason: str, hint: str, limit: tuple[str, int, str] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.hint, self.limit = reason, hint, limit
        self.inside: list[str] = []

    def error(self, path: str) -> HoldfastError:
        place = path + pointer.render(reversed(self.inside))
        where = f" at {place[:200]}" if place else ""
        if self.limit is None:
            return InvalidValue(f"The value{where} {self.reason}.", hint=self.hint, field=place[:200] or None)
        name, maximum, unit = self.limit
        return LimitExceeded(f"The value{where} is {self.reason}.", hint=self.hint, field=place[:200] or None,
                             limit=name, maximum=maximum, unit=unit)


class _Inside:
    """Names the member that a fault came from."""

    __slots__ = ("_segment",)

    def __init__(self, segment: str) -> None:
        self._segment = segment

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, fault: object, trace: object) -> None:
        if isinstance(fault, _Fault):
            fault.inside.append(self._segment)


def normalise(value: Any, *, limits: Limits, path: str = "") -> Any:
    """`value` in canonical form: the same object if it is so already, else a new one (1.0 -> 1, -0.0 -> 0).

    `path` is where it will stand, as a pointer that starts with the field's name: depth counts from the field. Arrays and objects take
    at most `json_depth_max` levels and `json_bytes_max` canonical bytes; a bare string at most `text_code_points_max` (its field may
    take less). Raises InvalidValue or LimitExceeded, naming the place, never the value.
    """
    kind = type(value)
    if kind is str:
        if value.isascii() and "\0" not in value and len(value) <= limits.text_code_points_max:
            return value
    elif value is None or kind is bool or (kind is int and -INTEGER_MAX <= value <= INTEGER_MAX):
        return value
    try:
        if not isinstance(value, dict | list | tuple):
            result = _normal_scalar(value)
            if isinstance(result, str) and len(result) > limits.text_code_points_max:
                raise _Fault(f"longer than {limits.text_code_points_max} code points", "Keep it in several records.",
                             ("text_code_points_max", limits.text_code_points_max, "code points"))
            return result
        levels = min(limits.json_depth_max, DEPTH_MAX)
        result = _normal(value, levels - max(path.count("/") - 1, 0), levels)
        length = len(orjson.dumps(result))
        if length > limits.json_bytes_max and size(result) > limits.json_bytes_max:
            raise _Fault(f"longer than {limits.json_bytes_max} bytes", "Keep it in several records.",
                         ("json_bytes_max", limits.json_bytes_max, "bytes"))
        return result
    except _Fault as fault:
        raise fault.error(path) from None


def _normal(value: dict[Any, Any] | list[Any] | tuple[Any, ...], room: int, levels: int) -> Any:
    """An array or object in canonical form, or `value` itself. Raises _Fault."""
    if room <= 0:
        raise _Fault(f"nested deeper than {levels} levels", "Keep such data flatter.", ("json_depth_max", levels, "levels"))
    if isinstance(value, dict):
        return _normal_object(value, room, levels)
    changed: list[Any] | None = list(value) if isinstance(value, tuple) else None
    index = 0
    try:
        for index, item in enumerate(value):
            kind = type(item)
            if (kind is str and item.isascii() and "\0" not in item) or item is None or kind is bool:
                continue
            normal = _normal(item, room - 1, levels) if kind is dict or kind is list or kind is tuple else _normal_scalar(item)
            if normal is not item:
                changed = changed if changed is not None else list(value)
                changed[index] = normal
    except _Fault as fault:
        fault.inside.append(str(index))
        raise
    return value if changed is None else changed


def _normal_object(value: dict[Any, Any], room: int, levels: int) -> dict[str, Any]:
    for key in value:
        if type(key) is not str or not key.isascii() or "\0" in key:
            _check_key(key)
    changed: dict[str, Any] | None = None
    key = ""
    try:
        for key, item in value.items():
            kind = type(item)
            if (kind is str and item.isascii() and "\0" not in item) or item is None or kind is bool:
                continue
            normal = _normal(item, room - 1, levels) if kind is dict or kind is list or kind is tuple else _normal_scalar(item)
            if normal is not item:
                changed = changed if changed is not None else dict(value)
                changed[key] = normal
    except _Fault as fault:
        fault.inside.append(key)
        raise
    return value if changed is None else changed


def _normal_scalar(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        if "\0" in value:
            raise _Fault("holds the character U+0000", "Remove it, or send bytes as base64 text.")
        if not value.isascii():
            _check_surrogates(value)
        return value
    if kind is bool or value is None:
        return value
    if kind is int:
        if -INTEGER_MAX <= value <= INTEGER_MAX:
            return value
        raise _Fault("is a whole number beyond ±9007199254740991, which not every reader can hold", "Send it as a string.")
    if kind is float:
        return _normal_float(value)
    raise _Fault(f"is a Python {kind.__name__}, not a JSON value", "Give null, booleans, numbers, strings, lists, or dicts.")


def _normal_float(value: float) -> int | float:
    if not value.is_integer():
        if isfinite(value):
            return value
        raise _Fault("is not a finite number", "JSON has no NaN and no infinity; use null or a string.")
    if -INTEGER_MAX <= value <= INTEGER_MAX:
        return int(value)
    if abs(value) >= _PLAIN_FROM:
        return value
    raise _Fault("is a whole number beyond ±9007199254740991, which not every reader can hold", "Send it as a string.")


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise _Fault(f"has a key that is a Python {type(key).__name__}", "Keys are strings.")
    if "\0" in key:
        raise _Fault("has a key that holds the character U+0000", "Remove it from the key.")
    _check_surrogates(key)


def _check_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Fault("holds half of a surrogate pair", "Cut text between characters, not between UTF-16 units.") from None
