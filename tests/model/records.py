"""Records that the tests of this folder share: the example of the design, a field of every kind, a workshop with three levels."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from holdfast import (
    Counter,
    CreatedAt,
    CreatedBy,
    Json,
    Money,
    Record,
    Ref,
    Sensitive,
    Set,
    Text,
    UpdatedAt,
    by_server,
    immutable,
    merge,
    own,
    role,
    scale,
    search,
    tenant,
    unique,
    via,
)

ID = "0190f0e0-0000-7000-8000-00000000000a"
OTHER_ID = "0190f0e0-0000-7000-8000-00000000000b"


class Project(Record, collection="projects", access=tenant):
    name: Annotated[str, search]


class Estimate(Record, collection="estimates", contract=2, access=role("estimator", "owner")):
    """One priced version of a roofing job."""

    project: Ref[Project]
    status: Literal["draft", "submitted", "won", "lost"] = "draft"
    base_cost: Annotated[Money, merge.ask] | None = None  # two people priced it differently: ask
    cost_breakdown: Json = {}  # merged key by key
    notes: Text = ""  # merged character by character
    views: Counter = 0  # increments add up
    client_phone: Sensitive[str] | None = None  # encrypted at rest, in the table and in the log


class Level(Enum):
    LOW = "low"
    HIGH = "high"


class Everything(Record, collection="everything", unique=(("name", "number"),), indexes=(("day", "amount"),)):
    """A field of every kind."""

    name: Annotated[str, unique, Field(min_length=1, max_length=80)] = "unnamed"
    number: int = 0
    share: float = 0.5
    open: bool = True
    day: date | None = None
    moment: datetime | None = None
    level: Level = Level.LOW
    token: UUID | None = None
    project: Ref[Project] | None = None
    amount: Money = Money("0")
    rate: Annotated[Money, scale(4)] | None = None
    settings: Json = {"theme": "light", "sizes": [1, 2]}
    notes: Text = ""
    views: Counter = 0
    tags: Set[str] = {"new"}
    phone: Sensitive[str] | None = None
    origin: Annotated[str, immutable] = ""
    created_by: CreatedBy = by_server
    created_at: CreatedAt = by_server
    updated_at: UpdatedAt = by_server


class Workshop(Record, collection="workshops", read=own | role("owner"), write=own):
    title: str
    facilitator_id: CreatedBy = by_server


class Session(
    Record,
    collection="workshop_sessions",
    key=("workshop_id", "participant_id"),
    read=own("participant_id") | via("workshop_id", own("facilitator_id")),
    write=own("participant_id"),
):
    workshop_id: Ref[Workshop]
    participant_id: CreatedBy = by_server
    current_step: int = 1


class Response(Record, collection="step_responses", access=via("session_id"), key=("session_id", "step_number")):
    session_id: Ref[Session]
    step_number: int
    response_text: Text = ""


class Message(Record, collection="chat_messages", access=via("session_id"), append_only=True):
    session_id: Ref[Session]
    content: Annotated[str, search]


ALL = (Project, Estimate, Everything, Workshop, Session, Response, Message)
