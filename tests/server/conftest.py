"""What the tests of the edge share: a fake store, fake accounts, and a server over them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from tests.server.fakes import FakePeople, FakeStore
from tests.server.serving import Served, serving

QUICK = Settings(port=0, heartbeat_seconds=0.2, presence_seconds=0.01, header_seconds_max=0.4, body_seconds_max=0.5, write_seconds_max=0.5,
                 hello_seconds_max=0.3, answer_seconds_max=0.6, shutdown_seconds=1, keep_alive_seconds=2)
"""Deadlines short enough to wait for."""


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def people() -> FakePeople:
    return FakePeople()


@pytest.fixture
async def served(store: FakeStore, people: FakePeople) -> AsyncIterator[Served]:
    async with serving(asgi_app(store, people, settings=QUICK), QUICK) as found:
        yield found
