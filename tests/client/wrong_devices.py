"""Devices that are wrong in one thing each, to see that the suite finds them: the Python replica with a planted fault, either in what the
driver says of it or in the device itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.client import replica, taking
from holdfast.client.answering import Lanes
from holdfast.client.device import Device
from holdfast.client.machine import Event
from holdfast.client.rebuilding import Rebuilding
from holdfast.client.sending import Sending
from holdfast.client.session import Session
from holdfast.client.sync import Sync
from holdfast.core.errors import WorldError
from holdfast.core.messages import PullReply, PushReply
from holdfast.runtime import Runtime
from holdfast.testing.devices import ReplicaDriver
from holdfast.testing.devices.link import App

__all__ = ["PLANTED", "Plant"]

Plant = Callable[[Any], type[ReplicaDriver]]
"""Given pytest's monkeypatch, a driver of wrong devices."""


class Forgetful(ReplicaDriver):
    """Its store is in memory alone: the end of the program is the end of the work."""

    async def kill(self, window: str) -> None:
        path = self._replica(window)._device.file.path
        await super().kill(window)
        os.unlink(path)


class Boastful(ReplicaDriver):
    """It says committed as soon as it has been asked to keep something."""

    async def receipt(self, window: str, *, collection: str, record_id: str) -> Any:
        found = await super().receipt(window, collection=collection, record_id=record_id)
        return "committed" if found == "local" else found


class Reassuring(ReplicaDriver):
    """Its status says saved whatever waits."""

    async def status(self, window: str) -> Any:
        status = await super().status(window)
        return {**status, "name": "saved", "phrase": "Saved"}


class Careless(ReplicaDriver):
    """Signing out throws unsent work away without a word."""

    async def sign_out(self, window: str, *, unsent: str) -> None:
        await super().sign_out(window, unsent="discard" if unsent == "ask" else unsent)


class Strict(ReplicaDriver):
    """An edit is only taken while there is a network."""

    async def edit(self, window: str, *, collection: str, record_id: str, ops: Any) -> None:
        if (await super().status(window))["name"] != "offline":
            await super().edit(window, collection=collection, record_id=record_id, ops=ops)


class Shy(ReplicaDriver):
    """What waits for a decision is not shown."""

    async def inbox(self, window: str) -> Any:
        return []


class Slow(ReplicaDriver):
    """What others do shows only after the next start."""

    def __init__(self, folder: Path, runtime: Runtime, *, app: App | None = None, url: str | None = None) -> None:
        super().__init__(folder, runtime, app=app, url=url)
        self._shown: dict[tuple[str, str, str], Any] = {}

    async def read(self, window: str, *, collection: str, record_id: str) -> Any:
        found = await super().read(window, collection=collection, record_id=record_id)
        return self._shown.setdefault((window, collection, record_id), found)


def plain(patch: Any) -> type[ReplicaDriver]:
    return ReplicaDriver


def sends_under_new_ids(patch: Any) -> type[ReplicaDriver]:
    """A retry bears a new id."""
    due, take, names = Lanes.due, Sending._take, dict[str, str]()

    def renamed(self: Lanes, device: Device, **more: Any) -> Any:
        rows, bodies = due(self, device, **more)
        fresh = []
        for row, body in zip(rows, bodies, strict=True):
            given = device.runtime.uuid7() if row.state == "sent" else row.mutation_id
            names[given] = row.mutation_id
            fresh.append(msgspec.json.encode({**msgspec.json.decode(body), "mutation_id": given}))
        return rows, fresh

    def taken(self: Sending, reply: PushReply) -> None:
        results = [msgspec.structs.replace(one, mutation_id=names[one.mutation_id]) for one in reply.results]
        take(self, msgspec.structs.replace(reply, results=results))

    patch.setattr(Sending, "_take", taken)
    patch.setattr(Lanes, "due", renamed)
    return ReplicaDriver


def gives_up(patch: Any) -> type[ReplicaDriver]:
    """A failure is the end of trying."""
    async def never(self: Sync) -> Event:
        await self.device.runtime.sleep(1e9)
        return Event.WAITED

    patch.setattr(Sync, "_back_off", never)
    return ReplicaDriver


def ignores_retry_after(patch: Any) -> type[ReplicaDriver]:
    note = Sending._note_failure
    patch.setattr(Sending, "_note_failure", lambda self, error, at_least: note(self, error, 0.0))
    return ReplicaDriver


def never_asks_whether_the_server_still_has_it(patch: Any) -> type[ReplicaDriver]:
    async def nothing(self: Sync) -> None:
        return None

    patch.setattr(Sync, "_check_acknowledged", nothing)
    return ReplicaDriver


def takes_a_snapshot_after_a_reset(patch: Any) -> type[ReplicaDriver]:
    """Another history is answered with a new snapshot, and what the server lacks is not sent again."""
    async def recover(self: Rebuilding) -> Event:
        self._device.put_meta(reset=True)
        return Event.NEEDS_SNAPSHOT

    patch.setattr(Rebuilding, "recover", recover)
    return ReplicaDriver


def believes_any_cursor(patch: Any) -> type[ReplicaDriver]:
    """A page is taken whatever cursor it is for, and what it says is applied."""
    def take(device: Device, reply: PullReply, *, start: str | None) -> bool:
        return taking_page(device, reply, start=device.meta.get("cursor"))

    taking_page = taking.take_page
    patch.setattr("holdfast.client.session.take_page", take)
    patch.setattr("holdfast.client.taking.seq_of", lambda cursor: 0)
    patch.setattr("holdfast.client.sync.take_page", take)
    return applies_what_it_has(patch)


def applies_what_it_has(patch: Any) -> type[ReplicaDriver]:
    """An entry is applied whether or not the record has it already."""
    follow = taking.follow

    def again(row: Any, change: Any, collection: Any) -> Any:
        return follow(row if row is None else msgspec.structs.replace(row, last=min(row.last, change.seq - 1)), change, collection)

    patch.setattr(taking, "follow", again)
    return ReplicaDriver


def ends_with_what_came_of_a_snapshot(patch: Any) -> type[ReplicaDriver]:
    """Half a snapshot is taken for the whole."""
    take = Rebuilding.take_snapshot

    async def half(self: Rebuilding) -> Event:
        try:
            return await take(self)
        except Exception:
            if self._device.meta.get("snapshot") is None:
                raise
            taking.end_snapshot(self._device)
            return Event.REBUILT

    patch.setattr(Rebuilding, "take_snapshot", half)
    return ReplicaDriver


def knows_no_http(patch: Any) -> type[ReplicaDriver]:
    async def fail(self: Sync, error: Exception) -> Event:
        raise error

    patch.setattr(Sync, "_without_socket", fail)
    return ReplicaDriver


def trusts_a_silent_socket(patch: Any) -> type[ReplicaDriver]:
    init = Session.__init__

    def patient(self: Session, device: Any, live: Any, sending: Any, settings: Any, *more: Any) -> None:
        init(self, device, live, sending, endless(settings), *more)

    patch.setattr(Session, "__init__", patient)
    return ReplicaDriver


def endless(settings: Any) -> Any:
    return type(settings)(**{name: getattr(settings, name) for name in settings.__dataclass_fields__} | {"silence_seconds_max": 1e9})


def sends_each_keystroke_when_it_is_quiet(patch: Any) -> type[ReplicaDriver]:
    """Waits for a pause, however long somebody types."""
    due = Lanes.due
    patch.setattr(Lanes, "due", lambda self, device, **more: due(self, device, **{**more, "hold_ms_max": 10**9}))
    return ReplicaDriver


def sends_all_at_once(patch: Any) -> type[ReplicaDriver]:
    """A push as large as what waits."""
    due = Lanes.due
    patch.setattr(Lanes, "due", lambda self, device, *, mutations_max, **more: due(
        self, device, mutations_max=1_000 if mutations_max == 500 else mutations_max, **more))
    return ReplicaDriver


def drops_what_is_refused(patch: Any) -> type[ReplicaDriver]:
    state_changed = replica.Replica._state_changed

    def drop(self: replica.Replica) -> None:
        if self._device.refused and not self._device.is_busy:
            self._device.refused.clear()
        state_changed(self)

    patch.setattr(replica.Replica, "_state_changed", drop)
    return ReplicaDriver


def sends_without_asking_whose_it_is(patch: Any) -> type[ReplicaDriver]:
    patch.setattr("holdfast.client.sync.check_identity", lambda device, **more: None)
    return ReplicaDriver


def swallows_errors(patch: Any) -> type[ReplicaDriver]:
    """A push that fails is taken for one that went."""
    push = Sending.push_due

    async def quiet(self: Sending, way: Any) -> bool:
        async def never(bodies: Any) -> Any:
            try:
                return await way(bodies)
            except WorldError:
                for row in self.device.unanswered():
                    row.state = "acknowledged"
                raise

        return await push(self, never)

    patch.setattr(Sending, "push_due", quiet)
    return ReplicaDriver


def driven_by(kind: type[ReplicaDriver]) -> Plant:
    return lambda patch: kind


PLANTED: Mapping[str, tuple[Plant, str]] = {
    "its store is gone with the program": (driven_by(Forgetful), "an edit survives the end of the program before it was sent"),
    "receipts say committed too early": (driven_by(Boastful), "a receipt says local then committed then backed up and never too early"),
    "the status always says saved": (driven_by(Reassuring), "offline is said with what waits and never as saved"),
    "sign-out throws unsent work away": (driven_by(Careless), "signing out with unsent work says so and can keep it"),
    "edits need a network": (driven_by(Strict), "two devices of one person come to agree and lose nothing"),
    "the inbox is not shown": (driven_by(Shy), "an edit of a record deleted meanwhile is held and not lost"),
    "others' work never shows": (driven_by(Slow), "a device names its cursor and goes on from there"),
    "a retry bears a new id": (sends_under_new_ids, "a save whose answer is lost is sent again under its id and counts once"),
    "a failure is the end": (gives_up, "after three failed retries the status is error and retrying goes on"),
    "Retry-After is ignored": (ignores_retry_after, "a busy server is given the time it asks for"),
    "what a server acknowledged is never asked for": (never_asks_whether_the_server_still_has_it,
                                                     "a server put back to just where the device stands is found out"),
    "another history means a new snapshot": (takes_a_snapshot_after_a_reset, "a server put back to a backup gets the work back"),
    "old answers are taken": (believes_any_cursor, "an old answer to a pull changes nothing that is newer"),
    "what is there is applied again": (applies_what_it_has, "changes that are told twice count once"),
    "half a snapshot is a whole one": (ends_with_what_came_of_a_snapshot, "a snapshot that breaks off is taken to its end"),
    "no HTTP beside the socket": (knows_no_http, "where no socket comes through it works by http"),
    "a silent socket is trusted": (trusts_a_silent_socket, "a socket that has gone silent is given up"),
    "typing is sent at a pause alone": (sends_each_keystroke_when_it_is_quiet, "typing without a pause is sent after the longest wait"),
    "pushes have no bound": (sends_all_at_once, "a long time offline goes out in pushes within the limits"),
    "refused work is dropped": (drops_what_is_refused, "a final refusal leaves the line and what stands behind it goes on"),
    "nobody asks whose work it is": (sends_without_asking_whose_it_is,
                                     "another person on the same device never sends what is not theirs"),
    "an error is taken for an answer": (swallows_errors, "a busy server is given the time it asks for"),
}
"""A fault, and the case that must fail because of it."""
