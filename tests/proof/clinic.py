"""An application with records of every kind of visibility, for attacks on it: what the whole organisation sees, what a patient and the
doctors see, what hangs on such a record, what a person can be let into and out of again, and what owners alone see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from holdfast import Counter, Json, Money, Record, Ref, Sensitive, Set, Text, merge, own, role, tenant, unique, via
from holdfast.app import App, Context, action, route

DOCTOR = role("doctor", "owner")


class Patient(Record, collection="patients", access=own("person") | DOCTOR):
    """Seen by the patient and the doctors."""

    person: str
    name: str = ""
    ward: Literal["east", "west"] = "east"
    phone: Sensitive[str] | None = None
    file: Sensitive[Json] = {}
    fee: Annotated[Money, merge.ask] | None = None
    secret_fee: Annotated[Sensitive[str], merge.ask] | None = None
    notes: Text = ""
    calls: Counter = 0
    allergies: Set[str] = set()
    plan: Json = {}


class Notice(Record, collection="notices", access=tenant):
    """On the wall, for everybody."""

    title: str
    body: Text = ""
    patient: Ref[Patient] | None = None
    code: Annotated[str, unique] | None = None
    fee: Annotated[Money, merge.ask] | None = None
    views: Counter = 0
    tags: Set[str] = set()
    extra: Json = {}
    pin: Sensitive[str] | None = None


class Visit(Record, collection="visits", access=via("patient"), key=("patient", "day")):
    """Seen with its patient; one a day."""

    patient: Ref[Patient]
    day: int
    findings: Text = ""


class Circle(Record, collection="circles", read=own("lead") | own("guest"), write=own("lead"), create=tenant):
    """A guest is let in and shown out."""

    lead: str
    guest: str | None = None
    topic: str = ""


class Meeting(Record, collection="meetings", access=via("circle")):
    circle: Ref[Circle]
    minutes: Text = ""


class Invoice(Record, collection="invoices", access=role("owner")):
    """For owners."""

    label: str = ""
    amount: Money = "0.00"  # type: ignore[assignment]
    account: Annotated[str, unique] | None = None


class Weighing(msgspec.Struct):
    patient_id: str
    note: str = ""


class Looking(msgspec.Struct):
    patient_id: str


@action("weigh")
async def weigh(ctx: Context, args: Weighing) -> dict[str, Any]:
    """Add to a patient's notes."""
    patient = await ctx.get(Patient, args.patient_id)
    changed = ctx.change(patient, notes=patient.notes + args.note)
    return {"patient": changed.record, "rev": changed.rev}


@action("look", reads_only=True)
async def look(ctx: Context, args: Looking) -> dict[str, Any]:
    """A patient with the visits."""
    patient = await ctx.get("patients", args.patient_id)
    return {"patient": patient, "visits": await ctx.list("visits", patient=patient["id"]), "all": len(await ctx.list("patients"))}


@action("fail", only_for=["owner", "doctor"])
async def fail(ctx: Context, args: dict[str, Any]) -> None:
    """Fails unexpectedly, with what it was given in its words."""
    raise RuntimeError(f"no idea what to do with {args}")


app = App("clinic", title="Clinic", doc="For tests.", records=[Patient, Notice, Visit, Circle, Meeting, Invoice],
          actions=[weigh, look, fail], routes=[route("POST", "/api/clinic/patients/{patient_id}/weigh", weigh),
                                               route("GET", "/api/clinic/patients/{patient_id}", look),
                                               route("POST", "/api/clinic/fail", fail)])
