"""The messages of the socket: JSON objects in text frames, told apart by `type`.

A device says `hello` first (with a token, unless it signed in by cookie), then whatever it likes. The server answers `welcome`, sends
every change after the device's cursor as `changes` (the reply of a pull), and goes on as the log grows. A `heartbeat` names the cursor
up to which everything has been sent: the device may take it as its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar

import msgspec
from websockets.frames import Frame as SocketFrame
from websockets.frames import Opcode

from holdfast.core.messages import Problem, PullReply, PushReply

__all__ = [
    "CHANGES_BYTES_MAX", "CLOSE_CODES", "FELL_BEHIND", "FORBIDDEN", "GOING_AWAY", "MALFORMED", "NOT_SIGNED_IN", "TOO_LATE", "UNAVAILABLE",
    "Errored", "Frame", "Heartbeat", "Hello", "Here", "Incoming", "Ping", "Place", "Pong", "PresenceList", "PushMessage", "Pushed",
    "Resume", "Welcome", "changes_frames", "decode", "frame_of",
]

T = TypeVar("T")

CHANGES_BYTES_MAX = 256 << 10
_NOTHING_YET = "0.00000000"

GOING_AWAY = 1001
MALFORMED = 4400
NOT_SIGNED_IN = 4401
FORBIDDEN = 4403
TOO_LATE = 4408
UNAVAILABLE = 4503
FELL_BEHIND = 4508

CLOSE_CODES = {
    GOING_AWAY: "The server is stopping (uvicorn says 1012): connect again.",
    MALFORMED: "Messages (or a cursor) that cannot be read: a mistake in the client.",
    NOT_SIGNED_IN: "No valid credential, or it ended: sign in, then connect again.",
    FORBIDDEN: "A cookie from a page of another site.",
    TOO_LATE: "No `hello` in time.",
    UNAVAILABLE: "The store could not be read: connect again in a while, with the cursor.",
    FELL_BEHIND: "The device read too slowly, and more than the limit waited for it: connect again with the cursor.",
}


# -- from the device -------------------------------------------------------------------------------------------------------
class Hello(msgspec.Struct, tag_field="type", tag="hello", kw_only=True):
    """First message. `cursor`: what the device has applied; null: everything from the start. `watch`: collections whose presence the
    device wants to hear of, besides that in the record it is in itself."""

    device_id: str
    token: str | None = None
    tenant: str | None = None
    cursor: str | None = None
    collections: list[str] | None = None
    contracts: dict[str, int] | None = None
    watch: list[str] = []


class Resume(msgspec.Struct, tag_field="type", tag="resume", kw_only=True):
    """Go on from another cursor: after a `reset`, when the device has taken a new snapshot."""

    cursor: str | None = None


class PushMessage(msgspec.Struct, tag_field="type", tag="push", kw_only=True):
    """A push of the device that said hello; `id` comes back with its answer."""

    id: str
    mutations: list[msgspec.Raw]
    now: int | None = None


class Place(msgspec.Struct, tag_field="type", tag="presence", kw_only=True):
    """Where the person is: a record, perhaps a field; no `record_id`: nowhere. `state` is the application's own (a selection, say)."""

    collection: str | None = None
    record_id: str | None = None
    field: str | None = None
    state: Any = None


class Ping(msgspec.Struct, tag_field="type", tag="ping", kw_only=True):
    id: str = ""


Incoming: TypeAlias = Hello | Resume | PushMessage | Place | Ping


# -- to the device ---------------------------------------------------------------------------------------------------------
class Welcome(msgspec.Struct, tag_field="type", tag="welcome", kw_only=True):
    session: str
    tenant: str
    actor_id: str
    device_id: str
    now: int
    heartbeat_ms: int


class Pushed(PushReply, tag_field="type", tag="pushed", kw_only=True):
    id: str


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", kw_only=True):
    cursor: str | None
    head: int
    backed_up_seq: int
    now: int


class Here(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Somebody in a record."""

    session: str
    actor_id: str
    device_id: str
    since: int
    field: str | None = None
    state: Any = None


class PresenceList(msgspec.Struct, tag_field="type", tag="presence", kw_only=True):
    """Everybody who is in the record now; replaces what was said of it before."""

    collection: str
    record_id: str
    here: list[Here]


class Pong(msgspec.Struct, tag_field="type", tag="pong", kw_only=True):
    id: str = ""


class Errored(msgspec.Struct, tag_field="type", tag="error", kw_only=True, omit_defaults=True):
    """A message that failed; the socket stays open. `id` is that of the push."""

    problem: Problem
    id: str | None = None


class Frame:
    """An encoded message. Its wire form (RFC 6455 frame, unmasked) is made once, however many sockets it goes to."""

    __slots__ = ("_wire", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        if self._wire is None:
            self._wire = SocketFrame(Opcode.TEXT, self.payload).serialize(mask=False)
        return self._wire

    def __len__(self) -> int:
        return len(self.payload)


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)
decode = _decoder.decode


def frame_of(message: msgspec.Struct) -> Frame:
    return Frame(_encoder.encode(message))


def changes_frames(reply: PullReply, start: str | None) -> list[Frame]:
    """The reply of a pull from `start` as `changes` messages of at most `CHANGES_BYTES_MAX` each (or one change, one record).

    Each part's cursor is one from which a device can resume. Records that came into view and those to forget therefore come before
    the cursor moves: a pull from a later cursor would not tell of them again."""
    whole = _changes_frame(reply)
    if len(whole) <= CHANGES_BYTES_MAX:
        return [whole]
    part = msgspec.structs.replace(reply, changes=[], records=[], forget=[], cursor=start or _NOTHING_YET, more=True)
    frames = [_changes_frame(msgspec.structs.replace(part, records=records)) for records in _parts(reply.records)]
    if reply.forget:
        frames.append(_changes_frame(msgspec.structs.replace(part, forget=reply.forget)))
    for changes in _parts(reply.changes):
        frames.append(_changes_frame(msgspec.structs.replace(part, changes=changes, cursor=changes[-1].position)))
    return [*frames, _changes_frame(msgspec.structs.replace(reply, changes=[], records=[], forget=[]))]


def _changes_frame(reply: PullReply) -> Frame:
    return Frame(b'{"type":"changes",' + _encoder.encode(reply)[1:])


def _parts(items: list[T]) -> Iterator[list[T]]:
    """`items` in runs of at most `CHANGES_BYTES_MAX` (a longer item stands alone)."""
    run: list[T] = []
    length = 0
    for item in items:
        bytes_of_item = len(_encoder.encode(item))
        if run and length + bytes_of_item > CHANGES_BYTES_MAX:
            yield run
            run, length = [], 0
        run.append(item)
        length += bytes_of_item
    if run:
        yield run
