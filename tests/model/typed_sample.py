"""A program as users write it, for the type checker alone: `test_types_for_users` runs mypy --strict over it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, assert_type

from pydantic import Field

from holdfast import (
    Counter,
    CreatedAt,
    CreatedBy,
    Json,
    Money,
    Record,
    Ref,
    Schema,
    Sensitive,
    Set,
    Text,
    by_server,
    changed_fields,
    compile_schema,
    from_fields,
    json_schema,
    merge,
    own,
    record_id,
    role,
    scale,
    search,
    tenant,
    to_fields,
    typescript,
    upcast,
    via,
)


class Project(Record, collection="projects", access=tenant):
    name: Annotated[str, search, Field(max_length=80)]
    owner: CreatedBy = by_server
    created_at: CreatedAt = by_server


class Estimate(Record, collection="estimates", contract=2, access=role("estimator", "owner") | via("project", own("owner")),
               upcasts={1: [upcast.rename("phone", "client_phone")]}):
    """One priced version of a roofing job."""

    project: Ref[Project]
    above: Ref[Estimate] | None = None
    status: Literal["draft", "submitted", "won", "lost"] = "draft"
    base_cost: Annotated[Money, merge.ask] | None = None
    rate: Annotated[Money, scale(4)] = Money("0.0750")
    cost_breakdown: Json = {}
    notes: Text = ""
    views: Counter = 0
    tags: Set[str] = set()
    client_phone: Sensitive[str] | None = None
    visited: datetime | None = None


def use(project: Project, view: dict[str, Any]) -> Schema:
    estimate = Estimate(project=project.id, base_cost=Money("12.30"))
    also = Estimate(project="0190f0e0-0000-7000-8000-00000000000a", base_cost=Decimal(12), tags={"roof"}, cost_breakdown={"roof": [1]})
    assert_type(estimate.project + also.notes, str)
    assert_type(estimate.base_cost, Decimal | None)
    assert_type(estimate.views, int)
    assert_type(estimate.tags, set[str])
    assert_type(estimate.client_phone, str | None)
    assert_type(project.created_at, datetime)
    back = from_fields(Estimate, view)
    assert_type(back, Estimate)
    assert_type(back.rev, int)
    assert_type(back.with_id(project.id), Estimate)
    assert_type({**to_fields(back), **changed_fields(back)}, dict[str, Any])
    assert_type(record_id(Estimate, project=project.id), str)
    schema = compile_schema([Project, Estimate])
    print(typescript(schema), json_schema(schema.collections["estimates"]), Project(name="Roof"))
    return schema


def misuse(project: Project) -> None:
    Estimate()      # type: ignore[call-arg]
    Estimate(project=3)      # type: ignore[arg-type]
    Estimate(project=project)      # type: ignore[arg-type]
    Estimate(project="x", base_cost="12.30")      # type: ignore[arg-type]
    Estimate(project="x", status="done")      # type: ignore[arg-type]
    Estimate(project="x", nots="")      # type: ignore[call-arg]
    Estimate(project="x", tags=[1])      # type: ignore[arg-type]
    from_fields(str, {})      # type: ignore[type-var]
    own("a") | "b"      # type: ignore[operator]
