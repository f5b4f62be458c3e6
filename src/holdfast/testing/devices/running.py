"""Running all cases against one device in real time, one after the other, each with a server, a link and stores of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from holdfast.runtime import Runtime
from holdfast.testing.devices.bench import Setting
from holdfast.testing.devices.cases import run_case
from holdfast.testing.devices.driver import QUICK, Driver, DriverError
from holdfast.testing.devices.link import Link
from holdfast.testing.devices.page import Site
from holdfast.testing.devices.server import Answered
from holdfast.testing.devices.suite import CASES

__all__ = ["Outcome", "run_all"]

HEARTBEAT_SECONDS = 0.2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a sentence holds of the device, and why not."""

    name: str
    section: str
    held: bool
    why: str = ""
    seconds: float = 0.0


async def run_all(driver: Driver, site: Site, runtime: Runtime, folder: Path, *, names: Sequence[str] = (),
                  vectors: Path | None = None) -> AsyncIterator[Outcome]:
    """Every case, or those whose name holds one of `names`. A case that fails ends none of the others."""
    for number, one in enumerate(CASES):
        if names and not any(name in one.name for name in names):
            continue
        here = folder / str(number)
        here.mkdir()
        site.link = link = Link(runtime)
        setting = Setting(runtime=runtime, pace=QUICK, virtual=False, heartbeat_seconds=HEARTBEAT_SECONDS, vectors=vectors,
                          prefix=f"case{number}-")
        began, why = runtime.monotonic(), ""
        try:
            await run_case(one, driver, link, here, setting)
        except (AssertionError, DriverError, Answered) as error:
            why = str(error) or repr(error)
        yield Outcome(name=one.name, section=one.section, held=not why, why=why, seconds=round(runtime.monotonic() - began, 3))
    site.link = None
