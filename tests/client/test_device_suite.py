"""The Python replica runs the conformance suite of devices, in this process and under virtual time. Defends P1 (kept), P2 (once), P3 (never
dropped), P4 (apart) and P5 (answered), as far as a device has a part in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing.devices import CALLS, CASES, MODEL, Case, Link, ReplicaDriver, Setting, render_calls, render_table, run_case
from holdfast.testing.virtual import VirtualRuntime, run_virtually

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "internals" / "device-suite.md"
COUNT = 64
"""Every kind of device runs so many cases; a browser's run must report the same number."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_replica(case: Case, tmp_path: Path) -> None:
    async def main() -> None:
        runtime = VirtualRuntime(1)
        link = Link(runtime)
        setting = Setting(runtime=runtime, vectors=PROJECT / "vectors")
        await run_case(case, ReplicaDriver(tmp_path, runtime, app=link), link, tmp_path, setting)

    run_virtually(main())


def test_the_suite_has_as_many_cases_as_it_says_and_the_page_lists_them() -> None:
    page = PAGE.read_text("utf-8")
    assert len(CASES) == COUNT
    assert f"{COUNT} cases" in page and render_table() in page, "write render_table() into docs/internals/device-suite.md"


def test_the_page_shows_the_calls_of_the_driver_and_the_faults_of_the_link() -> None:
    page = PAGE.read_text("utf-8")
    assert render_calls() in page, "write render_calls() into docs/internals/device-suite.md"
    assert MODEL in page, "write MODEL into docs/internals/device-suite.md"
    assert len(CALLS) == render_calls().count("\n") - 2
