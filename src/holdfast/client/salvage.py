"""A replica's file without its program: how it stands, what is unsent, and, in the worst case, what can still be read of it.

Nothing here needs the record classes: what was typed is in the outbox as it was made. A damaged file is read row by row, around what cannot
be read any more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import msgspec

from holdfast.client.answering import mark_sent
from holdfast.client.device import Device
from holdfast.client.export import export_unsent, listed
from holdfast.client.identity import check_identity
from holdfast.client.opening import open_device
from holdfast.client.outbox import ACTIONS, OutboxRow
from holdfast.client.replica_file import world_error
from holdfast.client.sending import Sending
from holdfast.client.settings import ReplicaSettings
from holdfast.client.status import open_items
from holdfast.client.transport import Unreachable
from holdfast.client.web import WebTransport
from holdfast.client.wire import TokenSource, Wire
from holdfast.core.errors import NotFound, StateError, StorageCorrupt, StorageLocked, WorldError
from holdfast.core.schema import Schema
from holdfast.core.stamping import iso
from holdfast.runtime import Runtime

__all__ = ["export_file", "pending_of_file", "resend_file", "status_of_file"]

NO_RECORDS = Schema(collections={})


@contextmanager
def opened(path: str | os.PathLike[str], runtime: Runtime) -> Iterator[Device]:
    """Raises NotFound where there is no file, and what opening raises."""
    if not Path(path).is_file():
        raise NotFound(f"There is no file {os.fspath(path)}.", hint="Name the replica's file.")
    if not Path(path).stat().st_size:
        raise StorageCorrupt(f"{os.fspath(path)} is empty: there is nothing in it.", hint="Name the replica's file.")
    device = open_device(path, NO_RECORDS, runtime)
    try:
        yield device
    finally:
        device.file.close()


def status_of_file(path: str | os.PathLike[str], runtime: Runtime) -> dict[str, Any]:
    with opened(path, runtime) as device:
        meta, unanswered = device.meta, device.unanswered()
        sender = meta.get("sender") or {}
        return {"server": meta.get("server"), "tenant": meta.get("tenant"), "actor_id": meta.get("actor_id"),
                "device_id": meta.get("device_id"),
                "records": device.store.counts(), "waiting": len(unanswered), "refused": len(device.refused), "held":
                len(open_items(device)),
                "oldest": iso(min(row.made.made_at for row in unanswered)) if unanswered else None,
                "saved_at": iso(meta["synced_at"]) if meta.get("synced_at") else None, "cursor": meta.get("cursor"),
                "connection": sender.get("state"), "cause": sender.get("cause") or None}


def pending_of_file(path: str | os.PathLike[str], runtime: Runtime) -> list[dict[str, Any]]:
    """What is unsent and what was refused, each with why."""
    with opened(path, runtime) as device:
        why = (device.meta.get("sender") or {}).get("cause") or None
        return [{**listed(device, row), "why": _why(row, why)} for row in [*device.unanswered(), *device.refused]]


def _why(row: OutboxRow, cause: str | None) -> str:
    """Why a row is not at the server; `cause` is what the sending process last said."""
    if row.answer is not None and row.answer.error is not None:
        return row.answer.error.detail
    return cause or ("It was sent, and no answer has come yet." if row.state == "sent" else "It was not sent yet.")


def export_file(path: str | os.PathLike[str], runtime: Runtime) -> dict[str, Any]:
    """What is unsent, as JSON; of a file that cannot be used any more (damaged, of a newer Holdfast, on a disk that takes nothing), what
    can be read of it, and then `damaged` is true. Raises NotFound, StorageLocked, and StorageCorrupt for what is no replica at all."""
    try:
        with opened(path, runtime) as device:
            return {**export_unsent(device), "records": _as_pulled(device)}
    except StorageLocked:
        raise
    except WorldError as error:
        return {"holdfast_replica": 1, "damaged": True, "why": error.detail, "mutations": _salvaged(path, runtime.sqlite_vfs()),
                "records": {}}


def _as_pulled(device: Device) -> dict[str, Any]:
    """The records with unsent work as the server last told them."""
    found = {}
    for key in {row.key for row in [*device.unanswered(), *device.refused] if row.collection}:
        row = device.store.record(key)
        if row is not None:
            found[f"{key[0]}/{key[1]}"] = row.fields
    return found


def _salvaged(path: str | os.PathLike[str], vfs: str | None) -> list[dict[str, Any]]:
    """The rows of the outbox that can be read, from both ends towards what is damaged. Read in a copy, so that nothing that is left is
    touched, and a disk that takes nothing is no obstacle."""
    with TemporaryDirectory(prefix="holdfast-salvage-") as folder:
        copy = Path(folder) / "copy.replica" if vfs is None else Path(path)
        if vfs is None:
            for suffix in ("", "-wal"):
                if Path(f"{os.fspath(path)}{suffix}").exists():
                    shutil.copyfile(f"{os.fspath(path)}{suffix}", f"{copy}{suffix}")
        try:
            connection = apsw.Connection(str(copy), apsw.SQLITE_OPEN_READWRITE if vfs is None else apsw.SQLITE_OPEN_READONLY, vfs)
        except apsw.Error as error:
            raise (world_error(error, "reading what is left") or error) from error
        try:
            return _readable_rows(connection)
        finally:
            connection.close(True)


def _readable_rows(connection: apsw.Connection) -> list[dict[str, Any]]:
    """Raises StorageCorrupt where not one could be looked at."""
    found: dict[int, dict[str, Any]] = {}
    problems: list[apsw.Error] = []
    for order in ("ASC", "DESC"):
        try:
            for row, *rest in connection.execute(f"{_READ_OUTBOX} ORDER BY row {order}"):
                found[row] = _row_as_read(*rest)
        except apsw.Error as error:
            problems.append(error)
    if len(problems) == 2 and not found:
        raise StorageCorrupt("Nothing in this file can be read as a replica's outbox.",
                             hint="Keep the file: special tools for damaged SQLite files may read more.") from problems[0]
    return [one for number, one in sorted(found.items()) if one["state"] != "acknowledged"]


_READ_OUTBOX = "SELECT row, mutation_id, collection, record_id, state, made FROM outbox"


def _row_as_read(mutation_id: str, collection: str, record_id: str, state: str, made: str) -> dict[str, Any]:
    found: dict[str, Any] = {"mutation_id": mutation_id, "collection": collection or None, "record_id": record_id, "state": state,
                             "on_disk": True}
    try:
        decoded = msgspec.json.decode(made)
    except msgspec.DecodeError:
        return {**found, "ops": [], "raw": made}
    return found | {name: decoded.get(name) for name in ("ops", "base", "after", "contract", "arguments") if name in decoded}


async def resend_file(path: str | os.PathLike[str], token: TokenSource, runtime: Runtime, *, url: str | None = None) -> dict[str, Any]:
    """Send what is unsent once, without its program. What the server refuses for good stays where it is: its program shows it. Raises
    StateError (the file names no server), WorldError (no network)."""
    with opened(path, runtime) as device:
        address = url or device.meta.get("server")
        if not address or not str(address).startswith("http"):
            raise StateError("This replica has not been in touch with a server.", hint="Name it with --url.")
        wire = Wire(WebTransport(address), token)
        try:
            return await _resend(device, wire)
        except Unreachable as error:
            raise WorldError(str(error), hint="What is unsent is still there. Try again when there is a network.") from error
        finally:
            await wire.close()


async def _resend(device: Device, wire: Wire) -> dict[str, Any]:
    profile = await wire.call("GET", "/v1/me")
    check_identity(device, tenant=profile["tenant"], actor_id=profile["account"])
    sending = Sending(device, wire, ReplicaSettings(hold_ms=0, hold_ms_max=0))
    sending.hurry = True
    taken = 0
    refused: list[dict[str, Any]] = []
    tried: set[str] = set()
    while True:
        pairs = [(row, body) for row, body in zip(*sending.due(), strict=True) if row.mutation_id not in tried]
        rows = [row for row, _ in pairs]
        if not rows or not mark_sent(device, rows):
            break
        reply = await wire.push(device.device_id, [body for _, body in pairs], device.runtime.now_ms())
        tried |= {row.mutation_id for row in rows}
        taken += sending.take_acknowledged([result for result in reply.results if result.outcome != "refused"])
        refused += [{"mutation_id": result.mutation_id, "why": result.error.detail} for result in reply.results if result.error is not None]
    before = {row.mutation_id for row in device.refused}
    taken += await _resend_calls(device, sending)
    refused += [{"mutation_id": row.mutation_id, "why": _why(row, None)} for row in device.refused if row.mutation_id not in before]
    return {"acknowledged": taken, "refused": refused, "waiting": len(device.unanswered())}


async def _resend_calls(device: Device, sending: Sending) -> int:
    """Queued calls of actions, oldest first; how many were answered."""
    waiting = [row.mutation_id for row in device.unanswered() if row.collection == ACTIONS]
    while waiting and await sending.call_action():
        continue
    left = {row.mutation_id for row in [*device.unanswered(), *device.refused]}
    return len([one for one in waiting if one not in left])
