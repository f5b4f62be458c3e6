"""The id that a device takes when it has to leave its own (its file was copied, or it forgot what it had sent).

Of two insertions at one place that of the smaller device id stands left (`core.waiting.stands_left`), on the device as at the server.
What is pending was typed on a view in the order of the old id, and what was typed later counts on where the earlier stood. So the new id
is taken right above the old one, below every device whose work waits here: then nothing changes places.
"""

from __future__ import annotations

import re
from typing import Final

from holdfast.client.device import Device
from holdfast.client.outbox import ACTIONS

__all__ = ["new_id_of"]

RANDOM_BITS: Final = 62
"""The last bits of a UUIDv7 that are random (RFC 9562 section 5.7); those before them stay as they are."""

ROOM_MIN: Final = 1 << 32
ROOM_MAX: Final = 1 << 56
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_id_of(device: Device) -> str:
    """A new device id in the place of the present one. Where there is no room for one: any new id."""
    old = device.device_id
    if not _UUID.fullmatch(old):
        return device.runtime.uuid7()
    number = _number(old)
    ends = [_number(one) for one in _rivals(device) if one > old and _UUID.fullmatch(one)]
    room = min([ROOM_MAX, (1 << RANDOM_BITS) - 1 - number % (1 << RANDOM_BITS), *(end - number - 1 for end in ends)])
    if room < ROOM_MIN:
        return device.runtime.uuid7()
    text = f"{number + 1 + int.from_bytes(device.runtime.random_bytes(8), 'big') % room:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _rivals(device: Device) -> set[str]:
    """The devices whose work pending work goes past."""
    found: set[str] = set()
    for key in device.lanes:
        if key[0] != ACTIONS:
            ground = device.ground(key)
            found.update(entry.device_id for entry in ground.since)
            if ground.context is not None:
                found.update(other.device_id for waiting in ground.context.texts.values() for other in waiting)
    return found


def _number(uuid: str) -> int:
    return int(uuid.replace("-", ""), 16)
