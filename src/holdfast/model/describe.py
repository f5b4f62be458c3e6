"""The schema as plain JSON: what a device, a form or a generator must know of each collection, and the digest over it.

Converters of upcasters and checks are code and stay on the server; of rules that are code only the outcome travels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from holdfast.core.access import And, Everyone, Nobody, Or, Own, Role, Rule
from holdfast.core.schema import Collection, Field, Kind, Merge, Schema, UpcastStep
from holdfast.core.values import canonical

__all__ = ["describe", "describe_collection", "describe_field", "describe_rule", "digest_of"]


def describe(schema: Schema) -> dict[str, Any]:
    """{"digest": "…", "collections": {"estimates": {…}}}: what `GET /v1/schema` answers."""
    return {"digest": schema.digest, "collections": {name: describe_collection(one) for name, one in schema.collections.items()}}


def digest_of(collections: Mapping[str, Collection]) -> str:
    """Hex SHA-256 over the description without its prose: it changes when anything changes that a device must know."""
    described = {name: describe_collection(one, prose=False) for name, one in collections.items()}
    return hashlib.sha256(canonical(described)).hexdigest()


def describe_collection(collection: Collection, *, prose: bool = True) -> dict[str, Any]:
    """One collection; what stands at its default is left out. `prose` False: without texts for people."""
    said: dict[str, Any] = {
        "contract": collection.contract, "record": collection.record,
        "fields": {name: describe_field(field, prose=prose) for name, field in collection.fields.items()},
        "read": describe_rule(collection.read), "write": describe_rule(collection.write),
    }
    if collection.create is not None:
        said["create"] = describe_rule(collection.create)
    if collection.delete is not None:
        said["delete"] = describe_rule(collection.delete)
    if collection.key is not None:
        said["key"] = list(collection.key)
    if collection.unique:
        said["unique"] = [list(one.fields) for one in collection.unique]
    if collection.copied:
        said["copied"] = [{"column": one.column, "ref_field": one.ref_field, "parent": one.parent, "source": one.source}
                          for one in collection.copied]
    if collection.upcasts:
        said["upcasts"] = {str(number): [_step(step) for step in one.steps] for number, one in collection.upcasts.items()}
    said.update({"append_only": True} if collection.append_only else {})
    said.update({"checked_as_a_whole": True} if collection.check is not None else {})
    said.update({key: value for key, value in (("title", collection.title), ("app", collection.app)) if value})
    return said | ({"doc": collection.doc} if prose and collection.doc else {})


def describe_field(field: Field, *, prose: bool = True) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": field.kind.value}
    said.update({name: True for name in ("optional", "required", "sensitive", "searched", "immutable") if getattr(field, name)})
    if not field.required and field.stamped is None and field.default is not None:
        said["default"] = field.default
    if field.merge is not Merge.LATEST:
        said["merge"] = field.merge.value
    if field.stamped is not None:
        said["stamped"] = field.stamped.value
    if field.ref is not None:
        said["ref"] = field.ref
    if field.choices is not None:
        said["choices"] = list(field.choices)
    if field.kind is Kind.MONEY:
        said["scale"] = field.scale
    if field.constraints:
        said["constraints"] = dict(field.constraints)
    return said | ({"doc": field.doc} if prose and field.doc else {})


def describe_rule(rule: Rule) -> Any:
    """"tenant", "nobody", {"own": column}, {"role": […]}, {"all": […]}, {"any": […]}."""
    if isinstance(rule, Own):
        return {"own": rule.column}
    if isinstance(rule, Role):
        return {"role": sorted(rule.roles)}
    if isinstance(rule, And):
        return {"all": [describe_rule(part) for part in rule.parts]}
    if isinstance(rule, Or):
        return {"any": [describe_rule(part) for part in rule.parts]}
    return {Everyone: "tenant", Nobody: "nobody"}[type(rule)]


def _step(step: UpcastStep) -> dict[str, Any]:
    said: dict[str, Any] = {"step": step.verb, "field": step.field}
    if step.verb == "rename":
        said["to"] = step.to
    if step.verb == "default":
        said["value"] = step.value
    return said
