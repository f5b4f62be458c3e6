"""A classroom for every test, on SQLite where a module says `ON_DISK = True`, else in memory: P1 and P4 are tested through the server
that people use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apps.classroom import Classroom, classroom


@pytest.fixture
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Classroom]:
    async with classroom(tmp_path / "data" if getattr(request.module, "ON_DISK", False) else None) as opened:
        yield opened
