"""`Record`, the base of every declared class: a pydantic model whose class keywords declare a collection.

    class Estimate(Record, collection="estimates", contract=2, access=role("estimator", "owner")):
        project: Ref[Project]
        base_cost: Annotated[Money, merge.ask] | None = None

A typed record is a value in the hands of the application: what is given is checked on construction, what is assigned later is checked
when it is saved. Its identity (`id`, `rev`, `position`) comes from the store.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic.fields import FieldInfo

from holdfast.core.errors import StateError
from holdfast.core.schema import UpcastStep
from holdfast.model.access import Access
from holdfast.model.declaration import Declaration, mistake

if sys.version_info >= (3, 14):
    import annotationlib

__all__ = ["Record"]


class Record(BaseModel):
    """One kind of thing that is kept. Subclass it with `collection="…"`; without, the subclass is a base for others."""

    model_config = ConfigDict(extra="forbid", defer_build=True, use_attribute_docstrings=True, protected_namespaces=(),
                              arbitrary_types_allowed=False)

    __declaration__: ClassVar[Declaration] = Declaration()
    __declared_fields__: ClassVar[dict[str, Any]]

    _id: str | None = PrivateAttr(default=None)
    _rev: int = PrivateAttr(default=0)
    _position: str | None = PrivateAttr(default=None)
    _deleted: bool = PrivateAttr(default=False)
    _stood: dict[str, Any] | None = PrivateAttr(default=None)     # the JSON fields as they stood when it was read

    def __init_subclass__(
        cls, *, collection: str | None = None, contract: int = 1, access: Access | None = None,
        read: Access | None = None, write: Access | None = None, create: Access | None = None, delete: Access | None = None,
        key: Sequence[str] | None = None, unique: Sequence[Sequence[str]] = (), indexes: Sequence[Sequence[str]] = (),
        append_only: bool = False, upcasts: Mapping[int, Sequence[UpcastStep]] | None = None, title_field: str | None = None,
        app: str = "", **unknown: Any,
    ) -> None:
        if unknown:
            raise mistake(cls.__name__, None, f"unknown class keyword {', '.join(sorted(unknown))}.",
                          hint="Known are " + ", ".join(Declaration.__dataclass_fields__) + ".")
        _raise_on_unusable_names(cls)
        cls.__declaration__ = Declaration(
            collection=collection, contract=contract, access=access, read=read, write=write, create=create, delete=delete, key=key,
            unique=unique, indexes=indexes, append_only=append_only, upcasts=upcasts, title_field=title_field, app=app,
        )
        super().__init_subclass__()

    @property
    def id(self) -> str:
        """The record's id. Raises StateError before it has one."""
        if self._id is None:
            raise StateError(f"This {type(self).__name__} has no id yet.", hint="Save it first, or give it one with `with_id`.")
        return self._id

    @property
    def rev(self) -> int:
        """The seq of the last entry that changed the record; 0 before it is saved."""
        return self._rev

    @property
    def position(self) -> str | None:
        """The position of the newest entry about the record that this value knows of; None before it is saved."""
        return self._position

    @property
    def deleted(self) -> bool:
        return self._deleted

    def with_id(self, id: str) -> Self:
        """A copy that bears `id`."""
        copy = self.model_copy(deep=True)
        copy._id = id
        return copy


_TAKEN = frozenset(dir(BaseModel)) | {"id", "rev", "position", "deleted", "with_id"}


def _raise_on_unusable_names(cls: type[Record]) -> None:
    """Names that would hide something of the base class, and attributes that look like fields but are none: pydantic would warn of
    the first and name no class for the second."""
    annotated = _annotated_names(cls)
    for name in annotated:
        if name in _TAKEN and not name.startswith("_"):
            raise mistake(cls.__name__, name, "records use this name themselves.", hint="Choose another name.")
    for name, value in cls.__dict__.items():
        if name.startswith("_") or name in annotated or name == "model_config":
            continue
        if isinstance(value, FieldInfo | str | int | float | bool | list | dict | set | tuple | None):
            raise mistake(cls.__name__, name, "has a value but no type.", "Every field needs a type, for example `notes: Text = \"\"`.")


def _annotated_names(cls: type[Record]) -> frozenset[str]:
    """The names annotated in the class body itself, without evaluating what may not exist yet."""
    if sys.version_info >= (3, 14):
        return frozenset(annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF))
    return frozenset(inspect.get_annotations(cls))
