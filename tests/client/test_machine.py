"""The states of a device are the table that the documents show, and nothing in it is a dead end. Defends P1 (kept: nothing stops being
tried) and P5 (the status follows the state)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.client.backoff import Backoff
from holdfast.client.machine import DOES, RETRIES_BEFORE_ERROR, TRANSITIONS, Event, Machine, State, render_table
from tests.client.virtual import VirtualRuntime, run_virtually

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "sync.md"


def test_the_document_shows_the_table_of_the_code() -> None:
    assert render_table() in PAGE.read_text("utf-8"), "write render_table() into docs/internals/sync.md"


def test_every_state_says_what_it_does_and_has_a_row() -> None:
    assert set(DOES) == set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", [one for one in State if one is not State.CLOSED])
def test_a_replica_can_be_closed_in_every_state(state: State) -> None:
    assert TRANSITIONS[state][Event.CLOSED] is State.CLOSED


@pytest.mark.parametrize("state", [one for one in State if one is not State.CLOSED])
def test_from_every_state_a_way_leads_to_live(state: State) -> None:
    reached, new = {state}, {state}
    while new:
        new = {target for one in new for target in TRANSITIONS[one].values()} - reached - {State.CLOSED}
        reached |= new
    assert State.LIVE in reached


def machine_in(state: State) -> Machine:
    machine = Machine()
    machine.state = state
    return machine


def test_an_event_that_comes_late_changes_nothing() -> None:
    machine = machine_in(State.LIVE)
    assert not machine.receive(Event.WELCOMED)
    assert machine.state is State.LIVE


def test_after_three_failed_retries_the_status_is_error_and_retrying_goes_on() -> None:
    machine = machine_in(State.CONNECTING)
    seen = []
    for _ in range(6):
        machine.receive(Event.FAILED)
        seen.append(machine.state)
        machine.receive(Event.WAITED)
        assert machine.state is State.CONNECTING
    assert seen == [State.BACKING_OFF] * RETRIES_BEFORE_ERROR + [State.FAILING] * 3


def test_being_in_touch_forgets_the_failures() -> None:
    machine = machine_in(State.CONNECTING)
    for event in (Event.FAILED, Event.WAITED, Event.FAILED, Event.WAITED, Event.WELCOMED, Event.CAUGHT_UP):
        machine.receive(event)
    assert machine.state is State.LIVE and machine.failures == 0


def test_waits_double_up_to_the_bound_with_full_jitter() -> None:
    async def main() -> list[list[float]]:
        backoff = Backoff(VirtualRuntime(1), 1.0, 60.0)
        return [[backoff.seconds(failures) for _ in range(400)] for failures in range(1, 9)]

    for failures, waits in enumerate(run_virtually(main()), 1):
        bound = min(60.0, 2.0 ** (failures - 1))
        assert 0 <= min(waits) < bound * 0.05 and bound * 0.95 < max(waits) <= bound


def test_a_server_that_names_a_time_is_given_it() -> None:
    async def main() -> float:
        return Backoff(VirtualRuntime(1), 1.0, 60.0).seconds(1, 30.0)

    assert run_virtually(main()) == 30.0
