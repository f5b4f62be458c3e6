"""Hostile and broken input at the edge. Defends P3 (a broken mutation is refused alone, its neighbours are kept) and P4 (no answer tells
how the server works)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.server import parameters
from holdfast.server.endpoint import raise_if_repeated
from tests.core.corpus import json_texts, naughty_strings
from tests.server.office import Office, office

JSON = {"content-type": "application/json"}
GOOD = {"collection": "notes", "ops": [{"op": "create", "value": {"title": "neighbour"}}]}


@pytest.fixture
async def found() -> AsyncIterator[Office]:
    async with office() as one:
        yield one


def neighbour(number: int) -> dict[str, Any]:
    return {**GOOD, "mutation_id": f"good-{number}", "record_id": f"01980000-0000-7000-8000-{number:012d}"}


def raise_if_bad(answer: httpx.Response, what: Any) -> None:
    assert answer.status_code < 500, (what, answer.text)
    if answer.status_code >= 400:
        problem = answer.json()
        assert problem["type"].startswith("urn:holdfast:problem:") and "Traceback" not in answer.text, what


async def test_every_text_of_the_json_suite_as_a_body_is_answered_and_never_fails(found: Office) -> None:
    async with found.client("emil") as client:
        for kind in ("test_parsing", "test_transform"):
            for name, raw in json_texts(kind).items():
                for method, address in (("POST", "/v1/push"), ("POST", "/v1/records/notes"), ("POST", "/v1/auth/login"),
                                        ("POST", "/v1/actions/desk.rename")):
                    answer = await client.request(method, address, content=raw, headers=JSON)
                    raise_if_bad(answer, (name, address))
                    assert answer.status_code >= 400, (name, address)


async def test_every_text_of_the_json_suite_as_a_value_is_kept_as_it_is_or_refused(found: Office) -> None:
    async with found.client("emil") as client:
        for number, (name, raw) in enumerate(json_texts("test_parsing").items()):
            body = b'{"fields":{"title":"x","extra":' + raw + b"}}"
            answer = await client.post("/v1/records/notes", content=body, headers=JSON)
            raise_if_bad(answer, name)
            if name.startswith("n_"):
                assert answer.status_code >= 400, name
            if answer.status_code == 201:
                assert answer.json()["record"]["fields"]["extra"] == json.loads(raw), name
            broken = b'{"mutation_id":"bad-%d","collection":"notes","record_id":"x","ops":[{"op":"set","path":"/extra","value":' % number
            push = b'{"device_id":"d","mutations":[' + broken + raw + b"}]}," + json.dumps(neighbour(number)).encode() + b"]}"
            answer = await client.post("/v1/push", content=push, headers=JSON)
            raise_if_bad(answer, name)
            if answer.status_code == 200:
                bad, good = answer.json()["results"]
                assert bad["outcome"] in ("refused", "held") and good["outcome"] == "applied", name


async def test_naughty_strings_come_back_as_they_were_or_are_refused_wherever_they_stand(found: Office) -> None:
    async with found.client("emil") as client:
        for text in naughty_strings():
            fields = {"title": text, "body": text, "extra": {"k": text}, "tags": [text]}
            answer = await client.post("/v1/records/notes", json={"fields": fields})
            raise_if_bad(answer, text)
            if answer.status_code == 201:
                record = answer.json()["record"]
                assert record["fields"]["title"] == record["fields"]["body"] == record["fields"]["extra"]["k"] == text
            for answer in (await client.get("/v1/records/notes", params={"title": text, "limit": "1"}),
                           await client.get("/v1/records/notes", params={"sort": text}),
                           await client.get("/v1/pull", params={"cursor": text}),
                           await client.get("/v1/activity", params={"collection": text}),
                           await client.get("/v1/records/notes/x/why", params={"path": text})):
                raise_if_bad(answer, text)
            for header in ("idempotency-key", "if-match", "x-request-id", "holdfast-tenant", "cookie", "origin", "user-agent"):
                sent = text.encode()[:200].replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
                answer = await client.patch("/v1/records/notes/x", json={"fields": {}}, headers={header.encode(): sent})
                raise_if_bad(answer, (header, text))


ANY_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)
                        | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
OP_NAMES = ["set", "unset", "splice", "add", "include", "create", "delete"]
MEMBERS = st.fixed_dictionaries({}, optional={
    "mutation_id": ANY_JSON | st.just("m"), "after": ANY_JSON, "contract": ANY_JSON, "collection": ANY_JSON | st.just("notes"),
    "record_id": ANY_JSON | st.just("01980000-0000-7000-8000-000000000009"), "base": ANY_JSON, "edited_at": ANY_JSON, "atomic": ANY_JSON,
    "ops": ANY_JSON | st.lists(st.fixed_dictionaries({"op": st.sampled_from(OP_NAMES)},
                                                     optional={"path": st.text() | st.just("/title"), "value": ANY_JSON, "edits": ANY_JSON,
                                                               "by": ANY_JSON, "items": ANY_JSON}), max_size=3),
    "forked_from": ANY_JSON})


async def test_whatever_a_mutation_holds_its_neighbour_is_kept(found: Office) -> None:
    """Random mutations beside a good one; Hypothesis prints the one that failed."""
    sent: list[Any] = []

    @given(st.lists(MEMBERS | ANY_JSON, min_size=1, max_size=3))
    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    def collect(mutations: list[Any]) -> None:
        sent.append(mutations)

    collect()
    async with found.client("emil") as client:
        for number, mutations in enumerate(sent):
            body = json.dumps({"device_id": "d", "now": 1, "mutations": [*mutations, neighbour(number)]}, ensure_ascii=True)
            answer = await client.post("/v1/push", content=body, headers=JSON)
            raise_if_bad(answer, mutations)
            if answer.status_code == 200:
                results = answer.json()["results"]
                assert len(results) == len(mutations) + 1, mutations
                assert results[-1]["outcome"] == "applied" or results[-1]["error"]["code"] == "rate", (mutations, results[-1])


@given(st.binary(max_size=60), st.lists(st.sampled_from(["limit", "cursor", "x"]), max_size=3))
@settings(max_examples=300, deadline=None)
def test_no_query_string_makes_the_reader_fail(raw: bytes, names: list[str]) -> None:
    declared = [parameters.whole("limit", "L.", minimum=1, maximum=5), parameters.text("cursor", "C."), parameters.instant("x", "X.")]
    query = b"&".join([*(name.encode() + b"=" + raw for name in names), raw])
    try:
        values, _ = parameters.read_parameters(declared, parameters.parse_query(query))
        assert values["limit"] is None or 1 <= values["limit"] <= 5
    except HoldfastError:
        return


@given(st.lists(st.tuples(st.sampled_from([b"host", b"cookie", b"x", b"authorization"]), st.binary(max_size=5)), max_size=6))
def test_a_header_that_decides_counts_once(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers if name != b"x"]
    try:
        raise_if_repeated(dict(headers), headers)
        assert len(names) == len(set(names))
    except HoldfastError:
        assert len(names) > len(set(names))
