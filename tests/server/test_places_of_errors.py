"""What a refusal names as its `field` is a JSON Pointer, spelled the same in a push's results and in a problem; and answers that vary by
encoding say so once. Defends P5 (whoever is refused learns what, and where)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.world import World, world

ID = "0190a000-0000-7000-8000-000000000001"
MISSING = "0190a000-0000-7000-8000-00000000000f"


class Caller:
    def __init__(self, here: World, token: str) -> None:
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(here.app), base_url="http://testserver",
                                        headers={"authorization": f"Bearer {token}"})

    async def pushed(self, **mutation: Any) -> dict[str, Any]:
        body = {"device_id": "d", "mutations": [{"mutation_id": "m", "collection": "notes", "record_id": ID, **mutation}]}
        found: dict[str, Any] = (await self.client.post("/v1/push", json=body)).json()["results"][0]
        return found


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with world(tmp_path) as here:
        made = Caller(here, await here.token())
        yield made
        await made.client.aclose()


@pytest.mark.parametrize(("wrong", "field"), [
    ({"mutation_id": "no id!"}, "/mutation_id"), ({"mutation_id": 5}, "/mutation_id"),
    ({"record_id": "x"}, "/record_id"), ({"collection": "nope"}, "/collection"),
    ({"base": "zz"}, "/base"), ({"edited_at": "zz"}, "/edited_at"), ({"after": 5}, "/after"),
    ({"ops": "a"}, "/ops"), ({"ops": [{"op": "frob"}]}, "/ops/0/op"), ({"ops": [{"op": "set", "value": 1}]}, "/ops/0/path"),
    ({"ops": [{"op": "delete"}, {"op": "splice", "path": "/body", "edits": [[0, "x", ""]]}]}, "/ops/1/edits/0/1"),
    ({"ops": [{"op": "delete"}], "other": 1}, None),
])
async def test_a_refused_mutation_names_the_place_as_a_pointer(caller: Caller, wrong: dict[str, Any], field: str | None) -> None:
    result = await caller.pushed(**{"ops": [{"op": "delete"}], **wrong})
    if field is not None:
        assert result["outcome"] == "refused" and result["error"]["field"] == field, result
        assert result["error"]["hint"]


async def test_a_mutation_without_ops_says_that_they_are_missing(caller: Caller) -> None:
    result = await caller.pushed()
    assert result["error"]["field"] == "/ops", result


async def test_a_base_that_is_no_position_says_what_it_is_about(caller: Caller) -> None:
    result = await caller.pushed(base="yesterday", ops=[{"op": "delete"}])
    assert result["error"]["detail"] == "`base` is no position."


@pytest.mark.parametrize("fields", [{"folder": MISSING}, {"title": "beside it", "folder": MISSING}])
async def test_a_reference_to_what_is_missing_is_named_when_a_record_is_created(caller: Caller, fields: dict[str, Any]) -> None:
    answer = await caller.client.post("/v1/records/notes", json={"fields": fields})
    assert (answer.status_code, answer.json()["field"]) == (422, "/folder"), answer.text


async def test_a_reference_to_what_is_missing_is_named_when_a_record_is_changed(caller: Caller) -> None:
    made = (await caller.client.post("/v1/records/notes", json={"fields": {"title": "one"}})).json()["record"]["id"]
    answer = await caller.client.patch(f"/v1/records/notes/{made}", json={"fields": {"body": "x", "title": "two", "folder": MISSING}})
    assert (answer.status_code, answer.json()["field"]) == (422, "/folder"), answer.text


async def test_a_change_without_fields_names_them(caller: Caller) -> None:
    made = (await caller.client.post("/v1/records/notes", json={"fields": {"title": "one"}})).json()["record"]["id"]
    answer = await caller.client.patch(f"/v1/records/notes/{made}", json={"fields": {}})
    assert (answer.status_code, answer.json()["field"]) == (422, "/fields"), answer.text


async def test_a_cursor_that_is_none_says_so(caller: Caller) -> None:
    answer = await caller.client.get("/v1/pull", params={"cursor": "yesterday"})
    assert (answer.status_code, answer.json()["field"], answer.json()["detail"]) == (400, "cursor", "The cursor is no position.")


@pytest.mark.parametrize("path", ["/v1/schema", "/openapi.json", "/v1/me", "/v1/snapshot", "/v1/nowhere"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_an_answer_says_once_that_it_varies_by_encoding(caller: Caller, path: str, encoding: str) -> None:
    answer = await caller.client.get(path, headers={"accept-encoding": encoding})
    assert answer.headers.get_list("vary") == ["Accept-Encoding"]
