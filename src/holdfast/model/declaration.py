"""What a record class declares beside its fields: its class keywords, kept as given, and the error that names a mistake in them.

Judging them needs the other classes and happens in `compile`; here stands only what one class says about itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.core.errors import DeclarationError
from holdfast.core.schema import UpcastStep
from holdfast.model.access import Access

__all__ = ["Declaration", "mistake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The class keywords of one record class, as written. `collection` None: a base for other records, not one itself.
    `upcasts` None: the fields only grew since contract 1, each new one with a default."""

    collection: str | None = None
    contract: int = 1
    access: Access | None = None
    read: Access | None = None
    write: Access | None = None
    create: Access | None = None
    delete: Access | None = None
    key: Sequence[str] | None = None
    unique: Sequence[Sequence[str]] = ()
    indexes: Sequence[Sequence[str]] = ()
    append_only: bool = False
    upcasts: Mapping[int, Sequence[UpcastStep]] | None = None
    title_field: str | None = None
    app: str = ""


def mistake(record: str, field_name: str | None, what: str, hint: str | None = None) -> DeclarationError:
    """The error for a mistake in class `record`, at one of its fields where it has one."""
    where = f"{record}.{field_name}" if field_name else record
    return DeclarationError(f"{where}: {what}", hint=hint, record=record, field_name=field_name)
