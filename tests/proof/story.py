"""What happens in the clinic: what everybody may know, what is pia's and the doctors' alone, and the same under the same names in the
other organisation."""

from __future__ import annotations

from typing import Any

from holdfast.core.identity import natural_id
from tests.proof.world import World, named_id

__all__ = ["CANARIES", "NAMES", "behind_closed_doors", "in_the_open", "next_door"]

CANARIES = ("Quetzalcoatl", "+49-555-0199", "Xylophone", "Zanzibar", "Ybbs", "Wolpertinger", "Jabberwock", "Brobdingnag", "Lilliput",
            "4711.00", "815.00", "Tlaloc")
"""Words of what is hidden: no answer to an outsider may hold one."""

NAMES = ("pia", "gone", "wanted")
"""What the tests call the hidden patients."""


async def in_the_open(world: World) -> None:
    """A notice for all, quin's own record, a workshop with two who take part, and something that quin waits for."""
    actors = world.actors
    await world.push("dora", "notices", "wall", {"op": "create", "value": {"title": "Welcome", "body": "hello", "code": "W"}})
    for who in ("quin", "pia", "mona"):
        await world.look(who, "notices", "wall")
    await world.push("quin", "patients", "quin", {"op": "create", "value": {"person": actors["quin"], "name": "Quin", "phone": "1"}})
    await world.look("quin", "patients", "quin")
    await world.push("quin", "visits", natural_id("visits", [named_id("quin"), 1]),
                     {"op": "create", "value": {"patient": named_id("quin"), "day": 1, "findings": "fine"}})
    await world.push("pia", "notices", "wall", {"op": "set", "path": "/title", "value": "Welcome, all"})
    await world.push("olga", "circles", "olga", {"op": "create", "value": {"lead": actors["olga"], "guest": actors["quin"]}})
    waiting = await world.push("quin", "notices", "waiting",
                               {"op": "create", "value": {"title": "About Pia", "patient": named_id("wanted")}})
    assert waiting["outcome"] == "held", waiting
    made = await world.ok("fred", "POST", "/api/workshop/create", {"title": "Sleep", "steps": ["one", "two"]})
    world.values["workshop"] = made["id"]
    session = await world.ok("quin", "POST", "/api/workshop/session/create", {"workshop_id": made["id"]})
    world.values["own_session"] = session["id"]
    world.runtime.reseed(500)


async def behind_closed_doors(world: World) -> None:
    """All kinds of entries about records that outsiders may not see."""
    values = world.values
    values["before"] = await world.position(await world.head())
    for happening in (_arrival, _question, _visits, _coming_and_going, _ways_back, _handed_over, _many, _workshop):
        await world.secretly(lambda told=happening: told(world))
    if world.with_actions:
        await world.secretly(lambda: _actions(world))
    head = await world.head()
    values |= {"secret_seq": head - 3, "secret_position": await world.position(head - 3)}
    starts = [sum(world.script[:at]) for at in range(len(world.script) + 1)]
    first = values_first = int(values["before"].partition(".")[0]) + 1
    values |= {"item": str(first + starts[2] - 1), "first_secret": values_first, "many_seq": first + starts[7] - 1,
               "patient": named_id("pia"), "gone": named_id("gone"),
               "visit": natural_id("visits", [named_id("pia"), 7]), "secret_device": "dev-pia", "secret_mutation": "dev-pia.1",
               "session": natural_id("workshop_sessions", [values["workshop"], world.actors["pia"]]), "unknown": named_id("unknown")}
    values["response"] = natural_id("step_responses", [values["session"], 1])


async def _arrival(world: World) -> None:
    secret = {"person": world.actors["pia"], "name": "Quetzalcoatl", "ward": "west", "phone": "+49-555-0199", "notes": "Xylophone",
              "plan": {"diet": "Zanzibar"}, "file": {"Ybbs": {"code": "Wolpertinger"}}, "allergies": ["Tlaloc"]}
    await world.push("pia", "patients", "pia", {"op": "create", "value": secret})
    await world.push("pia", "patients", "pia", {"op": "add", "path": "/calls", "by": 3})
    await world.look("pia", "patients", "pia")
    await world.look("dora", "patients", "pia")


async def _question(world: World) -> None:
    await world.push("dora", "patients", "pia", {"op": "set", "path": "/fee", "value": "4711.00"})
    held = await world.push("pia", "patients", "pia", {"op": "set", "path": "/fee", "value": "815.00"})
    assert held["outcome"] == "held", held


async def _visits(world: World) -> None:
    for day in (7, 8):
        made = await world.push("dora", "visits", natural_id("visits", [named_id("pia"), day]),
                                {"op": "create", "value": {"patient": named_id("pia"), "day": day, "findings": "Jabberwock"}})
        assert made["outcome"] == "applied", made


async def _coming_and_going(world: World) -> None:
    for name in ("gone", "wanted"):
        await world.push("dora", "patients", name, {"op": "create", "value": {"person": world.actors["dora"], "name": "Brobdingnag"}})
    await world.look("dora", "patients", "gone")
    await world.push("dora", "patients", "gone", {"op": "delete"})
    await world.push("dora", "patients", "gone", {"op": "undelete"})
    await world.push("dora", "patients", "gone", {"op": "delete"})


async def _ways_back(world: World) -> None:
    place = f"/v1/records/patients/{named_id('pia')}"
    await world.ok("dora", "PATCH", place, {"fields": {"ward": "east", "phone": "+49-555-0199"}})
    rev = (await world.ok("dora", "GET", place))["rev"]
    await world.ok("dora", "POST", f"{place}/versions", {"rev": rev, "name": "Lilliput"})
    await world.ok("dora", "POST", f"{place}/undo", {})
    await world.ok("dora", "POST", f"{place}/redo", {})
    await world.ok("dora", "POST", f"{place}/restore", {"rev": rev})


async def _handed_over(world: World) -> None:
    place = f"/v1/records/patients/{named_id('pia')}"
    await world.ok("dora", "PATCH", place, {"fields": {"person": world.actors["dora"]}})
    await world.ok("dora", "PATCH", place, {"fields": {"person": world.actors["pia"]}})


async def _many(world: World) -> None:
    """More entries about one hidden record than any round of a filtered list looks through."""
    await world.look("dora", "patients", "pia")
    for number in range(45):
        await world.push("dora", "patients", "pia", {"op": "set", "path": "/name", "value": f"Quetzalcoatl {number}"})


async def _workshop(world: World) -> None:
    await world.ok("olga", "POST", "/v1/records/invoices", {"fields": {"label": "Zanzibar", "account": "Ybbs"}})


async def _actions(world: World) -> None:
    """Owners and administrators see that an action was called, not on which record."""
    await world.ok("dora", "POST", f"/api/clinic/patients/{named_id('pia')}/weigh", {"note": "Lilliput"})
    session = await world.ok("pia", "POST", "/api/workshop/session/create", {"workshop_id": world.values["workshop"]})
    await world.ok("pia", "POST", "/api/workshop/save", {"session_id": session["id"], "step_number": 1, "response_text": "Wolpertinger"})
    await world.ok("pia", "POST", "/v1/records/chat_messages",
                   {"fields": {"session_id": session["id"], "step_number": 1, "role": "user", "content": "Jabberwock"}})


async def next_door(world: World) -> None:
    """The same names in zoe's organisation."""
    zoe: Any = world.actors["zoe"]
    for name in ("pia", "quin", "gone"):
        await world.push("zoe", "patients", name, {"op": "create", "value": {"person": zoe, "name": "Quetzalcoatl next door"}})
    await world.push("zoe", "notices", "wall", {"op": "create", "value": {"title": "Zanzibar", "code": "W"}})
    await world.push("zoe", "visits", natural_id("visits", [named_id("pia"), 7]),
                     {"op": "create", "value": {"patient": named_id("pia"), "day": 7, "findings": "Jabberwock"}})
