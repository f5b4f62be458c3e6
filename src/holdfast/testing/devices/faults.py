"""What may happen to a message on its way, and to which: the suite's fault model, written down (`MODEL`).

Messages of one socket are never put into another order but where the wire allows it: answers to pushes and changes are told
independently of each other. `changes` among themselves come in the order of the log, always: a device may rest on that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

__all__ = [
    "MODEL", "Delayed", "Fault", "Instead", "Late", "Message", "Refused", "Results", "Rewritten", "Rule", "half", "lose", "repeat",
    "swallow",
]

MODEL = """\
| fault | what it does | to what it may be done |
|---|---|---|
| `lose` | the message does not arrive, and the connection breaks | everything |
| `swallow` | the message does not arrive, and nothing breaks: silence | everything |
| `half` | half of it arrives, then the connection breaks | answers by HTTP |
| `Delayed` | it arrives later, and so does what follows it on the same socket | everything |
| `Late` | it arrives once a gate is open; what follows it overtakes it | `pushed` on a socket, everything by HTTP |
| `repeat` | it arrives twice | pushes, pulls and answers |
| `Rewritten` | another body arrives | everything with a body |
| `Refused` | the server never sees it; a problem is answered | calls, and pushes on a socket |
| `Results` | the server never sees it; a push is answered with these results | pushes |
| `Instead` | the server never sees it; this is answered | calls by HTTP |
"""

Way = Literal["http", "socket"]
Side = Literal["to_server", "to_device"]


@dataclass(slots=True, kw_only=True)
class Message:
    """One message on its way. `kind` is one word for both ways: `push` and `pushed`, `pull` and `changes`, `snapshot` and `lines`,
    `records` and `found`, on the socket its `type`, and the path for everything else. `body` is decoded JSON, None where it is none;
    `device` is the store that the suite opened, empty where nobody has said who it is; `device_id` is what a push names, or the hello."""

    at: float
    way: Way
    side: Side
    kind: str
    device: str
    raw: bytes
    body: Any
    status: int = 0
    device_id: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plain:
    """A fault that needs nothing but its name."""

    name: Literal["lose", "swallow", "half", "repeat"]


@dataclass(frozen=True, slots=True)
class Delayed:
    seconds: float


@dataclass(frozen=True, slots=True)
class Late:
    gate: asyncio.Event


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`change` is given the decoded body and returns the one that arrives. What is no JSON (the lines of a snapshot) is bytes."""

    change: Callable[[Any], Any]

    def made_of(self, message: Message) -> bytes:
        changed = self.change(message.raw if message.body is None else message.body)
        encoded: bytes = changed if isinstance(changed, bytes) else msgspec.json.encode(changed)
        return encoded


@dataclass(frozen=True, slots=True)
class Refused:
    """A problem as the server would say it: `overloaded` with a `retry_after`, `not_signed_in`, …"""

    status: int
    code: str
    detail: str = "The link was told to refuse this."
    retry_after: int | None = None

    def problem(self) -> dict[str, Any]:
        said: dict[str, Any] = {"code": self.code, "detail": self.detail}
        return said if self.retry_after is None else {**said, "retry_after": self.retry_after}


@dataclass(frozen=True, slots=True)
class Results:
    """Each mutation is refused with this code."""

    code: str

    def reply(self, body: Any) -> dict[str, Any]:
        error = {"code": self.code, "detail": "The link was told to refuse this."}
        return {"results": [{"mutation_id": one["mutation_id"], "outcome": "refused", "receipt": "refused", "error": error}
                            for one in body["mutations"]], "head": 0}


@dataclass(frozen=True, slots=True)
class Instead:
    status: int
    body: bytes
    content_type: str = "application/json"


Fault = Plain | Delayed | Late | Rewritten | Refused | Results | Instead

lose, swallow, half, repeat = Plain("lose"), Plain("swallow"), Plain("half"), Plain("repeat")


@dataclass(slots=True, eq=False)
class Rule:
    """Do `fault` to messages of a kind ("*": all), so many times (None: for ever); `hits` counts."""

    kind: str
    fault: Fault
    device: str | None = None
    way: Way | None = None
    times: int | None = None
    where: Callable[[Message], bool] | None = None
    hits: int = 0

    def takes(self, message: Message) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        if self.kind not in ("*", message.kind) or (self.device is not None and self.device != message.device):
            return False
        if self.way not in (None, message.way) or (self.where is not None and not self.where(message)):
            return False
        self.hits += 1
        return True

    def end(self) -> None:
        """From here on it does nothing."""
        self.times = 0
