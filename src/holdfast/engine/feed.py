"""Hints that a tenant's log has grown. A hint is one number, the newest seq: hints that nobody has taken yet become one (the newest),
so a slow subscriber costs one number and never holds anybody up. A lost hint is harmless: whoever pulls reads the log itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Feed", "FeedSubscription"]


class FeedSubscription:
    """Iterates over the newest seq of one tenant, whenever it has grown since the last one taken."""

    def __init__(self, feed: Feed, tenant_id: str) -> None:
        self._feed = feed
        self._tenant_id = tenant_id
        self._newest = 0
        self._taken = 0
        self._closed = False
        self._grown = asyncio.Event()

    def hint(self, seq: int) -> None:
        if seq > self._newest:
            self._newest = seq
            self._grown.set()

    def __aiter__(self) -> FeedSubscription:
        return self

    async def __anext__(self) -> int:
        while self._newest <= self._taken and not self._closed:
            self._grown.clear()
            await self._grown.wait()
        if self._closed:
            raise StopAsyncIteration
        self._taken = self._newest
        return self._taken

    async def close(self) -> None:
        """End the iteration, also one that waits. Closing twice is harmless."""
        self.end()

    def end(self) -> None:
        self._closed = True
        self._feed.forget(self._tenant_id, self)
        self._grown.set()


class Feed:
    """Within one process and one event loop; the writer's process sends its hints to each server's feed."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[FeedSubscription]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}

    def watch(self, name: str, on_grown: Callable[[], None]) -> None:
        """Call `on_grown`, in this event loop, at each hint of this name."""
        self._watchers.setdefault(name, []).append(on_grown)

    def subscribe(self, tenant_id: str) -> FeedSubscription:
        subscription = FeedSubscription(self, tenant_id)
        self._subscriptions.setdefault(tenant_id, set()).add(subscription)
        return subscription

    def publish(self, tenant_id: str, seq: int) -> None:
        for subscription in self._subscriptions.get(tenant_id, ()):
            subscription.hint(seq)
        for on_grown in self._watchers.get(tenant_id, ()):
            on_grown()

    def subscribed(self) -> list[str]:
        """Of whom anybody here wants to hear."""
        return list(self._subscriptions)

    def forget(self, tenant_id: str, subscription: FeedSubscription) -> None:
        standing = self._subscriptions.get(tenant_id)
        if standing is not None:
            standing.discard(subscription)
            if not standing:
                del self._subscriptions[tenant_id]

    def close(self) -> None:
        """End every subscription."""
        for subscription in [one for standing in self._subscriptions.values() for one in standing]:
            subscription.end()
