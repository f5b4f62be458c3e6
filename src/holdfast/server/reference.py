"""The parts of `docs/reference/wire.md` that are made from the code: calls, bodies, messages of the socket, close codes."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any

import msgspec

from holdfast.core import messages as wire
from holdfast.core import ops
from holdfast.core.entry import ForkedFrom, Mutation
from holdfast.server import forms
from holdfast.server.app import built_in_routes
from holdfast.server.calls import Route
from holdfast.server.live import messages as live
from holdfast.server.openapi import errors_of

__all__ = ["PARTS", "fill"]

_INCOMING = (live.Hello, live.Resume, live.PushMessage, live.Place, live.Ping)
_OUTGOING = (live.Welcome, live.Pushed, live.Heartbeat, live.PresenceList, live.Pong, live.Errored)
_BODIES = (forms.LogIn, forms.NewPassword, wire.Push, Mutation, ForkedFrom, forms.SnapshotQuery, forms.Since, forms.Wanted,
           forms.DeviceReport, forms.CreateRecord, forms.ChangeRecord, forms.NameVersion, forms.Restore, forms.Undo, forms.Redo,
           forms.Resolve)
_REPLIES = (forms.LoggedIn, wire.PushReply, wire.Result, wire.Problem, wire.PullReply, wire.Change, forms.RecordView, forms.RecordPage,
            forms.Saved, forms.SinceReply, forms.History, forms.InboxPage)
_OPS = (ops.SetOp, ops.UnsetOp, ops.SpliceOp, ops.AddOp, ops.IncludeOp, ops.ExcludeOp, ops.CreateOp, ops.DeleteOp, ops.UndeleteOp)
_OP_MEANINGS = {"splice": "Edits of a `Text`.", "add": "Adds to a `Counter`.", "include": "Puts items into a `Set`.",
                "exclude": "Takes items out of a `Set`."}
_BY_SERVER = {"restated", "if_empty"}
_ALWAYS = {"malformed", "not_signed_in", "forbidden", "overloaded", "internal", "limit", "media_type", "too_slow", "invalid"}


def calls() -> str:
    """One line per row of the route table."""
    lines = ["| call | takes | answers | may be refused as |", "|---|---|---|---|"]
    for route in built_in_routes():
        takes = [f"`?{parameter.name}=`" for parameter in route.query] + [f"`{parameter.name}`" for parameter in route.headers]
        takes += ["`?field=`"] if route.filtered else []
        takes += [f"`{_body_name(route)}`"] if route.body is not None else []
        answers = ", ".join(f"{status} {_reply_name(kind)}".strip() for status, kind in sorted(route.replies.items()))
        codes = sorted({error.code for error in errors_of(route)} - _ALWAYS)
        who = "" if not route.public else " (anybody)"
        lines.append(f"| `{route.method} {route.path}`<br>{route.summary}{who} | {', '.join(takes)} | {answers} | "
                     f"{', '.join(f'`{code}`' for code in codes)} |")
    return "\n".join(lines)


def _body_name(route: Route) -> str:
    if route.name == "push":
        return "Push"
    return getattr(route.body, "__name__", "object") if route.body is not dict else "{…}"


def _reply_name(kind: Any) -> str:
    if kind is None:
        return ""
    if isinstance(kind, str):
        return f"`{kind.partition(';')[0]}`"
    return "JSON" if kind is dict else f"`{kind.__name__}`"


def changes_of_records() -> str:
    """The ops, as a device sends them."""
    lines = ["| op | members | what it does |", "|---|---|---|"]
    for op in _OPS:
        members = "; ".join(one for one in _fields(op) if one.split("`")[1] not in _BY_SERVER)
        name = str(op.__struct_config__.tag)
        lines.append(f"| `{name}` | {members} | {_doc(op) or _OP_MEANINGS[name]} |")
    return "\n".join(lines)


def bodies() -> str:
    return "\n\n".join(_struct(one) for one in _BODIES)


def replies() -> str:
    return "\n\n".join(_struct(one) for one in _REPLIES)


def incoming() -> str:
    return "\n\n".join(_struct(one, message=True) for one in _INCOMING)


def outgoing() -> str:
    told = "**`changes`** — the reply of a pull (`PullReply`), in parts of at most " \
           f"{live.CHANGES_BYTES_MAX >> 10} KiB (or one change, one record); each part's `cursor` is one to resume from."
    return "\n\n".join([told, *(_struct(one, message=True) for one in _OUTGOING)])


def close_codes() -> str:
    lines = ["| code | when |", "|---|---|"]
    return "\n".join([*lines, *(f"| {code} | {meaning} |" for code, meaning in sorted(live.CLOSE_CODES.items()))])


def _struct(kind: type[msgspec.Struct], *, message: bool = False) -> str:
    name = kind.__struct_config__.tag if message else kind.__name__
    doc, fields = _doc(kind), "; ".join(_fields(kind))
    return f"**`{name}`**{f' — {doc}' if doc else ''}" + (f"<br>{fields}" if fields else "")


def _doc(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        yield f"`{field.encode_name}`{'' if field.required else '?'} {_type(field.type)}"


def _type(hint: Any) -> str:
    """A hint in words: `str | None` is text or null, `list[Op]` a list of Op."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        structs = [one for one in arguments if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        if len(structs) > 3:
            return "op"
        kinds = [_type(one) for one in arguments if one is not type(None)]
        return " or ".join([*kinds, "null"] if type(None) in arguments else kinds)
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"object of {_type(arguments[1])}" if arguments[1] is not Any else "object"
    if hint is msgspec.Raw:
        return "object"
    if origin is tuple:
        return f"[{', '.join(_type(one) for one in arguments)}]"
    names: dict[Any, str] = {str: "text", int: "whole number", bool: "true or false", Any: "any value", dict: "object"}
    return names.get(hint) or f"`{hint.__name__}`"


PARTS: dict[str, Callable[[], str]] = {
    "calls": calls, "ops": changes_of_records, "bodies": bodies, "replies": replies, "incoming": incoming,
    "outgoing": outgoing, "close codes": close_codes,
}


def fill(text: str) -> str:
    """`text` with what stands between `<!-- made: NAME -->` and `<!-- end -->` made anew. Raises ValueError for a part that is missing."""
    for name, render in PARTS.items():
        start, end = f"<!-- made: {name} -->\n", "\n<!-- end -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"The part {name!r} is missing.")
        text = before + start + render() + end + after
    return text
