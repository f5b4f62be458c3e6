"""Parameters of a statement that is put together from parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["Binder"]


class Binder:
    """Collects values in the order of their places: `$1`, `$2`, …"""

    def __init__(self, *values: Any) -> None:
        self.values: list[Any] = list(values)

    def bind(self, value: Any) -> str:
        """The place of `value`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def bind_texts(self, values: Sequence[str | None], cast: str = "") -> str:
        """A list, as the one kind of array that the driver knows without asking, cast to what it is."""
        place = f"{self.bind(list(values))}::text[]"
        return f"({place}){cast}[]" if cast else place
