"""Workshop: an old text never overwrites a newer one (P3). A save is compared with the version that the caller names, else with what it
saved last by this address itself; what others or other devices wrote since is merged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import record_id
from holdfast.apps.workshop import StepResponse
from tests.apps.classroom import Classroom, Json

ON_DISK = True
DEVICE = "phone-of-pam"


async def typed(room: Classroom, record: Json, base: str | None, *edits: list[Any]) -> Json:
    """What pam's phone pushes: edits of an answer that it had pulled at `base`."""
    mutation = {"mutation_id": "p-1", "collection": "step_responses", "record_id": record["id"], "base": base,
                "ops": [{"op": "splice", "path": "/response_text", "edits": list(edits)}]}
    reply = await room.done("pam", "POST", "/v1/push", {"device_id": DEVICE, "mutations": [mutation]})
    result: Json = reply["results"][0]
    return result


async def made_on_the_phone(room: Classroom, session: Json, step: int, text: str) -> Json:
    """What pam's phone pushes for an answer that it made itself, offline: the key makes the id."""
    key = {"session_id": session["id"], "step_number": step}
    mutation = {"mutation_id": f"c-{step}", "collection": "step_responses", "record_id": record_id(StepResponse, **key),
                "ops": [{"op": "create", "value": {**key, "response_text": text}}]}
    reply = await room.done("pam", "POST", "/v1/push", {"device_id": DEVICE, "mutations": [mutation]})
    result: Json = reply["results"][0]
    return result


async def test_two_tabs_that_started_from_one_version_both_keep_what_they_wrote(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    start = (await room.save("pam", session, 1, "Bread and milk"))["position"]
    one = await room.save("pam", session, 1, "Bread and milk and eggs", base=start)
    other = await room.save("pam", session, 1, "Dark bread and milk", base=start)
    assert (one["outcome"], other["outcome"]) == ("applied", "merged")
    assert other["response"]["response_text"] == "Dark bread and milk and eggs"


async def test_two_tabs_that_save_at_once_from_one_version_both_keep_what_they_wrote(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    start = (await room.save("pam", session, 1, "|"))["position"]
    await asyncio.gather(*(room.save("pam", session, 1, f"|<{number}>", base=start) for number in range(20)))
    text = await room.text("pam", session, 1)
    assert text.startswith("|") and all(text.count(f"<{number}>") == 1 for number in range(20))
    assert len(text) == 1 + sum(len(f"<{number}>") for number in range(20))


async def test_a_stale_tab_that_changed_nothing_takes_nothing_away(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    start = (await room.save("pam", session, 1, "old"))["position"]
    await room.save("pam", session, 1, "old and new", base=start)
    stale = await room.save("pam", session, 1, "old", base=start)
    assert stale["response"]["response_text"] == "old and new"


async def test_a_save_goes_on_from_the_position_of_the_answer_before(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    position = None
    for end in range(1, 12):
        more = {} if position is None else {"base": position}
        saved = await room.save("pam", session, 1, "letter by letter"[:end], **more)
        assert (saved["outcome"], saved["response"]["response_text"]) == ("applied", "letter by letter"[:end])
        position = saved["position"]


async def test_the_position_that_resume_gives_is_a_base_too(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "Bread")
    shown = (await room.resume("pam", session))["responses"][0]
    await room.save("pam", session, 1, "Bread, milk")
    merged = await room.save("pam", session, 1, "Fresh Bread", base=shown["position"])
    assert (merged["outcome"], merged["response"]["response_text"]) == ("merged", "Fresh Bread, milk")


async def test_without_a_base_it_is_compared_with_the_callers_own_last_save(room: Classroom) -> None:
    """The phone wrote meanwhile; the tab knows nothing of it and says nothing of versions."""
    session = await room.session("pam", await room.workshop())
    first = await room.save("pam", session, 1, "At the door")
    phone = await typed(room, first["response"], first["position"], [11, 0, ", eleven people"])
    assert phone["outcome"] == "applied"
    saved = await room.save("pam", session, 1, "Standing at the door")
    assert (saved["outcome"], saved["response"]["response_text"]) == ("merged", "Standing at the door, eleven people")


async def test_without_a_base_ones_own_newest_text_stands(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "a first thought")
    assert (await room.save("pam", session, 1, "something else"))["response"]["response_text"] == "something else"


async def test_an_answer_that_this_address_never_saved_is_added_to_and_not_replaced(room: Classroom) -> None:
    """The phone made the answer; the tab saves one of its own without knowing of it."""
    session = await room.session("pam", await room.workshop())
    assert (await made_on_the_phone(room, session, 1, "from the phone"))["outcome"] == "applied"
    saved = await room.save("pam", session, 1, "from the tab")
    assert saved["outcome"] == "merged"
    assert saved["response"]["response_text"] in ("from the phonefrom the tab", "from the tabfrom the phone")


async def test_the_same_answer_made_twice_without_knowing_is_one(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await made_on_the_phone(room, session, 1, "the same words")
    saved = await room.save("pam", session, 1, "the same words")
    assert saved["response"]["response_text"] == "the same words"


async def test_an_undone_save_is_known_to_whoever_undid_it(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    first = await room.save("pam", session, 1, "one")
    await room.save("pam", session, 1, "one two")
    await room.done("pam", "POST", f"/v1/records/step_responses/{first['response']['id']}/undo", {})
    assert await room.text("pam", session, 1) == "one"
    assert (await room.save("pam", session, 1, "one three"))["response"]["response_text"] == "one three"


@pytest.mark.parametrize(("base", "status", "code"), [
    ("", 422, "invalid"), ("17", 422, "invalid"), ("yesterday", 422, "invalid"), ("-1.00000000", 422, "invalid"),
    ("1.ffffffff", 409, "conflict"), ("999999.00000000", 409, "conflict"),
])
async def test_a_base_that_is_none_of_this_history_changes_nothing(room: Classroom, base: str, status: int, code: str) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "kept")
    body = {"session_id": session["id"], "step_number": 1, "response_text": "lost?", "base": base}
    answer = await room.call("pam", "POST", "/api/workshop/save", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await room.text("pam", session, 1) == "kept"


async def test_a_base_before_everything_adds_and_takes_nothing_away(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    await room.save("pam", session, 1, "kept")
    saved = await room.save("pam", session, 1, "added", base="0.00000000")
    assert saved["response"]["response_text"] in ("keptadded", "addedkept")


async def test_a_facilitator_sees_every_version_and_who_wrote_it(room: Classroom) -> None:
    session = await room.session("pam", await room.workshop())
    for text in ("a", "ab", "abc"):
        saved = await room.save("pam", session, 1, text)
    history = await room.done("fay", "GET", f"/v1/records/step_responses/{saved['response']['id']}/history")
    assert [entry["actor_id"] for entry in history["entries"]] == [room.actors["pam"]] * 3
