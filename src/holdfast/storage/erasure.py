"""What erasing leaves of an entry: that it was, by whom, when, about which record and with which outcome; not what it said."""

from __future__ import annotations

import msgspec

from holdfast.core.entry import Entry, Request

__all__ = ["erased"]


def erased(entry: Entry) -> Entry:
    """`entry` without its payload (exactly the fields that `core.digest.payload` covers) and marked as erased."""
    return msgspec.structs.replace(entry, sent=None, ops=[], undo=[], unapplied=[], extra={}, request=Request(), erased=True)
