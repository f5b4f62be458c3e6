"""`python -m holdfast.testing.devices`: the suite for a device that answers by messages, a driver page in a browser above all.

It listens on loopback, prints the address (and where the driver page opens its socket), waits for the page, runs every case against it in
real time, and ends with 0 only if all hold. `--json` prints one JSON object a line; `--list` prints the cases.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.runtime import RealRuntime
from holdfast.server.listen import Listener, bind, shown_address
from holdfast.server.settings import Settings
from holdfast.testing.devices.page import Page, Site
from holdfast.testing.devices.running import Outcome, run_all
from holdfast.testing.devices.suite import CASES

MESSAGE_BYTES_MAX = 8 << 20


def arguments(given: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m holdfast.testing.devices", description="The conformance suite of devices.")
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 takes a free one")
    parser.add_argument("--pages", type=Path, help="folder of the driver page, served under /pages/")
    parser.add_argument("--vectors", type=Path, help="folder of the shared merge cases")
    parser.add_argument("--case", action="append", default=[], help="run cases whose name holds this; may be repeated")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for the page")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    return parser.parse_args(given)


async def run(options: Namespace) -> int:
    runtime = RealRuntime()
    page = Page(runtime)
    site = Site(page, runtime, options.pages)
    bound = bind(Settings(port=options.port))
    listener = Listener(site, Settings(port=options.port), message_bytes_max=MESSAGE_BYTES_MAX)
    serving = runtime.spawn(listener.serve(sockets=[bound]), name="the suite's server")
    address = shown_address(bound)
    tell(options, {"address": address, "driver": f"ws{address.removeprefix('http')}/suite/driver", "cases": len(CASES)})
    try:
        async with asyncio.timeout(options.wait):
            await page.is_there.wait()
        with tempfile.TemporaryDirectory() as folder:
            failed = 0
            async for outcome in run_all(page.driver, site, runtime, Path(folder), names=options.case, vectors=options.vectors):
                failed += not outcome.held
                tell(options, msgspec.to_builtins(outcome))
        return 1 if failed else 0
    except TimeoutError:
        tell(options, {"error": f"no page came within {options.wait:g} s"})
        return 2
    finally:
        listener.should_exit = True
        await serving


def tell(options: Namespace, fact: dict[str, object]) -> None:
    if options.json:
        print(msgspec.json.encode(fact).decode(), flush=True)
    elif "name" in fact:
        print(f"{'ok  ' if fact['held'] else 'FAIL'} {fact['name']}" + ("" if fact["held"] else f"\n     {fact['why']}"), flush=True)
    else:
        print(", ".join(f"{name}: {value}" for name, value in fact.items()), flush=True)


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    if options.list:
        for one in CASES:
            tell(options, {"case": one.name, "section": one.section})
        return 0
    return asyncio.run(run(options))


__all__ = ["Outcome", "main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
