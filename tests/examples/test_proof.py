"""The replay's proof fails when it should: a lost save, a save twice, another order, another text. Guards the demonstration of P1, P2."""

from __future__ import annotations

import random
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from replay.device import Board, ReplayFailed, device_id_of, mutation_id_of
from replay.proof import LogSize, Proof, _prove_history, _prove_size
from replay.server import Kill
from replay.trace import Save
from replay.trouble import Trouble

RUN = uuid.UUID(int=7)


def replayed(saves: int) -> tuple[list[list[Save]], Board, list[Any], list[dict[str, Any]]]:
    """One device, its mutation that made the record and `saves` saves: all acknowledged, and all in the history."""
    line = [Save(0, number, 0) for number in range(saves)]
    board = Board()
    history = []
    for seq, save in enumerate([Save(0, -1, 0), *line], start=2):
        mutation_id = mutation_id_of(RUN, 0, save.number)
        board.saves[mutation_id] = save
        board.acknowledge(mutation_id, seq, "applied")
        history.insert(0, {"mutation_id": mutation_id, "seq": seq})
    return [line], board, [SimpleNamespace(number=0)], history


def proved(lines: list[list[Save]], board: Board, devices: list[Any], history: list[dict[str, Any]]) -> Proof:
    proof = Proof()
    _prove_history(proof, lines, board, devices, history)
    return proof


def test_a_history_with_every_save_once_holds() -> None:
    assert proved(*replayed(5)).holds


def test_an_acknowledged_save_that_is_not_in_the_history_breaks_it() -> None:
    lines, board, devices, history = replayed(5)
    del history[2]
    assert not proved(lines, board, devices, history).holds


def test_a_save_that_is_there_twice_breaks_it() -> None:
    lines, board, devices, history = replayed(5)
    history.insert(0, {**history[1], "seq": 99})
    assert not proved(lines, board, devices, history).holds


def test_a_save_under_another_number_than_the_acknowledged_one_breaks_it() -> None:
    lines, board, devices, history = replayed(5)
    history[0]["seq"] += 1
    assert not proved(lines, board, devices, history).holds


def test_saves_in_another_order_break_it() -> None:
    lines, board, devices, history = replayed(5)
    history[0], history[1] = history[1], history[0]
    assert not proved(lines, board, devices, history).holds


def test_a_save_acknowledged_under_two_numbers_stops_the_replay() -> None:
    _, board, _, history = replayed(2)
    with pytest.raises(ReplayFailed, match="acknowledged as entry"):
        board.acknowledge(history[0]["mutation_id"], 99, "applied")


@pytest.mark.parametrize(("sizes", "holds"), [
    ([(0,), (40_000, 1_000, 100, 1_000), (80_000, 2_000, 200, 2_000)], True),
    ([(0,), (40_001, 1_000, 100, 1_000), (80_002, 2_000, 200, 2_000)], False),
    ([(0,), (10_000, 1_000, 100, 1_000), (25_000, 2_000, 200, 2_000)], False),
    ([(0,), (10_000, 1_000, 100, 1_000), (25_000, 2_000, 200, 7_000)], True),
    ([(90_000,), (130_000, 1_000, 100, 1_000), (170_000, 2_000, 200, 2_000)], True),
], ids=["just as much as it may", "more than it may", "growing with the text", "growing with what was typed",
        "what was there before does not count"])
def test_the_log_must_be_small_and_stay_so(sizes: list[tuple[int, ...]], holds: bool) -> None:
    proof = Proof()
    _prove_size(proof, [LogSize(*size) for size in sizes], log_bytes_max=40.0)
    assert proof.holds is holds


def test_device_ids_stand_in_the_order_of_the_devices() -> None:
    ids = [device_id_of(RUN, number) for number in range(40)]
    assert ids == sorted(ids)


def test_a_seed_makes_the_same_trouble_again() -> None:
    def story(seed: int) -> tuple[list[bool], list[bool], list[Kill]]:
        kills: list[Kill] = []
        trouble = Trouble(seed=seed, kills=4, pushes_expected=1, drop_share=0.3, repeat_share=0.3, kill=kills.append)
        trouble.before_push()
        trouble.kill_what_is_left()
        return [trouble.drops_reply() for _ in range(50)], [trouble.repeats_push() for _ in range(50)], sorted(kills, key=str)

    seed = random.randrange(10**6)
    assert story(seed) == story(seed), f"seed {seed}"
    assert story(1) != story(2)
