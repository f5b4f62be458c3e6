"""Is it saved? One vocabulary, the browser client's too: a status for the whole device, a receipt for each record and mutation.

| status | phrase |
|---|---|
| `idle`, `saved` | Saved · Saved 10:42 |
| `editing`, `saving` | Saving… |
| `offline` | Offline – saved on this device (3 changes waiting) |
| `held` | Needs your decision (2) |
| `error` | Not saved – retrying in 8 s · Not saved on this device either – keep this program open |
| `refused` | Not accepted – look at it |

A status never says more than is so: what waits for the network is called saved only where it is on this device's disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from holdfast.client.device import Device
from holdfast.client.machine import RETRIES_BEFORE_ERROR, State
from holdfast.client.outbox import Key, OutboxRow
from holdfast.core.errors import HoldfastError

__all__ = ["NOT_ACCEPTED", "Connection", "Receipt", "Status", "StatusName", "open_items", "receipt_of_record", "status_of"]

StatusName = Literal["idle", "saved", "editing", "saving", "offline", "held", "error", "refused"]

Receipt = Literal["memory", "local", "committed", "backed_up", "held", "refused"]
"""`memory`: not even on this device's disk (the status says why). The others as in the concepts: `local` → `committed` → `backed_up`, or
`held` (waits in the inbox), or `refused`."""

NOT_ACCEPTED: Final = "Not accepted – look at it"

IN_TOUCH = (State.CATCHING_UP, State.LIVE, State.POLLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How the sender stands: of this process, or told by the one that sends."""

    state: State
    failures: int = 0
    cause: str = ""
    hint: str = ""
    retry_in_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the device stands. `waiting`: changes the server has not acknowledged; `held`: items in the inbox; `cause` and `hint` say why
    and what to do, where something is in the way; `saved_at` is ms since 1970 of the last acknowledgement."""

    name: StatusName
    phrase: str
    waiting: int
    held: int
    refused: int
    connection: State
    cause: str = ""
    hint: str = ""
    retry_in_seconds: float | None = None
    saved_at: int | None = None


def status_of(device: Device, connection: Connection, *, editing: bool, closed: bool = False) -> Status:
    waiting = len(device.unanswered())
    held, refused = len(open_items(device)), len(device.refused)
    name, phrase = _named(device, connection, waiting, held, refused, editing=editing)
    failure: HoldfastError | None = device.failure
    cause, hint = (failure.detail, failure.hint) if failure is not None else (connection.cause, connection.hint)
    behind: list[str] = device.meta.get("behind") or []
    if behind and not cause:
        cause = f"The server keeps {', '.join(behind)} under a newer contract: what others change of it is not shown here."
        hint = "Upgrade this program. What is made here is sent all the same."
    return Status(name=name, phrase=phrase, waiting=waiting, held=held, refused=refused, connection=connection.state, cause=cause,
                  hint=hint,
                  retry_in_seconds=connection.retry_in_seconds, saved_at=device.meta.get("synced_at"))


def _named(device: Device, connection: Connection, waiting: int, held: int, refused: int, *, editing: bool) -> tuple[StatusName, str]:
    if device.failure is not None and any(row.row == 0 and row.state != "acknowledged" for row in device.unwritten):
        return "error", "Not saved on this device either – keep this program open"
    if refused:
        return "refused", NOT_ACCEPTED
    if held:
        return "held", f"Needs your decision ({held})"
    if waiting and (connection.state is State.FAILING or connection.failures > RETRIES_BEFORE_ERROR):
        seconds = connection.retry_in_seconds
        return "error", "Not saved – retrying" if seconds is None else f"Not saved – retrying in {max(1, round(seconds))} s"
    trying = connection.state in (State.CONNECTING, State.SNAPSHOT, State.RECOVERING) and not connection.failures
    if connection.state not in IN_TOUCH and not trying:
        left = f" ({waiting} change{'s' if waiting != 1 else ''} waiting)" if waiting else ""
        return "offline", f"Offline – saved on this device{left}"
    if waiting:
        return ("editing" if editing else "saving"), "Saving…"
    saved_at = device.meta.get("synced_at")
    if saved_at is None:
        return "idle", "Saved"
    return "saved", f"Saved {datetime.fromtimestamp(saved_at / 1_000):%H:%M}"


def open_items(device: Device) -> list[dict[str, Any]]:
    """What waits for this person's decision, as far as this device knows."""
    items = {str(item["id"]): dict(item) for item in device.meta.get("inbox", ())}
    for row in device.by_id.values():
        answer = row.answer
        if answer is not None and answer.receipt == "held" and answer.inbox_id is not None and row.state == "acknowledged":
            items.setdefault(answer.inbox_id, {"id": answer.inbox_id, "collection": row.collection, "record_id": row.record_id})
    return list(items.values())


def receipt_of_row(device: Device, row: OutboxRow) -> Receipt:
    if row.state == "refused":
        return "refused"
    if row.state != "acknowledged":
        return "memory" if row.row == 0 else "local"
    if row.answer is None or row.answer.receipt == "local":
        return "committed"
    return row.answer.receipt


def receipt_of_record(device: Device, key: Key) -> Receipt:
    """How far the work on a record has come; where several mutations stand differently, the one that needs most attention."""
    rows = device.lanes.get(key, [])
    if any(row.key == key for row in device.refused):
        return "refused"
    if any((item.get("collection"), item.get("record_id")) == key for item in open_items(device)):
        return "held"
    if any(row.row == 0 and row.state != "acknowledged" for row in rows):
        return "memory"
    if any(row.state != "acknowledged" for row in rows):
        return "local"
    line = device.line(key)
    newest = max([*(row.answer.seq for row in rows if row.answer is not None), 0 if line is None else line.seq])
    return "backed_up" if 0 < newest <= int(device.meta.get("backed_up_seq", 0)) else "committed"


def receipt_of_mutation(device: Device, mutation_id: str) -> Receipt | None:
    """None: unknown here, or so long ago that it is no longer written down."""
    row = device.by_id.get(mutation_id) or next((one for one in device.refused if one.mutation_id == mutation_id), None)
    if row is not None:
        return receipt_of_row(device, row)
    kept = device.store.receipt(mutation_id)
    if kept is None:
        return None
    if kept.inbox_id is not None and any(str(item["id"]) == kept.inbox_id for item in open_items(device)):
        return "held"
    return "backed_up" if 0 < kept.seq <= int(device.meta.get("backed_up_seq", 0)) else "committed"


def told(connection: Connection) -> Mapping[str, Any]:
    """For the other processes on the file."""
    return {"state": connection.state.value, "failures": connection.failures, "cause": connection.cause, "hint": connection.hint}


def heard(told: Mapping[str, Any] | None) -> Connection:
    """What the sending process last said of itself."""
    if not told:
        return Connection(state=State.CONNECTING)
    return Connection(state=State(told["state"]), failures=told["failures"], cause=told["cause"], hint=told["hint"])
