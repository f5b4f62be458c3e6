"""Where JSON is not of the form that was declared: msgspec's message, as what is wrong and a JSON Pointer to it.

msgspec says "Expected `int`, got `str` - at `$.steps[0].at`"; of a member that is missing or unknown it says where the object stands,
and the member's name inside the sentence. Below a map it does not say the key (`$.prices[...].at`): there the pointer ends at the map.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

__all__ = ["Misfit", "misfit"]

_WHERE: Final = re.compile(r" - at `\$(.*)`$")
_MEMBER: Final = re.compile(r"^Object (?:missing required|contains unknown) field `(.*)`$", re.DOTALL)
_SEGMENT: Final = re.compile(r"\[(\d+)\]|\.")
_UNKNOWN_KEY: Final = "[...]"


class Misfit(NamedTuple):
    reason: str
    place: str | None       # None: the whole of it


def misfit(error: msgspec.ValidationError) -> Misfit:
    """What does not fit, and where."""
    message = str(error)
    where = _WHERE.search(message)
    reason = message if where is None else message[:where.start()]
    path, unsaid, _ = ("" if where is None else where[1]).partition(_UNKNOWN_KEY)
    place = _SEGMENT.sub(lambda found: "/" + (found[1] or ""), path)
    member = None if unsaid else _MEMBER.match(reason)
    if member is not None:
        place += "/" + member[1].replace("~", "~0").replace("/", "~1")
    return Misfit(reason, place or None)
