"""Typed records over the device: record classes in, record classes out. Every call works on this device's disk and needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakSet

import msgspec

from holdfast.client.autosave import AutoSaved
from holdfast.client.buffer import TextBuffer
from holdfast.client.changes import ops_of, raise_on_rules
from holdfast.client.device import Device
from holdfast.client.outbox import Key
from holdfast.core.apply import defaults
from holdfast.core.entry import Row
from holdfast.core.errors import DeclarationError, HoldfastError, InvalidValue, LimitExceeded, NotFound
from holdfast.core.identity import natural_id
from holdfast.core.ops import CreateOp, DeleteOp, Op, UndeleteOp
from holdfast.core.schema import Collection, Field, Kind, Stamped
from holdfast.model.record import Record
from holdfast.model.typed import changed_fields, collection_of, from_fields, to_fields

__all__ = ["Records", "view_of_row"]

R = TypeVar("R", bound=Record)


def view_of_row(row: Row) -> dict[str, Any]:
    """A row as the record view that typed records are made from."""
    return {"collection": row.collection, "id": row.id, "rev": row.rev, "position": f"{row.last}.{row.last_prefix}" if row.last else None,
            "contract": row.contract, "deleted": row.deleted, "fields": row.fields}


class Records:
    """What a program does with records. `Replica` is this and the connection."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._bound: list[AutoSaved[Any]] = []
        self._buffers: WeakSet[TextBuffer] = WeakSet()

    # -- reading ----------------------------------------------------------------------------------------------------------

    def find(self, kind: type[R], record_id: str, *, include_deleted: bool = False) -> R | None:
        """The record as this device has it, own unsent work included; None if it is not here."""
        self._device.person.raise_on_stranger()
        self._device.look_for_others()
        row = self._device.view((self._name(kind), record_id)).row
        return None if row is None or (row.deleted and not include_deleted) else from_fields(kind, view_of_row(row))

    def get(self, kind: type[R], record_id: str, *, include_deleted: bool = False) -> R:
        """Raises NotFound for what is not on this device."""
        found = self.find(kind, record_id, include_deleted=include_deleted)
        if found is None:
            raise NotFound(f"There is no such {kind.__name__} on this device.")
        return found

    def each(self, kind: type[R], *, include_deleted: bool = False, **where: Any) -> Iterator[R]:
        """All records of a kind, by id; `where` names values that their fields have."""
        wanted = {name: value for name, value in where.items()}
        for row in self._rows(self._name(kind)):
            if include_deleted or not row.deleted:
                record = from_fields(kind, view_of_row(row))
                if all(getattr(record, name) == value for name, value in wanted.items()):
                    yield record

    def list(self, kind: type[R], *, sort: str | None = None, limit: int | None = None, include_deleted: bool = False,
             **where: Any) -> list[R]:
        """Records as a list; `sort` names a field, with a minus before it in falling order (null last)."""
        found = list(self.each(kind, include_deleted=include_deleted, **where))
        if sort is not None:
            name = sort.removeprefix("-")
            valued = [one for one in found if getattr(one, name) is not None]
            valued.sort(key=lambda one: getattr(one, name), reverse=sort.startswith("-"))
            found = [*valued, *(one for one in found if getattr(one, name) is None)]
        return found if limit is None else found[:limit]

    def _rows(self, collection: str) -> Iterator[Row]:
        """The views of a collection: what was pulled, with own work on top."""
        device = self._device
        device.person.raise_on_stranger()
        device.look_for_others()
        worked_on = device.keys(collection)
        shown = {key: row for key in worked_on if (row := device.view(key).row) is not None}
        with device.file.reading("reading a collection"):
            stored = list(device.store.records(collection))
        for row in stored:
            key = (collection, row.id)
            yield shown.pop(key) if key in shown else device.present(row)
        yield from (row for _, row in sorted(shown.items()))

    # -- writing ----------------------------------------------------------------------------------------------------------

    def create(self, record: R) -> R:
        """Keep a new record; returns it as this device has it. With a natural key the same thing made elsewhere is the same record.
        Raises InvalidValue."""
        kind = type(record)
        collection = self._collection(kind)
        fields = to_fields(record)
        raise_on_rules(collection, {**defaults(collection), **fields})
        key = (collection.name, self._new_id(record, collection, fields))
        self._edit(key, lambda row: [CreateOp(fields)])
        return self.get(kind, key[1])

    def _new_id(self, record: Record, collection: Collection, fields: Mapping[str, Any]) -> str:
        if collection.key is None:
            return record._id or self._device.runtime.uuid7()
        values = []
        for name in collection.key:
            field = collection.fields[name]
            value = self._device.actor_id if field.stamped is Stamped.CREATED_BY else fields.get(name)
            if value is None or value == "":
                raise InvalidValue(f"{name} is part of the key of {collection.name} and has no value.", field=name,
                                   hint="Give it a value; who made it is known once this replica has been in touch with its server.")
            values.append(value)
        return natural_id(collection.name, values)

    def save(self, record: R) -> R:
        """Keep what was assigned to `record` since it was read; returns it as it stands now, `record` itself stays as it was. Nothing
        assigned: nothing is written. Raises InvalidValue, LimitExceeded, NotFound."""
        return self._changed(record, changed_fields(record))

    def change(self, record: R, **fields: Any) -> R:
        """Change these fields, on the version of `record` in hand."""
        copy = record.model_copy(deep=True)
        for name, value in fields.items():
            if name not in type(record).model_fields:
                raise InvalidValue(f"{type(record).__name__} has no field {name}.", field=name)
            setattr(copy, name, value)
        given = changed_fields(copy)
        return self._changed(record, {name: value for name, value in given.items() if name in fields})

    def _changed(self, record: R, given: Mapping[str, Any]) -> R:
        kind, collection = type(record), self._collection(type(record))
        stood = record._stood or {}
        for name in given:
            if collection.fields[name].immutable:
                raise InvalidValue(f"{name} never changes once the record exists.", field=name)
        if given:
            def make(row: Row | None) -> list[Op]:
                if row is None:
                    raise NotFound(f"There is no such {kind.__name__} on this device (any longer).")
                raise_on_rules(collection, {**row.fields, **given})
                return ops_of(collection, given, stood, row.fields, self._device.schema.limits)

            self._edit((collection.name, record.id), make)
        return self.get(kind, record.id, include_deleted=True)

    def delete(self, record: Record) -> None:
        """It can be undeleted. Raises NotFound."""
        self._flip(record, DeleteOp(), was_deleted=True)

    def undelete(self, record: R) -> R:
        self._flip(record, UndeleteOp(), was_deleted=False)
        return self.get(type(record), record.id)

    def _flip(self, record: Record, op: Op, *, was_deleted: bool) -> None:
        def make(row: Row | None) -> list[Op]:
            if row is None:
                raise NotFound(f"There is no such {type(record).__name__} on this device (any longer).")
            return [] if row.deleted is was_deleted else [op]

        self._edit((self._name(type(record)), record.id), make)

    def _edit(self, key: Key, make: Callable[[Row | None], Sequence[Op]]) -> None:
        limits = self._device.schema.limits
        self._device.person.raise_on_stranger()

        def bounded(row: Row | None) -> Sequence[Op]:
            ops = make(row)
            if len(ops) > limits.mutation_ops_max or len(msgspec.json.encode(ops)) > limits.mutation_bytes_max - 2_000:
                raise LimitExceeded(f"One change has at most {limits.mutation_bytes_max:,} bytes and {limits.mutation_ops_max:,} parts.",
                                    hint="Save in smaller steps.")
            return ops

        self._device.edit(key, bounded)

    # -- auto-save --------------------------------------------------------------------------------------------------------

    def text(self, record: Record, field: str) -> TextBuffer:
        """A buffer to type into, bound to a Text field of a record. Raises NotFound, InvalidValue."""
        declared: Field | None = self._collection(type(record)).fields.get(field)
        if declared is None or declared.kind is not Kind.TEXT:
            raise InvalidValue(f"{type(record).__name__} has no Text field {field}.", field=field)
        self._device.person.raise_on_stranger()
        self._device.look_for_others()
        made = TextBuffer(self._device, (self._name(type(record)), record.id), field)
        self._buffers.add(made)
        return made

    def autosave(self, record: R) -> AutoSaved[R]:
        """Keep whatever is assigned to `record` from now on; what others change appears in it."""
        made = AutoSaved(self._device, record, self.save, self._view)
        self._bound = [*(one for one in self._bound if one.is_open), made]
        return made

    def _view(self, key: Key) -> dict[str, Any] | None:
        row = self._device.view(key).row
        return None if row is None else view_of_row(row)

    def _flush_bound(self) -> None:
        for bound in self._bound:
            bound.flush()

    def _close_bound(self) -> HoldfastError | None:
        """End all of them; the first error that kept something assigned from being kept."""
        problem: HoldfastError | None = None
        for bound in self._bound:
            try:
                bound.close()
            except HoldfastError as error:
                problem = problem or error
        for buffer in list(self._buffers):
            buffer.close()
        return problem

    # -- declared ---------------------------------------------------------------------------------------------------------

    def _name(self, kind: type[Record]) -> str:
        return self._collection(kind).name

    def _collection(self, kind: type[Record]) -> Collection:
        found = self._device.schema.collections.get(collection_of(kind))
        if found is None:
            raise DeclarationError(f"{kind.__name__} is none of this replica's records.", hint="Name it in open_replica(records=[…]).")
        return found
