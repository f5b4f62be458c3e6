"""The check of one field: takes a JSON value (never null), returns it in canonical form, or raises InvalidValue.

Rules of this file:
- What reaches a check has passed `core.values.normalise`: U+0000, lone surrogates, depth and bytes are judged there.
- A plain kind without constraints never calls pydantic: these run for every op of every mutation.
- Messages name the field and say what fits. None repeats the value, so that none can show a sensitive one.
- `Text`, `Counter` and `Set` are judged, never changed: their ops were made against the value as it stands.
- Whatever a constraint raises becomes InvalidValue: a mistake in an application's validator holds one value, not a batch.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import TypeAdapter, ValidationError

from holdfast.core.errors import InvalidValue
from holdfast.core.limits import Limits
from holdfast.core.schema import Kind
from holdfast.core.values import normalise
from holdfast.model.annotation import Reading
from holdfast.model.conversion import Conversion, from_json, instant_text, to_json

__all__ = ["DIGITS_MAX", "SAFE_INTEGER", "Check", "adapter_for", "constrained", "explain", "kind_check", "raise_on_unfit_constraint"]

Check: TypeAlias = Callable[[Any], Any]

SAFE_INTEGER: Final = (1 << 53) - 1
DIGITS_MAX: Final = 18
"""Digits of an amount of money, before and after the point together: its minor units fit 64 bits."""

_EXPONENT_FROM: Final = 1e21
"""From here on canonical JSON writes a number with an exponent; between 2^53 and here in digits that not every reader keeps."""

_JUDGED_ONLY: Final = frozenset({Kind.TEXT, Kind.COUNTER, Kind.SET})
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CANONICAL_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")

# Messages of these pydantic errors are made from the declaration alone. Others may quote the value.
_TELLS_NO_VALUE: Final = frozenset({
    "string_too_long", "string_too_short", "string_pattern_mismatch", "greater_than", "greater_than_equal", "less_than", "less_than_equal",
    "multiple_of", "too_long", "too_short",
})


def kind_check(name: str, reading: Reading, limits: Limits) -> Check | None:
    """The check of a field's kind alone; None where any JSON value fits."""
    kind = reading.kind
    if kind is Kind.JSON:
        return None
    if kind is Kind.STRING:
        return _string(name, limits.string_code_points_max)
    if kind is Kind.TEXT:
        return _string(name, None)
    if kind is Kind.CHOICE:
        return _choice(name, reading.choices or ())
    if kind is Kind.MONEY:
        return _money(name, 2 if reading.scale is None else reading.scale)
    if kind is Kind.SET:
        return _set(name, limits.string_code_points_max)
    return _PLAIN[kind](name)


def _string(name: str, code_points_max: int | None) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidValue(f"{name} must be text.", field=name)
        if code_points_max is not None and len(value) > code_points_max:
            raise InvalidValue(f"{name} holds at most {code_points_max:,} characters.", field=name)
        return value

    return check


def _integer(name: str) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidValue(f"{name} must be a whole number.", field=name)
        if abs(value) > SAFE_INTEGER:
            raise InvalidValue(f"{name} must be a whole number between -{SAFE_INTEGER:,} and {SAFE_INTEGER:,}.", field=name,
                               hint="A longer number, such as an account number, is text.")
        return value

    return check


def _number(name: str) -> Check:
    def check(value: Any) -> int | float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InvalidValue(f"{name} must be a number.", field=name)
        if value - value != 0:
            raise InvalidValue(f"{name} must be a finite number.", field=name)
        if abs(value) <= SAFE_INTEGER:
            return int(value) if value == int(value) else value
        if isinstance(value, int) or abs(value) < _EXPONENT_FROM:
            raise InvalidValue(f"{name} must be a number that every reader holds exactly.", field=name, hint="A longer number is text.")
        return value

    return check


def _boolean(name: str) -> Check:
    def check(value: Any) -> bool:
        if value is True or value is False:
            return value
        raise InvalidValue(f"{name} must be true or false.", field=name)

    return check


def _date(name: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str) and _DATE.fullmatch(value):
            try:
                date.fromisoformat(value)
                return value
            except ValueError:
                pass
        raise InvalidValue(f"{name} must be a date like 2026-11-20.", field=name)

    return check


def _datetime(name: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str):
            text = value.upper()
            try:
                if _CANONICAL_INSTANT.fullmatch(text):
                    datetime.fromisoformat(text)
                    return text
                if _INSTANT.fullmatch(text):
                    return instant_text(datetime.fromisoformat(text).astimezone(UTC))
            except (ValueError, OverflowError):
                pass
        raise InvalidValue(f"{name} must be a time with its zone, like 2026-11-20T13:58:00Z.", field=name)

    return check


def _uuid(name: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str) and _UUID.fullmatch(value):
            return value.lower()
        raise InvalidValue(f"{name} must be a UUID.", field=name)

    return check


def _ref(name: str) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, str) and _UUID.fullmatch(value):
            return value.lower()
        raise InvalidValue(f"{name} must be the id of a record.", field=name)

    return check


def _choice(name: str, choices: tuple[str, ...]) -> Check:
    known = frozenset(choices)
    message = f"{name} must be one of {', '.join(choices)}."

    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise InvalidValue(message, field=name)

    return check


def _money(name: str, scale: int) -> Check:
    whole_max = DIGITS_MAX - scale
    form = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]*))?")
    example = "12" + ("." + "3456789"[:scale].ljust(scale, "0") if scale else "")

    def check(value: Any) -> str:
        match = form.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[3] == "":
            raise InvalidValue(f"{name} must be an amount as text, like \"{example}\".", field=name)
        sign, whole, part = match[1], match[2], (match[3] or "").rstrip("0")
        if len(part) > scale:
            raise InvalidValue(f"{name} has at most {scale} digits after the point.", field=name)
        if len(whole) > whole_max:
            raise InvalidValue(f"{name} has at most {whole_max} digits before the point.", field=name)
        text = f"{whole}.{part.ljust(scale, '0')}" if scale else whole
        return sign + text if sign and text.strip("0.") else text

    return check


def _set(name: str, code_points_max: int) -> Check:
    def check(value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InvalidValue(f"{name} must be a list of texts.", field=name)
        if any(len(one) > code_points_max for one in value):
            raise InvalidValue(f"Each item of {name} holds at most {code_points_max:,} characters.", field=name)
        return sorted(set(value))

    return check


_PLAIN: Final[dict[Kind, Callable[[str], Check]]] = {
    Kind.INTEGER: _integer, Kind.COUNTER: _integer, Kind.NUMBER: _number, Kind.BOOLEAN: _boolean, Kind.DATE: _date,
    Kind.DATETIME: _datetime, Kind.UUID: _uuid, Kind.REF: _ref,
}


# -- constraints -----------------------------------------------------------------------------------------------------------


def adapter_for(reading: Reading, validators: Iterable[Any] = ()) -> TypeAdapter[Any]:
    """Pydantic's judge of the annotated type with its constraints, and the class's own validators of this field behind them.
    Raises what pydantic raises for a constraint that does not fit the type."""
    python = reading.python
    for one in (*reading.constraints, *validators):
        python = Annotated[python, one]
    return TypeAdapter(python)


_SAMPLES: Final[dict[Kind, Any]] = {
    Kind.STRING: "a", Kind.TEXT: "a", Kind.CHOICE: "a", Kind.REF: "0190f0e0-0000-7000-8000-000000000000",
    Kind.UUID: "0190f0e0-0000-7000-8000-000000000000", Kind.INTEGER: 1, Kind.COUNTER: 1, Kind.NUMBER: 1, Kind.BOOLEAN: True,
    Kind.DATE: "2026-11-20", Kind.DATETIME: "2026-11-20T13:58:00.000Z", Kind.MONEY: "1.00", Kind.SET: ["a"],
}


def raise_on_unfit_constraint(reading: Reading) -> None:
    """Raises TypeError for a bound that cannot be applied to the type at all (`ge` on a text): pydantic notices it with the first value
    alone, so it is given one."""
    if reading.kind not in _SAMPLES or reading.choices is not None or not reading.constraints:
        return
    bounds = tuple(one for one in reading.constraints if type(one).__module__ == "annotated_types")
    sample = from_json(reading.kind, reading.python)(_SAMPLES[reading.kind])
    with contextlib.suppress(ValidationError):
        adapter_for(replace(reading, constraints=bounds)).validate_python(sample)


def constrained(name: str, reading: Reading, check: Check | None, adapter: TypeAdapter[Any], limits: Limits) -> Check:
    """`check`, then pydantic's judgement, then `check` again on what its validators made of the value."""
    to_python: Conversion = from_json(reading.kind, reading.python)
    to_plain: Conversion = to_json(reading.kind)
    judged_only, sensitive = reading.kind in _JUDGED_ONLY, reading.sensitive

    def judged(value: Any) -> Any:
        value = value if check is None else check(value)
        reason = ""
        try:
            made = adapter.validate_python(to_python(value))
        except Exception as error:
            reason = _reason(name, error, sensitive)
        if reason:      # raised out here, so that no context leads to the value
            raise InvalidValue(reason, field=name)
        if judged_only:
            return value
        plain = to_plain(made)
        return normalise(plain, limits=limits, path="/" + name) if check is None else check(plain)

    return judged


def _reason(name: str, error: Exception, sensitive: bool) -> str:
    if not isinstance(error, ValidationError):
        return f"{name} could not be judged: its rule failed ({type(error).__name__})."
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return explain(f"Each item of {name}" if first["loc"] else name, first, sensitive)


def explain(name: str, error: Any, sensitive: bool) -> str:
    """A pydantic error of the field `name` in a sentence for people; of a sensitive field only what tells nothing of the value."""
    if sensitive and error["type"] not in _TELLS_NO_VALUE:
        return f"{name} does not fit." if name else "The values do not fit together."
    said = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ").strip().rstrip(".")
    said = re.sub(r"^(?:String|Input|Value|Set|Decimal input) should ", "must ", said)
    if said.startswith("must ") and name:
        return f"{name} {said}."
    return f"{said}." if not name or re.search(rf"\b{re.escape(name)}\b", said) else f"{name}: {said}."
