"""The states of a device's connection, as data: what it does in each, and where each event leads.

Two rules for this file: whatever changes the state stands in `TRANSITIONS`, and nothing here does anything. `sync` does what a state
says until an event comes of it, or from outside, and asks `Machine.receive` what is next. `docs/internals/sync.md` shows the table; a
test compares the two. An event that a state does not name changes nothing: it came late.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["DOES", "RETRIES_BEFORE_ERROR", "TRANSITIONS", "Event", "Machine", "State", "render_table"]

RETRIES_BEFORE_ERROR: Final = 3


class State(str, Enum):
    """Where a device is between closed and live; the table in docs/internals/sync.md says how it moves."""

    CLOSED = "closed"
    FOLLOWING = "following"
    OFFLINE = "offline"
    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    POLLING = "polling"
    SNAPSHOT = "snapshot"
    RECOVERING = "recovering"
    BACKING_OFF = "backing_off"
    FAILING = "failing"
    SIGNED_OUT = "signed_out"
    DENIED = "denied"


class Event(str, Enum):
    STARTED = "started"                 # the replica is open
    CLOSED = "closed"                   # the replica is being closed
    LEASE_TAKEN = "lease_taken"         # this process sends from now on
    LEASE_LOST = "lease_lost"           # another process sends
    WENT_OFFLINE = "went_offline"       # the program says: no network
    CAME_ONLINE = "came_online"
    NEEDS_SNAPSHOT = "needs_snapshot"   # no cursor, or collections whose contract moved on
    WELCOMED = "welcomed"               # the socket is open and signed in
    NO_SOCKET = "no_socket"             # no socket comes through, but calls do
    CAUGHT_UP = "caught_up"             # everything up to the head is applied
    TRY_SOCKET = "try_socket"           # polling has gone on for a while, or the device has a new id
    FAILED = "failed"                   # unreachable, cut off, or an answer that says to come again
    FAILED_OFTEN = "failed_often"       # the same, after three retries failed too (made of FAILED by `Machine`)
    WAITED = "waited"                   # the time to wait is over
    RETRY_NOW = "retry_now"             # a person asks
    NOT_SIGNED_IN = "not_signed_in"     # no token, or one that ended
    SIGNED_IN = "signed_in"             # there is a new token
    FORBIDDEN = "forbidden"             # no member any more, or the device is another person's
    RESET_HISTORY = "reset_history"
    RESET_ACCESS = "reset_access"
    REBUILT = "rebuilt"                 # snapshot or recovery is done


DOES: Final[Mapping[State, str]] = MappingProxyType({
    State.CLOSED: "nothing",
    State.FOLLOWING: "leaves sending to the process that holds the lease, and tries to take it",
    State.OFFLINE: "keeps edits, waits for the program to say that there is a network",
    State.CONNECTING: "asks for the token, opens the socket, says hello with its cursor",
    State.CATCHING_UP: "applies changes, sends what is due",
    State.LIVE: "applies changes as they come, sends what is due",
    State.POLLING: "pushes and pulls by HTTP",
    State.SNAPSHOT: "takes a snapshot",
    State.RECOVERING: "looks for the last shared entry, undoes what the server lacks",
    State.BACKING_OFF: "waits before it connects again",
    State.FAILING: "waits before it connects again; the status says so",
    State.SIGNED_OUT: "keeps edits, waits for a token; asks once a minute whether there is one",
    State.DENIED: "keeps edits, waits for the right to come back; asks once a minute",
})

_S, _E = State, Event

_LEAVING: Final = {_E.CLOSED: _S.CLOSED, _E.LEASE_LOST: _S.FOLLOWING, _E.WENT_OFFLINE: _S.OFFLINE}
_TROUBLE: Final = {_E.FAILED: _S.BACKING_OFF, _E.FAILED_OFTEN: _S.FAILING, _E.NOT_SIGNED_IN: _S.SIGNED_OUT, _E.FORBIDDEN: _S.DENIED}
_RESETS: Final = {_E.RESET_HISTORY: _S.RECOVERING, _E.RESET_ACCESS: _S.SNAPSHOT}
_WAITING: Final = {_E.WAITED: _S.CONNECTING, _E.RETRY_NOW: _S.CONNECTING, _E.SIGNED_IN: _S.CONNECTING}

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = MappingProxyType({
    _S.CLOSED: {_E.STARTED: _S.FOLLOWING},
    _S.FOLLOWING: {_E.CLOSED: _S.CLOSED, _E.LEASE_TAKEN: _S.CONNECTING},
    _S.OFFLINE: {_E.CLOSED: _S.CLOSED, _E.LEASE_LOST: _S.FOLLOWING, _E.CAME_ONLINE: _S.CONNECTING, _E.RETRY_NOW: _S.CONNECTING},
    _S.CONNECTING: {**_LEAVING, **_TROUBLE, _E.NEEDS_SNAPSHOT: _S.SNAPSHOT, _E.WELCOMED: _S.CATCHING_UP, _E.NO_SOCKET: _S.POLLING},
    _S.CATCHING_UP: {**_LEAVING, **_TROUBLE, **_RESETS, _E.CAUGHT_UP: _S.LIVE, _E.TRY_SOCKET: _S.CONNECTING},
    _S.LIVE: {**_LEAVING, **_TROUBLE, **_RESETS, _E.TRY_SOCKET: _S.CONNECTING},
    _S.POLLING: {**_LEAVING, **_TROUBLE, **_RESETS, _E.TRY_SOCKET: _S.CONNECTING, _E.RETRY_NOW: _S.CONNECTING},
    _S.SNAPSHOT: {**_LEAVING, **_TROUBLE, _E.REBUILT: _S.CONNECTING},
    _S.RECOVERING: {**_LEAVING, **_TROUBLE, _E.NEEDS_SNAPSHOT: _S.SNAPSHOT, _E.REBUILT: _S.CONNECTING},
    _S.BACKING_OFF: {**_LEAVING, **_WAITING},
    _S.FAILING: {**_LEAVING, **_WAITING},
    _S.SIGNED_OUT: {**_LEAVING, **_WAITING},
    _S.DENIED: {**_LEAVING, **_WAITING},
})


class Machine:
    """Where a device stands. `failures` counts failures since it was last in touch."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.failures = 0

    def receive(self, event: Event) -> bool:
        """Take an event; whether the state changed."""
        if event is Event.FAILED and self.failures >= RETRIES_BEFORE_ERROR:
            event = Event.FAILED_OFTEN
        target = TRANSITIONS[self.state].get(event)
        if target is None:
            return False
        if event in (Event.FAILED, Event.FAILED_OFTEN):
            self.failures += 1
        elif target in (State.LIVE, State.POLLING, State.OFFLINE, State.FOLLOWING):
            self.failures = 0
        changed = target is not self.state
        self.state = target
        return changed


def render_table() -> str:
    """The states and transitions as the table of docs/internals/sync.md."""
    lines = ["| state | what the device does | events that lead on |", "|---|---|---|"]
    for state, transitions in TRANSITIONS.items():
        leads = ", ".join(f"{event.value} → `{target.value}`" for event, target in transitions.items())
        lines.append(f"| `{state.value}` | {DOES[state]} | {leads} |")
    return "\n".join(lines) + "\n"
