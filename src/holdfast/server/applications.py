"""Routes that applications add under `/api/…`: rows of the same route table, so they are logged, counted, limited, described in the
OpenAPI and tested like our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.server.calls import Route

__all__ = ["application_routes"]


def application_routes(applications: Sequence[Any]) -> list[Route]:
    """The rows that the applications declare."""
    return []
