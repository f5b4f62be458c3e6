"""Workshop: who may see and change what (P4). A participant has the own sessions alone, a facilitator those of the own workshops; to
everybody else they do not exist: the same answer as for an id that nobody has, by every way there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from holdfast import Member
from tests.apps.classroom import Classroom, Json

STRANGERS = ["pete", "finn", "olga", "zoe", "zed"]
COLLECTIONS = ("workshops", "workshop_sessions", "step_responses", "chat_messages")
SECRET = "Nobody else reads this"


@pytest.fixture
async def ids(room: Classroom) -> dict[str, str]:
    """Ids by collection of what belongs to pam's session in fay's workshop."""
    workshop = await room.workshop("fay", title=SECRET)
    session = await room.session("pam", workshop)
    saved = await room.save("pam", session, 1, SECRET)
    message = await room.message("pam", session, 1, SECRET)
    return {"workshops": workshop["id"], "workshop_sessions": session["id"], "step_responses": saved["response"]["id"],
            "chat_messages": message["id"], "join_code": workshop["join_code"]}


def calls(collection: str, record_id: str) -> Iterator[tuple[str, str, Any]]:
    """Every call that names a record."""
    record = f"/v1/records/{collection}/{record_id}"
    yield "GET", record, None
    yield "GET", f"{record}?include_deleted=true", None
    yield "PATCH", record, {"fields": {"title": "mine now"}}
    yield "PATCH", record, {"ops": [{"op": "splice", "path": "/response_text", "edits": [[0, 0, "x"]]}]}
    yield "DELETE", record, None
    yield "POST", f"{record}/undelete", None
    for path in ("history", "at/1", "diff?from=0", "why?path=/title"):
        yield "GET", f"{record}/{path}", None
    yield "POST", f"{record}/versions", {"rev": 1, "name": "mine"}
    yield "POST", f"{record}/restore", {"rev": 1}
    yield "POST", f"{record}/undo", {}
    yield "POST", f"{record}/redo", {}
    if collection == "workshop_sessions":
        yield "GET", f"/api/workshop/{record_id}", None
        yield "POST", "/api/workshop/save", {"session_id": record_id, "step_number": 1, "response_text": "mine"}
        yield "POST", "/v1/records/step_responses", {"fields": {"session_id": record_id, "step_number": 2}}
        message = {"session_id": record_id, "step_number": 1, "role": "user", "content": "x"}
        yield "POST", "/v1/records/chat_messages", {"fields": message}


def without(answer: Any, *ids: str) -> tuple[int, dict[str, Any]]:
    """Status and body, without what differs between any two calls."""
    text = answer.text
    for one in ids:
        text = text.replace(one, "ID")
    body = json.loads(text)
    body.pop("request_id", None)
    return answer.status_code, body


@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize("stranger", STRANGERS)
async def test_hidden_is_answered_as_absent(room: Classroom, ids: dict[str, str], stranger: str, collection: str) -> None:
    absent = str(uuid4())
    asked = zip(calls(collection, ids[collection]), calls(collection, absent), strict=True)
    for (method, hidden_path, hidden_body), (_, absent_path, absent_body) in asked:
        hidden = await room.call(stranger, method, hidden_path, hidden_body)
        unknown = await room.call(stranger, method, absent_path, absent_body)
        assert without(hidden, ids[collection], absent) == without(unknown, ids[collection], absent), f"{method} {hidden_path}"
        assert hidden.status_code in (404, 422), f"{method} {hidden_path}: {hidden.text}"
        assert SECRET not in hidden.text


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_device_that_pushes_to_what_is_hidden_is_answered_as_for_what_is_absent(room: Classroom, ids: dict[str, str],
                                                                                        stranger: str) -> None:
    outcomes = []
    for session, response in ((ids["workshop_sessions"], ids["step_responses"]), (str(uuid4()), str(uuid4()))):
        mutations = [
            {"mutation_id": f"a-{response}", "collection": "step_responses", "record_id": response,
             "ops": [{"op": "splice", "path": "/response_text", "edits": [[0, 0, "mine"]]}]},
            {"mutation_id": f"b-{session}", "collection": "workshop_sessions", "record_id": session,
             "ops": [{"op": "set", "path": "/current_step", "value": 9}]},
            {"mutation_id": f"c-{session}", "collection": "workshop_sessions", "record_id": session, "ops": [{"op": "delete"}]},
        ]
        reply = await room.done(stranger, "POST", "/v1/push", {"device_id": f"d-{stranger}", "mutations": mutations})
        outcomes.append([(one["outcome"], one.get("rev"), (one.get("error") or {}).get("code"),
                          [(part["reason"], part.get("message"), part.get("theirs")) for part in one.get("unapplied", [])])
                         for one in reply["results"]])
    assert outcomes[0] == outcomes[1] and outcomes[0][0][0] == "held"
    assert (await room.resume("pam", {"id": ids["workshop_sessions"]}))["responses"][0]["response_text"] == SECRET


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_nothing_of_it_is_listed_counted_pulled_or_told(room: Classroom, ids: dict[str, str], stranger: str) -> None:
    for collection in COLLECTIONS:
        assert (await room.done(stranger, "GET", f"/v1/records/{collection}?include_deleted=true"))["records"] == []
    for path in ("/v1/pull", "/v1/snapshot", "/v1/activity", "/v1/inbox"):
        answer = await room.call(stranger, "GET", path)
        assert answer.status_code == 200
        assert SECRET not in answer.text and not [one for one in ids.values() if one in answer.text], path


async def test_a_participant_lists_own_sessions_alone_among_those_of_others(room: Classroom) -> None:
    workshop = await room.workshop()
    sessions = {name: await room.session(name, workshop) for name in ("pam", "pete")}
    for name, session in sessions.items():
        await room.save(name, session, 1, f"by {name}")
        listed = await room.done(name, "GET", "/v1/records/workshop_sessions")
        assert [one["id"] for one in listed["records"]] == [session["id"]]
    answers = await room.done("pete", "GET", "/v1/records/step_responses")
    assert [one["fields"]["response_text"] for one in answers["records"]] == ["by pete"]


async def test_a_participant_does_not_see_the_workshop_record_but_its_title_and_steps(room: Classroom) -> None:
    workshop = await room.workshop("fay", "One", "Two", title="Doors")
    session = await room.session("pam", workshop)
    assert (session["workshop_title"], session["steps"]) == ("Doors", ["One", "Two"])
    assert (await room.call("pam", "GET", f"/v1/records/workshops/{workshop['id']}")).status_code == 404
    assert (await room.done("pam", "GET", "/v1/records/workshops"))["records"] == []


async def test_a_facilitator_sees_the_sessions_of_the_own_workshops_and_what_belongs_to_them(room: Classroom, ids: dict[str, str]) -> None:
    found = await room.resume("fay", {"id": ids["workshop_sessions"]})
    assert found["session"]["participant_name"] == "Pam"
    assert [one["response_text"] for one in found["responses"]] == [SECRET]
    assert [one["content"] for one in found["messages"]] == [SECRET]
    listed = await room.done("fay", "GET", f"/v1/records/workshop_sessions?workshop_id={ids['workshops']}&include=step_responses:count")
    assert [one["counts"]["step_responses"] for one in listed["records"]] == [1]


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "/api/workshop/save", {"session_id": "{workshop_sessions}", "step_number": 1, "response_text": "corrected"}),
    ("POST", "/api/workshop/save", {"session_id": "{workshop_sessions}", "step_number": 7, "response_text": "added"}),
    ("PATCH", "/v1/records/step_responses/{step_responses}", {"fields": {"response_text": "corrected"}}),
    ("PATCH", "/v1/records/workshop_sessions/{workshop_sessions}", {"fields": {"current_step": 5}}),
    ("DELETE", "/v1/records/workshop_sessions/{workshop_sessions}", None),
    ("DELETE", "/v1/records/step_responses/{step_responses}", None),
    ("POST", "/v1/records/step_responses/{step_responses}/undo", {"device_id": "any"}),
    ("POST", "/v1/records/chat_messages",
     {"fields": {"session_id": "{workshop_sessions}", "step_number": 1, "role": "user", "content": "x"}}),
])
async def test_a_facilitator_changes_nothing_of_what_participants_wrote(room: Classroom, ids: dict[str, str], method: str, path: str,
                                                                       body: Any) -> None:
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value)
        body = json.loads(json.dumps(body).replace("{" + name + "}", value))
    before = await room.resume("pam", {"id": ids["workshop_sessions"]})
    answer = await room.call("fay", method, path, body)
    assert answer.status_code in (403, 409), answer.text
    assert await room.resume("pam", {"id": ids["workshop_sessions"]}) == before


async def test_nobody_deletes_an_answer_and_nobody_changes_a_message(room: Classroom, ids: dict[str, str]) -> None:
    answers = [await room.call("pam", "DELETE", f"/v1/records/{collection}/{ids[collection]}") for collection in COLLECTIONS[1:]]
    message = f"/v1/records/chat_messages/{ids['chat_messages']}"
    answers.append(await room.call("pam", "PATCH", message, {"fields": {"content": "I never said that"}}))
    answers.append(await room.call("pam", "POST", f"{message}/undo", {}))
    fields = {"session_id": ids["workshop_sessions"], "step_number": 1, "role": "user", "content": "I never said that"}
    answers.append(await room.call("pam", "POST", "/v1/records/chat_messages", {"id": ids["chat_messages"], "fields": fields}))
    assert [answer.status_code for answer in answers] == [403] * 6, [answer.text for answer in answers]
    assert (await room.resume("pam", {"id": ids["workshop_sessions"]}))["messages"][0]["content"] == SECRET


@pytest.mark.parametrize(("collection", "field"), [("workshops", "facilitator_id"), ("workshop_sessions", "participant_id")])
async def test_who_it_belongs_to_cannot_be_changed(room: Classroom, ids: dict[str, str], collection: str, field: str) -> None:
    owner = {"workshops": "fay", "workshop_sessions": "pam"}[collection]
    answer = await room.call(owner, "PATCH", f"/v1/records/{collection}/{ids[collection]}", {"fields": {field: room.actors["pete"]}})
    found = await room.done(owner, "GET", f"/v1/records/{collection}/{ids[collection]}")
    assert answer.status_code < 500 and found["fields"][field] == room.actors[owner]


async def test_a_workshop_belongs_to_whoever_makes_it_whatever_the_call_says(room: Classroom) -> None:
    fields = {"title": "Mine", "facilitator_id": room.actors["finn"]}
    made = await room.done("fay", "POST", "/v1/records/workshops", {"fields": fields})
    assert made["record"]["fields"]["facilitator_id"] == room.actors["fay"]
    assert (await room.done("finn", "GET", "/v1/records/workshops"))["records"] == []


async def test_a_session_belongs_to_whoever_makes_it_whatever_the_call_says(room: Classroom) -> None:
    workshop = await room.workshop()
    fields = {"workshop_id": workshop["id"], "participant_id": room.actors["pam"]}
    made = await room.done("fay", "POST", "/v1/records/workshop_sessions", {"fields": fields})
    assert made["record"]["fields"]["participant_id"] == room.actors["fay"]
    assert (await room.session("pam", workshop))["participant_id"] == room.actors["pam"]


async def test_a_facilitator_without_the_role_any_more_sees_nothing(room: Classroom, ids: dict[str, str]) -> None:
    await _give_roles(room, "fay", {"participant"})
    for collection in COLLECTIONS:
        assert (await room.call("fay", "GET", f"/v1/records/{collection}/{ids[collection]}")).status_code == 404
    assert (await room.call("fay", "GET", f"/api/workshop/{ids['workshop_sessions']}")).status_code == 404


async def test_a_participant_without_the_role_any_more_keeps_the_own_work(room: Classroom, ids: dict[str, str]) -> None:
    await _give_roles(room, "pam", set())
    session = {"id": ids["workshop_sessions"]}
    assert await room.text("pam", session, 1) == SECRET
    assert (await room.save("pam", session, 1, "I can still finish"))["outcome"] == "applied"


async def test_a_repeated_call_of_somebody_who_left_answers_nothing(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    body = {"session_id": session["id"], "step_number": 1, "response_text": SECRET, "mutation_id": "m-1"}
    await room.done("pam", "POST", "/api/workshop/save", body)
    await room.store.accounts.remove_member("acme", room.actors["pam"])
    answer = await room.call("pam", "POST", "/api/workshop/save", body)
    assert answer.status_code in (401, 403) and SECRET not in answer.text


async def _give_roles(room: Classroom, name: str, roles: set[str]) -> None:
    olga = room.member("olga")
    await olga.change(await olga.get(Member, room.actors[name]), roles=roles)


async def test_the_same_workshop_in_two_organisations_stays_apart(room: Classroom) -> None:
    """Same code, same title, same texts: each organisation has its own."""
    sessions: dict[str, Json] = {}
    for host, guest in (("fay", "pam"), ("zoe", "zed")):
        fields = {"title": "Doors", "join_code": "DOORS-2026"}
        await room.done(host, "POST", "/v1/records/workshops", {"fields": fields})
        sessions[guest] = await room.done(guest, "POST", "/api/workshop/session/create", {"join_code": "doors-2026"})
        await room.save(guest, sessions[guest], 1, f"by {guest}", mutation_id="m-1")
    assert sessions["pam"]["id"] != sessions["zed"]["id"]
    for guest, session in sessions.items():
        assert await room.text(guest, session, 1) == f"by {guest}"
    for host, guest in (("zoe", "pam"), ("fay", "zed")):
        assert (await room.call(host, "GET", f"/api/workshop/{sessions[guest]['id']}")).status_code == 404
