"""The ops of the wire, as cases write them."""

from __future__ import annotations

from typing import Any

__all__ = ["add", "ask", "create", "delete", "exclude", "include", "put", "typed", "undelete"]

Op = dict[str, Any]


def create(**fields: Any) -> Op:
    return {"op": "create", "value": fields}


def put(field: str, value: Any) -> Op:
    """Set a field, or "field/place"."""
    return {"op": "set", "path": f"/{field}", "value": value}


def typed(at: int, inserted: str, deleted: int = 0, field: str = "body") -> Op:
    """Type into a text."""
    return {"op": "splice", "path": f"/{field}", "edits": [[at, deleted, inserted]]}


def add(field: str, by: int) -> Op:
    return {"op": "add", "path": f"/{field}", "by": by}


def include(field: str, *items: str) -> Op:
    return {"op": "include", "path": f"/{field}", "items": list(items)}


def exclude(field: str, *items: str) -> Op:
    return {"op": "exclude", "path": f"/{field}", "items": list(items)}


def ask(amount: str) -> Op:
    """Set the price, about which two people who set it at once are asked."""
    return put("price", amount)


def delete() -> Op:
    return {"op": "delete"}


def undelete() -> Op:
    return {"op": "undelete"}
