"""The whole suite, in the order in which it is best read."""

from __future__ import annotations

from collections import Counter
from typing import Final

from holdfast.testing.devices import connecting, merging, restoring, retrying, rights, sending
from holdfast.testing.devices.cases import Case, named

__all__ = ["CASES", "render_table"]

MODULES: Final = (sending, retrying, connecting, merging, rights, restoring)

CASES: Final[tuple[Case, ...]] = tuple(one for module in MODULES for one in named(module))

_doubled = [name for name, times in Counter(one.name for one in CASES).items() if times > 1]
assert not _doubled, f"two cases bear one name: {_doubled}"


def render_table() -> str:
    """The cases as the table of docs/internals/device-suite.md."""
    lines = ["| case | section of the design |", "|---|---|"]
    lines += [f"| {one.name} | {one.section} |" for one in CASES]
    return "\n".join(lines) + "\n"
