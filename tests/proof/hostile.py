"""Hostile values and mutations: what is wrong in kind, size, depth, encoding or intent. Strategies for Hypothesis, and the pools they draw
from, which tests also walk through one by one."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from tests.core.corpus import naughty_strings
from tests.proof.world import named_id

__all__ = ["ODD_STRINGS", "TEMPLATES", "VALUES", "bent", "garbage", "good", "raw_garbage"]

DEEP: Any = "x"
for _ in range(60):
    DEEP = [DEEP]

ODD_STRINGS: list[str] = [
    "", " ", "\u0001", "\ufeff", "\uffff", "x" * 30_000, "\u202e", "e\u0301" * 50, "👨‍👩‍👧", "/", "~", "~2", "//", "/~",
    "/extra/" + "a/" * 200, "/extra/__proto__/x", "../../etc/passwd", "%00", "'; DROP TABLE notices; --", "$sealed", "{{7*7}}",
    "${jndi:ldap://x}", "NaN", "Infinity", "-0", "1e400", "0x10", "9" * 400, "１２", "1.00", "-1.00", "1.001", "2026-02-30",
    "0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "null", "true", "!system", "system", "0.00000000", "1.00000000",
    "99999999999999999999.aaaaaaaa", "9007199254740991.ffffffff", "-1.00000000", "1.zzzzzzzz", "9007199254740991:65535", "0:0", "-1:0",
    "1:999999", "members", "hf_heads", "sqlite_master"]
VALUES: list[Any] = [*ODD_STRINGS, None, True, False, 0, -1, 1, 2**31, 2**53 - 1, -(2**53) + 1, 0.5, -0.0, 1e308, 5e-324, [], {}, [None],
                     [[]], {"": ""}, {"$sealed": "v1.1.xxxx"}, {"$promised": [0]}, {"a": {"b": {"c": [1, {"d": 2}]}}}, DEEP, ["x"] * 3_000,
                     {str(at): at for at in range(3_000)}, [[0, 0, "x"]] * 50, [[-1, 0, "x"]], [[0, -1, "x"]], [[2**53, 2**53, "x"]],
                     [["0", 0, "x"]], [[0, 0]], [0, 0, "x"]]

WALL = named_id("wall")


def mutation(record: str, op: dict[str, Any], collection: str = "notices", **more: Any) -> dict[str, Any]:
    return {"mutation_id": "m", "collection": collection, "record_id": record, "ops": [op], "after": None, "base": None, "contract": 1,
            **more}


FULL = {"title": "t", "body": "b", "code": "c", "fee": "1.00", "views": 1, "tags": ["a"], "extra": {"k": 1}, "pin": "p", "patient": WALL}
TEMPLATES: list[dict[str, Any]] = [
    mutation("{new}", {"op": "create", "value": FULL}),
    mutation("{new}", {"op": "create", "value": {"person": "x", "file": {"k": "v"}, "secret_fee": "s", "ward": "west", "plan": {}}},
             "patients"),
    mutation("{new}", {"op": "create", "value": {"patient": WALL, "day": 3, "findings": "f"}}, "visits"),
    mutation("{new}", {"op": "create", "value": {"display_name": "x", "roles": ["a"], "settings": {}, "last_active_at": None}}, "members"),
    mutation(WALL, {"op": "set", "path": "/title", "value": "x"}, edited_at="1800000000000:0"),
    mutation(WALL, {"op": "set", "path": "/extra/a/b", "value": {"c": 1}}, atomic=True),
    mutation(WALL, {"op": "set", "path": "/body", "value": "longer text"}, base="1.00000000"),
    mutation(WALL, {"op": "set", "path": "/fee", "value": "1.00"}), mutation(WALL, {"op": "set", "path": "/pin", "value": "1"}),
    mutation(WALL, {"op": "set", "path": "/views", "value": 7}), mutation(WALL, {"op": "set", "path": "/tags", "value": ["b"]}),
    mutation(WALL, {"op": "unset", "path": "/code"}), mutation(WALL, {"op": "unset", "path": "/extra/a"}),
    mutation(WALL, {"op": "splice", "path": "/body", "edits": [[0, 0, "x"]]}),
    mutation(WALL, {"op": "splice", "path": "/body", "edits": [[0, 1, "é"], [1, 0, "👩"]]}, base="1.00000000"),
    mutation(WALL, {"op": "add", "path": "/views", "by": 2**53 - 1}), mutation(WALL, {"op": "add", "path": "/views", "by": -1}),
    mutation(WALL, {"op": "include", "path": "/tags", "items": ["x"]}), mutation(WALL, {"op": "exclude", "path": "/tags", "items": ["x"]}),
    mutation("{new}", {"op": "delete"}), mutation("{new}", {"op": "undelete"}),
    mutation(WALL, {"op": "set", "path": "/title", "value": "f"}, forked_from={"device_id": "dev-dora", "mutation_id": "dev-dora.1"}),
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every member inside `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, one in inside for way in [(*at, key), *places(one, (*at, key))]]


@st.composite
def bent(draw: st.DrawFn) -> dict[str, Any]:
    """A mutation as it should be, but for one to three places that were replaced, removed or added."""
    made = copy.deepcopy(draw(st.sampled_from(TEMPLATES)))
    for _ in range(draw(st.integers(1, 3))):
        ways = places(made)
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        holder = made
        for step in way:
            holder = holder[step]
        kind = draw(st.sampled_from(("replace", "replace", "remove", "add", "twice")))
        if kind == "replace":
            holder[last] = draw(any_value)
        elif kind == "remove":
            del holder[last]
        elif kind == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(ODD_STRINGS))[:200]] = draw(any_value)
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
    return made


scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
DAMAGE = (b"\\u0000", b"\\ud800", b"1e999", b'"a":1,"a":2', b"[" * 40)
json_values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
                           max_leaves=12)
any_value = st.sampled_from([*VALUES, *naughty_strings()]).map(copy.deepcopy) | json_values


def garbage() -> st.SearchStrategy[Any]:
    """A mutation that is none, or hardly one."""
    return st.one_of(bent(), bent(), json_values)


@st.composite
def raw_garbage(draw: st.DrawFn) -> bytes:
    """The same as bytes, damaged: JSON that may be none."""
    text = bytearray(json.dumps(draw(bent())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        if draw(st.booleans()):
            text[at:at] = draw(st.binary(min_size=1, max_size=3) | st.sampled_from(DAMAGE))
        else:
            del text[at:at + draw(st.integers(1, 8))]
    return bytes(text)


def good(number: int, at: int) -> dict[str, Any]:
    """A mutation with nothing wrong."""
    return {"mutation_id": f"good-{number}-{at}", "collection": "notices", "record_id": named_id(f"good {number} {at}"),
            "ops": [{"op": "create", "value": {"title": f"good {number} {at}"}}]}
