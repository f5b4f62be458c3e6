"""TypeScript types of all collections, made from the compiled declarations; they compile under `--strict`.

For each record class three types: the record as read, what a create takes, what a change takes; and one map from collections to them.
"""

from __future__ import annotations

import json
from typing import Final

from holdfast.core.schema import Collection, Field, Kind, Schema
from holdfast.model.jsonschema import Mode, nullable, settable

__all__ = ["typescript"]

_TYPES: Final[dict[Kind, tuple[str, str]]] = {
    Kind.STRING: ("string", ""),
    Kind.INTEGER: ("number", "a whole number"),
    Kind.NUMBER: ("number", ""),
    Kind.BOOLEAN: ("boolean", ""),
    Kind.DATE: ("string", 'a date, "2026-11-20"'),
    Kind.DATETIME: ("string", 'a time in UTC, "2026-11-20T13:58:00.000Z"'),
    Kind.UUID: ("string", "a UUID"),
    Kind.JSON: ("JsonValue", ""),
    Kind.TEXT: ("string", "merged character by character"),
    Kind.COUNTER: ("number", "increments add up"),
    Kind.SET: ("readonly string[]", "a set: each once, sorted"),
}

_HEAD: Final = """\
// Made by `holdfast schema --typescript` from the declarations; do not edit.

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };
"""


def typescript(schema: Schema) -> str:
    """The text of a TypeScript module."""
    parts = [_HEAD, f"/** Changes when anything a device must know changes. */\nexport const schemaDigest = {json.dumps(schema.digest)};\n"]
    for collection in schema.collections.values():
        parts += [_interface(collection, mode) for mode in ("record", "create", "patch")]
    rows = [_row(one) for one in schema.collections.values()]
    parts.append("/** What each collection holds. */\nexport interface Collections {\n" + "\n".join(rows) + "\n}\n")
    parts.append("export type CollectionName = keyof Collections;\n")
    return "\n".join(parts)


def _row(collection: Collection) -> str:
    name = _name(collection)
    return (f"  {collection.name}: {{ record: {name}; create: {name}Create; patch: {_patch(collection)}; key: {_key(collection)}; "
            f"contract: {collection.contract} }};")


def _name(collection: Collection) -> str:
    return collection.record or "".join(part.capitalize() for part in collection.name.split("_"))


def _patch(collection: Collection) -> str:
    return "never" if collection.append_only else f"{_name(collection)}Patch"


def _key(collection: Collection) -> str:
    if collection.key is None:
        return "never"
    return "readonly [" + ", ".join(f"{name}: {_type(collection.fields[name])[0]}" for name in collection.key) + "]"


def _interface(collection: Collection, mode: Mode) -> str:
    if mode == "patch" and collection.append_only:
        return ""
    heads = {"record": collection.doc or f"A record of {collection.name}.", "create": f"What creating a record of {collection.name} takes.",
             "patch": f"What changing a record of {collection.name} takes; null empties an optional field."}
    suffix = "" if mode == "record" else mode.capitalize()
    fields = [field for field in collection.fields.values() if mode == "record" or settable(field, mode)]
    lines = [line for field in fields for line in _property(field, collection, mode)]
    body = "{\n" + "\n".join(lines) + "\n}" if lines else "{}"
    return f"{_comment(heads[mode], '')}\nexport interface {_name(collection)}{suffix} {body}\n"


def _property(field: Field, collection: Collection, mode: Mode) -> list[str]:
    type_name, note = _type(field)
    read_only = "readonly " if mode == "record" and (field.stamped is not None or field.immutable) else ""
    optional = "?" if mode == "patch" or (mode == "create" and not field.required) else ""
    said = f"{field.doc} ({note})" if field.doc and note else field.doc or note[:1].upper() + note[1:]
    line = f"  {read_only}{field.name}{optional}: {type_name}{' | null' if nullable(field, collection) else ''};"
    return [_comment(said, "  "), line] if said and mode == "record" else [line]


def _type(field: Field) -> tuple[str, str]:
    """The type and a note for people."""
    if field.kind is Kind.CHOICE:
        return " | ".join(json.dumps(choice) for choice in field.choices or ()), ""
    if field.kind is Kind.REF:
        return "string", f"the id of a record of {field.ref}"
    if field.kind is Kind.MONEY:
        return "string", "an exact amount, \"12" + ("." + "34".ljust(field.scale, "0")[: field.scale] if field.scale else "") + '"'
    return _TYPES[field.kind]


def _comment(text: str, indent: str) -> str:
    lines = text.replace("*/", "*\u200b/").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */"
    return "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"])
