"""What waits for a person (the inbox), what happened (activity), and actions."""

from __future__ import annotations

from typing import Any

from holdfast.core.errors import Conflict, Forbidden, InvalidValue, LimitExceeded, NotFound
from holdfast.core.identity import is_id
from holdfast.engine.api import Resolution
from holdfast.server import forms
from holdfast.server.calls import Answer, Call, Route
from holdfast.server.parameters import instant, text, whole
from holdfast.server.records import IDEMPOTENCY_KEY, WRITE_ERRORS, saved

__all__ = ["waiting_routes"]

_PAGE = (text("cursor", "From the page before."), whole("limit", "Items on the page.", default=50, minimum=1, maximum=1000))
_FILTERS = ("actor_id", "device_id", "collection", "record_id", "kind")


async def inbox(call: Call) -> Answer:
    return Answer(body=await call.store.inbox(call.caller, cursor=call.values["cursor"], limit=call.values["limit"]))


async def inbox_item(call: Call) -> Answer:
    return Answer(body=await call.store.inbox_item(call.caller, call.record_id))


async def resolve(call: Call) -> Answer:
    resolution = resolution_of(call.given(forms.Resolve))
    return saved(call, await call.store.resolve(call.caller, call.record_id, resolution, mutation_id=call.mutation_id))


def resolution_of(body: forms.Resolve) -> Resolution:
    """The one way out that the body names. Raises InvalidValue."""
    given = [name for name in ("apply", "value", "discard", "assign") if getattr(body, name) not in (None, False)]
    if len(given) != 1:
        raise InvalidValue("Say one of apply, value, discard and assign.", hint='Send for example {"apply": true}.')
    how: Any = given[0]
    return Resolution(how=how, values=body.value, assign_to=body.assign, reason=body.reason)


async def activity(call: Call) -> Answer:
    filters = {name: call.values[name] for name in (*_FILTERS, "since", "until") if call.values[name] is not None}
    return Answer(body=await call.store.activity(call.caller, cursor=call.values["cursor"], limit=call.values["limit"], **filters))


async def action(call: Call) -> Answer:
    """Everything in the body but `mutation_id` and `device_id` is an argument."""
    arguments: dict[str, Any] = dict(call.given(dict))
    mutation_id = arguments.pop("mutation_id", None) or call.mutation_id or call.services.runtime.uuid7()
    device_id = arguments.pop("device_id", None)
    for name, value in (("mutation_id", mutation_id), ("device_id", device_id)):
        if value is not None and not is_id(value):
            raise InvalidValue("An id is 1 to 64 of A-Z a-z 0-9 _ . : -", field=f"/{name}")
    return Answer(body=await call.store.action(call.caller, call.path["action"], arguments, mutation_id=mutation_id, device_id=device_id))


def waiting_routes() -> list[Route]:
    """The rows of the route table for inbox, activity and actions."""
    return [
        Route(method="GET", path="/v1/inbox", name="inbox", summary="What waits for the caller's decision.", handler=inbox, query=_PAGE,
              replies={200: forms.InboxPage}, errors=(InvalidValue,)),
        Route(method="GET", path="/v1/inbox/{id}", name="inbox_item", summary="One inbox item with both values.", handler=inbox_item,
              replies={200: dict}, errors=(NotFound,)),
        Route(method="POST", path="/v1/inbox/{id}", name="resolve", summary="Apply, merge, discard or assign an inbox item.",
              handler=resolve, headers=(IDEMPOTENCY_KEY,), body=forms.Resolve, replies={200: forms.Saved, 202: forms.Saved},
              errors=WRITE_ERRORS),
        Route(method="GET", path="/v1/activity", name="activity", summary="What happened, newest first, within the rules.",
              handler=activity, replies={200: dict}, errors=(InvalidValue,),
              query=(*_PAGE, *(text(name, f"Only this {name}.") for name in _FILTERS), instant("since", "Not before."),
                     instant("until", "Before."))),
        Route(method="POST", path="/v1/actions/{action}", name="action", summary="Call an action: all its changes commit, or none.",
              handler=action, headers=(IDEMPOTENCY_KEY,), body=dict, body_required=False, replies={200: dict},
              errors=(InvalidValue, Forbidden, NotFound, Conflict, LimitExceeded)),
    ]
