"""The steps of an upcaster: how a record, or a single op, of contract n reads under contract n + 1.

    class Estimate(Record, collection="estimates", contract=3, upcasts={
        1: [upcast.rename("phone", "client_phone"), upcast.drop("fax")],
        2: [upcast.convert("base_cost", lambda cents: f"{cents // 100}.{cents % 100:02d}"), upcast.default("status", "draft")],
    }): ...

Steps run in order, each on the names and JSON values that the one before left. What changes no field that stood before needs no step: a
contract that only adds fields with defaults has an empty list, and if all contracts did, `upcasts=` can be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.core.schema import UpcastStep

__all__ = ["convert", "default", "drop", "rename"]


def rename(field: str, to: str) -> UpcastStep:
    """The field is called `to` now."""
    return UpcastStep("rename", field, to=to)


def convert(field: str, using: Callable[[Any], Any]) -> UpcastStep:
    """The field's JSON value is now `using(value)`; never called with null. It must be pure. If it raises, the value does not fit.

    A change inside the old value (a splice, an increment, a place inside `Json`) cannot be converted and waits in the inbox."""
    return UpcastStep("convert", field, convert=using)


def drop(field: str) -> UpcastStep:
    """The field is no longer kept. Changes of it by older devices stay in the log as sent and change nothing."""
    return UpcastStep("drop", field)


def default(field: str, value: Any) -> UpcastStep:
    """A record that has no such field gets this JSON value."""
    return UpcastStep("default", field, value=value)
