"""Admission: what becomes of a mutation before it is decided. Most are admitted; a repeat is a duplicate; the rest is refused,
which means that the server keeps nothing and the device keeps it, visible and exportable.

Only structure, ids and order are judged here, never rights or values: a wrong value is held, not refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from holdfast.core.entry import Entry, Mutation
from holdfast.core.identity import is_id, is_record_id, natural_id
from holdfast.core.limits import Limits
from holdfast.core.messages import Problem
from holdfast.core.ops import AddOp, CreateOp, DeleteOp, ExcludeOp, IncludeOp, Op, SetOp, SpliceOp, UndeleteOp, UnsetOp
from holdfast.core.schema import Collection, Kind, Schema

__all__ = ["Admitted", "Duplicate", "Refused", "admit", "problem_with"]


@dataclass(frozen=True, slots=True)
class Admitted:
    """To be decided."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Already in the log: answered with the first outcome."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Refused:
    problem: Problem


_ALONE: Final = (CreateOp, DeleteOp, UndeleteOp)
_PLACED: Final = (SetOp, UnsetOp)
_TEXTS_REACHED: Final = 4
"""What a device sees of a text may be longer than a text may be, while what makes it so is not yet refused or held."""

_KINDS: Final = {SpliceOp: Kind.TEXT, AddOp: Kind.COUNTER, IncludeOp: Kind.SET, ExcludeOp: Kind.SET}
ADMITTED: Final = Admitted()


def refusal(code: str, detail: str, hint: str, field: str | None = None) -> Refused:
    return Refused(Problem(code=code, detail=detail, hint=hint, field=field))


def admit(
    mutation: Mutation,
    *,
    known: Entry | None,
    same_content: bool,
    last_mutation: str | None,
    after_known: bool,
) -> Admitted | Duplicate | Refused:
    """Judge ids and order.

    `known`: the entry with this device and mutation id, if there is one; `same_content`: whether its salted hash is that of this
    mutation (an erased one counts as the same). `last_mutation`: the device's newest mutation of this record; `after_known`:
    whether `mutation.after` is any of its mutations of this record.
    """
    if known is not None:
        if known.erased or same_content:
            return Duplicate(known)
        return refusal("id_reused", f"Mutation {mutation.mutation_id} was sent before with other content.",
                       "Send other content under a new mutation id.", "mutation_id")
    if mutation.after == last_mutation:
        return ADMITTED
    if mutation.after is None or after_known:
        return refusal("forked", "This device has made later changes of this record than the one named in `after`: its outbox was copied.",
                       "Take a new device id and name this one in `forked_from`.", "after")
    return refusal("out_of_order", "The change before this one, named in `after`, has not arrived.",
                   "Send the changes of a record in order, the missing one first.", "after")


def problem_with(mutation: Mutation, schema: Schema) -> Problem | None:
    """What is malformed about a decoded mutation, whoever sent it; None if nothing is."""
    found = _envelope_problem(mutation, schema.limits)
    if found is None:
        collection = schema.collections.get(mutation.collection)
        if collection is None:
            found = ("malformed", f"There is no collection {mutation.collection[:64]!r}.", "collection")
        else:
            found = _key_problem(mutation, collection) or _ops_problem(mutation.ops, collection, schema.limits)
    if found is None:
        return None
    code, detail, field = found
    hint = "Correct the program that made it; on the device it stays visible and exportable."
    return Problem(code=code, detail=detail, hint=hint, field=field)


def _envelope_problem(mutation: Mutation, limits: Limits) -> tuple[str, str, str] | None:
    if not is_id(mutation.mutation_id):
        return "malformed", "A mutation id is 1 to 64 of A-Z a-z 0-9 _ . : -", "mutation_id"
    if not is_record_id(mutation.record_id):
        return "malformed", "A record id is a UUID in lower case with hyphens.", "record_id"
    if mutation.after is not None and not is_id(mutation.after):
        return "malformed", "`after` is a mutation id or null.", "after"
    if not mutation.ops:
        return "malformed", "A mutation has at least one op.", "ops"
    if len(mutation.ops) > limits.mutation_ops_max:
        return "limit", f"A mutation has at most {limits.mutation_ops_max:,} ops.", "ops"
    if _edits_in(mutation.ops) > limits.mutation_edits_max:
        return "limit", f"A mutation has at most {limits.mutation_edits_max:,} edits of texts.", "ops"
    if len(mutation.ops) > 1 and any(map(_ALONE.__contains__, map(type, mutation.ops))):
        return "malformed", "create, delete and undelete each come alone in their mutation.", "ops"
    return None


def _edits_in(ops: list[Op]) -> int:
    edits = 0
    for op in ops:
        if isinstance(op, SpliceOp):
            edits += len(op.edits)
    return edits


def _key_problem(mutation: Mutation, collection: Collection) -> tuple[str, str, str] | None:
    first = mutation.ops[0]
    if collection.key is None or not isinstance(first, CreateOp):
        return None
    missing = [name for name in collection.key if first.value.get(name) is None]
    if missing:
        return "malformed", f"The key field {missing[0]!r} is missing.", missing[0]
    if mutation.record_id != natural_id(collection.name, [first.value[name] for name in collection.key]):
        return "malformed", "The record id is not the one that its key fields make (UUIDv5 of collection and key).", "record_id"
    return None


def _ops_problem(ops: list[Op], collection: Collection, limits: Limits) -> tuple[str, str, str] | None:
    for op in ops:
        found = _op_problem(op, collection, limits)
        if found is not None:
            return found
    return None


def _op_problem(op: Op, collection: Collection, limits: Limits) -> tuple[str, str, str] | None:
    if isinstance(op, _ALONE):
        return None
    path = op.path
    if not path.startswith("/") or path == "/":
        return "malformed", "A path is a JSON Pointer to a field or a place inside it, such as /status.", "path"
    if "~" in path and path.count("~") != path.count("~0") + path.count("~1"):
        return "malformed", "In a path, ~ is written ~0 and / inside a name ~1.", "path"
    if isinstance(op, _PLACED):
        if op.restated or (isinstance(op, UnsetOp) and op.if_empty):
            return "malformed", "`restated` and `if_empty` are the server's own.", "ops"
        return None
    field = collection.fields.get(path[1:])
    if field is not None and field.kind is not _KINDS[type(op)]:
        return "malformed", f"{op.__struct_config__.tag} is not for {path[1:64]}, which is of kind {field.kind.value}.", path
    if field is None and "/" in path[1:]:
        return "malformed", f"{op.__struct_config__.tag} works on a whole field.", path
    return _edit_problem(op, limits) if isinstance(op, SpliceOp) else None


def _edit_problem(op: SpliceOp, limits: Limits) -> tuple[str, str, str] | None:
    """A change is as large as what it deletes, also where it is held and its inverse kept: no edit reaches further than any text."""
    reach, deleted_in_all = _TEXTS_REACHED * limits.text_code_points_max, 0
    for at, deleted, inserted in op.edits:
        if at < 0 or deleted < 0:
            return "malformed", "Offsets and counts of an edit are whole numbers from 0.", op.path
        reach += len(inserted)
        deleted_in_all += deleted
        if at + deleted > reach or deleted_in_all > reach:
            most = f"{limits.text_code_points_max:,}"
            return "limit", f"The edits reach further than any text: {op.path[1:64]} has at most {most} characters.", op.path
    return None
