"""A plan: what the server would apply on somebody's behalf (undo, restore, a resolved inbox item), before it is settled."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.core.entry import Unapplied
from holdfast.core.ops import Op

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`ops` are made for the record as it stands. `unapplied` names what was left out; `remaining` is what goes on waiting in the
    inbox item; `undelete` says that the record must be undeleted first."""

    ops: list[Op]
    unapplied: list[Unapplied] = field(default_factory=list)
    remaining: list[Unapplied] = field(default_factory=list)
    undelete: bool = False
