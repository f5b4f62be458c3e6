"""Random stories: several devices over bad links, crashes, rights that come and go, a server put back to an older backup. Then all heals,
and every outbox must drain, all must agree, no character be lost or doubled. Defends P1 (kept), P2 (once), P3 (never dropped).

A story that fails is run again by its seed: the whole of it follows from the seed, under virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.client.story import Story
from tests.client.virtual import run_virtually

KINDS: list[dict[str, Any]] = [
    {"devices": 2}, {"devices": 3}, {"devices": 3, "holds": True}, {"devices": 2, "restores": True},
    {"devices": 3, "restores": True, "holds": True},
]

FOUND = [
    (65, {"devices": 2}), (114, {"devices": 2}),                    # a server's answer that swallowed the end of a call
    (12, {"devices": 3, "holds": True}),                            # a right that came back while the device was being told of its end
    (54, {"devices": 2, "restores": True}), (1085, {"devices": 3, "restores": True}),   # typed on work that may have arrived before a reset
    (2291, {"devices": 3, "restores": True}),                       # a server put back to just where the device's cursor stood
    (3159, {"devices": 3, "restores": True}),                       # work put back, and what the server has of it
    (5304, {"devices": 3, "restores": True}),                       # work on the shared history of which the server had a part already
    (3008, {"devices": 3, "restores": True, "holds": True}),        # roles that changed in the history that came back
]
"""Seeds of stories that once failed."""


async def tell(seed: int, folder: Path, kind: dict[str, Any]) -> None:
    story = Story(seed, folder, **kind)
    try:
        await story.run(20 + seed % 60)
        await story.check()
    finally:
        await story.end()


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_a_story_ends_with_all_in_agreement_and_nothing_lost(seed: int, kind: dict[str, Any], tmp_path: Path) -> None:
    run_virtually(tell(seed, tmp_path, kind))


@pytest.mark.parametrize(("seed", "kind"), FOUND, ids=str)
def test_a_story_that_once_failed(seed: int, kind: dict[str, Any], tmp_path: Path) -> None:
    run_virtually(tell(seed, tmp_path, kind))


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("seed", range(10_000, 10_200))
def test_many_stories(seed: int, kind: dict[str, Any], tmp_path: Path) -> None:
    run_virtually(tell(seed, tmp_path, kind))
