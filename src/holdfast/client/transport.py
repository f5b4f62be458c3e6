"""The seam to the network: one request, one stream of lines, one socket. Whoever gives a replica a `Transport` decides what the network
is: the real one (`web`), a server in the same process (`holdfast.testing`), or a simulated one that loses, repeats and delays.

A transport carries bytes and knows nothing of mutations. It may be given the same request twice and must not remember any. What it
raises says one thing alone: nothing came back. Whether the request arrived is then unknown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Answered", "Channel", "ChannelClosed", "Reply", "Request", "Transport", "Unreachable"]


class Unreachable(Exception):
    """No answer: no network, no server, cut off, or too late. The text says which, for people."""


class ChannelClosed(Exception):
    """The socket is closed. `code` and `reason` are the server's, or 1006 where it just broke."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` starts with a slash and is relative to the server's address; `query` values are not escaped yet."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Header names are lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """An open socket that carries text messages. Messages that were sent before a failure may or may not have arrived."""

    async def send(self, message: str) -> None:
        """Raises ChannelClosed."""

    async def receive(self) -> str:
        """The next message, in order. Raises ChannelClosed."""

    async def close(self) -> None:
        """Never raises; closing twice is harmless."""


class Transport(Protocol):
    """The way to the server: requests, lines of a long answer, and one socket. What a device knows of the network."""

    async def request(self, request: Request, *, seconds_max: float) -> Reply:
        """Raises Unreachable, also when the answer takes longer than `seconds_max`."""

    def lines(self, request: Request, *, seconds_max: float) -> AsyncIterator[bytes]:
        """The lines of a long answer with status 200, without their ends; `seconds_max` is between two of them. Raises Unreachable (the
        answer may have been cut off after any line), Answered (another status)."""

    async def connect(self, path: str, *, seconds_max: float) -> Channel:
        """Open a socket. Raises Unreachable."""

    async def close(self) -> None: ...


class Answered(Exception):
    """A stream was answered with something else than 200."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply
