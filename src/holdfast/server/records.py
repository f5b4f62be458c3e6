"""REST on records: list, create, read, change, delete, undelete. `ETag` is the record's `"<rev>"`.

What a change answers: 200 (201 for a new record), or 202 with `inbox_id` when it was held whole. A call repeated under its
`Idempotency-Key` answers as the first one did, with `Idempotent-Replayed: true`.
"""

from __future__ import annotations

import re

from holdfast.core.errors import (
    Conflict,
    Forbidden,
    Held,
    InvalidValue,
    LimitExceeded,
    Malformed,
    NotFound,
    Overloaded,
    RateLimited,
    Reused,
    Stale,
)
from holdfast.core.messages import Result
from holdfast.engine.api import RecordView
from holdfast.server import forms
from holdfast.server.calls import Answer, Call, Route
from holdfast.server.listing import included, list_query
from holdfast.server.parameters import Parameter, flag, names, text, whole
from holdfast.server.refusals import raise_refusal

__all__ = ["IDEMPOTENCY_KEY", "IF_MATCH", "WRITE_ERRORS", "record_routes", "saved"]

IDEMPOTENCY_KEY = text("Idempotency-Key", "Makes a repeated call take effect once; 1 to 64 of A-Z a-z 0-9 _ . : -",
                       pattern="\"?[A-Za-z0-9_.:\\-]{1,64}\"?")
IF_MATCH = text("If-Match", "Only if the record's ETag is still this one.", pattern='\\*|"[0-9]{1,15}"')
IF_NONE_MATCH = text("If-None-Match", "Answers 304 while the ETag is this one.")

WRITE_ERRORS = (InvalidValue, Forbidden, NotFound, Reused, Conflict, LimitExceeded, RateLimited, Overloaded)

_ETAG = re.compile(rb'\s*(?:\*|"(\d{1,15})")\s*')

_SAVED = {200: forms.Saved, 202: forms.Saved}


def etag(rev: int | None) -> tuple[bytes, bytes]:
    return b"etag", f'"{rev or 0}"'.encode()


def if_match(call: Call) -> int | None:
    """The rev that If-Match names; None without one, or for `*`. Raises Malformed."""
    raw = call.headers.get(b"if-match")
    if raw is None:
        return None
    found = _ETAG.fullmatch(raw)
    if found is None:
        raise Malformed("If-Match takes one strong ETag as this server gives them.", field="If-Match",
                        hint='Send the ETag of the record, such as "17".')
    return int(found.group(1)) if found.group(1) else None


def saved(call: Call, result: Result, *, created: bool = False, location: str | None = None) -> Answer:
    """The answer to a change. Raises the refusal, where there is one."""
    call.services.metrics.count("mutations", result.outcome)
    raise_refusal(result)
    outcome = result.first_outcome if result.outcome == "duplicate" and result.first_outcome else result.outcome
    status = 202 if outcome == "held" else 201 if created and outcome == "applied" else 200
    headers = []
    if result.rev is not None:
        headers.append(etag(result.rev))
    if result.outcome == "duplicate":
        headers.append((b"idempotent-replayed", b"true"))
    if status == 201 and location is not None:
        headers.append((b"location", location.encode()))
    reply = forms.Saved(outcome=result.outcome, receipt=result.receipt, mutation_id=result.mutation_id, rev=result.rev,
                        position=result.position, first_outcome=result.first_outcome, record=result.record, inbox_id=result.inbox_id,
                        unapplied=result.unapplied)
    return Answer(status=status, body=reply, headers=headers)


async def list_records(call: Call) -> Answer:
    page = await call.store.list(call.caller, call.collection.name, list_query(call))
    return Answer(body=page)


async def create_record(call: Call) -> Answer:
    body = call.given(forms.CreateRecord)
    collection = call.collection.name
    result = await call.store.create(call.caller, collection, body.fields, record_id=body.id, mutation_id=call.mutation_id)
    record: RecordView = result.record or {}
    location = f"{call.base_path}/v1/records/{collection}/{record['id']}" if "id" in record else None
    return saved(call, result, created=True, location=location)


async def get_record(call: Call) -> Answer:
    record = await call.store.get(call.caller, call.collection.name, call.record_id, include=included(call, call.collection),
                                  include_deleted=call.values["include_deleted"])
    tag = etag(record["rev"])
    headers = [tag, (b"cache-control", b"private, no-cache")]
    if not call.values["include"] and tag[1] in [one.strip() for one in call.headers.get(b"if-none-match", b"").split(b",")]:
        return Answer(status=304, headers=headers)
    return Answer(body=record, headers=headers)


async def change_record(call: Call) -> Answer:
    body = call.given(forms.ChangeRecord)
    if (body.fields is None) == (body.ops is None):
        raise InvalidValue("A change has either fields or ops.", field="/fields", hint="Send one of the two.")
    result = await call.store.change(call.caller, call.collection.name, call.record_id, fields=body.fields, ops=body.ops, base=body.base,
                                     if_match=if_match(call), mutation_id=call.mutation_id, atomic=body.atomic)
    return saved(call, result)


async def delete_record(call: Call) -> Answer:
    result = await call.store.delete(call.caller, call.collection.name, call.record_id, if_match=if_match(call),
                                     mutation_id=call.mutation_id)
    return saved(call, result)


async def undelete_record(call: Call) -> Answer:
    return saved(call, await call.store.undelete(call.caller, call.collection.name, call.record_id, mutation_id=call.mutation_id))


async def records_since(call: Call) -> Answer:
    body = call.given(forms.Since)
    if len(body.wanted) > call.store.schema.limits.page_records_max:
        raise LimitExceeded(f"At most {call.store.schema.limits.page_records_max} records at once.", field="/wanted")
    wanted = [(one.collection, one.record_id, one.base) for one in body.wanted]
    return Answer(body=forms.SinceReply(records=await call.store.records_since(call.caller, wanted)))


_INCLUDE: tuple[Parameter, ...] = (
    names("include", "Child collections to come along, as `children` or `children:count`."),
    flag("include_deleted", "Deleted records too."),
)


def record_routes() -> list[Route]:
    """The rows of the route table for records."""
    one = "/v1/records/{collection}/{id}"
    return [
        Route(method="GET", path="/v1/records/{collection}", name="list_records", summary="A page of records.", handler=list_records,
              query=(names("sort", "Fields to sort by; a minus before one turns its order round."), text("cursor", "From the page before."),
                     whole("limit", "Records on the page.", default=50, minimum=1, maximum=1000), *_INCLUDE),
              filtered=True, replies={200: forms.RecordPage}, errors=(InvalidValue, NotFound)),
        Route(method="POST", path="/v1/records/{collection}", name="create_record", summary="Create a record.", handler=create_record,
              headers=(IDEMPOTENCY_KEY,), body=forms.CreateRecord, replies={201: forms.Saved, **_SAVED}, errors=WRITE_ERRORS),
        Route(method="GET", path=one, name="get_record", summary="One record.", handler=get_record, query=_INCLUDE,
              headers=(IF_NONE_MATCH,), replies={200: forms.RecordView, 304: None}, errors=(InvalidValue, NotFound)),
        Route(method="PATCH", path=one, name="change_record", summary="Change a record.", handler=change_record,
              headers=(IDEMPOTENCY_KEY, IF_MATCH), body=forms.ChangeRecord, replies=_SAVED, errors=(*WRITE_ERRORS, Stale, Held)),
        Route(method="DELETE", path=one, name="delete_record", summary="Delete a record; it can be undeleted.", handler=delete_record,
              headers=(IDEMPOTENCY_KEY, IF_MATCH), replies=_SAVED, errors=(*WRITE_ERRORS, Stale, Held)),
        Route(method="POST", path=f"{one}/undelete", name="undelete_record", summary="Bring a deleted record back.",
              handler=undelete_record, headers=(IDEMPOTENCY_KEY,), replies=_SAVED, errors=(*WRITE_ERRORS, Held)),
        Route(method="POST", path="/v1/records", name="records_since", handler=records_since,
              summary="Records, each as the entries since the base that a device names.", body=forms.Since,
              replies={200: forms.SinceReply}, errors=(InvalidValue, LimitExceeded)),
    ]
