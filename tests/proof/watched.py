"""The clinic, and whoever writes for it under the eyes of a witness."""

from __future__ import annotations

from tests.proof import witness
from tests.proof.clinic import app

__all__ = ["app", "witness"]
