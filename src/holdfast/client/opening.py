"""`open_replica`: the one way in.

    async with open_replica("notes.replica", "https://holdfast.example.org", token=token, records=[Note]) as replica:
        ...

`token` is a token or a function (also a coroutine function) that gives one; it is asked at every connection, kept in memory alone, and
never written to the file: take it from the environment, a keyring or a person.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from holdfast.client.device import Device
from holdfast.client.identity import check_identity, check_server
from holdfast.client.replica import Replica
from holdfast.client.replica_file import ReplicaFile
from holdfast.client.settings import ReplicaSettings
from holdfast.client.transport import Transport
from holdfast.client.web import WebTransport, normal_url
from holdfast.client.wire import TokenSource, Wire
from holdfast.core.errors import StorageNewer
from holdfast.core.schema import Schema
from holdfast.model.builtin import BUILT_IN
from holdfast.model.compile import compile_schema
from holdfast.model.record import Record
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["open_device", "open_replica"]

IN_PROCESS: Final = "in-process"
"""What a file remembers as its server where a transport was given instead of an address."""


def schema_of(records: Iterable[type[Record]]) -> Schema:
    """The schema of a replica: of the records it names, without the built-in collections (unless it names them)."""
    wanted = list(records)
    whole = compile_schema(wanted)
    built_in = {one.__declaration__.collection for one in BUILT_IN if one not in wanted}
    return Schema(collections={name: one for name, one in whole.collections.items() if name not in built_in}, digest=whole.digest,
                  limits=whole.limits)


def open_device(path: str | os.PathLike[str], schema: Schema, runtime: Runtime) -> Device:
    """The device of a file, ready to be used. Raises StorageNewer (a newer Holdfast, or a newer contract, wrote it), StorageCorrupt and
    other WorldErrors."""
    file = ReplicaFile(path, runtime.sqlite_vfs())
    file.open()
    try:
        device = Device(file, schema, runtime)
        device.load()
        if "device_id" not in device.meta:
            device.put_meta(device_id=runtime.uuid7(), former_ids=[], made_at=runtime.now_ms())
        _raise_on_newer_contract(device)
    except BaseException:
        file.close()
        raise
    return device


def _raise_on_newer_contract(device: Device) -> None:
    known: dict[str, int] = device.meta.get("contracts", {})
    for name, collection in device.schema.collections.items():
        if known.get(name, 0) > collection.contract:
            raise StorageNewer(
                f"This replica holds {name} under contract {known[name]}; this program declares contract {collection.contract}.",
                hint="Run the newer program: it wrote this file. Nothing was touched, and what is unsent is still there.")


@asynccontextmanager
async def open_replica(
    path: str | os.PathLike[str], url: str | None = None, *, records: Iterable[type[Record]], token: TokenSource = None,
    tenant: str | None = None, transport: Transport | None = None, runtime: Runtime | None = None, settings: ReplicaSettings | None = None,
) -> AsyncIterator[Replica]:
    """Open the replica in the file `path` (made if there is none) of the server at `url`, for these record classes. Without a server it
    works on what it holds. `tenant`: the organisation this must be the replica of, checked before anything is sent.

    Raises Forbidden (the file belongs to another server or organisation), StorageNewer, StorageCorrupt, StorageReadOnly, StorageFull,
    DeclarationError, InvalidValue (the address). At the end what is unsent is given two seconds to arrive, and nothing is left running.
    """
    runtime = runtime or RealRuntime()
    device = open_device(path, schema_of(records), runtime)
    replica: Replica | None = None
    try:
        wire = _wire(device, url, token, transport)
        if tenant is not None and device.meta.get("tenant") is not None:
            check_identity(device, tenant=tenant, actor_id=device.actor_id)
        replica = Replica(device, wire, settings or ReplicaSettings())
        replica.start()
        yield replica
    finally:
        if replica is not None:
            await replica.close()
        else:
            device.file.close()


def _wire(device: Device, url: str | None, token: TokenSource, transport: Transport | None) -> Wire | None:
    if transport is not None:
        check_server(device, normal_url(url) if url is not None else IN_PROCESS)
        return Wire(transport, token)
    if url is None:
        return None
    check_server(device, normal_url(url))
    return Wire(WebTransport(url), token)


