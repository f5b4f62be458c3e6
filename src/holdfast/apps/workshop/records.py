"""What a workshop keeps: workshops, the sessions of those who take part, their answers step by step, and the chat beside each step.

Who may: a facilitator sees the own workshops and all that belongs to them, and changes the workshops. A participant sees and changes
the own sessions and what belongs to them, and nothing else; not the workshops, whose titles and steps therefore come along with the
session. `facilitator_id` and `participant_id` are whoever calls: no client chooses them.

A session is one per workshop and person, a response one per session and step: their natural keys make it so, also for two devices
that were offline when they made them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from holdfast import CreatedAt, CreatedBy, Json, Record, Ref, Text, UpdatedAt, by_server, immutable, nobody, own, role, search, unique, via

__all__ = ["JOINING", "STEPS_MAX", "STEP_MAX", "ChatMessage", "StepResponse", "Workshop", "WorkshopSession", "normal_code"]

STEP_MAX: Final = 1_000
STEPS_MAX: Final = 50
STEP_TITLE_CHARACTERS_MAX: Final = 200

JOINING: Final = "workshop:joining"
"""The role in which the action that joins looks at somebody else's workshop. No member has it."""

HOSTING: Final = own("facilitator_id") & role("facilitator")


def normal_code(code: Any) -> Any:
    """A join code as it is kept: people type it with spaces and in any case."""
    return code.strip().upper() if isinstance(code, str) else code


def step_titles(steps: Any) -> Any:
    """The titles of a workshop's steps. Raises ValueError for anything else."""
    if not isinstance(steps, list) or len(steps) > STEPS_MAX or not all(isinstance(one, str) and one.strip() for one in steps):
        raise ValueError(f"steps must be a list of at most {STEPS_MAX} titles.")
    if any(len(one) > STEP_TITLE_CHARACTERS_MAX for one in steps):
        raise ValueError(f"The title of a step holds at most {STEP_TITLE_CHARACTERS_MAX} characters.")
    return steps


Steps = Annotated[Json, AfterValidator(step_titles)]
StepNumber = Annotated[int, Field(ge=1, le=STEP_MAX)]
JoinCode = Annotated[str, unique, BeforeValidator(normal_code), Field(min_length=4, max_length=40, pattern=r"^[A-Z0-9-]+$")]


class Workshop(Record, collection="workshops", app="workshop", read=HOSTING | role(JOINING), write=HOSTING, create=role("facilitator"),
               indexes=[("status",)]):
    """A workshop that a facilitator holds. People join it by its code, or by a link with its id."""

    facilitator_id: CreatedBy = by_server
    created_at: CreatedAt = by_server
    status: Literal["active", "closed"] = "active"
    """Nobody joins a closed workshop; who has joined it goes on."""
    title: Annotated[str, search, Field(max_length=200)] = ""
    steps: Steps = []
    """Titles of the steps, the first one is step 1; empty: any number of steps."""
    join_code: JoinCode | None = None


class WorkshopSession(Record, collection="workshop_sessions", app="workshop", key=("workshop_id", "participant_id"),
                      read=own("participant_id") | via("workshop_id", HOSTING), write=own("participant_id"), delete=nobody,
                      title_field="workshop_title"):
    """One person's way through one workshop."""

    workshop_id: Ref[Workshop]
    participant_id: CreatedBy = by_server
    current_step: StepNumber = 1
    """Where the person goes on."""
    started_at: CreatedAt = by_server
    updated_at: UpdatedAt = by_server
    workshop_title: Annotated[str, immutable] = ""
    """As the workshop was called when the person joined."""
    steps: Annotated[Steps, immutable] = []
    """As they were then: what is changed later does not move the steps of those who are under way."""
    participant_name: Annotated[str, immutable] = ""
    """As the person was called then; a facilitator cannot read the list of members."""


class StepResponse(Record, collection="step_responses", app="workshop", key=("session_id", "step_number"), read=via("session_id"),
                   write=via("session_id"), delete=nobody):
    """What somebody wrote at one step. Two devices may type in it at once: the text is merged character by character."""

    session_id: Ref[WorkshopSession]
    step_number: StepNumber
    response_text: Annotated[Text, search] = ""
    created_at: CreatedAt = by_server
    updated_at: UpdatedAt = by_server


class ChatMessage(Record, collection="chat_messages", app="workshop", append_only=True, read=via("session_id"), write=via("session_id"),
                  title_field="content"):
    """One message of the chat beside a step. Never changed once it is made; in the order of `rev`."""

    session_id: Ref[WorkshopSession]
    step_number: StepNumber
    role: Literal["user", "assistant"]
    content: Annotated[str, search, Field(min_length=1)]
    timestamp: CreatedAt = by_server
