"""From what came over the wire to mutations: decoded strictly, one by one, so that a malformed one is refused alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.core import clock, digest, position
from holdfast.core.admission import problem_with
from holdfast.core.entry import Mutation
from holdfast.core.errors import HoldfastError, InvalidValue, LimitExceeded, Malformed
from holdfast.core.limits import Limits
from holdfast.core.messages import Problem
from holdfast.core.misfit import misfit
from holdfast.core.ops import CreateOp, Op, SetOp, UnsetOp
from holdfast.core.schema import Collection, Schema, Stamped
from holdfast.core.values import decode_json, normalise
from holdfast.engine.work import Arrival
from holdfast.model.sealing import sensitive_names

__all__ = ["Intake", "Received", "create_op", "ops_of_fields", "ops_of_json", "with_author"]

MUTATION_ID_CHARACTERS_MAX = 64
SALT_BYTES = 16
SALTS_AT_ONCE = 64


class Received(NamedTuple):
    """A mutation that is well formed, and its `edited_at` as a stamp."""

    mutation: Mutation
    edited_at: int | None


class Intake:
    """Reads mutations for one schema."""

    def __init__(self, schema: Schema, random_bytes: Callable[[int], bytes]) -> None:
        self._schema = schema
        self._random_bytes = random_bytes
        self._salts: list[bytes] = []
        self._limits = schema.limits
        self._hashed_by_key = frozenset(name for name, one in schema.collections.items() if sensitive_names(one))

    def read(self, raw: bytes | Mutation) -> Mutation | tuple[str, Problem]:
        """The mutation; or, if it must be refused, its id (as far as it can be read) and why."""
        found = self.received(raw)
        return found.mutation if isinstance(found, Received) else found

    def received(self, raw: bytes | Mutation) -> Received | tuple[str, Problem]:
        """As `read`, with what was understood on the way."""
        mutation_id = raw.mutation_id if isinstance(raw, Mutation) else ""
        try:
            if isinstance(raw, Mutation):
                mutation = raw
            else:
                value = self._value(raw)
                mutation_id = _id_of(value)
                mutation = _typed(value)
            if mutation.base is not None:
                _check_base(mutation.base)
            edited_at = None if mutation.edited_at is None else clock.parse(mutation.edited_at)
            problem = problem_with(mutation, self._schema)
        except HoldfastError as error:
            return mutation_id, Problem(code=error.code, detail=error.detail, hint=error.hint, field=_pointer(error.field))
        if problem is None:
            return Received(mutation, edited_at)
        return mutation_id, msgspec.structs.replace(problem, field=_pointer(problem.field))

    def arrival(self, received: Received) -> Arrival:
        """What the writer need not work out again."""
        mutation = received.mutation
        if not self._salts:
            drawn = self._random_bytes(SALT_BYTES * SALTS_AT_ONCE)      # each draw is a call of the system
            self._salts = [drawn[at:at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        salt = self._salts.pop()
        return Arrival(salt, "" if mutation.collection in self._hashed_by_key else digest.sent_hash(salt, mutation), received.edited_at)

    def _value(self, raw: bytes) -> Any:
        if len(raw) > self._limits.mutation_bytes_max:
            raise LimitExceeded(f"A mutation has at most {self._limits.mutation_bytes_max:,} bytes.")
        return decode_json(raw)


def _id_of(value: Any) -> str:
    """The id of something that may be no mutation, so that its refusal can be told apart."""
    found = value.get("mutation_id") if isinstance(value, dict) else None
    return found[:MUTATION_ID_CHARACTERS_MAX] if isinstance(found, str) else ""


def _typed(value: Any) -> Mutation:
    try:
        return msgspec.convert(value, Mutation)
    except msgspec.ValidationError as error:
        reason, place = misfit(error)
        raise Malformed(f"This is no mutation: {reason}.", field=place) from None


def _check_base(base: str) -> None:
    """Raises Malformed, which says of what."""
    try:
        position.parse(base)
    except Malformed as error:
        raise Malformed("`base` is no position.", field="/base", hint=error.hint) from None


def _pointer(member: str | None) -> str | None:
    """A member of a mutation as a JSON Pointer, as every `field` on the wire is."""
    return member if member is None or member.startswith("/") else "/" + member


def ops_of_fields(collection: Collection, fields: Mapping[str, Any], limits: Limits) -> list[Op]:
    """PATCH: each field a `set`, null an `unset` of a field that may be empty. Raises InvalidValue (no fields, or what has no JSON
    form), LimitExceeded."""
    if not fields:
        raise InvalidValue("A change changes at least one field.", field="/fields")
    ops: list[Op] = []
    for name, value in fields.items():
        path = "/" + name.replace("~", "~0").replace("/", "~1")
        field = collection.fields.get(name)
        if value is None and field is not None and field.optional:
            ops.append(UnsetOp(path))
        else:
            ops.append(SetOp(path, normalise(value, limits=limits, path=path)))
    return ops


def ops_of_json(ops: Sequence[Mapping[str, Any]]) -> list[Op]:
    """Ops as they stand on the wire. Raises Malformed."""
    try:
        return msgspec.convert(list(ops), list[Op])
    except msgspec.ValidationError as error:
        reason, place = misfit(error)
        raise Malformed(f"This is no list of ops: {reason}.", field="/ops" + (place or "")) from None


def create_op(fields: Mapping[str, Any], limits: Limits) -> CreateOp:
    """The fields of a create in canonical form. Raises InvalidValue, LimitExceeded."""
    return CreateOp({name: normalise(value, limits=limits, path="/" + name) for name, value in fields.items()})


def with_author(collection: Collection, fields: Mapping[str, Any], author: str) -> Mapping[str, Any]:
    """The fields of a create; where who creates the record is part of its key, `author` is who that is, whatever was given."""
    mine = [name for name in collection.key or () if collection.fields[name].stamped is Stamped.CREATED_BY]
    return {**fields, **dict.fromkeys(mine, author)} if mine else fields
