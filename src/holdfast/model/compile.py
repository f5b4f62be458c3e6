"""From record classes to the plain, immutable schema, once at start. Every mistake is a DeclarationError that names class and field."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from holdfast.core.errors import HoldfastError
from holdfast.core.limits import Limits
from holdfast.core.schema import Collection, Field, Kind, Schema, Stamped, Unique, Upcast, UpcastStep
from holdfast.model.access import Access, AnyOf
from holdfast.model.builtin import BUILT_IN, Member
from holdfast.model.declaration import Declaration, mistake
from holdfast.model.describe import digest_of
from holdfast.model.fields import DeclaredField, declared_fields
from holdfast.model.judgement import record_check
from holdfast.model.names import raise_on_collection_name, raise_on_record_name
from holdfast.model.record import Record
from holdfast.model.visibility import Judged, Visibility

__all__ = ["compile_schema"]

_KEY_KINDS: Final = frozenset({Kind.STRING, Kind.INTEGER, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME, Kind.CHOICE, Kind.UUID, Kind.REF})
_ORDERED_KINDS: Final = frozenset(Kind) - {Kind.JSON, Kind.TEXT, Kind.SET}
_TITLES: Final = ("title", "name", "display_name", "label", "subject")


def compile_schema(record_classes: Iterable[type[Record]], *, limits: Limits | None = None, members_read: Access | None = None) -> Schema:
    """The schema of a store: `record_classes` and the built-in collections.

    `members_read` says who may read members' records besides the member, owners and admins: an application that shows names to all
    passes `tenant`. Raises DeclarationError."""
    limits = limits or Limits()
    classes = list(dict.fromkeys([*BUILT_IN, *record_classes]))
    _raise_on_duplicates(classes)
    namespace: dict[str, type[Record]] = {cls.__name__: cls for cls in classes}
    declared = {cls: declared_fields(cls, namespace, limits) for cls in classes}
    collections = {cls: str(cls.__declaration__.collection) for cls in classes}
    judged = {collections[cls]: Judged(cls.__name__, collections[cls], _declaration(cls, members_read),
                                       _settled(cls, declared[cls], namespace, collections)) for cls in classes}
    visibility = Visibility(judged)
    rules = {name: {direction: visibility.rule(name, direction) for direction in ("read", "write", "create", "delete")} for name in judged}
    compiled = {}
    for cls in classes:
        name = collections[cls]
        said = judged[name].declaration
        uniques = _uniques(cls, said, declared[cls])
        upcasts = _upcasters(cls, said, judged[name].fields)
        compiled[name] = Collection(
            name=name, contract=said.contract, fields=MappingProxyType(dict(judged[name].fields)),
            key=None if said.key is None else tuple(said.key), unique=uniques,
            read=rules[name]["read"], write=rules[name]["write"],
            create=None if said.create is None else rules[name]["create"], delete=None if said.delete is None else rules[name]["delete"],
            copied=visibility.copied(name), append_only=said.append_only,
            upcasts=MappingProxyType(upcasts),
            check=record_check(cls, declared[cls]), indexes=_indexes(cls, said, judged[name].fields), app=said.app,
            doc=inspect.cleandoc(cls.__doc__ or ""), title=_title(cls, said, judged[name].fields), record=cls.__name__,
        )
    return Schema(collections=MappingProxyType(compiled), digest=digest_of(compiled), limits=limits)


# -- classes ---------------------------------------------------------------------------------------------------------------


def _raise_on_duplicates(classes: Sequence[type[Record]]) -> None:
    names: dict[str, type[Record]] = {}
    collections: dict[str, type[Record]] = {}
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Record)):
            raise mistake(str(getattr(cls, "__name__", cls)), None, "is no record class.", "Subclass holdfast.Record.")
        collection = cls.__declaration__.collection
        if collection is None:
            raise mistake(cls.__name__, None, "declares no collection.", f'Write `class {cls.__name__}(Record, collection="…")`.')
        raise_on_collection_name(cls.__name__, collection)
        raise_on_record_name(cls.__name__)
        if collection in collections:
            raise mistake(cls.__name__, None, f"the collection {collection!r} is also declared by {_place(collections[collection])}.",
                          "Give one of them another name.")
        for made in (cls.__name__, cls.__name__ + "Create", cls.__name__ + "Patch"):
            if made in names:
                raise mistake(cls.__name__, None, f"{_place(names[made])} has this name, or the types made from it, too.",
                              "Rename one of them: a record class is one type in TypeScript and in the API.")
        names.update(dict.fromkeys((cls.__name__, cls.__name__ + "Create", cls.__name__ + "Patch"), cls))
        collections[collection] = cls


def _place(cls: type[Record]) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def _declaration(cls: type[Record], members_read: Access | None) -> Declaration:
    """The class's declaration, judged as far as it can be alone."""
    said = cls.__declaration__
    if said.access is None and (said.read is None) != (said.write is None):
        raise mistake(cls.__name__, None, "says who may read or who may write, but not both.", "Give read= and write=, or access=.")
    for name in ("access", "read", "write", "create", "delete"):
        rule = getattr(said, name)
        if rule is not None and not isinstance(rule, Access):
            raise mistake(cls.__name__, None, f"{name}= is no access rule.", "Use tenant, own, role(...), via(...), with & and |.")
    if cls is Member and members_read is not None and said.read is not None:
        said = replace(said, read=AnyOf((said.read, members_read)))
    return said


# -- fields ----------------------------------------------------------------------------------------------------------------


def _settled(cls: type[Record], declared: Mapping[str, DeclaredField], namespace: Mapping[str, type[Record]],
             collections: Mapping[type[Record], str]) -> dict[str, Field]:
    """The fields with their references settled and the key made immutable."""
    said, fields = cls.__declaration__, {}
    key = _names(cls, "key", said.key) if said.key is not None else ()
    for name, one in declared.items():
        field = one.field
        if field.kind is Kind.REF:
            field = replace(field, ref=_collection_of(cls, name, one.target, namespace, collections))
        fields[name] = replace(field, immutable=True) if name in key else field
    _raise_on_key(cls, key, fields)
    return fields


def _collection_of(cls: type[Record], name: str, target: Any, namespace: Mapping[str, type[Record]],
                   collections: Mapping[type[Record], str]) -> str:
    found = namespace.get(target) if isinstance(target, str) else target
    if found is None or found not in collections:
        shown = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        raise mistake(cls.__name__, name, f"refers to {shown}, which is not declared here.", f"Give {shown} to compile_schema too.")
    return collections[found]


def _names(cls: type[Record], keyword: str, names: object) -> tuple[str, ...]:
    """A keyword that takes names of fields: a tuple, each name once."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or not all(isinstance(one, str) for one in names):
        raise mistake(cls.__name__, None, f"{keyword}= takes names of fields in a tuple.", 'For example ("session_id", "step_number").')
    if len(set(names)) != len(names):
        raise mistake(cls.__name__, None, f"{keyword}= names a field twice.")
    return tuple(names)


def _field(cls: type[Record], keyword: str, name: str, fields: Mapping[str, Field]) -> Field:
    if name not in fields:
        raise mistake(cls.__name__, name, f"{keyword}= names a field that does not exist.", f"It has {', '.join(fields) or 'no fields'}.")
    field = fields[name]
    if field.sensitive:
        raise mistake(cls.__name__, name, f"a Sensitive field cannot be in {keyword}: the server stores it encrypted.")
    return field


def _raise_on_key(cls: type[Record], key: tuple[str, ...], fields: Mapping[str, Field]) -> None:
    for name in key:
        field = _field(cls, "key", name, fields)
        if field.kind not in _KEY_KINDS:
            raise mistake(cls.__name__, name, f"a {field.kind.value} cannot be part of a key.",
                          "A key is made of texts, whole numbers, dates, choices, ids.")
        if field.stamped not in (None, Stamped.CREATED_BY):
            raise mistake(cls.__name__, name, "a key cannot hold what only the server's clock knows.")
        if field.optional and field.stamped is None:
            raise mistake(cls.__name__, name, "a key field is never null.", "Remove `| None`.")


def _uniques(cls: type[Record], said: Declaration, declared: Mapping[str, DeclaredField]) -> tuple[Unique, ...]:
    fields = {name: one.field for name, one in declared.items()}
    if isinstance(said.unique, str) or not isinstance(said.unique, Sequence):
        raise mistake(cls.__name__, None, "unique= takes tuples of names of fields.", 'For example unique=(("team", "number"),).')
    wanted = [_names(cls, "unique", one) for one in said.unique] + [(name,) for name, one in declared.items() if one.unique]
    for name in (name for names in wanted for name in names):
        field = _field(cls, "unique", name, fields)
        if field.kind not in _KEY_KINDS | {Kind.MONEY}:
            raise mistake(cls.__name__, name, f"a {field.kind.value} cannot be unique.")
    return tuple(Unique(name="_".join(names), fields=names) for names in dict.fromkeys(wanted))


def _indexes(cls: type[Record], said: Declaration, fields: Mapping[str, Field]) -> tuple[tuple[str, ...], ...]:
    if isinstance(said.indexes, str) or not isinstance(said.indexes, Sequence):
        raise mistake(cls.__name__, None, "indexes= takes tuples of names of fields.", 'For example indexes=(("status", "created_at"),).')
    wanted = tuple(_names(cls, "indexes", one) for one in said.indexes)
    for name in (name for names in wanted for name in names):
        field = _field(cls, "indexes", name, fields)
        if field.kind not in _ORDERED_KINDS:
            raise mistake(cls.__name__, name, f"a {field.kind.value} has no order to sort by.")
    return wanted


def _title(cls: type[Record], said: Declaration, fields: Mapping[str, Field]) -> str:
    """The field that names a record for people: the declared one, else a text with a usual name, else none."""
    if said.title_field is None:
        return next((name for name in _TITLES if name in fields and fields[name].kind in (Kind.STRING, Kind.TEXT)
                     and not fields[name].sensitive), "")
    field = _field(cls, "title_field", said.title_field, fields)
    if field.kind in (Kind.JSON, Kind.SET):
        raise mistake(cls.__name__, field.name, f"a {field.kind.value} cannot name a record for people.")
    return field.name


# -- contracts -------------------------------------------------------------------------------------------------------------


def _upcasters(cls: type[Record], said: Declaration, fields: Mapping[str, Field]) -> dict[int, Upcast]:
    """The whole chain, each step judged by where it ends."""
    if not isinstance(said.contract, int) or isinstance(said.contract, bool) or said.contract < 1:
        raise mistake(cls.__name__, None, "contract= is a whole number from 1.")
    if said.upcasts is None:
        return {number: Upcast(number, ()) for number in range(1, said.contract)}
    if not isinstance(said.upcasts, Mapping):
        raise mistake(cls.__name__, None, "upcasts= says for each older contract its list of steps.", "For example upcasts={1: [...]}.")
    missing = [number for number in range(1, said.contract) if number not in said.upcasts]
    if missing:
        raise mistake(cls.__name__, None, f"contract {said.contract} has no upcaster from contract {missing[0]}.",
                      f"Add it: upcasts={{{missing[0]}: [...]}}; an empty list, if fields were only added.")
    beyond = [number for number in said.upcasts if number not in range(1, said.contract)]
    if beyond:
        raise mistake(cls.__name__, None, f"has an upcaster from contract {beyond[0]!r}, but is itself contract {said.contract}.",
                      "Raise contract= with each change of the fields.")
    for number in range(1, said.contract):
        if not isinstance(said.upcasts[number], list | tuple):
            raise mistake(cls.__name__, None, f"the upcaster from contract {number} is a list of steps.")
        for at, step in enumerate(said.upcasts[number]):
            if not isinstance(step, UpcastStep):
                raise mistake(cls.__name__, None, f"the upcaster from contract {number} holds {step!r}.",
                              "Use upcast.rename, upcast.convert, upcast.drop, upcast.default.")
            later = [*said.upcasts[number][at + 1:], *(one for after in range(number + 1, said.contract) for one in said.upcasts[after])]
            _raise_on_step(cls, number, step, later, fields)
    return {number: Upcast(number, tuple(said.upcasts[number])) for number in range(1, said.contract)}


def _raise_on_step(cls: type[Record], number: int, step: UpcastStep, later: Sequence[UpcastStep], fields: Mapping[str, Field]) -> None:
    """A step that gives a field must lead, through the later ones, to a field that exists; a default must fit it."""
    if step.verb == "convert" and not callable(step.convert):
        raise mistake(cls.__name__, step.field, f"the converter of contract {number} cannot be called.")
    if step.verb == "drop":
        return
    name: str = step.to if step.verb == "rename" and step.to is not None else step.field
    converted = False
    for one in later:
        if one.field != name:
            continue
        if one.verb == "drop":
            return
        converted = converted or one.verb == "convert"
        name = one.to if one.verb == "rename" and one.to is not None else name
    if name not in fields:
        raise mistake(cls.__name__, name, f"the upcaster from contract {number} ends in a field that does not exist.",
                      "Rename or drop it in a later step, or declare the field.")
    if step.verb == "default" and not converted:
        _raise_on_default(cls, number, step, fields[name])


def _raise_on_default(cls: type[Record], number: int, step: UpcastStep, field: Field) -> None:
    if step.value is None:
        if field.optional:
            return
        raise mistake(cls.__name__, field.name, f"the default of contract {number} is null, but the field is not optional.")
    try:
        if field.check is not None:
            field.check(step.value)
    except HoldfastError as error:
        raise mistake(cls.__name__, field.name, f"the default of contract {number} does not fit. {error.detail}") from error
