"""JSON Pointers (RFC 6901): the paths of ops.

A pointer is text: empty for the whole, else `/` before each segment, with `~` written `~0` and `/` written `~1`. Every place has
exactly one spelling, so two pointers name one place if and only if they are equal as text, and one is an ancestor of the other if
and only if it is a prefix that ends where a segment ends. The functions that compare therefore never parse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from holdfast.core.errors import Malformed

__all__ = ["SEGMENTS_MAX", "contains", "first", "join", "overlaps", "parent", "parse", "render"]

SEGMENTS_MAX = 200
"""More segments than any limit on depth allows; keeps what ops build shallow enough for every JSON codec."""

_BAD_ESCAPE = re.compile(r"~(?![01])")


def parse(path: str) -> tuple[str, ...]:
    """The segments of `path`: "" -> (), "/a~1b/0" -> ("a/b", "0"), "/" -> ("",). Raises Malformed (RFC 6901 section 3)."""
    if not path:
        return ()
    if path[0] != "/":
        raise Malformed("A path starts with a slash", field=path[:80], hint="Write it as a JSON Pointer (RFC 6901), such as /notes.")
    parts = path.split("/")
    if len(parts) > SEGMENTS_MAX:
        raise Malformed(f"A path has at most {SEGMENTS_MAX} segments; this one has {len(parts) - 1}", field=path[:80],
                        hint="Keep such data flatter.")
    if "~" not in path:
        return tuple(parts[1:])
    if _BAD_ESCAPE.search(path):
        raise Malformed("In a path a tilde is followed by 0 or 1", field=path[:80], hint="Write ~ as ~0 and / as ~1 (RFC 6901).")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts[1:])


def render(segments: Iterable[str]) -> str:
    """The pointer of `segments`, the inverse of `parse`: ("a/b", "0") -> "/a~1b/0"."""
    return "".join(["/" + segment.replace("~", "~0").replace("/", "~1") for segment in segments])


def join(path: str, segment: str) -> str:
    """The pointer of the member `segment` of the object at `path`."""
    return f"{path}/" + segment.replace("~", "~0").replace("/", "~1")


def first(path: str) -> str:
    """The first segment, which names the field: "/j/a" -> "j". Raises Malformed for what is no pointer to a field."""
    if not path.startswith("/"):
        raise Malformed("A path starts with a slash and names a field", field=path[:80], hint="Write it as a JSON Pointer, such as /notes.")
    end = path.find("/", 1)
    name = path[1:] if end < 0 else path[1:end]
    return parse("/" + name)[0] if "~" in name else name


def parent(path: str) -> str:
    """The pointer one segment shorter: "/j/a" -> "/j". The whole ("") is its own parent."""
    return path[:path.rfind("/")] if path else ""


def contains(outer: str, inner: str) -> bool:
    """Whether `inner` is the place `outer` or lies inside it: ("/j", "/j/a") yes, ("/j", "/jolly") no."""
    return inner == outer or inner.startswith(outer + "/")


def overlaps(left: str, right: str) -> bool:
    """Whether two pointers are the same place in the sense of merging: equal, or one an ancestor of the other, by whole segments."""
    return left == right or left.startswith(right + "/") or right.startswith(left + "/")
