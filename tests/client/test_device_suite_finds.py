"""The device suite finds wrong devices: each with one planted fault, each found by the case whose sentence it breaks. A case that cannot
fail defends nothing (P1 to P5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing.devices import CASES, DriverError, Link, ReplicaDriver, Setting, run_case
from holdfast.testing.virtual import VirtualRuntime, run_virtually
from tests.client.wrong_devices import PLANTED

TURNS_MAX = 400_000
"""Of the event loop: a wrong device may go round in circles."""

BY_NAME = {one.name: one for one in CASES}


def judged(kind: type[ReplicaDriver], name: str, folder: Path) -> None:
    async def main() -> None:
        runtime = VirtualRuntime(1)
        link = Link(runtime)
        await run_case(BY_NAME[name], kind(folder, runtime, app=link), link, folder, Setting(runtime=runtime))

    run_virtually(main(), turns_max=TURNS_MAX)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_wrong_device_fails_the_case_of_its_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, case = PLANTED[fault]
    with pytest.raises((AssertionError, DriverError, RuntimeError)):
        judged(plant(monkeypatch), case, tmp_path)
