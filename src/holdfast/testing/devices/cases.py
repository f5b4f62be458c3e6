"""The table of cases. A case is a coroutine that is given a `Bench`; its name is a sentence of the specification, its docstring says more,
`section` where in the design it stands. Every kind of device runs all of them, under the same names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.core.limits import Limits
from holdfast.testing.devices.bench import Bench, Setting
from holdfast.testing.devices.driver import Driver
from holdfast.testing.devices.link import Link

__all__ = ["Case", "Told", "case", "named", "run_case"]

Told = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One sentence, and what is done to see whether it holds."""

    name: str
    section: str
    tell: Told
    limits: Limits


def case(section: str, **limits: Any) -> Callable[[Told], Case]:
    """Make a case of a coroutine; its name is the sentence. `limits` are the server's in it."""

    def made(tell: Told) -> Case:
        return Case(tell.__name__.replace("_", " "), section, tell, Limits(**limits))

    return made


def named(module: Any) -> list[Case]:
    """The cases of a module, in the order in which they stand there."""
    return [one for one in vars(module).values() if isinstance(one, Case)]


async def run_case(one: Case, driver: Driver, link: Link, folder: Path, setting: Setting) -> None:
    """Run one case in an empty folder. Raises AssertionError where the sentence does not hold, DriverError where the device fails."""
    bench = Bench(folder, driver, link, setting, one.limits)
    await bench.server.start()
    try:
        await bench.server.member("ada")
        await bench.server.member("bob")
        await one.tell(bench)
        bench.check()
    finally:
        await bench.end()
