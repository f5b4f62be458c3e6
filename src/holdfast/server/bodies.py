"""Bodies of calls: read under a limit, decoded strictly, checked against their declared form.

Strictly means as core does (`values.decode_json`): UTF-8, no duplicate keys, no U+0000, no lone surrogates, finite numbers. Unknown
members are an error that names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from starlette.types import Receive

from holdfast.core import values
from holdfast.core.errors import InvalidValue, LimitExceeded, Malformed, UnsupportedMedia
from holdfast.core.misfit import misfit

__all__ = ["ClientGone", "convert", "raise_if_not_json", "read_body"]

T = TypeVar("T")


class ClientGone(Exception):
    """The client went away while it was sending: nobody waits for an answer."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], bytes_max: int) -> bytes:
    """The whole body. Raises LimitExceeded as soon as more than `bytes_max` is announced or has come, ClientGone."""
    announced = headers.get(b"content-length")
    if announced is not None:
        if not announced.isdigit():         # our own listener has refused it already; another ASGI server may not
            raise Malformed("The Content-Length is no number.", hint="Send the length in bytes.")
        if len(announced) > 15 or int(announced) > bytes_max:
            raise _too_long(bytes_max)
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_long(bytes_max)
        return body
    parts, length = [body], len(body)
    while message.get("more_body", False):
        if length > bytes_max:
            raise _too_long(bytes_max)
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message.get("body", b""))
        length += len(parts[-1])
    if length > bytes_max:
        raise _too_long(bytes_max)
    return b"".join(parts)


def _too_long(bytes_max: int) -> LimitExceeded:
    return LimitExceeded(f"The body is longer than {bytes_max} bytes.", maximum=bytes_max, unit="bytes")


def raise_if_not_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise UnsupportedMedia unless the body says it is plain JSON. (A form can be sent by any site's page without asking; JSON cannot.)"""
    said = headers.get(b"content-type", b"")
    if said == b"application/json" and b"content-encoding" not in headers:
        return                              # what nearly every call says
    kind = said.partition(b";")
    if kind[0].strip().lower() != b"application/json":
        raise UnsupportedMedia("The body must be application/json.")
    charset = kind[2].strip().lower().replace(b" ", b"").replace(b'"', b"")
    if charset and charset != b"charset=utf-8":
        raise UnsupportedMedia("JSON is UTF-8; another character set cannot be read.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMedia("A compressed body is not taken.")


def decode(body: bytes) -> Any:
    """The JSON value of a body. Raises Malformed."""
    try:
        return values.decode_json(body)
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None


def convert(body: bytes, kind: type[T]) -> T:
    """The body as a value of `kind` (a msgspec Struct). Raises Malformed (no JSON), InvalidValue (not of that form; says where)."""
    decoded = decode(body)
    try:
        return msgspec.convert(decoded, kind)
    except msgspec.ValidationError as error:
        raise invalid_form(error) from None
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None


def invalid_form(error: msgspec.ValidationError) -> InvalidValue:
    """What `misfit` makes of it, as the answer to a call."""
    reason, place = misfit(error)
    return InvalidValue(f"The body is not of the expected form: {reason}.", field=place)
