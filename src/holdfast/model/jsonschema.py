"""JSON Schema (2020-12) of a collection's records, made from the compiled declaration: what is read, what a create takes, what a change
takes. A schema says no less than the server checks, except for rules that are code."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from holdfast.core.limits import Limits
from holdfast.core.schema import Collection, Field, Kind
from holdfast.model.checks import DIGITS_MAX, SAFE_INTEGER

__all__ = ["Mode", "field_schema", "json_schema", "nullable", "settable"]

Mode: TypeAlias = Literal["record", "create", "patch"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Final[dict[Kind, dict[str, Any]]] = {
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.DATETIME: {"type": "string", "format": "date-time"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.REF: {"type": "string", "format": "uuid"},
    Kind.JSON: {},
}


def json_schema(collection: Collection, *, mode: Mode = "record", limits: Limits | None = None) -> dict[str, Any]:
    """The schema of a record's `fields`. "record": all fields, as read; "create": what `create` takes, the rest has defaults; "patch": what
    a change takes, null empties an optional field."""
    fields = list(collection.fields.values()) if mode == "record" else [one for one in collection.fields.values() if settable(one, mode)]
    schema: dict[str, Any] = {
        "$schema": _DIALECT, "title": (collection.record or collection.name) + ("" if mode == "record" else mode.capitalize()),
        "type": "object", "properties": {one.name: _described(one, collection, mode, limits or Limits()) for one in fields},
        "additionalProperties": False,
    }
    if collection.doc:
        schema["description"] = collection.doc
    required = [one.name for one in fields if mode == "record" or (mode == "create" and one.required)]
    return schema | ({"required": required} if required else {})


def settable(field: Field, mode: Mode) -> bool:
    """Whether a create or a change may give the field."""
    return field.stamped is None and not (mode == "patch" and field.immutable)


def nullable(field: Field, collection: Collection) -> bool:
    """Whether a record may hold null here. What the server fills is always there, unless a later contract added it."""
    if field.stamped is not None:
        return collection.contract > 1
    return field.optional and field.kind is not Kind.JSON


def field_schema(field: Field, *, mode: Mode = "record", limits: Limits | None = None) -> dict[str, Any]:
    """The schema of one field's value, null left aside."""
    schema = _of_kind(field, mode, limits or Limits())
    return schema if field.kind is Kind.MONEY else schema | dict(field.constraints)


def _described(field: Field, collection: Collection, mode: Mode, limits: Limits) -> dict[str, Any]:
    schema = field_schema(field, mode=mode, limits=limits)
    if nullable(field, collection):
        schema = _or_null(schema)
    if mode == "record" and field.stamped is not None:
        schema["readOnly"] = True
    if mode == "create" and not field.required and field.default is not None:
        schema["default"] = field.default
    return schema | ({"description": field.doc} if field.doc else {})


def _of_kind(field: Field, mode: Mode, limits: Limits) -> dict[str, Any]:
    kind = field.kind
    if kind is Kind.STRING:
        return {"type": "string", "maxLength": limits.string_code_points_max}
    if kind is Kind.TEXT:
        return {"type": "string", "maxLength": limits.text_code_points_max}
    if kind in (Kind.INTEGER, Kind.COUNTER):
        return {"type": "integer", "minimum": -SAFE_INTEGER, "maximum": SAFE_INTEGER}
    if kind is Kind.CHOICE:
        return {"type": "string", "enum": list(field.choices or ())}
    if kind is Kind.MONEY:
        return {"type": "string", "pattern": money_pattern(field.scale, canonical=mode == "record")}
    if kind is Kind.SET:
        items = {"type": "string", "maxLength": limits.string_code_points_max}
        return {"type": "array", "items": items, "maxItems": limits.set_items_max} | ({"uniqueItems": True} if mode == "record" else {})
    return dict(_PLAIN[kind])


def money_pattern(scale: int, *, canonical: bool) -> str:
    """The form of an amount: canonical with exactly `scale` digits after the point, as sent with at most that many."""
    whole = f"-?(0|[1-9][0-9]{{0,{DIGITS_MAX - scale - 1}}})"
    if scale == 0:
        return f"^{whole}$" if canonical else f"^{whole}(\\.0+)?$"
    return f"^{whole}\\.[0-9]{{{scale}}}$" if canonical else f"^{whole}(\\.[0-9]{{1,{scale}}}0*)?$"


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    made = {**schema, "type": [schema["type"], "null"]}
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return made
