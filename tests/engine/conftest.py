"""Stores on every backend that this machine has, with an owner and two members."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from holdfast import open_store
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from tests.engine.on_postgres import MASTER_KEYS, on_postgres
from tests.engine.world import ALL, Device, Secret, StillRuntime


@pytest.fixture
def runtime() -> StillRuntime:
    return StillRuntime()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, runtime: StillRuntime) -> AsyncIterator[Store]:
    place: Path | str | None = {"memory": None, "sqlite": tmp_path / "data"}.get(request.param)
    master_keys = None
    if request.param == "postgres":
        place, master_keys = await on_postgres([*ALL, Secret], Path(str(request.fspath)).stem), MASTER_KEYS
    async with open_store(place, records=[*ALL, Secret], runtime=runtime, master_keys=master_keys) as opened:
        yield opened


@pytest.fixture
async def ann(store: Store) -> MemberSession:
    """The owner."""
    return await store.member("acme", "ann@example.org", roles={"owner"})


@pytest.fixture
async def ben(store: Store, ann: MemberSession) -> MemberSession:
    return await store.member("acme", "ben@example.org", roles=set())


@pytest.fixture
async def eve(store: Store, ann: MemberSession) -> MemberSession:
    return await store.member("acme", "eve@example.org", roles=set())


@pytest.fixture
def device(store: Store) -> Callable[..., Device]:
    """`device(member)` or `device(member, "b1")`: a device of that member."""
    numbers = itertools.count(1)

    def make(member: MemberSession, device_id: str | None = None) -> Device:
        return Device(store, member, device_id or f"d{next(numbers)}")

    return make


@pytest.fixture
def new_id() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"00000000-0000-7000-8000-{next(numbers):012d}"
