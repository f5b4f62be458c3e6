"""Every route, from the table that the router is made of: its happy and its sad paths, on the real store. Defends P3 (what was refused
says why), P4 (hidden and absent have one answer) and P5 (every answer says what became of the save)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.server.app import built_in_routes
from holdfast.server.applications import application_routes
from holdfast.server.calls import Route
from tests.server.cases import CASES, NOBODY, Case, Want
from tests.server.desk import app as desk
from tests.server.office import office
from tests.server.scene import Scene, filled, set_scene
from tests.server.serving import Served, serving

SOCKET = ("GET", "/v1/live")
"""Its cases are in test_live.py."""

ROUTES: list[Route] = [*built_in_routes(), *application_routes([desk])]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with office() as found:
        yield await set_scene(found)


@pytest.fixture
async def served_scene(scene: Scene) -> AsyncIterator[tuple[Scene, Served]]:
    async with serving(scene.office.app) as served:
        yield scene, served


async def play(scene: Scene, case: Case) -> Any:
    headers = {name: filled(value, scene.values) for name, value in case.headers.items()}
    async with scene.office.client(case.who) as client:
        body: dict[str, Any] = {} if case.body is None else {"json": filled(case.body, scene.values)}
        if case.raw is not None:
            body = {"content": case.raw}
        return await client.request(case.method, filled(case.address, scene.values), headers=headers, **body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_call_answers_as_its_case_says(scene: Scene, case: Case) -> None:
    answer = await play(scene, case)
    check(answer, case.want, scene.values)


def check(answer: Any, want: Want, values: dict[str, Any]) -> None:
    assert answer.status_code == want.status, answer.text
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
    for name, value in want.headers.items():
        assert answer.headers[name] == filled(value, values)
    if want.code is not None:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["code"] == want.code and problem["type"] == f"urn:holdfast:problem:{want.code}"
        assert problem["status"] == want.status and problem["detail"] and problem["title"] and "hint" in problem
        assert problem["request_id"] == answer.headers["x-request-id"]
    for name, value in want.holds.items():
        assert answer.json()[name] == filled(value, values), answer.text


def test_every_route_has_cases_of_both_kinds(scene: Scene) -> None:
    """The list of routes is read from the running application: one without a case fails here."""
    running = {(route.method, route.path) for route in scene.office.app.routes} - {SOCKET}
    good = {(case.method, case.route) for case in CASES if case.want.status < 400}
    bad = {(case.method, case.route) for case in CASES if case.want.status >= 400}
    assert {place for place in running if place not in good} == {("POST", "/v1/records/{collection}/{id}/redo")}
    needs = {(route.method, route.path) for route in scene.office.app.routes if route.query or route.body or "{" in route.path} - {SOCKET}
    assert needs <= bad
    assert {(case.method, case.route) for case in CASES} <= running


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.public], ids=lambda route: f"{route.method} {route.path}")
async def test_a_call_by_nobody_is_answered_401_before_anything_else(scene: Scene, route: Route) -> None:
    address = route.path.replace("{collection}", "nothing").replace("{id}", "x").replace("{rev}", "1").replace("{action}", "x.y")
    for headers in ({}, {"authorization": "Bearer hf_unknown"}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer"},
                    {"authorization": "Bearer \xff".encode("latin-1")}, {"cookie": "holdfast_session=x", "origin": "http://desk.example"}):
        async with scene.office.client() as client:
            answer = await client.request(route.method, address + "?nonsense=1", headers=headers)
        check(answer, NOBODY, {})
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", [route for route in ROUTES if (route.method, route.path) != SOCKET],
                         ids=lambda route: f"{route.method} {route.path}")
async def test_another_method_is_answered_405_with_those_that_there_are(scene: Scene, route: Route) -> None:
    address = route.path.replace("{collection}", "notes").replace("{id}", "x").replace("{rev}", "1").replace("{action}", "x.y")
    there = {one.method for one in ROUTES if one.path == route.path}
    async with scene.office.client("emil") as client:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - there:
            answer = await client.request(method, address)
            check(answer, Want(405, "method"), {})
            assert set(answer.headers["allow"].split(", ")) >= there
        options = await client.options(address)
        assert options.status_code == 204 and set(options.headers["allow"].split(", ")) >= there


@pytest.mark.parametrize("address", [
    "/v1", "/v1/", "/v2/push", "/v1/push/", "/v1/records/notes/", "/v1//me", "/v1/records/notes/a/b/c", "/%2e%2e/x",
    "/v1/records/no%2Ftes/x/y", "/api/", "/api/desk", "/V1/me", "/v1/live/x", "/\u00e9", "/v1/me%00"])
async def test_an_address_that_is_none_is_answered_404_as_a_problem(scene: Scene, address: str) -> None:
    async with scene.office.client("emil") as client:
        check(await client.get(address), Want(404, "not_found"), {})


async def test_the_sockets_address_without_an_upgrade_says_what_it_is(scene: Scene) -> None:
    async with scene.office.client() as client:
        check(await client.get("/v1/live"), Want(400, "malformed"), {})


async def test_head_answers_as_get_without_a_body_and_an_empty_answer_has_no_length(served_scene: tuple[Scene, Served]) -> None:
    scene, served = served_scene
    token = scene.office.tokens["emil"].encode()
    address = f"/v1/records/notes/{scene.values['note']}".encode()
    head = await served.raw(b"HEAD %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer %s\r\n\r\n" % (address, token))
    get = await served.raw(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer %s\r\n\r\n" % (address, token))
    options = await served.raw(b"OPTIONS /v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n") and b'etag: "' in head
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    assert length in get and len(get.partition(b"\r\n\r\n")[2]) == int(length.split()[1])
    assert options.startswith(b"HTTP/1.1 204") and b"content-length" not in options and b"transfer-encoding" not in options


async def test_hidden_and_unknown_records_have_one_answer(scene: Scene) -> None:
    """Word for word, but for the request id."""
    calls = [("GET", "", None), ("PATCH", "", {"fields": {"text": "x"}}), ("DELETE", "", None), ("GET", "/history", None),
             ("GET", "/at/1", None), ("GET", "/diff?from=1", None), ("GET", "/why?path=/text", None), ("POST", "/undelete", {}),
             ("POST", "/versions", {"rev": 1, "name": "x"}), ("POST", "/restore", {"rev": 1}), ("POST", "/undo", {}), ("POST", "/redo", {})]
    async with scene.office.client("ines") as ines:
        for method, rest, body in calls:
            answers = []
            for record_id in (scene.values["diary"], scene.values["missing"]):
                answer = await ines.request(method, f"/v1/records/diaries/{record_id}{rest}", json=body)
                problem = answer.json()
                problem.pop("request_id")
                answers.append((answer.status_code, problem))
            assert answers[0] == answers[1] and answers[0][0] == 404, (method, rest, answers)


async def test_a_repeated_call_takes_effect_once_and_says_so(scene: Scene) -> None:
    async with scene.office.client("emil") as emil:
        key = {"idempotency-key": "once-1"}
        first = await emil.post("/v1/records/notes", json={"fields": {"title": "Once"}}, headers=key)
        again = await emil.post("/v1/records/notes", json={"fields": {"title": "Once"}}, headers=key)
        other = await emil.post("/v1/records/notes", json={"fields": {"title": "Twice"}}, headers=key)
        found = await emil.get("/v1/records/notes?title=Once")
    assert first.status_code == again.status_code == 201 and again.headers["idempotent-replayed"] == "true"
    assert first.json()["record"]["id"] == again.json()["record"]["id"] and len(found.json()["records"]) == 1
    check(other, Want(422, "id_reused"), {})


async def test_pages_go_through_all_records_once(scene: Scene) -> None:
    for number in range(25):
        await scene.office.note(title=f"N{number % 7}")
    seen: list[str] = []
    async with scene.office.client("emil") as emil:
        cursor = ""
        while True:
            page = (await emil.get(f"/v1/records/notes?limit=4&sort=-title,status{cursor}")).json()
            seen += [record["id"] for record in page["records"]]
            if page["cursor"] is None:
                break
            cursor = f"&cursor={page['cursor']}"
        everything = (await emil.get("/v1/records/notes?limit=200")).json()["records"]
    assert len(seen) == len(set(seen)) == len(everything)


async def test_a_snapshot_is_a_cursor_and_lines_and_comes_compressed_when_wanted(scene: Scene) -> None:
    for number in range(250):
        await scene.office.note(title=f"N{number}")
    async with scene.office.client("emil") as emil:
        answer = await emil.get("/v1/snapshot?collections=notes", headers={"accept-encoding": "gzip"})
        plain = await emil.get("/v1/snapshot?collections=notes", headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert answer.text == plain.text and answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.text.strip().split("\n")
    assert lines[0].startswith('{"cursor":') and len(lines) == 1 + 250 + 3


async def test_a_login_answer_is_never_compressed_and_its_cookie_is_for_the_server_alone(scene: Scene) -> None:
    async with scene.office.client() as client:
        answer = await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"},
                                   headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "identity" and answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and cookie.startswith("holdfast_session=hf_")


async def test_under_https_the_cookie_is_secure_and_bound_to_the_host() -> None:
    async with office() as found, found.client() as client:
        client.base_url = "https://desk.example"  # type: ignore[assignment]
        answer = await client.post("/v1/auth/login", json={"email": "emil@acme.example", "password": "correct horse battery"})
    assert answer.headers["set-cookie"].startswith("__Host-holdfast_session=") and "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"]


