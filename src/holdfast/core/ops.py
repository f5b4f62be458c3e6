"""Ops: the smallest changes, as typed values. Applying them lives in `apply`, merging in `decide`."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

__all__ = [
    "AddOp", "CreateOp", "DeleteOp", "Edit", "ExcludeOp", "IncludeOp", "Op", "SetOp", "SpliceOp", "UndeleteOp", "UnsetOp",
]

Edit: TypeAlias = tuple[int, int, str]
"""(at, deleted, inserted): offset and count in Unicode code points; edits of one splice apply one after another."""


class SetOp(msgspec.Struct, tag_field="op", tag="set", frozen=True, omit_defaults=True):
    """Set a field, or a place inside a `Json` field (missing parents are made)."""

    path: str
    value: Any
    restated: bool = False      # server only: a newer value inside the place, written back after it (DESIGN "Latest")


class UnsetOp(msgspec.Struct, tag_field="op", tag="unset", frozen=True, omit_defaults=True):
    """Empty an optional field, or remove a key inside a `Json` field."""

    path: str
    if_empty: bool = False      # server only, in inverses: only if the object there is empty
    restated: bool = False


class SpliceOp(msgspec.Struct, tag_field="op", tag="splice", frozen=True):
    path: str
    edits: list[Edit]


class AddOp(msgspec.Struct, tag_field="op", tag="add", frozen=True):
    path: str
    by: int


class IncludeOp(msgspec.Struct, tag_field="op", tag="include", frozen=True):
    path: str
    items: list[str]


class ExcludeOp(msgspec.Struct, tag_field="op", tag="exclude", frozen=True):
    path: str
    items: list[str]


class CreateOp(msgspec.Struct, tag_field="op", tag="create", frozen=True):
    """Alone in its mutation. `value` holds the fields given; the rest take their defaults."""

    value: dict[str, Any]


class DeleteOp(msgspec.Struct, tag_field="op", tag="delete", frozen=True):
    """Alone in its mutation. Soft, does not cascade."""


class UndeleteOp(msgspec.Struct, tag_field="op", tag="undelete", frozen=True):
    """Alone in its mutation."""


Op: TypeAlias = SetOp | UnsetOp | SpliceOp | AddOp | IncludeOp | ExcludeOp | CreateOp | DeleteOp | UndeleteOp
