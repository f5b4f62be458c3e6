"""Typed records and what travels: `to_fields` for a create, `changed_fields` for a change, `from_fields` for what comes back, and the id
of a record with a natural key.

A typed record that came from the store remembers how it stood, so that a change sends what was changed and nothing else; the store
merges the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from holdfast.core.errors import InvalidValue, StateError
from holdfast.core.identity import natural_id
from holdfast.core.limits import Limits
from holdfast.core.schema import Kind
from holdfast.core.values import canonical
from holdfast.model.conversion import plain_copy
from holdfast.model.declaration import mistake
from holdfast.model.fields import DeclaredField, declared_fields
from holdfast.model.record import Record

__all__ = ["changed_fields", "collection_of", "from_fields", "record_id", "to_fields"]

R = TypeVar("R", bound=Record)


def collection_of(cls: type[Record]) -> str:
    """The collection that a record class declares. Raises DeclarationError for a base that declares none."""
    name = cls.__declaration__.collection
    if name is None:
        raise mistake(cls.__name__, None, "declares no collection.", f'Write `class {cls.__name__}(Record, collection="…")`.')
    return name


def to_fields(record: Record) -> dict[str, Any]:
    """The canonical JSON fields that a create sends: those that were given, and those that differ from their default. What the server
    fills is left out. Raises InvalidValue, naming the field."""
    fields = {}
    for name, one in _declared(type(record)).items():
        if one.field.stamped is not None:
            continue
        value = _value(record, name, one)
        if name in record.model_fields_set or not _equal(one, value, one.field.default):
            fields[name] = value
    return fields


def changed_fields(record: Record) -> dict[str, Any]:
    """The canonical JSON fields that differ from how the record stood when it was read; null empties one. Raises InvalidValue, naming
    the field, and StateError for a record that did not come from the store."""
    stood = record._stood
    if stood is None:
        raise StateError(f"This {type(record).__name__} did not come from the store, so nothing says what was changed.",
                         hint="Create it, or read it first.")
    fields = {}
    for name, one in _declared(type(record)).items():
        if one.field.stamped is None:
            value = _value(record, name, one)
            if not _equal(one, value, stood[name]):
                fields[name] = value
    return fields


def from_fields(cls: type[R], view: Mapping[str, Any]) -> R:
    """The typed record of a record view (`{"id", "rev", "position", "deleted", "fields": {…}}`). Nothing of the view is shared. Values
    are taken as the store gives them: canonical, already judged."""
    fields, declared = view["fields"], _declared(cls)
    values = {name: None if fields.get(name) is None else one.from_json(fields[name]) for name, one in declared.items()}
    record = cls.model_construct(_fields_set=set(), **values)
    record._id, record._rev, record._position = view["id"], view.get("rev", 0), view.get("position")
    record._deleted = view.get("deleted", False)
    record._stood = {name: plain_copy(fields.get(name)) for name in declared}
    return record


def record_id(cls: type[Record], /, *values: Any, **named: Any) -> str:
    """The id of the record of `cls` with this natural key: `record_id(StepResponse, session_id=session, step_number=3)`, or the values
    in the key's order. UUIDv5 of the collection and the canonical key (`core.identity.natural_id`), so two devices that create the same
    thing offline have made the same record. Raises InvalidValue for a value that does not fit, DeclarationError without a key."""
    key = cls.__declaration__.key
    if key is None:
        raise mistake(cls.__name__, None, "has no natural key.", "Declare key=(…), or use a UUIDv7.")
    if len(values) > len(key):
        raise InvalidValue(f"The key of {cls.__name__} has {len(key)} parts: {', '.join(key)}.")
    given = {**dict(zip(key, values, strict=False)), **named}
    if set(given) != set(key) or len(values) + len(named) != len(key):
        raise InvalidValue(f"The key of {cls.__name__} is {', '.join(key)}: give each once.")
    declared = _declared(cls)
    parts = [declared[name].json_value(given[name]) for name in key]
    for name, part in zip(key, parts, strict=True):
        if part is None:
            raise InvalidValue(f"{name} is part of the key and never null.", field=name)
    return natural_id(collection_of(cls), parts)


def _declared(cls: type[Record]) -> dict[str, DeclaredField]:
    """The class's fields, compiled once."""
    known: dict[str, DeclaredField] | None = cls.__dict__.get("__declared_fields__")
    if known is None:
        known = declared_fields(cls, {}, Limits())
        cls.__declared_fields__ = known
    return known


def _value(record: Record, name: str, one: DeclaredField) -> Any:
    value = one.json_value(getattr(record, name))
    if value is None and not one.field.optional:
        raise InvalidValue(f"{name} is never null.", field=name)
    return value


def _equal(one: DeclaredField, left: Any, right: Any) -> bool:
    """Whether two canonical values are the same; inside `Json`, where Python takes 1 for True, by their canonical bytes."""
    return canonical(left) == canonical(right) if one.field.kind is Kind.JSON else left == right
