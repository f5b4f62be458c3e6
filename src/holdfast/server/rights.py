"""What a caller with certain roles could do in a collection at all: for clients that decide what to offer. The answer to each single
call is the engine's."""

from __future__ import annotations

from typing import Any

from holdfast.core.access import And, Nobody, Or, Role, Rule
from holdfast.core.limits import Limits
from holdfast.core.schema import Collection, Schema
from holdfast.model.describe import describe_collection
from holdfast.model.jsonschema import json_schema

__all__ = ["described", "reaches", "record_schema"]


def reaches(rule: Rule, roles: frozenset[str]) -> bool:
    """Whether somebody with these roles could be admitted to some record."""
    if isinstance(rule, Nobody):
        return False
    if isinstance(rule, Role):
        return not rule.roles.isdisjoint(roles)
    if isinstance(rule, And):
        return all(reaches(part, roles) for part in rule.parts)
    if isinstance(rule, Or):
        return any(reaches(part, roles) for part in rule.parts)
    return True


def described(schema: Schema, roles: frozenset[str]) -> dict[str, Any]:
    """`GET /v1/schema`: every collection as declared, with JSON Schemas and what the caller may do."""
    return {
        "digest": schema.digest,
        "limits": {name: getattr(schema.limits, name) for name in Limits.__slots__},
        "collections": {name: {
            **describe_collection(one),
            "json_schema": {"record": json_schema(one, mode="record", limits=schema.limits),
                            "create": json_schema(one, mode="create", limits=schema.limits),
                            "patch": json_schema(one, mode="patch", limits=schema.limits)},
            "may": _may(one, roles),
        } for name, one in schema.collections.items()},
    }


def _may(collection: Collection, roles: frozenset[str]) -> dict[str, bool]:
    changes = not collection.append_only
    return {
        "read": reaches(collection.read, roles),
        "write": changes and reaches(collection.write, roles),
        "create": reaches(collection.create or collection.write, roles),
        "delete": changes and reaches(collection.delete or collection.write, roles),
    }


def record_schema(collection: Collection, limits: Limits) -> dict[str, Any]:
    """A whole record view of the collection, as JSON Schema."""
    return {
        "type": "object",
        "required": ["collection", "id", "rev", "position", "contract", "deleted", "fields"],
        "properties": {
            "collection": {"const": collection.name},
            "id": {"type": "string", "format": "uuid"},
            "rev": {"type": "integer", "minimum": 0},
            "position": {"type": "string"},
            "contract": {"type": "integer", "minimum": 1},
            "deleted": {"type": "boolean"},
            "fields": json_schema(collection, mode="record", limits=limits),
        },
    }
