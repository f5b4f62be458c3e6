"""Which of several processes sends. Defends P1: work does not wait for a process that is no more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.client.lease import Lease
from holdfast.client.opening import open_device, schema_of
from holdfast.runtime import RealRuntime
from tests.client.world import Folder, Note


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(("holder", "taken"), [
    ({"pid": "ended", "host": socket.gethostname()}, True), ({"pid": "living", "host": socket.gethostname()}, False),
    ({"pid": "ended", "host": "another machine"}, False), ({}, False),
])
def test_a_lease_is_taken_over_before_its_end_only_from_a_process_of_this_machine_that_is_no_more(
        holder: dict[str, Any], taken: bool, tmp_path: Path) -> None:
    runtime = RealRuntime()
    device = open_device(tmp_path / "a.replica", schema_of([Note, Folder]), runtime)
    try:
        pid = {"ended": ended_process(), "living": os.getppid()}.get(holder.get("pid", ""))
        device.put_meta(lease={"process": "another", "until": runtime.now_ms() + 20_000, **holder, **({"pid": pid} if pid else {})})
        lease = Lease(device, 30.0)
        assert lease.take() is taken and lease.held is taken
        if taken:
            assert device.meta["lease"]["pid"] == os.getpid()
            lease.release()
            assert device.store.meta()["lease"] is None
    finally:
        device.file.close()


@pytest.mark.parametrize(("until_seconds", "taken"), [(-1, True), (29, False), (3_600, True)])
def test_a_lease_that_has_run_out_or_is_longer_than_any_is_taken(until_seconds: int, taken: bool, tmp_path: Path) -> None:
    """Longer than any: it was taken while a clock was wrong."""
    runtime = RealRuntime()
    device = open_device(tmp_path / "a.replica", schema_of([Note, Folder]), runtime)
    device.put_meta(lease={"process": "another", "until": runtime.now_ms() + until_seconds * 1_000})
    assert Lease(device, 30.0).take() is taken
    device.file.close()
