"""The past of one record: history, a version, a difference, provenance, named versions, and the ways back."""

from __future__ import annotations

from holdfast.core.errors import Held, InvalidValue, NotFound
from holdfast.server import forms
from holdfast.server.calls import Answer, Call, Route, wanted_path
from holdfast.server.parameters import text, whole
from holdfast.server.records import IDEMPOTENCY_KEY, WRITE_ERRORS, saved

__all__ = ["past_routes"]

_ONE = "/v1/records/{collection}/{id}"
_VERSION_NAME_MAX = 200


async def history(call: Call) -> Answer:
    return Answer(body=await call.store.history(call.caller, call.collection.name, call.record_id, cursor=call.values["cursor"],
                                                limit=call.values["limit"]))


async def at(call: Call) -> Answer:
    return Answer(body=await call.store.at(call.caller, call.collection.name, call.record_id, rev_of(call.path["rev"])))


async def diff(call: Call) -> Answer:
    return Answer(body=await call.store.diff(call.caller, call.collection.name, call.record_id, frm=call.values["from"],
                                             to=call.values["to"]))


async def why(call: Call) -> Answer:
    return Answer(body=await call.store.why(call.caller, call.collection.name, call.record_id, wanted_path(call.values["path"])))


async def name_version(call: Call) -> Answer:
    body = call.given(forms.NameVersion)
    if not body.name.strip() or len(body.name) > _VERSION_NAME_MAX:
        raise InvalidValue(f"A version's name has 1 to {_VERSION_NAME_MAX} characters.", field="/name")
    return saved(call, await call.store.name_version(call.caller, call.collection.name, call.record_id, body.rev, body.name,
                                                     mutation_id=call.mutation_id))


async def restore(call: Call) -> Answer:
    body = call.given(forms.Restore)
    return saved(call, await call.store.restore(call.caller, call.collection.name, call.record_id, body.rev, paths=body.paths,
                                                mutation_id=call.mutation_id))


async def undo(call: Call) -> Answer:
    body = call.given(forms.Undo)
    return saved(call, await call.store.undo(call.caller, call.collection.name, call.record_id, device_id=body.device_id, seq=body.seq,
                                             mutation_id=call.mutation_id))


async def redo(call: Call) -> Answer:
    body = call.given(forms.Redo)
    return saved(call, await call.store.redo(call.caller, call.collection.name, call.record_id, device_id=body.device_id,
                                             mutation_id=call.mutation_id))


def rev_of(value: str) -> int:
    """The rev in a path. Raises NotFound: an address that names no rev leads nowhere."""
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise NotFound("There is no such version.")
    return int(value)


def past_routes() -> list[Route]:
    """The rows of the route table for the past of a record."""
    saves = {200: forms.Saved, 202: forms.Saved}
    errors = (*WRITE_ERRORS, Held)
    return [
        Route(method="GET", path=f"{_ONE}/history", name="history", summary="The entries of a record, newest first.", handler=history,
              query=(text("cursor", "From the page before."), whole("limit", "Entries on the page.", default=50, minimum=1, maximum=1000)),
              replies={200: forms.History}, errors=(InvalidValue, NotFound)),
        Route(method="GET", path=f"{_ONE}/at/{{rev}}", name="at", summary="The record as it stood at a rev.", handler=at,
              replies={200: forms.RecordView}, errors=(NotFound,)),
        Route(method="GET", path=f"{_ONE}/diff", name="diff", summary="What changed between two revs.", handler=diff,
              query=(whole("from", "The older rev.", required=True), whole("to", "The newer rev; absent: what stands now.")),
              replies={200: dict}, errors=(InvalidValue, NotFound)),
        Route(method="GET", path=f"{_ONE}/why", name="why", summary="Why the value at a path is what it is.", handler=why,
              query=(text("path", "JSON Pointer of the place.", required=True),), replies={200: dict}, errors=(InvalidValue, NotFound)),
        Route(method="POST", path=f"{_ONE}/versions", name="name_version", summary="Give a version a name.", handler=name_version,
              headers=(IDEMPOTENCY_KEY,), body=forms.NameVersion, replies=saves, errors=errors),
        Route(method="POST", path=f"{_ONE}/restore", name="restore", summary="Write the difference to an old version onto what stands now.",
              handler=restore, headers=(IDEMPOTENCY_KEY,), body=forms.Restore, replies=saves, errors=errors),
        Route(method="POST", path=f"{_ONE}/undo", name="undo", summary="Undo an entry, by default the caller's newest.", handler=undo,
              headers=(IDEMPOTENCY_KEY,), body=forms.Undo, body_required=False, replies=saves, errors=errors),
        Route(method="POST", path=f"{_ONE}/redo", name="redo", summary="Take the newest undo back.", handler=redo,
              headers=(IDEMPOTENCY_KEY,), body=forms.Redo, body_required=False, replies=saves, errors=errors),
    ]
