"""Frames on the socket between the server's process (or the command line) and the writer's: 4 bytes length, 4 bytes number (big
endian), then MessagePack. A work's number comes back with its answer. Number 0 is the writer speaking by itself: `Hello` first, then
`Hints`, one after each commit.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import msgspec

from holdfast.core.errors import StorageFailed

__all__ = ["BY_ITSELF", "FRAME_BYTES_MAX", "FrameBuffer", "Hello", "Hints", "Spoken", "decode_spoken", "encode_spoken", "frame"]

FRAME_BYTES_MAX = 64 << 20
PROTOCOL_VERSION = 1
BY_ITSELF = 0

_HEADER = struct.Struct("!II")
_encoder = msgspec.msgpack.Encoder()


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Who writes: both sides must have the same protocol; `schema` (digest) tells whether they know the same collections."""

    protocol: int
    schema: str
    pid: int


class Hints(msgspec.Struct, frozen=True, array_like=True, tag=2):
    grown: dict[str, int]


Spoken: TypeAlias = Hello | Hints
_spoken_decoder: msgspec.msgpack.Decoder[Spoken] = msgspec.msgpack.Decoder(Spoken)


def frame(number: int, body: bytes) -> bytes:
    return _HEADER.pack(len(body), number) + body


def encode_spoken(spoken: Spoken) -> bytes:
    return frame(BY_ITSELF, _encoder.encode(spoken))


def decode_spoken(body: bytes) -> Spoken:
    return _spoken_decoder.decode(body)


class FrameBuffer:
    """Bytes in, whole frames out, as (number, body)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Raises StorageFailed if the other side sends a frame that no Holdfast sends."""
        data = self._rest + data if self._rest else data
        frames: list[tuple[int, bytes]] = []
        at, end, header = 0, len(data), _HEADER.size
        while end - at >= header:
            length, number = _HEADER.unpack_from(data, at)
            if length > FRAME_BYTES_MAX:
                raise StorageFailed(f"A frame of {length:,} bytes came over the writer's socket; at most {FRAME_BYTES_MAX:,} are allowed.")
            if end - at - header < length:
                break
            at += header
            frames.append((number, data[at:at + length]))
            at += length
        self._rest = data[at:] if at else data
        return frames
