"""The record-wide rules of a class: its pydantic model validators, and field validators that read other fields too, as one function on
the JSON fields of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from holdfast.core.errors import InvalidValue
from holdfast.core.schema import Field
from holdfast.model.checks import explain
from holdfast.model.fields import DeclaredField, has_record_rules
from holdfast.model.record import Record

__all__ = ["record_check"]


def record_check(cls: type[Record], declared: Mapping[str, DeclaredField]) -> Callable[[Mapping[str, Any]], list[tuple[str, str]]] | None:
    """A function that takes all JSON fields of a record and returns what is wrong with them, as (field, message for people); the field
    is "" where a rule names none. None if the class declares no such rule.

    No message shows a sensitive value, and a rule that fails in another way than by ValueError is a message too, never an exception."""
    if not has_record_rules(cls):
        return None
    secret = [one.field.name for one in declared.values() if one.field.sensitive]

    def check(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
        try:
            cls.model_validate({name: one.from_json(fields[name]) for name, one in declared.items() if fields.get(name) is not None})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            found = dict.fromkeys(_problem(one, declared) for one in problems)
            return [(name, _without_secrets(name, message, secret, fields)) for name, message in found]
        except InvalidValue as error:
            return [(error.field or "", _without_secrets(error.field or "", error.detail, secret, fields))]
        except Exception as error:
            return [("", f"The record could not be judged: its rule failed ({type(error).__name__}).")]
        return []

    return check


def _problem(error: Any, declared: Mapping[str, DeclaredField]) -> tuple[str, str]:
    name = str(error["loc"][0]) if error["loc"] else ""
    field: Field | None = declared[name].field if name in declared else None
    return (name if field else "", explain(name if field else "", error, field is not None and field.sensitive))


def _without_secrets(name: str, message: str, secret: list[str], fields: Mapping[str, Any]) -> str:
    """The message, unless it quotes a sensitive value of the record."""
    quoted = any(part in message for field in secret for part in _parts(fields.get(field)))
    return message if not quoted else f"{name} does not fit." if name else "The values do not fit together."


def _parts(value: Any) -> list[str]:
    """The texts and numbers in a JSON value, as a message would show them."""
    if isinstance(value, dict):
        return [part for one in (*value.keys(), *value.values()) for part in _parts(one)]
    if isinstance(value, list):
        return [part for one in value for part in _parts(one)]
    return [] if value is None or isinstance(value, bool) or value == "" else [str(value)]
