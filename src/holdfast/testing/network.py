"""A network in one process that does what networks do: it loses, delays, repeats and reorders messages, breaks off in the middle of an
answer, cuts sockets, and delivers what everybody had given up on.

Theory. A `SimulatedNetwork` has one server at a time (`host`), and any number of `SimulatedLink`s to it, each a `Transport`. A link's
`Weather` says how likely each fault is. What one call does not wait for any more may still arrive: a lost request is, half of the time,
only late. Messages of one socket stay in order (it is a stream), requests do not. Between a server that went away and the one that came
after it nothing passes: an answer of the old one is lost.

Watchers (`watch`) are told of every message: what a server has said, and what reached a device. They are how a test knows what was
acknowledged without asking either side. All randomness comes from the `random.Random` given, all time from the running loop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Literal

from holdfast.client.transport import Answered, Channel, ChannelClosed, Reply, Request, Unreachable
from holdfast.runtime import Runtime
from holdfast.testing.asgi import App, AsgiTransport

__all__ = ["CALM", "Moment", "SimulatedLink", "SimulatedNetwork", "Watcher", "Weather"]

Moment = Literal["asked", "said", "arrived"]
"""Of a message: it left a device, a server has said it, it reached a device."""

Watcher = Callable[[Moment, str, str, bytes], None]
"""Told of (moment, the link's name, path or "socket", content)."""

LATE_SECONDS_MAX: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How likely each fault is, per message (0 to 1)."""

    lost: float = 0.0           # a message does not come through, at least not in time; a socket is cut
    delayed: float = 0.0        # it takes up to `delay_seconds_max`
    repeated: float = 0.0       # a request arrives a second time, later
    halved: float = 0.0         # an answer breaks off somewhere, or something in between answers in its place
    delay_seconds_max: float = 0.2


CALM: Final = Weather()


class SimulatedNetwork:
    """`runtime` starts what is under way."""

    def __init__(self, rng: random.Random, runtime: Runtime) -> None:
        self.rng = rng
        self.generation = 0
        self.runtime = runtime
        self._inner: AsgiTransport | None = None
        self._watchers: list[Watcher] = []

    def host(self, app: App | None) -> None:
        """From now on this application answers; None: nobody does. What the one before it still says is lost."""
        self.generation += 1
        self._inner = None if app is None else AsgiTransport(app, runtime=self.runtime)

    def watch(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def tell(self, moment: Moment, link: str, where: str, content: bytes) -> None:
        for watcher in self._watchers:
            watcher(moment, link, where, content)

    def inner(self) -> AsgiTransport:
        """The way to the server of now. Raises Unreachable."""
        if self._inner is None:
            raise Unreachable("No server answers.")
        return self._inner

    async def carry(self, link: str, request: Request, seconds_max: float) -> Reply:
        """To the server and back, without faults. Raises Unreachable."""
        generation = self.generation
        try:
            reply = await self.inner().request(request, seconds_max=seconds_max)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unreachable("The server went away.") from None
        if self.generation != generation:
            raise Unreachable("The server went away.")
        self.tell("said", link, request.path, reply.body)
        return reply

    def carry_later(self, link: str, request: Request) -> None:
        """A copy of the request arrives some time; nobody waits for the answer."""
        self.runtime.spawn(self._carry_late(link, request), name="a late request")

    async def _carry_late(self, link: str, request: Request) -> None:
        await self.runtime.sleep(self.rng.random() * LATE_SECONDS_MAX)
        try:
            await self.carry(link, request, LATE_SECONDS_MAX)
        except Unreachable:
            return


class SimulatedLink:
    """A `Transport` over the network. `is_alive` False: the machine at this end is without power, nothing leaves it or reaches it."""

    def __init__(self, network: SimulatedNetwork, name: str, *, is_alive: Callable[[], bool] = lambda: True) -> None:
        self.name = name
        self.weather = CALM
        self.is_down = False
        self.sockets_blocked = False
        self.is_alive = is_alive
        self.network = network

    # -- faults -----------------------------------------------------------------------------------------------------------

    def hits(self, chance: float) -> bool:
        return chance > 0 and self.network.rng.random() < chance

    async def travel(self) -> None:
        """The time a message takes."""
        if self.hits(self.weather.delayed):
            await self.network.runtime.sleep(self.network.rng.random() * self.weather.delay_seconds_max)

    @property
    def is_cut(self) -> bool:
        return self.is_down or not self.is_alive()

    # -- Transport --------------------------------------------------------------------------------------------------------

    async def request(self, request: Request, *, seconds_max: float) -> Reply:
        network = self.network
        if self.is_cut:
            raise Unreachable("There is no network.")
        network.tell("asked", self.name, request.path, request.body or b"")
        await self.travel()
        if self.hits(self.weather.lost):
            if self.hits(0.5):
                network.carry_later(self.name, request)
            await network.runtime.sleep(min(seconds_max, network.rng.random()))
            raise Unreachable("The request was lost.")
        if self.hits(self.weather.repeated):
            network.carry_later(self.name, request)
        reply = await network.carry(self.name, request, seconds_max)
        await self.travel()
        if self.is_cut or self.hits(self.weather.lost):
            raise Unreachable("The answer was lost.")
        if self.hits(self.weather.halved):
            reply = self._spoiled(reply)
        network.tell("arrived", self.name, request.path, reply.body)
        return reply

    def _spoiled(self, reply: Reply) -> Reply:
        if self.hits(0.5):
            return Reply(status=502, body=b"<html>Bad gateway</html>", headers={"content-type": "text/html"})
        return Reply(status=reply.status, body=reply.body[:self.network.rng.randint(0, max(0, len(reply.body) - 1))], headers=reply.headers)

    async def lines(self, request: Request, *, seconds_max: float) -> AsyncIterator[bytes]:
        reply = await self.request(request, seconds_max=seconds_max)
        if reply.status != 200:
            raise Answered(reply)
        for line in reply.body.split(b"\n"):
            if line:
                if self.hits(self.weather.lost) or self.is_cut:
                    raise Unreachable("The answer broke off.")
                await self.travel()
                yield line

    async def connect(self, path: str, *, seconds_max: float) -> Channel:
        if self.is_cut or self.sockets_blocked or self.hits(self.weather.lost):
            raise Unreachable("No socket comes through.")
        await self.travel()
        generation = self.network.generation
        inner = await self.network.inner().connect(path, seconds_max=seconds_max)
        return _SimulatedChannel(self, inner, generation)

    async def close(self) -> None:
        return None


class _SimulatedChannel:
    """A socket that may be cut at any message, either way; the other end notices later."""

    def __init__(self, link: SimulatedLink, inner: Channel, generation: int) -> None:
        self._link = link
        self._inner = inner
        self._generation = generation

    async def send(self, message: str) -> None:
        link = self._link
        await self._raise_if_cut()
        link.network.tell("asked", link.name, "socket", message.encode())
        await link.travel()
        if link.hits(link.weather.lost):
            if link.hits(0.5):
                await self._inner.send(message)         # it arrives; no answer ever comes
            await self._cut()
        await self._raise_if_cut()
        await self._inner.send(message)

    async def receive(self) -> str:
        link = self._link
        await self._raise_if_cut()
        message = await self._inner.receive()
        if link.network.generation != self._generation:
            raise ChannelClosed()
        link.network.tell("said", link.name, "socket", message.encode())
        await link.travel()
        if link.hits(link.weather.lost):
            await self._cut()
        await self._raise_if_cut()
        link.network.tell("arrived", link.name, "socket", message.encode())
        return message

    async def close(self) -> None:
        await self._inner.close()

    async def _raise_if_cut(self) -> None:
        if self._link.is_cut or self._link.network.generation != self._generation:
            await self._cut()

    async def _cut(self) -> None:
        await self._inner.close()
        raise ChannelClosed()


