"""The conformance suite of devices: the same cases for every kind, over the wire alone.

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    async def test_my_device(case, tmp_path):
        link = Link(runtime)
        await run_case(case, MyDriver(link), link, tmp_path, Setting(runtime=runtime))

A device in another language, or in a browser, is driven through JSON: `python -m holdfast.testing.devices`. The messages are in
`docs/internals/device-suite.md`.
"""

from __future__ import annotations

from holdfast.testing.devices.bench import Bench, Setting
from holdfast.testing.devices.cases import Case, run_case
from holdfast.testing.devices.device import Device, Peer
from holdfast.testing.devices.driver import CALLS, QUICK, Driver, DriverError, Pace, call, render_calls
from holdfast.testing.devices.faults import MODEL
from holdfast.testing.devices.link import Link
from holdfast.testing.devices.page import Page, Site
from holdfast.testing.devices.replica import ReplicaDriver
from holdfast.testing.devices.suite import CASES, render_table

__all__ = [
    "CALLS", "CASES", "MODEL", "QUICK", "Bench", "Case", "Device", "Driver", "DriverError", "Link", "Pace", "Page", "Peer", "ReplicaDriver",
    "Setting", "Site", "call", "render_calls", "render_table", "run_case",
]
