"""Workshop: the page that shows its declaration shows the one that is served. (Its blocks are run with all others, in tests/docs.)"""

from __future__ import annotations

from typing import Any

from holdfast import Record, compile_schema
from holdfast.apps.workshop import app
from tests.docs.blocks import PROJECT, blocks_of

PAGE = PROJECT / "docs" / "apps" / "workshop.md"


def shown() -> list[type[Record]]:
    """The record classes of the block that declares them."""
    code = next(block.code for block in blocks_of(PAGE) if "class Workshop(Record" in block.code)
    namespace: dict[str, Any] = {"__name__": "shown"}
    exec(compile(code, PAGE.name, "exec", dont_inherit=True), namespace)
    return [one for one in namespace.values() if isinstance(one, type) and issubclass(one, Record) and one.__module__ == "shown"]


def test_the_declaration_shown_is_the_one_that_is_served() -> None:
    assert compile_schema(shown()).digest == compile_schema(app.records).digest


def test_every_address_of_the_application_is_in_the_table() -> None:
    text = PAGE.read_text("utf-8")
    assert not [one for one in app.routes if f"| `{one.method} {one.path}`" not in text]
