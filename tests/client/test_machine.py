"""The states of a device are the table that the documents show, and nothing in it is a dead end. Defends P1 (kept: nothing stops being
tried) and P5 (the status follows the state)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.client import machine as machine_module
from holdfast.client.backoff import Backoff
from holdfast.client.machine import DOES, RETRIES_BEFORE_ERROR, TRANSITIONS, Event, Machine, State, render_table
from tests.client.virtual import VirtualRuntime, run_virtually

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "sync.md"


def test_the_document_shows_the_table_of_the_code() -> None:
    assert render_table() in PAGE.read_text("utf-8"), "write render_table() into docs/internals/sync.md"


def rows_of_the_page() -> dict[str, tuple[str, dict[str, str]]]:
    """state -> (what the device does, event -> next state), as the page's table has them, read cell by cell."""
    section = PAGE.read_text("utf-8").split("\n## States\n", 1)[1].split("\n## ", 1)[0]
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            state, does, leads = (cell.strip() for cell in line.strip("|").split(" | "))
            assert state.strip("`") not in found, f"{state} has two rows"
            steps = [step.split(" → ") for step in leads.split(", ")]
            found[state.strip("`")] = does, {event: target.strip("`") for event, target in steps}
            assert len(steps) == len(found[state.strip("`")][1]), f"{state} names an event twice"
    return found


def test_every_row_of_the_page_is_one_of_the_code_and_none_is_missing() -> None:
    page = rows_of_the_page()
    assert set(page) == {state.value for state in State}
    assert {name: does for name, (does, _) in page.items()} == {state.value: does for state, does in DOES.items()}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_the_machine_goes_where_the_page_says_and_otherwise_stays(state: State, event: Event) -> None:
    """Every state with every event: what the page names happens, what it does not name changes nothing."""
    leads = rows_of_the_page()[state.value][1]
    machine = machine_in(state)
    changed = machine.receive(event)
    assert machine.state.value == leads.get(event.value, state.value)
    assert changed is (machine.state is not state)


def test_every_event_leads_somewhere() -> None:
    named = {event for _, leads in rows_of_the_page().values() for event in leads}
    assert named == {event.value for event in Event}


def test_nothing_but_the_machine_moves_the_state() -> None:
    """Whoever wrote the state past the table would make the page untrue."""
    written = re.compile(r"machine\.state\s*=[^=]|\.state\s*=\s*State\.")
    client = Path(machine_module.__file__).parent
    assert not [f"{path.name}: {line.strip()}" for path in sorted(client.glob("*.py")) if path.name != "machine.py"
                for line in path.read_text("utf-8").splitlines() if written.search(line)]


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
