"""`/openapi.json`: made from the route table that the router is made from, so it says what the server does.

Addresses with `{collection}` are written out once per collection, with that collection's fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.errors import (
    Forbidden,
    HoldfastError,
    InvalidValue,
    LimitExceeded,
    Malformed,
    NotSignedIn,
    Overloaded,
    TooSlow,
    UnsupportedMedia,
)
from holdfast.core.schema import Collection, Schema
from holdfast.model.jsonschema import field_schema, json_schema
from holdfast.server import forms
from holdfast.server.calls import Route
from holdfast.server.listing import filtered_fields
from holdfast.server.parameters import Parameter
from holdfast.server.rights import record_schema

__all__ = ["document", "errors_of"]

_REF = "#/components/schemas/{name}"
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "text": {"type": "string", "maxLength": 4096},
    "whole": {"type": "integer"},
    "flag": {"type": "boolean", "default": False},
    "instant": {"type": "string", "format": "date-time"},
    "names": {"type": "array", "items": {"type": "string", "pattern": "^[^,]+$"}},
}


class InternalError(HoldfastError):
    """Stands for the code `internal` in the documents."""

    code = "internal"


def errors_of(route: Route) -> list[type[HoldfastError]]:
    """Every error that the route can answer."""
    found: list[type[HoldfastError]] = [Malformed, *route.errors]
    if not route.public:
        found += [NotSignedIn, Forbidden]
    if route.body is not None:
        found += [InvalidValue, LimitExceeded, UnsupportedMedia, TooSlow]
    return list(dict.fromkeys([*found, Overloaded, InternalError]))


def document(routes: Sequence[Route], schema: Schema, *, base_path: str = "", title: str = "Holdfast",
             version: str = "1") -> dict[str, Any]:
    """The whole OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path, operation in _operations(route, schema):
            paths.setdefault(path, {})[route.method.lower()] = operation
    components = {**_struct_schemas(routes), **_collection_schemas(schema), "ProblemDetails": _problem_schema()}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "summary": "A persistence layer for applications whose users never lose work"},
        "servers": [{"url": base_path or "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _problem_responses(routes),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"},
                                "session": {"type": "apiKey", "in": "cookie", "name": "holdfast_session"}},
        },
    }


def _operations(route: Route, schema: Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    if "{collection}" not in route.path:
        yield route.path, _operation(route, None, schema)
        return
    for collection in schema.collections.values():
        yield route.path.replace("{collection}", collection.name), _operation(route, collection, schema)


def _operation(route: Route, collection: Collection | None, schema: Schema) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path) if name != "collection"]
    parameters += [_parameter(one, "query") for one in route.query] + [_parameter(one, "header") for one in route.headers]
    if route.filtered and collection is not None:
        parameters += [{"name": field.name, "in": "query", "required": False, "schema": field_schema(field, limits=schema.limits),
                        "description": "Only records with this value; also __ne, __lt, __lte, __gt, __gte, __in, __prefix, __null."}
                       for field in filtered_fields(collection) if field.name not in {one.name for one in route.query}]
    elif route.filtered and route.shown is not None:
        parameters += [{"name": name, "in": "query", "required": name in route.shown.get("required", ()), "schema": one}
                       for name, one in route.shown["properties"].items()]
    operation: dict[str, Any] = {
        "operationId": route.name if collection is None else f"{route.name}_{collection.name}",
        "summary": route.summary,
        "tags": [route.tag if collection is None else collection.name],
        "responses": _responses(route, collection),
    }
    if route.doc:
        operation["description"] = route.doc
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": route.body_required,
                                    "content": {"application/json": {"schema": route.shown or _type_schema(route.body, collection)}}}
    if route.public:
        operation["security"] = []
    return operation


def _responses(route: Route, collection: Collection | None) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in sorted(route.replies.items()):
        answer: dict[str, Any] = {"description": _DESCRIPTIONS.get(status, "Answer")}
        if isinstance(kind, str):
            answer["content"] = {kind: {"schema": {"type": "string"}}}
        elif kind is not None:
            answer["content"] = {"application/json": {"schema": _type_schema(kind, collection)}}
        responses[str(status)] = answer
    responses.update({str(status): {"$ref": f"#/components/responses/{name}"} for status, name in _problems(route)})
    return responses


def _problems(route: Route) -> list[tuple[int, str]]:
    """(status, name of the shared response): codes that have one status are one response."""
    codes: dict[int, set[str]] = {}
    for error in errors_of(route):
        codes.setdefault(error.status, set()).add(error.code)
    return [(status, ".".join(sorted(names))) for status, names in sorted(codes.items())]


def _problem_responses(routes: Sequence[Route]) -> dict[str, Any]:
    schema = {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDetails")}}}
    return {name: {"description": f"Problem: {name.replace('.', ', ')}", "content": schema}
            for route in routes for _, name in _problems(route)}


_DESCRIPTIONS = {200: "Done", 201: "Created", 202: "Held: kept in the inbox, waits for a person", 204: "Done", 304: "Not changed",
                 101: "A socket"}


def _type_schema(kind: Any, collection: Collection | None) -> dict[str, Any]:
    """The schema of a body or reply; those that hold a record's fields name the collection's own."""
    if collection is not None:
        name = {forms.CreateRecord: "create", forms.ChangeRecord: "change", forms.RecordView: "record", forms.RecordPage: "page"}.get(kind)
        if name is not None:
            return {"$ref": _REF.format(name=f"{collection.name}.{name}")}
    if isinstance(kind, dict):
        return kind
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {"$ref": _REF.format(name=kind.__name__)}
    return {} if kind is Any else {"type": "object"}


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0} if name == "rev" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(parameter: Parameter, where: str) -> dict[str, Any]:
    schema = dict(_KINDS[parameter.kind])
    if parameter.kind == "whole":
        schema |= {"minimum": parameter.minimum, "maximum": parameter.maximum}
    if parameter.pattern is not None:
        schema["pattern"] = f"^({parameter.pattern})$"
    if parameter.default is not None:
        schema["default"] = parameter.default
    found: dict[str, Any] = {"name": parameter.name, "in": where, "required": parameter.required, "description": parameter.doc,
                             "schema": schema}
    if parameter.kind == "names":
        found |= {"style": "form", "explode": False}
    return found


def _struct_schemas(routes: Sequence[Route]) -> dict[str, Any]:
    kinds: list[Any] = []
    for route in routes:
        kinds += [kind for kind in (route.body, *route.replies.values()) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    _, components = msgspec.json.schema_components(list(dict.fromkeys(kinds)), ref_template=_REF)
    return dict(components)


def _collection_schemas(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for collection in schema.collections.values():
        record = {"$ref": _REF.format(name=f"{collection.name}.record")}
        found[f"{collection.name}.record"] = record_schema(collection, schema.limits)
        found[f"{collection.name}.page"] = {
            "type": "object", "required": ["records", "cursor"],
            "properties": {"records": {"type": "array", "items": record}, "cursor": {"type": ["string", "null"]}}}
        found[f"{collection.name}.create"] = {
            "type": "object", "required": ["fields"], "additionalProperties": False,
            "properties": {"id": {"type": ["string", "null"], "format": "uuid"},
                           "fields": json_schema(collection, mode="create", limits=schema.limits)}}
        found[f"{collection.name}.change"] = {
            "type": "object", "additionalProperties": False,
            "oneOf": [{"required": ["fields"], "properties": {"ops": {"type": "null"}, "fields": {"type": "object"}}},
                      {"required": ["ops"], "properties": {"fields": {"type": "null"}, "ops": {"type": "array"}}}],
            "properties": {"fields": {"anyOf": [json_schema(collection, mode="patch", limits=schema.limits), {"type": "null"}]},
                           "ops": {"type": ["array", "null"], "items": {"type": "object"}}, "base": {"type": ["string", "null"]},
                           "atomic": {"type": "boolean"}}}
    return found


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {"type": "object", "required": ["type", "title", "status", "detail", "code", "request_id"],
            "properties": {"type": {"type": "string", "pattern": "^urn:holdfast:problem:"}, "title": text, "status": {"type": "integer"},
                           "detail": text, "code": text, "hint": text, "field": text, "request_id": text,
                           "retry_after": {"type": "integer", "minimum": 0}}}
