"""Virtual time for tests of the client."""

from __future__ import annotations

from holdfast.testing.virtual import VirtualRuntime, run_virtually

__all__ = ["VirtualRuntime", "run_virtually"]
