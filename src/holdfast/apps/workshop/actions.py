"""What the workshop's own addresses do: open a workshop, join it, save an answer, come back.

A save is whole text, as a form sends it: Holdfast works out what was changed. It is compared with the version that the caller names in
`base`; without one, with what the caller itself saved last by this address; and if there is nothing of the kind, it is an answer made
without knowing of another, so both stand. What others (or the same person's other devices) wrote since is merged, never overwritten.

Replies show a record as the document names it: its fields beside `id`, `rev` and `position`. What a change came to is known only when it
is committed, so replies are made of promises (`Queued`), and none of the record's content is kept a second time with the call.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec

from holdfast import InvalidValue, Member, NotFound, Record, record_id
from holdfast.app import Context, Queued, action
from holdfast.apps.workshop.records import JOINING, STEP_MAX, StepResponse, Workshop, WorkshopSession, normal_code

__all__ = ["create_session", "open_workshop", "resume", "save"]

Document: TypeAlias = dict[str, Any]

NO_WORKSHOP: Final = "There is no open workshop with this code or id."
JOIN_CODE_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"     # without what is easily mistaken for another
JOIN_CODE_CHARACTERS: Final = 8
MESSAGES_MAX: Final = 1_000

StepNumber = Annotated[int, msgspec.Meta(ge=1, le=STEP_MAX)]


class OpenWorkshop(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    title: str
    steps: list[str] = []


class CreateSession(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One of the two."""

    workshop_id: str | None = None
    join_code: str | None = None


class Save(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`base`: the `position` of the response that the text was made from. `current_step`: where the person goes on, if that is another step
    than the furthest one with an answer."""

    session_id: str
    step_number: StepNumber
    response_text: str
    base: str | None = None
    current_step: StepNumber | None = None


class Resume(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    session_id: str


# -- workshops and sessions ------------------------------------------------------------------------------------------------


@action("open_workshop", only_for={"facilitator"})
async def open_workshop(ctx: Context, given: OpenWorkshop) -> Document:
    """Open a workshop of one's own; the server makes its join code."""
    made = ctx.create(Workshop(title=given.title, steps=given.steps, join_code=join_code(ctx.uuid7())))
    return document(made, Workshop)


def join_code(random_id: str) -> str:
    """Eight characters (40 bits) of the random part of a UUIDv7: nobody finds it by trying."""
    bits = int(random_id.replace("-", ""), 16) & ((1 << 5 * JOIN_CODE_CHARACTERS) - 1)
    return "".join(JOIN_CODE_ALPHABET[bits >> 5 * at & 31] for at in range(JOIN_CODE_CHARACTERS))


@action("create_session", only_for={"participant", "facilitator"}, grants={JOINING})
async def create_session(ctx: Context, given: CreateSession) -> Document:
    """Take part in a workshop, by its id or its code. Whoever takes part already gets the same session, also of a closed workshop."""
    if (given.workshop_id is None) == (given.join_code is None):
        raise InvalidValue("Say which workshop: its workshop_id or its join_code.", field="/workshop_id")
    workshop = await workshop_of(ctx, given)
    if workshop is None:
        raise NotFound(NO_WORKSHOP)
    key = {"workshop_id": workshop.id, "participant_id": ctx.actor_id}
    session_id = record_id(WorkshopSession, **key)
    if await ctx.find(WorkshopSession, session_id) is not None:
        return document(ctx.create("workshop_sessions", key, record_id=session_id), WorkshopSession)
    if workshop.status != "active":
        raise NotFound(NO_WORKSHOP)
    me = await ctx.get(Member, ctx.actor_id)
    given_now = {**key, "workshop_title": workshop.title, "steps": workshop.steps, "participant_name": me.display_name}
    return document(ctx.create("workshop_sessions", given_now, record_id=session_id), WorkshopSession)


async def workshop_of(ctx: Context, given: CreateSession) -> Workshop | None:
    if given.workshop_id is not None:
        return await ctx.find(Workshop, given.workshop_id)
    code = normal_code(given.join_code)
    return await ctx.first(Workshop, join_code=code) if code else None


# -- answers ---------------------------------------------------------------------------------------------------------------


@action("save")
async def save(ctx: Context, given: Save) -> Document:
    """Save the answer of one step; the session goes on at the furthest step that has an answer, or at `current_step`."""
    session = await ctx.get(WorkshopSession, given.session_id)
    for field, step in (("/step_number", given.step_number), ("/current_step", given.current_step)):
        if session.steps and step is not None and step > len(session.steps):
            raise InvalidValue(f"This workshop has {len(session.steps)} steps.", field=field)
    saved = await queue_response(ctx, given)
    goes_on = max(session.current_step, given.step_number) if given.current_step is None else given.current_step
    if goes_on != session.current_step:
        ctx.change(session, current_step=goes_on)
    return {"response": document(saved, StepResponse), "outcome": saved.outcome, "first_outcome": saved.first_outcome,
            "receipt": saved.receipt, "rev": saved.value("rev"), "position": saved.value("position")}


async def queue_response(ctx: Context, given: Save) -> Queued:
    response_id = record_id(StepResponse, session_id=given.session_id, step_number=given.step_number)
    if await ctx.find(StepResponse, response_id) is not None:
        base = await ctx.last_own_position(StepResponse, response_id) if given.base is None else given.base
        if base is not None:
            return ctx.change(("step_responses", response_id), base=base, response_text=given.response_text)
    return ctx.create(StepResponse(session_id=given.session_id, step_number=given.step_number, response_text=given.response_text))


@action("resume", reads_only=True)
async def resume(ctx: Context, given: Resume) -> Document:
    """A session with all that belongs to it: its answers by step, and its chat (the newest thousand messages) in order."""
    session = await ctx.get("workshop_sessions", given.session_id)
    responses = await ctx.list("step_responses", session_id=session["id"], sort=["step_number"], limit=STEP_MAX)
    messages = await ctx.list("chat_messages", session_id=session["id"], sort=["-rev"], limit=MESSAGES_MAX)
    return {"session": as_document(session), "responses": [as_document(one) for one in responses],
            "messages": [as_document(one) for one in reversed(messages)]}


# -- replies ---------------------------------------------------------------------------------------------------------------


def as_document(view: Document) -> Document:
    """A record view, flat."""
    return {"id": view["id"], **view["fields"], "rev": view["rev"], "position": view["position"]}


def document(queued: Queued, kind: type[Record]) -> Document:
    """The same of a record that is being changed."""
    fields = {name: queued.value("fields", name) for name in kind.model_fields}
    return {"id": queued.id, **fields, "rev": queued.value("rev"), "position": queued.value("position")}
