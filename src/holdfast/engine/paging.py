"""Cursors of pages: opaque text that says where the page before ended. They hold nothing that their caller was not shown, belong to the
query that made them, and anything else is Malformed: a cursor is input like any other."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.core.errors import Malformed

__all__ = ["Cursor", "fingerprint", "number_cursor", "read_number"]

CURSOR_CHARACTERS_MAX = 4_000
NUMBER_DIGITS_MAX = 16
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[str, list[str | int | float | bool | None]])


def fingerprint(*parts: Any) -> str:
    """Tells queries apart: a cursor of another query is refused."""
    return hashlib.sha256(_encoder.encode(parts)).hexdigest()[:16]


class Cursor:
    """Where a page of records ended: the sort values and the id of its last record."""

    @staticmethod
    def write(query: str, values: Sequence[Any]) -> str:
        return base64.urlsafe_b64encode(_encoder.encode((query, list(values)))).decode().rstrip("=")

    @staticmethod
    def read(query: str, text: str, length: int) -> tuple[Any, ...]:
        """The values of a cursor that `write` made for the same query. Raises Malformed."""
        problem = Malformed("This cursor was not made by this query.", field="cursor", hint="Start again without a cursor.")
        if len(text) > CURSOR_CHARACTERS_MAX or not text.isascii():
            raise problem
        try:
            made_for, values = _decoder.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError):
            raise problem from None
        if made_for != query or len(values) != length or not isinstance(values[-1], str):
            raise problem
        return tuple(values)


def number_cursor(number: int) -> str:
    return str(number)


def read_number(text: str | None) -> int | None:
    """A cursor that is a number of the log. Raises Malformed."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > NUMBER_DIGITS_MAX:
        raise Malformed("This is no cursor of this list.", field="cursor", hint="Start again without a cursor.")
    return int(text)
