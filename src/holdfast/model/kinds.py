"""The types and marks that stand in a record's annotations.

To a type checker each kind is the Python type of its value: `Ref[Project]` and `Text` are `str`, `Money` is `Decimal`, `Counter` is
`int`, `Set[str]` is `set[str]`, `Json` is anything, `Sensitive[T]` is `T`. At run time each carries a mark that says the kind.

A mark stands in `Annotated`: `Annotated[str, search]`, `Annotated[Money, merge.ask, scale(4)] | None`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

from pydantic import Field as pydantic_field

from holdfast.core.schema import Kind, Stamped

__all__ = ["Counter", "CreatedAt", "CreatedBy", "Json", "Mark", "Money", "Ref", "RefTo", "Scale", "Sealed", "Sensitive", "Set", "Text",
           "UpdatedAt", "UpdatedBy", "by_server", "immutable", "scale", "search", "unique"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RefTo:
    """The mark of a reference: the record class, or its name where the class stands later in the file."""

    target: Any


@dataclass(frozen=True, slots=True)
class Sealed:
    """The mark of a value that is encrypted wherever the server stores it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Digits after the point of an amount of money."""

    digits: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A property of a field that is either there or not."""

    name: str


search: Final = Mark("search")
"""The field is found by full-text search."""

unique: Final = Mark("unique")
"""No two records of the tenant hold the same value; several fields together: the class keyword `unique=`."""

immutable: Final = Mark("immutable")
"""Given by the create alone, never changed."""

by_server: Any = None
"""The default to write behind a field that the server fills, so that a type checker does not ask for it:
`created_at: CreatedAt = by_server`."""


def scale(digits: int) -> Scale:
    """Digits after the point of a `Money` field (2 unless said)."""
    return Scale(digits)


if TYPE_CHECKING:

    class _Id(str, Generic[T]):
        """The id of a record of class `T`: to a type checker a `str`."""

    Ref = str | _Id[T]
else:

    class Ref:
        """`Ref[Project]`: the id of a record of another collection; `Ref["Project"]` for a class that stands later in the file."""

        def __class_getitem__(cls, target: Any) -> Any:
            return Annotated[str, RefTo(target)]


Money = Annotated[Decimal, Kind.MONEY]
"""An exact amount in the currency's units: `Decimal` in Python, text like "12.34" in JSON, whole minor units in SQL."""

Json = Annotated[Any, Kind.JSON]
"""Any JSON value; objects are merged key by key, an array is one value."""

Text = Annotated[str, Kind.TEXT]
"""A text that several may write at once: merged character by character."""

Counter = Annotated[int, Kind.COUNTER]
"""A whole number whose increments add up."""

Set = Annotated[set[T], Kind.SET]
"""A set of strings: additions from two sides are both kept."""

Sensitive = Annotated[T, Sealed()]
"""A value that is encrypted wherever the server stores it; plain on the wire for those who may read the record."""

CreatedBy = Annotated[str, pydantic_field(default=None), Stamped.CREATED_BY]
"""Who created the record: the caller, never the client's choice."""

CreatedAt = Annotated[datetime, pydantic_field(default=None), Stamped.CREATED_AT]
"""When the record was created, by the server's clock."""

UpdatedBy = Annotated[str, pydantic_field(default=None), Stamped.UPDATED_BY]
"""Who last changed the record."""

UpdatedAt = Annotated[datetime, pydantic_field(default=None), Stamped.UPDATED_AT]
"""When the record was last changed, by the server's clock."""
