"""Workshop: opening one and joining it by code or link. One person has one session in a workshop, however often and from wherever it is
made (P2), and a code opens one workshop without showing any other (P4)."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from holdfast import record_id
from holdfast.apps.workshop import StepResponse, WorkshopSession
from tests.apps.classroom import Classroom, Json


async def join(room: Classroom, name: str, **how: str) -> Json:
    found: Json = await room.done(name, "POST", "/api/workshop/session/create", how)
    return found


async def test_a_workshop_has_a_code_that_the_server_made(room: Classroom) -> None:
    workshops = [await room.workshop("fay", title=f"Number {number}") for number in range(20)]
    codes = {workshop["join_code"] for workshop in workshops}
    assert len(codes) == 20 and all(len(code) == 8 and code.isalnum() and code == code.upper() for code in codes)
    assert {workshop["status"] for workshop in workshops} == {"active"}
    assert {workshop["facilitator_id"] for workshop in workshops} == {room.actors["fay"]}


async def test_a_workshop_made_again_under_the_same_id_is_the_same(room: Classroom) -> None:
    body = {"title": "Doors", "mutation_id": "w-1"}
    first, again = [await room.call("fay", "POST", "/api/workshop/create", body) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201) and first.json() == again.json()
    assert len((await room.done("fay", "GET", "/v1/records/workshops"))["records"]) == 1


@pytest.mark.parametrize("name", ["pam", "olga"])
async def test_only_a_facilitator_opens_a_workshop(room: Classroom, name: str) -> None:
    answers = [await room.call(name, "POST", "/api/workshop/create", {"title": "Mine"}),
               await room.call(name, "POST", "/v1/records/workshops", {"fields": {"title": "Mine"}})]
    assert [answer.status_code for answer in answers] == [403, 403]


async def test_joining_by_code_and_by_link_leads_to_the_same_session(room: Classroom) -> None:
    workshop = await room.workshop()
    by_code = await join(room, "pam", join_code=workshop["join_code"])
    by_link = await join(room, "pam", workshop_id=workshop["id"])
    assert by_code["id"] == by_link["id"] == record_id(WorkshopSession, workshop_id=workshop["id"], participant_id=room.actors["pam"])


async def test_a_code_is_taken_as_people_type_it(room: Classroom) -> None:
    workshop = await room.workshop()
    joined = await join(room, "pam", join_code=f"  {workshop['join_code'].lower()} ")
    assert joined["workshop_id"] == workshop["id"]


async def test_a_second_call_returns_the_session_as_it_stands(room: Classroom) -> None:
    workshop = await room.workshop()
    session = await join(room, "pam", workshop_id=workshop["id"])
    await room.save("pam", session, 4, "far already")
    again = await join(room, "pam", workshop_id=workshop["id"])
    assert (again["id"], again["current_step"], again["started_at"]) == (session["id"], 4, session["started_at"])


async def test_joining_many_times_at_once_makes_one_session(room: Classroom) -> None:
    workshop = await room.workshop()
    sessions = await asyncio.gather(*(join(room, "pam", workshop_id=workshop["id"]) for _ in range(20)))
    assert len({session["id"] for session in sessions}) == 1
    assert len((await room.done("fay", "GET", "/v1/records/workshop_sessions"))["records"]) == 1


async def test_a_device_that_makes_the_session_again_offline_has_made_the_same_one(room: Classroom) -> None:
    workshop = await room.workshop()
    session = await join(room, "pam", workshop_id=workshop["id"])
    await room.save("pam", session, 3, "at three")
    key = {"workshop_id": workshop["id"], "participant_id": room.actors["pam"]}
    answer = {"session_id": session["id"], "step_number": 3}
    pushed = await room.done("pam", "POST", "/v1/push", {"device_id": "phone", "mutations": [
        {"mutation_id": "p-1", "collection": "workshop_sessions", "record_id": record_id(WorkshopSession, **key),
         "ops": [{"op": "create", "value": key}]},
        {"mutation_id": "p-2", "collection": "step_responses", "record_id": record_id(StepResponse, **answer),
         "ops": [{"op": "create", "value": {**answer, "response_text": " and at home"}}]}]})
    assert [result["outcome"] for result in pushed["results"]] == ["merged", "merged"]
    found = await room.resume("pam", session)
    assert found["session"]["current_step"] == 3
    assert found["responses"][0]["response_text"] in ("at three and at home", " and at homeat three")


async def test_a_session_made_offline_in_a_workshop_that_one_never_joined_is_not_made(room: Classroom) -> None:
    workshop = await room.workshop()
    key = {"workshop_id": workshop["id"], "participant_id": room.actors["pam"]}
    pushed = await room.done("pam", "POST", "/v1/push", {"device_id": "phone", "mutations": [
        {"mutation_id": "p-1", "collection": "workshop_sessions", "record_id": record_id(WorkshopSession, **key),
         "ops": [{"op": "create", "value": key}]}]})
    assert pushed["results"][0]["outcome"] == "held"
    assert (await room.done("fay", "GET", "/v1/records/workshop_sessions"))["records"] == []


async def test_nobody_takes_the_place_of_somebody_who_has_not_joined_yet(room: Classroom) -> None:
    workshop = await room.workshop()
    key = {"workshop_id": workshop["id"], "participant_id": room.actors["pam"]}
    pushed = await room.done("fay", "POST", "/v1/push", {"device_id": "tablet", "mutations": [
        {"mutation_id": "p-1", "collection": "workshop_sessions", "record_id": record_id(WorkshopSession, **key),
         "ops": [{"op": "create", "value": key}]}]})
    assert pushed["results"][0]["outcome"] == "held"
    assert (await join(room, "pam", workshop_id=workshop["id"]))["participant_id"] == room.actors["pam"]


async def test_nobody_joins_a_closed_workshop_and_who_has_joined_goes_on(room: Classroom) -> None:
    workshop = await room.workshop()
    session = await join(room, "pam", workshop_id=workshop["id"])
    await room.done("fay", "PATCH", f"/v1/records/workshops/{workshop['id']}", {"fields": {"status": "closed"}})
    assert (await join(room, "pam", join_code=workshop["join_code"]))["id"] == session["id"]
    assert (await room.save("pam", session, 1, "still here"))["outcome"] == "applied"
    refused = await room.call("pete", "POST", "/api/workshop/session/create", {"join_code": workshop["join_code"]})
    assert refused.status_code == 404


async def test_a_closed_a_deleted_an_unknown_and_a_foreign_workshop_are_answered_in_the_same_words(room: Classroom) -> None:
    closed, deleted, foreign = await room.workshop(), await room.workshop(), await room.workshop("zoe")
    await room.done("fay", "PATCH", f"/v1/records/workshops/{closed['id']}", {"fields": {"status": "closed"}})
    await room.done("fay", "DELETE", f"/v1/records/workshops/{deleted['id']}")
    asked = [{"workshop_id": one["id"]} for one in (closed, deleted, foreign)]
    asked += [{"join_code": one["join_code"]} for one in (closed, deleted, foreign)]
    asked += [{"workshop_id": str(uuid4())}, {"workshop_id": "nonsense"}, {"join_code": "NOSUCHCODE"}, {"join_code": ""},
              {"join_code": "x" * 5_000}, {"workshop_id": "é" * 100}]
    answers = [(await room.call("pam", "POST", "/api/workshop/session/create", body)) for body in asked]
    told = {(answer.status_code, answer.json()["code"], answer.json()["detail"]) for answer in answers}
    assert told == {(404, "not_found", "There is no open workshop with this code or id.")}


async def test_a_code_that_is_taken_back_opens_nothing_any_more(room: Classroom) -> None:
    workshop = await room.workshop()
    await room.done("fay", "PATCH", f"/v1/records/workshops/{workshop['id']}", {"fields": {"join_code": "new-code"}})
    old = await room.call("pam", "POST", "/api/workshop/session/create", {"join_code": workshop["join_code"]})
    assert old.status_code == 404
    assert (await join(room, "pam", join_code="NEW-CODE"))["workshop_id"] == workshop["id"]


async def test_a_code_belongs_to_one_workshop(room: Classroom) -> None:
    await room.done("fay", "POST", "/v1/records/workshops", {"fields": {"join_code": "doors-1"}})
    taken = await room.call("finn", "POST", "/v1/records/workshops", {"fields": {"join_code": "Doors-1"}})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")


async def test_steps_that_the_facilitator_changes_later_do_not_move_those_of_who_is_under_way(room: Classroom) -> None:
    workshop = await room.workshop("fay", "One", "Two")
    session = await join(room, "pam", workshop_id=workshop["id"])
    changed = {"steps": ["Zero", "One", "Two"], "title": "New"}
    await room.done("fay", "PATCH", f"/v1/records/workshops/{workshop['id']}", {"fields": changed})
    again = await join(room, "pam", workshop_id=workshop["id"])
    assert (again["id"], again["steps"]) == (session["id"], ["One", "Two"])
    assert (await join(room, "pete", workshop_id=workshop["id"]))["steps"] == ["Zero", "One", "Two"]


async def test_a_facilitator_may_take_part_in_the_own_workshop(room: Classroom) -> None:
    session = await room.session("fay", await room.workshop("fay"))
    assert (await room.save("fay", session, 1, "trying it out"))["outcome"] == "applied"


async def test_joining_takes_the_role(room: Classroom) -> None:
    workshop = await room.workshop()
    answer = await room.call("olga", "POST", "/api/workshop/session/create", {"workshop_id": workshop["id"]})
    assert answer.status_code == 403
