"""Workshop: what does not fit is refused with a reason that names the place, changes nothing, and never becomes a 500 (P3, P5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.apps.classroom import Classroom, Json

TEXTS = ["", " ", "\n\r\t", "日本語 🙂 e\u0301", "\u202e\ufeff\u200d", "'; DROP TABLE step_responses;--", "<script>alert(1)</script>",
         "\x01\x1f\x7f\u2028", "{\"$promised\": [0, \"rev\"]}", "a" * 200_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:20])
async def test_any_text_comes_back_as_it_was(room: Classroom, text: str) -> None:
    session = await room.session("pam", await room.workshop())
    saved = await room.save("pam", session, 1, text)
    assert saved["response"]["response_text"] == text and await room.text("pam", session, 1) == text
    assert (await room.save("pam", session, 1, text + "!" if len(text) < 200_000 else text[1:]))["outcome"] == "applied"


@pytest.mark.parametrize(("wrong", "status", "field"), [
    ({"step_number": 0}, 422, "/step_number"), ({"step_number": -1}, 422, "/step_number"), ({"step_number": 1_001}, 422, "/step_number"),
    ({"step_number": 1.5}, 422, "/step_number"), ({"step_number": "1"}, 422, "/step_number"), ({"step_number": True}, 422, "/step_number"),
    ({"step_number": None}, 422, "/step_number"), ({"step_number": 10**400}, 400, "/step_number"),
    ({"step_number": [1]}, 422, "/step_number"),
    ({"response_text": None}, 422, "/response_text"), ({"response_text": 7}, 422, "/response_text"),
    ({"response_text": ["a"]}, 422, "/response_text"), ({"response_text": {"$promised": [0, "rev"]}}, 422, "/response_text"),
    ({"response_text": "a" * 200_001}, 413, "/response_text"), ({"response_text": "a\x00b"}, 400, "/response_text"),
    ({"session_id": None}, 422, "/session_id"), ({"session_id": 17}, 422, "/session_id"), ({"session_id": {}}, 422, "/session_id"),
    ({"session_id": "no id"}, 404, None), ({"session_id": ""}, 404, None), ({"base": 17}, 422, "/base"), ({"base": {}}, 422, "/base"),
    ({"current_step": 0}, 422, "/current_step"), ({"current_step": "next"}, 422, "/current_step"), ({"answer": "x"}, 422, "/answer"),
    ({"mutation_id": ""}, 200, None), ({"mutation_id": "not an id!"}, 422, "/mutation_id"), ({"mutation_id": 7}, 422, "/mutation_id"),
    ({"mutation_id": "x" * 65}, 422, "/mutation_id"),
])
async def test_a_save_that_does_not_fit_is_refused_where_it_does_not(room: Classroom, wrong: Json, status: int, field: str | None) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "stands")
    body = {"session_id": session["id"], "step_number": 1, "response_text": "stands", **wrong}
    answer = await room.call("pam", "POST", "/api/workshop/save", body)
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text
    found = await room.resume("pam", session)
    assert [one["response_text"] for one in found["responses"]] == ["stands"] and found["session"]["current_step"] == 1


@pytest.mark.parametrize("missing", ["session_id", "step_number", "response_text"])
async def test_what_is_missing_is_named(room: Classroom, missing: str) -> None:
    body = {"session_id": "x", "step_number": 1, "response_text": "x"}
    del body[missing]
    answer = await room.call("pam", "POST", "/api/workshop/save", body)
    assert answer.status_code == 422 and missing in answer.json()["detail"]


@pytest.mark.parametrize(("body", "status"), [
    ({}, 422), ({"workshop_id": "x", "join_code": "y"}, 422), ({"workshop_id": 7}, 422), ({"join_code": []}, 422), ({"workshop": "x"}, 422),
    ([], 422), ("x", 422), (None, 422), (7, 422),
])
async def test_joining_without_saying_which_is_refused(room: Classroom, body: Any, status: int) -> None:
    answer = await room.client.request("POST", "/api/workshop/session/create", content=json.dumps(body), headers={
        "authorization": f"Bearer {room.tokens['pam']}", "content-type": "application/json"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("body", [{"title": 7}, {}, {"title": "x" * 201}, {"title": "x", "steps": "one"}, {"title": "x", "steps": [1]},
                                  {"title": "x", "steps": [""]}, {"title": "x", "steps": ["y" * 201]}, {"title": "x", "steps": ["y"] * 51},
                                  {"title": "x", "status": "closed"}])
async def test_a_workshop_that_does_not_fit_is_refused(room: Classroom, body: Json) -> None:
    answer = await room.call("fay", "POST", "/api/workshop/create", body)
    assert answer.status_code == 422, answer.text
    assert (await room.done("fay", "GET", "/v1/records/workshops"))["records"] == []


@pytest.mark.parametrize("fields", [{"status": "gone"}, {"status": None}, {"join_code": "abc"}, {"join_code": "a b c d"},
                                    {"join_code": "x" * 41}, {"steps": {"1": "one"}}, {"title": None}, {"created_at": 7, "title": 3}])
async def test_a_workshop_by_rest_that_does_not_fit_is_refused(room: Classroom, fields: Json) -> None:
    answer = await room.call("fay", "POST", "/v1/records/workshops", {"fields": fields})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("fields", [{"role": "system"}, {"role": None}, {"content": ""}, {"content": 7}, {"content": "x" * 20_001},
                                    {"step_number": 0}, {"session_id": None}])
async def test_a_message_that_does_not_fit_is_refused(room: Classroom, fields: Json) -> None:
    session = await room.session("pam", await room.workshop())
    good = {"session_id": session["id"], "step_number": 1, "role": "user", "content": "hello"}
    answer = await room.call("pam", "POST", "/v1/records/chat_messages", {"fields": {**good, **fields}})
    assert answer.status_code == 422, answer.text
    assert (await room.resume("pam", session))["messages"] == []


async def test_a_step_that_the_workshop_does_not_have_is_refused(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", "One", "Two"))
    body = {"session_id": session["id"], "step_number": 3, "response_text": "beyond the end"}
    answer = await room.call("pam", "POST", "/api/workshop/save", body)
    assert (answer.status_code, answer.json()["field"], answer.json()["detail"]) == (422, "/step_number", "This workshop has 2 steps.")
    answer = await room.call("pam", "POST", "/api/workshop/save", {**body, "step_number": 2, "current_step": 3})
    assert (answer.status_code, answer.json()["field"]) == (422, "/current_step")
    assert (await room.resume("pam", session))["responses"] == []


async def test_resuming_takes_no_other_argument(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    for query, status in (("?step=1", 422), (f"?session_id={session['id']}", 200), ("?session_id=other", 400)):
        answer = await room.call("pam", "GET", f"/api/workshop/{session['id']}{query}")
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/workshop/save"), ("POST", "/api/workshop/session/create"),
                                              ("POST", "/api/workshop/create"), ("GET", "/api/workshop/x")])
async def test_nothing_without_signing_in(room: Classroom, method: str, path: str) -> None:
    answer = await room.client.request(method, path, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


async def test_every_address_is_described(room: Classroom) -> None:
    paths = (await room.done("pam", "GET", "/openapi.json"))["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods if path.startswith("/api/workshop")} == {
        ("/api/workshop/create", "post"), ("/api/workshop/session/create", "post"), ("/api/workshop/save", "post"),
        ("/api/workshop/{session_id}", "get")}
    schema = paths["/api/workshop/save"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == {"session_id", "step_number", "response_text"}


PLAIN_VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
JSON_VALUES = st.recursive(
    PLAIN_VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)
NAMES = ["session_id", "step_number", "response_text", "base", "mutation_id", "current_step", "workshop_id", "join_code", "title", "steps",
         "x"]
BODIES = st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=6)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(["save", "session/create", "create"]), body=BODIES, name=st.sampled_from(["fay", "pam"]))
async def test_whatever_is_sent_is_answered_with_a_reason(room: Classroom, path: str, body: Json, name: str) -> None:
    answer = await room.call(name, "POST", f"/api/workshop/{path}", body)
    assert answer.status_code < 500, answer.text
    if not answer.is_success:
        assert answer.json()["code"] and answer.json()["detail"]
