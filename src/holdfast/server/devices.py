"""What devices call besides push and the socket: pull, snapshot, their own report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core import position
from holdfast.core.errors import InvalidValue, LimitExceeded, Malformed, NotFound
from holdfast.core.identity import is_id
from holdfast.core.messages import PullReply
from holdfast.server import forms
from holdfast.server.calls import NDJSON, Answer, Call, Route
from holdfast.server.parameters import names, text, whole

__all__ = ["device_routes", "encode_pull", "known_collections", "read_contracts"]

_LINES = 100
_PENDING_MAX = 5_000
_encoder = msgspec.json.Encoder()
encode_pull = _encoder.encode


async def pull(call: Call) -> Answer:
    values = call.values
    reply = await call.store.pull(call.caller, cursor=cursor_of(values["cursor"]),
                                  limit=min(values["limit"], call.store.schema.limits.pull_entries_max),
                                  collections=known_collections(call.store.schema.collections, values["collections"]),
                                  device_id=device_of(values["device_id"]), contracts=read_contracts(values["contracts"]))
    return Answer(body=reply)


def cursor_of(given: str | None) -> str | None:
    """The cursor, if it is one; none is the start. Raises Malformed."""
    if not given:
        return None
    try:
        position.parse(given)
    except Malformed as error:
        raise Malformed("The cursor is no position.", field="cursor", hint=error.hint) from None
    return given


async def snapshot(call: Call) -> Answer:
    collections = known_collections(call.store.schema.collections, call.values["collections"])
    return Answer(media=NDJSON, stream=lines(call.store.snapshot(call.caller, collections=collections, after=call.values["after"])))


async def snapshot_with_pending(call: Call) -> Answer:
    body = call.given(forms.SnapshotQuery)
    if body.pending is not None and len(body.pending) > _PENDING_MAX:
        raise LimitExceeded(f"At most {_PENDING_MAX} records with pending changes.", field="/pending", hint="Push first.")
    collections = known_collections(call.store.schema.collections, body.collections)
    found = call.store.snapshot(call.caller, collections=collections, after=body.after, pending=body.pending)
    return Answer(media=NDJSON, stream=lines(found))


async def report(call: Call) -> Answer:
    body = call.given(forms.DeviceReport)
    device_of(body.device_id)
    if len(body.version) > 100 or len(body.cause or "") > 500 or len(body.oldest or "") > 40:
        raise InvalidValue("The report's texts are too long.", hint="version: 100 characters, cause: 500, oldest: a time.")
    facts = {"version": body.version, "pending": body.pending, "held": body.held, "oldest": body.oldest, "cause": body.cause}
    await call.store.report_device(call.caller, body.device_id, facts)
    return Answer(status=204)


async def lines(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Records as lines of JSON, a hundred at a time."""
    gathered: list[dict[str, Any]] = []
    async for item in found:
        gathered.append(item)
        if len(gathered) >= _LINES:
            yield _encoder.encode_lines(gathered)
            gathered.clear()
    if gathered:
        yield _encoder.encode_lines(gathered)


def device_of(device_id: str | None) -> str | None:
    """A device id that a caller names. Raises InvalidValue."""
    if device_id is not None and not is_id(device_id):
        raise InvalidValue("A device id is 1 to 64 of A-Z a-z 0-9 _ . : -", field="device_id")
    return device_id


def known_collections(known: Mapping[str, Any], wanted: Sequence[str] | None) -> tuple[str, ...] | None:
    """The collections a device asks for; None for all. Raises NotFound for one that does not exist."""
    if not wanted:
        return None
    for name in wanted:
        if name not in known:
            raise NotFound(f"There is no collection {name[:60]!r}.", field="collections", hint="GET /v1/schema lists the collections.")
    return tuple(wanted)


def read_contracts(pairs: Sequence[str] | None) -> dict[str, int] | None:
    """`estimates:2,projects:1`: the contracts that the device speaks. Raises InvalidValue."""
    if not pairs:
        return None
    found: dict[str, int] = {}
    for pair in pairs:
        name, _, version = pair.partition(":")
        if not name or not version.isascii() or not version.isdigit() or len(version) > 6:
            raise InvalidValue("contracts is a list such as estimates:2,projects:1.", field="contracts")
        found[name] = int(version)
    return found


def device_routes() -> list[Route]:
    """The rows of the route table for devices."""
    collections = names("collections", "Only these collections; absent: all.")
    return [
        Route(method="GET", path="/v1/pull", name="pull", summary="What happened after a cursor, within the rules.", handler=pull,
              query=(text("cursor", "Position up to which the device has applied the log; absent: from the start."),
                     whole("limit", "Entries to read; the answer may hold fewer changes.", default=500, minimum=1, maximum=1000),
                     collections, text("device_id", "The device that pulls, so that it is known to be alive."),
                     names("contracts", "Contracts that the device speaks, as name:version.")),
              replies={200: PullReply}, errors=(InvalidValue, NotFound)),
        Route(method="GET", path="/v1/snapshot", name="snapshot", summary="A cursor, then every visible record, as lines of JSON.",
              handler=snapshot, query=(collections, text("after", "Resumes after this record: collection/id of the last line received.")),
              replies={200: NDJSON.decode()}, errors=(InvalidValue, NotFound), streams=True),
        Route(method="POST", path="/v1/snapshot", name="snapshot_with_pending",
              summary="The same, with the bases of records for which the device holds unsent changes.", handler=snapshot_with_pending,
              body=forms.SnapshotQuery, replies={200: NDJSON.decode()}, errors=(InvalidValue, NotFound, LimitExceeded), streams=True),
        Route(method="POST", path="/v1/devices/report", name="report_device", summary="A device tells how it is.", handler=report,
              body=forms.DeviceReport, replies={204: None}, errors=(InvalidValue,)),
    ]
