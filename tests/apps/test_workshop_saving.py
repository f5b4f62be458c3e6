"""Workshop: the document's test cases. What was saved is there when one comes back, at the step where one was (P1, P5); nobody's concurrent
save loses another's (P3); a save that is sent twice takes effect once (P2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

from tests.apps.classroom import Classroom, classroom

ON_DISK = True
STEPS = ("Who", "What", "Why", "How")


async def test_a_save_is_answered_with_the_response_its_outcome_and_its_receipt(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    saved = await room.save("pam", session, 1, "People at the door")
    assert set(saved) == {"response", "outcome", "receipt", "rev", "position"}
    assert (saved["outcome"], saved["receipt"]) == ("applied", "committed")
    response = saved["response"]
    assert set(response) == {"id", "session_id", "step_number", "response_text", "created_at", "updated_at", "rev", "position"}
    assert (response["session_id"], response["step_number"], response["response_text"]) == (session["id"], 1, "People at the door")
    assert (response["rev"], response["position"]) == (saved["rev"], saved["position"])


async def test_save_navigate_away_return_the_response_persists(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", *STEPS))
    await room.save("pam", session, 1, "first")
    await room.save("pam", session, 2, "second")
    assert await room.text("pam", session, 1) == "first"
    assert await room.text("pam", session, 2) == "second"


async def test_an_earlier_step_can_be_changed_and_the_person_still_goes_on_at_the_furthest_one(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", *STEPS))
    for step in (1, 2, 3):
        await room.save("pam", session, step, f"answer {step}")
    await room.save("pam", session, 1, "answer 1, better")
    found = await room.resume("pam", session)
    assert found["session"]["current_step"] == 3
    assert [one["response_text"] for one in found["responses"]] == ["answer 1, better", "answer 2", "answer 3"]


async def test_next_goes_to_a_step_that_has_no_answer_yet(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", *STEPS))
    await room.save("pam", session, 1, "done", current_step=2)
    assert (await room.resume("pam", session))["session"]["current_step"] == 2


async def test_going_back_deliberately_is_remembered_too(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", *STEPS))
    await room.save("pam", session, 3, "done")
    await room.save("pam", session, 3, "done!", current_step=1)
    assert (await room.resume("pam", session))["session"]["current_step"] == 1


async def test_close_the_browser_and_the_server_reopen_the_session_resumes_at_the_right_step(tmp_path: Path) -> None:
    async with classroom(tmp_path / "data") as room:
        workshop = await room.workshop("fay", *STEPS)
        session = await room.session("pam", workshop)
        await room.save("pam", session, 1, "one")
        await room.save("pam", session, 2, "two")
        await room.message("pam", session, 2, "Is two enough?")
        await room.message("pam", session, 2, "For a start.", role="assistant")
    async with classroom(tmp_path / "data") as room:
        again = await room.session("pam", workshop)
        found = await room.resume("pam", again)
    assert again["id"] == session["id"] and found["session"]["current_step"] == 2
    assert [(one["step_number"], one["response_text"]) for one in found["responses"]] == [(1, "one"), (2, "two")]
    assert [(one["role"], one["content"]) for one in found["messages"]] == [("user", "Is two enough?"), ("assistant", "For a start.")]


async def test_a_new_session_is_at_step_one_and_says_so(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop("fay", *STEPS, title="Doors"))
    assert {name: session[name] for name in ("participant_id", "current_step", "workshop_title", "steps", "participant_name")} == {
        "participant_id": room.actors["pam"], "current_step": 1, "workshop_title": "Doors", "steps": list(STEPS), "participant_name": "Pam"}
    assert await room.resume("pam", session) == {"session": session, "responses": [], "messages": []}


async def test_messages_come_in_the_order_in_which_they_were_made(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    for number in range(30):
        await room.message("pam", session, 1 + number % 3, f"message {number}")
    found = (await room.resume("pam", session))["messages"]
    assert [one["content"] for one in found] == [f"message {number}" for number in range(30)]


async def test_concurrent_saves_of_different_steps_are_all_there(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await asyncio.gather(*(room.save("pam", session, step, f"answer {step}") for step in range(1, 41)))
    found = await room.resume("pam", session)
    assert [one["response_text"] for one in found["responses"]] == [f"answer {step}" for step in range(1, 41)]
    assert found["session"]["current_step"] == 40


async def test_concurrent_saves_of_one_step_are_all_acknowledged_and_all_in_the_history(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    texts = [f"version {number}" for number in range(30)]
    answers = await asyncio.gather(*(room.save("pam", session, 1, text) for text in texts))
    assert {answer["receipt"] for answer in answers} == {"committed"}
    assert len({answer["rev"] for answer in answers}) == len(texts)
    response = answers[0]["response"]["id"]
    stood = [(await room.done("pam", "GET", f"/v1/records/step_responses/{response}/at/{answer['rev']}"))["fields"]["response_text"]
             for answer in answers]
    assert sorted(stood) == sorted(texts)
    assert await room.text("pam", session, 1) in texts


async def test_concurrent_saves_of_different_people_do_not_meet(room: Classroom) -> None:
    workshop = await room.workshop()
    sessions = {name: await room.session(name, workshop) for name in ("pam", "pete")}
    await asyncio.gather(*(room.save(name, session, step, f"{name} {step}") for name, session in sessions.items() for step in range(1, 11)))
    for name, session in sessions.items():
        found = (await room.resume(name, session))["responses"]
        assert [one["response_text"] for one in found] == [f"{name} {step}" for step in range(1, 11)]


async def test_a_save_that_is_sent_twice_takes_effect_once_and_says_what_it_came_to_at_first(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    sent = {"mutation_id": str(uuid4())}
    first = await room.save("pam", session, 1, "once", **sent)
    await room.save("pam", session, 1, "once and more")
    again = await room.save("pam", session, 1, "once", **sent)
    assert (again["outcome"], again["first_outcome"], again["receipt"]) == ("duplicate", "applied", "committed")
    assert again["response"]["response_text"] == "once and more"
    assert again["position"] != first["position"] and again["position"] == again["response"]["position"]
    history = await room.done("pam", "GET", f"/v1/records/step_responses/{first['response']['id']}/history")
    assert len(history["entries"]) == 2


async def test_a_save_that_is_sent_twice_at_once_takes_effect_once(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    answers = await asyncio.gather(*(room.save("pam", session, 1, "once", mutation_id="m-1") for _ in range(8)))
    assert sorted(answer["outcome"] for answer in answers) == ["applied", *["duplicate"] * 7]
    assert {answer["rev"] for answer in answers} == {answers[0]["rev"]}


async def test_an_idempotency_key_does_the_same_and_the_answer_says_that_it_was_given_before(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    body = {"session_id": session["id"], "step_number": 1, "response_text": "once"}
    answers = [await room.call("pam", "POST", "/api/workshop/save", body, headers={"idempotency-key": "k-1"}) for _ in range(2)]
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]
    assert [answer.json()["outcome"] for answer in answers] == ["applied", "duplicate"]


async def test_an_id_that_comes_back_with_other_content_is_refused(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "this", mutation_id="m-1")
    answer = await room.call("pam", "POST", "/api/workshop/save", {"session_id": session["id"], "step_number": 1, "response_text": "that",
                                                                   "mutation_id": "m-1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "id_reused")
    assert await room.text("pam", session, 1) == "this"


async def test_the_mutation_ids_of_two_people_do_not_meet(room: Classroom) -> None:
    workshop = await room.workshop()
    for name in ("pam", "pete"):
        saved = await room.save(name, await room.session(name, workshop), 1, name, mutation_id="m-1")
        assert (saved["outcome"], saved["response"]["response_text"]) == ("applied", name)


async def test_a_text_that_did_not_change_is_acknowledged_and_makes_no_new_version(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    first = await room.save("pam", session, 1, "same")
    again = await room.save("pam", session, 1, "same")
    assert (again["receipt"], again["rev"]) == ("committed", first["rev"])


async def test_an_answer_can_be_emptied_and_brought_back(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    first = await room.save("pam", session, 1, "precious")
    assert (await room.save("pam", session, 1, ""))["response"]["response_text"] == ""
    await room.done("pam", "POST", f"/v1/records/step_responses/{first['response']['id']}/restore", {"rev": first["rev"]})
    assert await room.text("pam", session, 1) == "precious"
