"""The driver: what the suite asks of a kind of device. In Python it is the protocol `Driver`; for a page in a browser, or a program in
another language, each call is a JSON message (`docs/internals/device-suite.md`), and `call` does what one says.

A device is named by its `store`: whoever opens the same store again finds what was kept there, as a browser profile or a replica's file
does. A window is one of several that have the same store open at once (two tabs, two processes); most cases open one. Records are named
by collection and id, ops are those of the wire. Every call may fail with `DriverError`, whose `code` is one of the error codes of the
wire reference.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.core.errors import Malformed

__all__ = ["CALLS", "QUICK", "Driver", "DriverError", "Pace", "call", "render_calls"]

Json = Any


class DriverError(Exception):
    """What a device says when it will not, or cannot: a stable code and words for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a device waits, in milliseconds. The defaults are DESIGN's; under real time the suite asks for a quicker pace. A device takes
    each as given, and cases measure against it."""

    hold_ms: int = 500              # sent so long after the last edit of a record
    hold_ms_max: int = 2_000        # and so long after the first one at the latest
    backoff_ms: int = 1_000         # bound of the first wait before a retry
    backoff_ms_max: int = 60_000
    right_ms: int = 60_000          # how often to ask again while nobody is signed in, or the right is gone
    answer_ms_max: int = 60_000     # a push that is not answered by then is sent again
    silence_ms_max: int = 60_000    # a socket that says nothing so long is dead
    poll_ms: int = 5_000            # between two pulls where no socket comes through
    socket_again_ms: int = 300_000  # how long to poll before the socket is tried again
    lease_ms: int = 30_000          # how long until another window takes over from the one that sent and was ended


QUICK = Pace(hold_ms=50, hold_ms_max=200, backoff_ms=40, backoff_ms_max=400, right_ms=300, answer_ms_max=1_000, silence_ms_max=1_000,
             poll_ms=100, socket_again_ms=600, lease_ms=600)
"""For real time."""


class Driver(Protocol):
    """Every call names the window it is for."""

    async def open(self, window: str, *, store: str, token: str | None, contract: int, pace: Mapping[str, int], online: bool) -> Json:
        """Open a store in a window, with the records of `records.py` (cards under this contract). `online` false: nothing is tried until
        `set_online`. Returns {"device_id"}."""

    async def close(self, window: str) -> Json:
        """As a person closes it: what is unsent may be given a moment to arrive."""

    async def kill(self, window: str) -> Json:
        """As the operating system ends it: without notice. What `edit` has returned for is on the device's disk."""

    async def copy(self, store: str, to: str) -> Json:
        """Copy a store that no window has open, as a backup of a profile does, device id and all."""

    async def edit(self, window: str, *, collection: str, record_id: str, ops: Sequence[Json]) -> Json:
        """Make an edit, durable on the device when this returns. Neighbouring edits may become one mutation while they are unsent."""

    async def read(self, window: str, *, collection: str, record_id: str) -> Json:
        """The record as a person sees it, own unsent work included: {"fields", "deleted"}; null where there is none."""

    async def ids(self, window: str, *, collection: str) -> Json:
        """The ids of the collection's records that are here and not deleted."""

    async def status(self, window: str) -> Json:
        """{"name", "phrase", "waiting", "held", "refused", "cause"}"""

    async def pending(self, window: str) -> Json:
        """What the server has not acknowledged, oldest first: [{"mutation_id", "collection", "record_id", "ops"}]."""

    async def refused(self, window: str) -> Json:
        """What the server did not accept: the same, with "error" {"code", "detail"}."""

    async def receipt(self, window: str, *, collection: str, record_id: str) -> Json:
        """How far the work on a record has come: "local", "committed", "backed_up", "held", "refused" or "memory"."""

    async def inbox(self, window: str) -> Json:
        """What waits for a decision: items as `GET /v1/inbox/{id}` has them, with both values."""

    async def resolve(self, window: str, *, item_id: str, resolution: Json) -> Json:
        """Settle one: {"apply": true}, {"discard": true} or {"value": {path: value}}."""

    async def undo(self, window: str, *, collection: str, record_id: str) -> Json:
        """Take this device's newest change of the record back; returns when it shows."""

    async def redo(self, window: str, *, collection: str, record_id: str) -> Json:
        """Take the newest undo back; returns when it shows."""

    async def sign_in(self, window: str, *, token: str) -> Json:
        """Go on with a new token."""

    async def sign_out(self, window: str, *, unsent: str) -> Json:
        """`unsent` "ask": fails with `state` where something is unsent; "keep", "discard"."""

    async def set_online(self, window: str, *, online: bool) -> Json:
        """The program knows whether there is a network; without one nothing is tried."""

    async def retry_now(self, window: str) -> Json:
        """A person does not want to wait for the next try."""

    async def export(self, window: str) -> Json:
        """What is unsent, as JSON with a list "mutations"."""

    async def drop(self, window: str, *, mutation_id: str) -> Json:
        """Give a refused change up."""

    async def send_again(self, window: str, *, mutation_id: str) -> Json:
        """Make a refused change again."""

    async def synced(self, window: str, *, seconds: float) -> Json:
        """Send everything now, and wait until the server has it and this device all that the server had then; whether that came about."""


CALLS: Mapping[str, tuple[str, ...]] = {
    name: tuple(one for one in inspect.signature(method).parameters if one != "self")
    for name, method in vars(Driver).items() if inspect.iscoroutinefunction(method)}
"""Every call with the names of its arguments: what the document's table shows, and what a page must answer."""


def render_calls() -> str:
    """The calls as the table of docs/internals/device-suite.md."""
    lines = ["| call | arguments | what it does |", "|---|---|---|"]
    for name, arguments in CALLS.items():
        said = " ".join((getattr(Driver, name).__doc__ or "As the one before it.").split())
        lines.append(f"| `{name}` | {', '.join(f'`{one}`' for one in arguments)} | {said} |")
    return "\n".join(lines) + "\n"


async def call(driver: Driver, name: str, arguments: Mapping[str, Json]) -> Json:
    """Do what a JSON message says. Raises DriverError, Malformed (no such call, or other arguments than its own)."""
    wanted = CALLS.get(name)
    if wanted is None or set(arguments) != set(wanted):
        raise Malformed(f"There is no call {name} with {', '.join(sorted(arguments)) or 'no arguments'}.",
                        hint=f"{name} takes {', '.join(wanted)}." if wanted else f"The calls are {', '.join(CALLS)}.")
    return await getattr(driver, name)(**arguments)

