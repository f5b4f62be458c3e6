"""Holds every row that the writer recalls instead of reading it against what the database says."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core.facts import Key
from holdfast.engine.ground import Ground
from holdfast.storage.drive import run_sync

__all__ = ["Recalls"]


class Recalls:
    """Watches from now on. `wrong` is what was not as it stands; not raised there, where the writer would take it for a fault of its own
    and start anew."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: list[Key] = []
        self.wrong: list[str] = []
        self._recall = Ground._recall
        patch.setattr(Ground, "_recall", lambda ground, key, rewriting: self._watched(ground, key, rewriting))

    def _watched(self, ground: Ground, key: Key, rewriting: Any) -> bool:
        if not self._recall(ground, key, rewriting):
            return False
        self.keys.append(key)
        place = (ground.tenant_id, *key)
        told = rewriting.indexed(place)
        stands = ground.secrecy.open_row(run_sync(ground.batch.rows(ground.tenant_id, [key]))[key])
        if repr(ground.rows[key]) != repr(stands) or rewriting.indexed(place) != told:
            self.wrong.append(f"recalled {ground.rows[key]} {told}, where {stands} {rewriting.indexed(place)} stands")
        if ground.secrecy.hides(key[0]):
            self.wrong.append(f"{key} has sensitive values")
        return True
