"""A record class's fields: read once, judged, and compiled to `core.schema.Field`, each with its conversions to and from Python."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, ForwardRef

from pydantic import AfterValidator, BeforeValidator
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import PydanticUndefined

from holdfast.core.errors import DeclarationError, HoldfastError
from holdfast.core.limits import Limits
from holdfast.core.schema import Field, Kind, Merge
from holdfast.core.values import normalise
from holdfast.model.annotation import Reading, read_annotation
from holdfast.model.checks import DIGITS_MAX, Check, adapter_for, constrained, kind_check, raise_on_unfit_constraint
from holdfast.model.constraints import constraint_keywords
from holdfast.model.conversion import Conversion, from_json, to_json
from holdfast.model.declaration import mistake
from holdfast.model.names import raise_on_field_name
from holdfast.model.record import Record

__all__ = ["DeclaredField", "declared_fields", "has_record_rules", "nothing_yet"]

_FINER: Final = frozenset({Kind.TEXT, Kind.COUNTER, Kind.SET})
_SCALAR_TEXT: Final = frozenset({Kind.STRING, Kind.TEXT, Kind.CHOICE})
_UNSEALABLE: Final = _FINER | {Kind.REF}
_EMPTY: Final[dict[Kind, Any]] = {Kind.TEXT: "", Kind.COUNTER: 0, Kind.SET: []}
_FACTORIES: Final = (dict, list, set)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredField:
    """A field as one class declares it. `field.ref` is still empty: which collection `target` names is settled in `compile`."""

    field: Field
    target: Any
    unique: bool
    to_json: Conversion
    from_json: Conversion

    def json_value(self, value: Any) -> Any:
        """The canonical JSON value of a Python value. Raises InvalidValue."""
        if value is None:
            return None
        plain = self.to_json(value)
        if self.field.check is not None:
            return self.field.check(plain)
        return normalise(plain, limits=Limits(), path="/" + self.field.name)


def nothing_yet(kind: Kind) -> Any:
    """The value of a field of this kind that nobody has given: kinds that are never null start empty."""
    return list(_EMPTY[kind]) if kind is Kind.SET else _EMPTY.get(kind)


def declared_fields(cls: type[Record], namespace: Mapping[str, Any], limits: Limits) -> dict[str, DeclaredField]:
    """The fields of `cls` in declared order. `namespace` holds what its annotations may name besides their own module (the record
    classes that are compiled together). Raises DeclarationError."""
    problem = _complete(cls, namespace)
    fields = {}
    for name, info in cls.__pydantic_fields__.items():
        raise_on_field_name(cls.__name__, name)
        if isinstance(info.annotation, ForwardRef):
            raise mistake(cls.__name__, name, f"the type {info.annotation.__forward_arg__} is not known.",
                          "Give all record classes to compile_schema, and import at module level what annotations name.")
        fields[name] = _declared_field(cls, name, info, limits)
    if problem is not None:
        raise problem
    return fields


def _complete(cls: type[Record], namespace: Mapping[str, Any]) -> DeclarationError | None:
    """Let pydantic finish the class, now that all others exist; what it says if it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)      # `read_annotation` makes it an error
            cls.model_rebuild(_types_namespace={**namespace})
    except PydanticUndefinedAnnotation as error:
        return mistake(cls.__name__, None, f"the name {error.name} is not known.",
                       "Give all record classes to compile_schema, and import at module level what annotations name.")
    except (PydanticUserError, ImportError, TypeError, ValueError) as error:
        return mistake(cls.__name__, None, str(error).splitlines()[0])
    return None


def _declared_field(cls: type[Record], name: str, info: FieldInfo, limits: Limits) -> DeclaredField:
    record = cls.__name__
    reading = read_annotation(record, name, info.annotation, info.metadata)
    _raise_on_misuse(record, name, info, reading)
    check = _compiled_check(cls, name, reading, limits)
    field = Field(
        name=name, kind=reading.kind, optional=reading.optional or reading.stamped is not None,
        required=info.is_required() and reading.stamped is None,
        default=_default(record, name, info, reading, check, limits),
        merge=reading.merge or Merge.LATEST, sensitive=reading.sensitive, searched="search" in reading.marks,
        immutable="immutable" in reading.marks or bool(info.frozen), stamped=reading.stamped, choices=reading.choices,
        scale=2 if reading.scale is None else reading.scale, check=check, doc=info.description or reading.doc,
        constraints=constraint_keywords(reading),
    )
    return DeclaredField(field=field, target=reading.target, unique="unique" in reading.marks, to_json=to_json(reading.kind),
                         from_json=from_json(reading.kind, reading.python))


def _raise_on_misuse(record: str, name: str, info: FieldInfo, reading: Reading) -> None:
    """Marks that contradict each other or the kind."""
    kind = reading.kind
    said = kind.value.capitalize()
    if reading.merge is Merge.ASK and kind in _FINER:
        raise mistake(record, name, f"merge.ask is for fields with one value; a {said} merges by itself.", "Remove merge.ask.")
    if reading.optional and kind in _FINER:
        raise mistake(record, name, f"a {said} is never null.", "Remove `| None`: an empty one says the same.")
    if reading.sensitive and kind in _UNSEALABLE:
        raise mistake(record, name, f"a {said} cannot be Sensitive: it is not encrypted as one value.",
                      "Use Sensitive[str] for a secret text; what may be seen is decided by access rules.")
    for mark in ("search", "unique"):
        if reading.sensitive and mark in reading.marks:
            raise mistake(record, name, f"a Sensitive field cannot be in {mark}: the server stores it encrypted.")
    if "search" in reading.marks and kind not in _SCALAR_TEXT:
        raise mistake(record, name, f"search is for texts, not for a {said}.", "Search works on str, Text and choices.")
    if reading.scale is not None and (kind is not Kind.MONEY or not 0 <= reading.scale <= DIGITS_MAX - 1):
        raise mistake(record, name, f"scale is for Money, from 0 to {DIGITS_MAX - 1} digits.")
    if reading.stamped is not None and (reading.optional or reading.sensitive or "immutable" in reading.marks):
        raise mistake(record, name, "a field that the server fills stands alone.", "Write for example `created_at: CreatedAt = by_server`.")
    if "immutable" in reading.marks and kind is Kind.COUNTER:
        raise mistake(record, name, "a Counter that never changes counts nothing.", "Remove immutable, or make it an int.")
    if info.alias is not None or info.validation_alias is not None:
        raise mistake(record, name, "a field has one name, everywhere.", "Remove the alias.")


# -- checks ----------------------------------------------------------------------------------------------------------------


def _is_native(reading: Reading) -> bool:
    """Whether the bare type says no more than its kind: not so for a Set of constrained items, or an e-mail address."""
    if reading.kind is Kind.SET:
        return bool(reading.python == set[str])
    return reading.kind is not Kind.STRING or reading.python is str


def _compiled_check(cls: type[Record], name: str, reading: Reading, limits: Limits) -> Check | None:
    plain = kind_check(name, reading, limits)
    validators = [wrapped for wrapped in (_own_validator(one) for one in _validators_of(cls, name)) if wrapped is not None]
    if not (reading.constraints or validators or not _is_native(reading)):
        return plain
    try:
        adapter = adapter_for(reading, validators)
        raise_on_unfit_constraint(reading)
    except (PydanticUserError, ImportError, TypeError, ValueError) as error:
        raise mistake(cls.__name__, name, f"a constraint does not fit the type: {str(error).splitlines()[0]}") from error
    return constrained(name, reading, plain, adapter, limits)


def _validators_of(cls: type[Record], name: str) -> list[Any]:
    return [one for one in cls.__pydantic_decorators__.field_validators.values() if name in one.info.fields or "*" in one.info.fields]


def _own_validator(decorator: Any) -> Any:
    """A `field_validator` as a constraint of its field; None for one that also reads other fields: the record-wide check runs it."""
    wrap = {"after": AfterValidator, "before": BeforeValidator}.get(decorator.info.mode)
    if wrap is None or len(inspect.signature(decorator.func).parameters) != 1:
        return None
    return wrap(decorator.func)


def has_record_rules(cls: type[Record]) -> bool:
    """Whether the class declares rules that read more than one field."""
    decorators = cls.__pydantic_decorators__
    if decorators.model_validators or decorators.validators or decorators.root_validators:
        return True
    return any(_own_validator(one) is None for one in decorators.field_validators.values())


# -- defaults --------------------------------------------------------------------------------------------------------------


def _default(record: str, name: str, info: FieldInfo, reading: Reading, check: Check | None, limits: Limits) -> Any:
    """The JSON value of a field that is not given: a fresh value, which shares nothing with the class."""
    if reading.stamped is not None:
        return None
    if info.default_factory is not None:
        if info.default_factory not in _FACTORIES:
            raise mistake(record, name, "its default is made anew each time.",
                          "A declared default is one value: write it down, or let the application give it.")
        value: Any = info.default_factory()
    elif info.default is PydanticUndefined:
        return nothing_yet(reading.kind)
    else:
        value = info.default
    if value is None:
        if not reading.optional:
            raise mistake(record, name, "its default is None, but it is not optional.", "Write `| None` behind the type.")
        return None
    try:
        plain = normalise(to_json(reading.kind)(value), limits=limits, path="/" + name)
        return plain if check is None else check(plain)
    except HoldfastError as error:
        raise mistake(record, name, f"its default does not fit. {error.detail}") from error
