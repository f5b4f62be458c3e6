"""Holding a mutation as a whole: raised inside `decide` where its judgement ends, caught by `decide` itself."""

from __future__ import annotations

from holdfast.core.entry import Reason

__all__ = ["NEVER_CHANGED", "HeldWhole"]

NEVER_CHANGED = "Records of this kind are never changed once they are made."
"""Why an append-only record is not changed: no right would help."""


class HeldWhole(Exception):
    """The mutation is held as a whole, for `reason`; `ref` names the missing record of `missing_ref`."""

    def __init__(self, reason: Reason, message: str, ref: tuple[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.message = message
        self.ref = ref
