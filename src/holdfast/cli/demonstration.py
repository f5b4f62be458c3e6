"""placeholder until the application is there"""
from __future__ import annotations

from holdfast.engine.store import Store


async def prepare_demonstration(store: Store) -> str | None:
    return None
