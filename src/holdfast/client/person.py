"""Who uses a replica, as far as this process knows: nobody has been asked yet, the person whose it is, or somebody else.

A replica's file is one person's. Before the server has said who signs in, what is there can be read and worked on (a week offline must not
need a sign-in); once it has said that it is somebody else, nothing of it is shown, and nothing is written into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.core.errors import Forbidden

__all__ = ["Person"]


@dataclass(slots=True)
class Person:
    """`refusal`: what a stranger is told, and what to do. `before`: ids of the unsent work that was there before this sign-in."""

    is_known: bool = False
    refusal: tuple[str, str] | None = None
    before: set[str] = field(default_factory=set)

    def raise_on_stranger(self) -> None:
        """Raises Forbidden."""
        if self.refusal is not None:
            raise Forbidden(self.refusal[0], hint=self.refusal[1])
