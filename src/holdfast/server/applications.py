"""Addresses that applications add under `/api/…`: rows of the same route table, so they are logged, counted, limited, described in the
OpenAPI and tested like our own. Each calls one action of its application.

Parameters in the path and the query (GET, DELETE) or the members of the JSON body are the action's arguments; the answer is the
action's reply. `mutation_id` in the body, or the `Idempotency-Key`, makes a repeated call take effect once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel

from holdfast.core.errors import Conflict, DeclarationError, Forbidden, InvalidValue, LimitExceeded, Malformed, NotFound, Overloaded, Reused
from holdfast.core.identity import is_id
from holdfast.engine.app import Action, App, AppRoute
from holdfast.server.calls import Answer, Call, Handler, Route
from holdfast.server.records import IDEMPOTENCY_KEY

__all__ = ["API_PREFIX", "application_routes"]

API_PREFIX = "/api/"
_ERRORS = (InvalidValue, Forbidden, NotFound, Conflict, Reused, LimitExceeded, Overloaded)


def application_routes(applications: Sequence[App]) -> list[Route]:
    """The rows that the applications declare. Raises DeclarationError for an address outside `/api/` and for one that is taken."""
    found: list[Route] = []
    taken: dict[tuple[str, str], str] = {}
    for app in applications:
        for declared in app.routes:
            if not declared.path.startswith(API_PREFIX):
                raise DeclarationError(f"Application {app.name}: the address {declared.path} is not below {API_PREFIX}.",
                                       field=declared.path)
            place = (declared.method, re.sub(r"{\w+}", "{}", declared.path))
            if place in taken:
                raise DeclarationError(f"Applications {taken[place]} and {app.name} both declare {declared.method} {declared.path}.")
            taken[place] = app.name
            found.append(_row(app, declared))
    return found


def _row(app: App, declared: AppRoute) -> Route:
    called = app.action_named(declared.action)
    assert called is not None, "an application checks its routes when it is made"
    has_body = declared.method not in ("GET", "DELETE")
    in_path = set(re.findall(r"{(\w+)}", declared.path))
    return Route(method=declared.method, path=declared.path, name=f"{app.name}.{called.name}.{declared.method.lower()}",
                 summary=called.doc.split("\n", 1)[0] or f"Action {called.name} of {app.name}.", doc=called.doc,
                 handler=_handler(f"{app.name}.{called.name}", called, declared.status), filtered=not has_body,
                 body=dict if has_body else None, body_required=False, shown=_shown(called, without=in_path), headers=(IDEMPOTENCY_KEY,),
                 replies={declared.status: Any}, errors=_ERRORS, app=app.name)


def _handler(full_name: str, called: Action, status: int) -> Handler:
    async def call_action(call: Call) -> Answer:
        arguments: dict[str, Any] = dict(call.body or {})
        mutation_id = arguments.pop("mutation_id", None) or call.mutation_id or call.services.runtime.uuid7()
        if not is_id(mutation_id):
            raise InvalidValue("A mutation id is 1 to 64 of A-Z a-z 0-9 _ . : -", field="/mutation_id")
        for name, text in (*call.filters, *call.path.items()):
            value = _typed(called, name, text)
            if name in arguments and arguments[name] != value:
                raise Malformed(f"The argument {name[:50]!r} is there twice, with two values.", field=name[:50])
            arguments[name] = value
        found = await call.store.action(call.caller, full_name, arguments, mutation_id=mutation_id)
        call.services.metrics.count("mutations", found["outcome"])
        headers = [(b"idempotent-replayed", b"true")] if found["outcome"] == "duplicate" else []
        return Answer(body=found["reply"] if found["reply"] is not None else b"null", status=status, headers=headers)
    return call_action


def _typed(called: Action, name: str, text: str) -> Any:
    """An argument from path or query, which is text there, as the kind that the action declares. Raises InvalidValue."""
    kind = called.arguments
    if kind is None or not issubclass(kind, msgspec.Struct):
        return text
    declared = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    try:
        return msgspec.convert(text, declared.get(name, str), strict=False)
    except msgspec.ValidationError as error:
        raise InvalidValue(f"{error}.", field=name[:50]) from None


def _shown(called: Action, *, without: set[str]) -> Mapping[str, Any] | None:
    """The JSON Schema of an action's arguments, but for those that stand in the path."""
    kind = called.arguments
    if kind is None:
        return None
    if issubclass(kind, BaseModel):
        schema = kind.model_json_schema()
    else:
        schema = dict(msgspec.json.schema(kind))
        schema = {**schema["$defs"].pop(kind.__name__), "$defs": schema["$defs"]} if "$ref" in schema else schema
    properties = {name: one for name, one in schema.get("properties", {}).items() if name not in without}
    required = [name for name in schema.get("required", ()) if name not in without]
    return {**{name: one for name, one in schema.items() if one}, "properties": properties, "required": required}
