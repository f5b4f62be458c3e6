"""The simulation finds bugs: each known one, planted by itself into the real code, within 200 seeds. A simulation that finds nothing any
more would otherwise look like a system without faults. Defends P1 to P5."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.simulation import simulate
from tests.simulation.witness import Broken

SEEDS = 200


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Servers that fail on purpose say so at length."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def finding_seed(first: int) -> int | None:
    """The first seed that finds something: the one that is known to, then all."""
    for seed in (first, *range(SEEDS)):
        try:
            simulate(seed)
        except Broken:
            return seed
    return None


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Callable[[], Any]) -> None:
    first = PLANTED[plant]
    assert first < SEEDS
    with plant():
        found = finding_seed(first)
    assert found is not None, f"{plant.__name__} is not found within {SEEDS} seeds"
    simulate(found)     # without the bug the same seed finds nothing
