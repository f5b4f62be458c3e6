"""Reading a type annotation: what kind of field it declares, and with which marks and constraints.

    Annotated[Money, merge.ask, Field(ge=0)] | None
    ->  kind money, python Decimal, optional, merge ask, constraints (Ge(0),)

Marks may stand inside or outside of the optional, in any order; of two of one sort the outer one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import EnumType
from types import NoneType, UnionType
from typing import Annotated, Any, Final, ForwardRef, Literal, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, EmailStr
from pydantic.fields import FieldInfo

from holdfast.core.schema import Kind, Merge, Stamped
from holdfast.model.declaration import mistake
from holdfast.model.kinds import Mark, RefTo, Scale, Sealed
from holdfast.model.record import Record

__all__ = ["Reading", "read_annotation"]

ALLOWED: Final = ("Use str, int, float, bool, date, datetime, UUID, a Literal or Enum of texts, Ref[…], Money, Json, Text, Counter, "
                  "Set[str], or one of these with `| None`.")

_PLAIN: Final[dict[Any, Kind]] = {
    str: Kind.STRING, bool: Kind.BOOLEAN, int: Kind.INTEGER, float: Kind.NUMBER, date: Kind.DATE, datetime: Kind.DATETIME, UUID: Kind.UUID,
    EmailStr: Kind.STRING,
}
_INSTEAD: Final[dict[Any, str]] = {
    Decimal: "An exact amount is `Money`; with other digits after the point `Annotated[Money, scale(4)]`.",
    dict: "A value of any shape is `Json`.",
    list: "A list is one value inside `Json`; things that people edit at once are records of their own; a set of texts is `Set[str]`.",
    tuple: "A list is one value inside `Json`.",
    set: "A set of texts is `Set[str]`.",
    frozenset: "A set of texts is `Set[str]`.",
    Any: "A value of any shape is `Json`.",
    bytes: "Binary values are not kept in records.",
}
_NO_CONSTRAINT: Final = (Kind, Merge, Stamped, RefTo, Sealed, Scale, Mark, FieldInfo, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an annotation says. `python` is the bare Python type; `constraints` is what pydantic shall judge besides the kind."""

    kind: Kind
    python: Any
    optional: bool
    merge: Merge | None
    stamped: Stamped | None
    target: Any                         # of a Ref: the class, or its name
    sensitive: bool
    scale: int | None
    marks: frozenset[str]               # "search", "unique", "immutable"
    choices: tuple[str, ...] | None
    constraints: tuple[Any, ...]
    doc: str


def read_annotation(record: str, name: str, annotation: Any, metadata: Iterable[Any]) -> Reading:
    """Read the annotation of field `name` of class `record`; `metadata` is what pydantic took from its outermost `Annotated`.
    Raises DeclarationError for a type that cannot be kept."""
    python, optional, marks = _unwrap(record, name, annotation, list(metadata))
    kinds = [one for one in marks if isinstance(one, Kind)]
    target = _last(marks, RefTo)
    kind = kinds[-1] if kinds else Kind.REF if target is not None else _kind_of(record, name, python)
    if kind is Kind.SET:
        python = _read_items(record, name, python)
    choices = _choices(record, name, python) if kind is Kind.CHOICE else None
    scale = _last(marks, Scale)
    inner = [one for one in marks if isinstance(one, FieldInfo)]
    if any(not one.is_required() for one in inner) and _last(marks, Stamped) is None:
        raise mistake(record, name, "its default stands inside of `| None`, where it has no effect.", "Write it behind the type: `= …`.")
    return Reading(
        kind=kind, python=python, optional=optional, merge=_last(marks, Merge), stamped=_last(marks, Stamped),
        target=None if target is None else _name_or_class(target.target), sensitive=_last(marks, Sealed) is not None,
        scale=None if scale is None else scale.digits, marks=frozenset(one.name for one in marks if isinstance(one, Mark)), choices=choices,
        constraints=tuple(one for one in marks if not isinstance(one, _NO_CONSTRAINT)),
        doc=next((one.description for one in inner if one.description), ""),
    )


def _last(marks: list[Any], sort: type[Any]) -> Any:
    return next((one for one in reversed(marks) if isinstance(one, sort)), None)


def _name_or_class(target: Any) -> Any:
    return target.__forward_arg__ if isinstance(target, ForwardRef) else target


def _unwrap(record: str, name: str, annotation: Any, outer: list[Any]) -> tuple[Any, bool, list[Any]]:
    """The bare type, whether None is allowed, and all marks from the inside out."""
    optional, marks, current = False, list(_flat(outer)), annotation
    while True:
        origin = get_origin(current)
        if origin is Annotated:
            marks = [*_flat(current.__metadata__), *marks]
            current = current.__origin__
        elif origin is Union or origin is UnionType:
            rest = [one for one in get_args(current) if one is not NoneType]
            if len(rest) != 1:
                raise mistake(record, name, "a field has one type.", "Take one of them, or `Json`.")
            optional, current = optional or len(rest) < len(get_args(current)), rest[0]
        elif origin is Literal and None in get_args(current):
            rest = [one for one in get_args(current) if one is not None]
            optional, current = True, cast(Any, Literal)[tuple(rest)]
        elif hasattr(current, "__supertype__"):
            current = current.__supertype__
        elif hasattr(current, "__value__") and not isinstance(current, type):
            current = current.__value__
        else:
            return current, optional, marks


def _flat(marks: Iterable[Any]) -> Iterator[Any]:
    """The marks, with a pydantic `Field(...)` inside an `Annotated` taken apart."""
    for one in marks:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        yield one


def _kind_of(record: str, name: str, python: Any) -> Kind:
    if get_origin(python) is Literal or (isinstance(python, EnumType)):
        return Kind.CHOICE
    bare = get_origin(python) or python
    try:
        kind = _PLAIN.get(bare)
        instead = _INSTEAD.get(bare)
    except TypeError:
        kind, instead = None, None
    if kind is not None:
        return kind
    if isinstance(python, type) and issubclass(python, Record):
        instead = f"A record refers to another one by `Ref[{python.__name__}]`."
    elif isinstance(python, type) and issubclass(python, BaseModel):
        instead = "A value with a shape of its own is `Json`, with the shape as a validator, or a record of its own."
    shown = python.__forward_arg__ if isinstance(python, ForwardRef) else getattr(python, "__name__", str(python))
    raise mistake(record, name, f"{shown} is no type that a field can have.", instead or ALLOWED)


def _read_items(record: str, name: str, python: Any) -> Any:
    """The type of a `Set`, whose items are texts, perhaps constrained."""
    items = get_args(python)
    bare: Any = items[0] if items else None
    while get_origin(bare) is Annotated:
        bare = bare.__origin__
    if bare is not str:
        raise mistake(record, name, "the items of a Set are texts.", "Write `Set[str]`; items with fields of their own are records.")
    return python


def _choices(record: str, name: str, python: Any) -> tuple[str, ...]:
    members: list[Any] = list(python) if isinstance(python, EnumType) else []
    values = [one.value for one in members] or list(get_args(python))
    if not values or not all(isinstance(one, str) for one in values):
        raise mistake(record, name, "choices are texts.", 'For example Literal["draft", "sent"], or an Enum whose values are texts.')
    if len(set(values)) != len(values):
        raise mistake(record, name, "a choice stands there twice.")
    return tuple(values)
