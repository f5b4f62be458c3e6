"""A bad link from one seed: requests and replies that get lost, sockets that are cut, answers that come late."""

from __future__ import annotations

import asyncio
import random

from holdfast.client.transport import ChannelClosed, Unreachable
from holdfast.testing.asgi import Leg

__all__ = ["BadLink"]


class BadLink:
    """A `Fault`. `chance`: how likely each leg fails; 0 heals the link."""

    def __init__(self, rng: random.Random, chance: float) -> None:
        self._rng = rng
        self.chance = chance
        self.is_down = False
        self.legs: list[Leg] = []

    async def __call__(self, leg: Leg, what: str) -> None:
        self.legs.append(leg)
        fails = self.is_down or self._rng.random() < self.chance
        if self._rng.random() < self.chance:
            await asyncio.sleep(self._rng.random() * 0.01)
        if fails:
            if leg in ("send", "receive"):
                raise ChannelClosed()
            raise Unreachable("the link is bad")
