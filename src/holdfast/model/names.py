"""Which names records, fields and collections may bear: they become SQL names, TypeScript names and parameters of the wire."""

from __future__ import annotations

import re
from typing import Final

from holdfast.model.declaration import mistake

__all__ = ["raise_on_collection_name", "raise_on_field_name", "raise_on_record_name"]

NAME_CHARACTERS_MAX: Final = 48

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_RECORD_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*")

_ROW: Final = frozenset({"collection", "contract", "copied", "deleted", "fields", "id", "last", "last_device", "last_foreign",
                         "last_mutation", "last_prefix", "position", "rev", "stamp", "tenant_id"})
_PARAMETERS: Final = frozenset({"cursor", "include", "include_deleted", "limit", "q", "sort"})
_PREFIXES: Final = ("hf_", "via_", "sqlite_", "pg_")
_RECORD_NAMES: Final = frozenset({"CollectionName", "Collections", "JsonValue", "Record"})

_FORM: Final = f"Names are lower case with single underscores, at most {NAME_CHARACTERS_MAX} characters, like `base_cost`."


def raise_on_field_name(record: str, name: str) -> None:
    """Raises DeclarationError for a name that a column or a query parameter already has, or that is no plain name."""
    if not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX:
        raise mistake(record, name, "a field cannot have this name.", _FORM)
    if name in _ROW:
        raise mistake(record, name, "every record has this name already.", "Choose another name.")
    if name in _PARAMETERS:
        raise mistake(record, name, "lists take a parameter of this name.", "Choose another name: `?name=` filters by a field.")
    if name.startswith(_PREFIXES):
        raise mistake(record, name, f"names that begin with {', '.join(_PREFIXES)} are reserved.", "Choose another name.")


def raise_on_collection_name(record: str, name: object) -> None:
    """Raises DeclarationError for what cannot be the name of a collection."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX:
        raise mistake(record, None, f"{name!r} cannot be the name of a collection.", _FORM)
    if name.startswith(_PREFIXES):
        raise mistake(record, None, f"names of collections that begin with {', '.join(_PREFIXES)} are reserved.", "Choose another name.")


def raise_on_record_name(name: str) -> None:
    """Raises DeclarationError for a class name that cannot be a TypeScript type beside the others."""
    if not _RECORD_NAME.fullmatch(name) or name in _RECORD_NAMES:
        raise mistake(name, None, "a record class cannot have this name.", "Names of record classes are like `Estimate`.")
