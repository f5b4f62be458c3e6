"""How fast this disk makes an append durable: 4 KiB appended, then `fdatasync`, as a commit to a write-ahead log does.

Fsync latency is what other writers on the machine degrade most (measured: from 5,600 a second to 80 while others wrote to the same
file system), so a durable rate means little without the probe taken beside it.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

__all__ = ["REFERENCE_FDATASYNCS_PER_S", "fdatasyncs_per_s", "scaled"]

REFERENCE_FDATASYNCS_PER_S = 5_000.0
"""The disk for which absolute targets are given; on a slower one they scale down."""

APPENDED_BYTES = 4_096


def fdatasyncs_per_s(folder: Path, *, seconds: float = 0.5) -> float:
    """Durable appends of 4 KiB per second in `folder`, by one thread."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix="probe-")
    try:
        block = os.urandom(APPENDED_BYTES)
        count, began = 0, time.perf_counter()
        until = began + seconds
        while True:
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            count += 1
            now = time.perf_counter()
            if now >= until:
                return count / (now - began)
    finally:
        os.close(descriptor)
        os.unlink(name)


def scaled(target: float, fdatasyncs: float, *, at_most: bool) -> float:
    """A target given for the reference disk, on a disk of `fdatasyncs` a second: a slower disk lowers a rate and lengthens a time; a faster
    one changes nothing."""
    share = min(1.0, fdatasyncs / REFERENCE_FDATASYNCS_PER_S)
    return target / share if at_most else target * share
