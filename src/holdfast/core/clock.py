"""Hybrid logical clocks: stamps that say which of two concurrent edits of one place is the later one (DESIGN section 5).

A stamp is milliseconds since 1970 and a counter of 16 bits, packed as `ms << 16 | counter`, so that stamps compare as whole
numbers; as text it is "ms:counter". Knowledge beats clocks: a stamp is compared only between concurrent changes of one place, and
the one a device gives is corrected before (`decided`). Ties are broken by `device_id`, elsewhere.

Source: S. Kulkarni and others, Logical Physical Clocks (2014). Everything here is a function of its arguments: no clock is read.
"""

from __future__ import annotations

from holdfast.core.errors import Malformed
from holdfast.core.limits import Limits

__all__ = ["COUNTER_BITS", "MS_MAX", "decided", "pack", "parse", "receive", "render", "tick", "unpack"]

COUNTER_BITS = 16
MS_MAX = (1 << 47) - 1
"""Keeps a stamp within 63 bits: the year 6429. A clock beyond it is read as standing at it; the server's time decides anyway."""

_COUNTER_MAX = (1 << COUNTER_BITS) - 1
_MS_DIGITS, _COUNTER_DIGITS = 16, 5


def pack(ms: int, counter: int = 0) -> int:
    """The stamp of a time (0 to MS_MAX) and a counter (0 to 65535); a counter beyond carries into the time."""
    return (ms << COUNTER_BITS) + counter


def unpack(stamp: int) -> tuple[int, int]:
    """(ms, counter) of a stamp."""
    return stamp >> COUNTER_BITS, stamp & _COUNTER_MAX


def render(stamp: int) -> str:
    """A stamp as text: "1763647080000:3"."""
    return f"{stamp >> COUNTER_BITS}:{stamp & _COUNTER_MAX}"


def parse(text: str) -> int:
    """The stamp that `text` ("ms:counter") says. Raises Malformed."""
    ms, colon, counter = text.partition(":")
    if not (colon and ms.isdigit() and counter.isdigit() and text.isascii() and len(ms) <= _MS_DIGITS and len(counter) <= _COUNTER_DIGITS
            and int(counter) <= _COUNTER_MAX):
        raise Malformed("A stamp is milliseconds since 1970, a colon and a counter up to 65535", field="edited_at",
                        hint='Send it as text, such as "1763647080000:0".')
    return pack(min(int(ms), MS_MAX), int(counter))


def decided(edited_at: int | None, *, offset_ms: int, now: int, seen: int, limits: Limits) -> int:
    """The stamp that an edit is judged by.

    `edited_at`: stamp by the device, None for the server's own time. `offset_ms`: how far the device's present clock is ahead of the
    server's (negative: behind), subtracted if it is over `limits.clock_skew_ms_max` either way. `now`: the server's time, ms. `seen`:
    newest stamp that the device had seen in the record, its own previous one included (0 for none): the result is later than it,
    even if that is in the future.
    """
    if edited_at is None:
        stamp = now << COUNTER_BITS
    else:
        stamp = edited_at
        if abs(offset_ms) > limits.clock_skew_ms_max:
            stamp = max(stamp - (offset_ms << COUNTER_BITS), 0)
        if stamp >> COUNTER_BITS > now:
            stamp = now << COUNTER_BITS
    return stamp if stamp > seen else seen + 1


def tick(last: int, now_ms: int) -> int:
    """A device's next stamp for an edit of its own: its clock's time, but always later than `last`, the newest it knows."""
    stamp = now_ms << COUNTER_BITS
    return stamp if stamp > last else last + 1


def receive(last: int, seen: int, now_ms: int) -> int:
    """A device's newest stamp after it has seen somebody else's `seen`: later than both, so that its next edit is too."""
    return tick(max(last, seen), now_ms)
