"""Every endpoint against hostile bodies, addresses, parameters and headers: what comes back is a proper answer with a problem that says
why, never an internal error, a traceback or a closed connection; and everybody else goes on saving. Defends P1 and P4.

(The one address that fails here is the clinic's own, whose action is made to fail; see test_errors.py.)"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from holdfast.server.app import built_in_routes
from holdfast.server.applications import application_routes
from tests.core.corpus import PROJECT, folder, json_texts, naughty_strings
from tests.proof.clinic import app as clinic_app
from tests.proof.hostile import ODD_STRINGS, VALUES, places
from tests.proof.probes import PROBES, filled
from tests.proof.test_hostile_mutations import Attacked, attacked

JSON = {"content-type": "application/json"}
ROUTES = [route for route in [*built_in_routes(), *application_routes([clinic_app])] if route.path not in ("/v1/live", "/api/clinic/fail")]
WITH_BODY = [route for route in ROUTES if route.body is not None]
NAMES = {"{collection}": "notices", "{rev}": "1", "{action}": "clinic.weigh"}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with attacked(tmp_path_factory.mktemp("calls") / "data") as made:
        values = made.world.values
        values |= {"wall": made.world.actors["olga"], "unknown": made.world.actors["pia"], "who": "olga", **made.world.actors}
        yield made
        still_saves(made)


def still_saves(clinic: Attacked) -> None:
    answer = ask(clinic, "POST", "/v1/records/notices", body={"fields": {"title": "still"}})
    assert answer.status_code == 201


def ask(clinic: Attacked, method: str, url: str, *, body: Any = None, raw: bytes | None = None, headers: Any = None,
        who: str | None = "olga") -> httpx.Response:
    clinic.world.runtime.pass_minutes(2)
    answer: httpx.Response = clinic.run(clinic.world.call(who, method, url, body, raw=raw, headers=headers))
    return answer


def is_proper(answer: httpx.Response) -> bool:
    """A success, or a problem of the caller's with its reason."""
    if answer.status_code < 400:
        return True
    problem = answer.json()
    return (answer.status_code < 500 and problem["code"] != "internal" and bool(problem["detail"]) and "Traceback" not in answer.text
            and answer.headers["content-type"] == "application/problem+json")


def address_of(path: str) -> str:
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return path.replace("{id}", "00000000-0000-7000-8000-000000000001").replace("{patient_id}", "x").replace("{session_id}", "x")


def name_of(route: Any) -> str:
    return f"{route.method} {route.path}"


# -- bodies ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
def test_every_json_text_of_the_corpus_as_a_body(clinic: Attacked, route: Any) -> None:
    """None of them is a body that the route takes; what must not parse is refused as unreadable."""
    for kind in ("test_parsing", "test_transform"):
        for name, raw in json_texts(kind).items():
            if "login" in route.path and name.startswith("i_"):
                continue        # signing in is slow on purpose
            answer = ask(clinic, route.method, address_of(route.path), raw=raw, headers=JSON)
            assert is_proper(answer), (name, answer.text)
            assert not name.startswith("n_") or answer.status_code >= 400 or raw in (b"", b" "), (name, answer.text)


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
def test_bodies_that_are_deep_long_or_wrongly_encoded(clinic: Attacked, route: Any) -> None:
    bodies = [b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"fields":' + b"[" * 200 + b"]" * 200 + b"}", b"\xff\xfe{\x00}\x00",
              "{}".encode("utf-16"), b"\xef\xbb\xbf{}", b"\x00", b'{"\xed\xa0\x80":1}', b'"' + b"x" * 3_000_000 + b'"', b"9" * 5_000,
              b'{"a":1}{"b":2}', b'{"a":1e400}', b"{" + b'"a":1,' * 50_000 + b'"b":1}', b"null", b"true", b"0", b'""', b"[]", b"{}"]
    for raw in bodies:
        for headers in (JSON, {"content-type": "application/json; charset=utf-8"}, {"content-type": "text/plain"}, {}):
            answer = ask(clinic, route.method, address_of(route.path), raw=raw, headers=headers)
            assert is_proper(answer), (raw[:80], headers, answer.text)
            if "json" not in headers.get("content-type", "") and raw:
                assert answer.status_code in (413, 415)


def bodies_of_probes() -> list[tuple[str, str, Any]]:
    found: dict[str, tuple[str, str, Any]] = {}
    for probes in PROBES.values():
        for probe in probes:
            if isinstance(probe.body, dict) and probe.body and "auth" not in probe.url and "push" not in probe.url:
                name = f"{probe.method} {probe.url.rpartition('/')[2]} {sorted(probe.body)}"
                found.setdefault(name, (probe.method, probe.url, probe.body))
    return list(found.values())


@pytest.mark.parametrize(("method", "url", "body"), bodies_of_probes(), ids=lambda value: str(value)[:60])
def test_each_hostile_value_at_each_place_of_a_body(clinic: Attacked, method: str, url: str, body: Any) -> None:
    values = {"first_secret": 1, "many_seq": 2, "secret_position": "1.00000000", "before": "1.00000000", "item": "1", **clinic.world.values}
    template = filled(body, values)
    if "wanted" in template:
        template["wanted"] = template["wanted"][:1]
    for way in places(template):
        for value in VALUES:
            made = copy.deepcopy(template)
            holder = made
            for key in way[:-1]:
                holder = holder[key]
            holder[way[-1]] = value
            raw = json.dumps(made).encode("utf-8", "surrogatepass")
            answer = ask(clinic, method, filled(url, values), raw=raw, headers=JSON)
            assert is_proper(answer), (way, str(value)[:200], answer.text)


# -- addresses, parameters, headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [route for route in ROUTES if "{" in route.path], ids=name_of)
def test_naughty_strings_as_parts_of_the_address(clinic: Attacked, route: Any) -> None:
    strings = [one for one in naughty_strings() if one]
    step = max(1, len(strings) // 60)
    for number, one in enumerate(strings):
        for name in ("{collection}", "{id}", "{rev}", "{action}", "{patient_id}", "{session_id}"):
            if name in route.path and (number % step == 0 or (name == "{id}" and route.method == "GET")):
                url = address_of(route.path.replace(name, quote(one, safe="", errors="surrogatepass")))
                answer = ask(clinic, route.method, url, body={} if route.body is not None else None)
                assert is_proper(answer), (url, answer.text)


RECORDS = "/v1/records"
QUERIES = [
    "/v1/pull?cursor={}", "/v1/pull?limit={}", "/v1/pull?collections={}", "/v1/pull?device_id={}", "/v1/pull?contracts={}",
    "/v1/snapshot?after={}", "/v1/activity?since={}", "/v1/activity?kind={}", "/v1/activity?record_id={}", "/v1/activity?cursor={}",
    "/v1/inbox?cursor={}", "/?{}", "/healthz?{}=1", "/openapi.json?x={}", f"{RECORDS}/patients?ward={{}}",
    f"{RECORDS}/visits?day__lte={{}}", f"{RECORDS}/members?last_active_at__gt={{}}",
    *(f"{RECORDS}/notices?{one}" for one in (
        "title={}", "title__prefix={}", "title__in={}", "fee__gte={}", "views={}", "patient={}", "rev__lt={}", "id__in={}", "sort={}",
        "cursor={}", "limit={}", "include={}", "{}=x", "title__{}=x"))]


@pytest.mark.parametrize("pattern", QUERIES)
def test_naughty_strings_as_parameters(clinic: Attacked, pattern: str) -> None:
    hostile = [*naughty_strings(), *ODD_STRINGS, "\0", "a\0b"]
    for one in hostile[QUERIES.index(pattern) % 4::4]:      # each string comes to eight addresses or so
        answer = ask(clinic, "GET", pattern.format(quote(one[:8_000], safe="", errors="surrogatepass")))
        assert is_proper(answer), (pattern, one[:100], answer.text)
    for raw in ("%", "%zz", "%ff%fe", "%ed%a0%80", "%00", "&" * 300, "=", "a=b=c", ";", "%25" * 3_000):
        assert is_proper(ask(clinic, "GET", pattern.format(raw))), (pattern, raw)


HEADERS = ["if-match", "if-none-match", "idempotency-key", "holdfast-tenant", "cookie", "accept", "accept-encoding", "content-type",
           "x-request-id", "user-agent", "origin", "sec-fetch-site", "content-encoding"]


@pytest.mark.parametrize("header", HEADERS)
def test_naughty_strings_as_headers(clinic: Attacked, header: str) -> None:
    strings = naughty_strings()[HEADERS.index(header) % 3::3]
    for one in [*strings, "x" * 20_000, '"' * 300, "*", 'W/"1"', '"999999999999999999999"', ",", ";;;=,"]:
        value = one.encode("utf-8", "surrogatepass").replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")
        for method, url, body in (("GET", "/v1/records/notices", None), ("POST", "/v1/records/notices", b'{"fields":{"title":"x"}}')):
            given = [(b"content-type", b"application/json")] if body and header != "content-type" else []
            answer = ask(clinic, method, url, raw=body, headers=[*given, (header.encode(), value)])
            assert is_proper(answer), (header, one[:100], answer.text)


@pytest.mark.parametrize("authorization", [
    b"", b"Bearer", b"Bearer ", b"bearer \xff", b"Basic YTpi", b"Bearer a.b.c", b"Bearer " + b"x" * 20_000, b"Bearer hf_", b"Bearer ..",
    b"Bearer eyJhbGciOiJub25lIn0.e30.", b"Digest x", b"Bearer \x01\x02"])
def test_credentials_that_are_none(clinic: Attacked, authorization: bytes) -> None:
    for route in ROUTES:
        if not route.public:
            answer = ask(clinic, route.method, address_of(route.path), raw=b"{}", headers=[(b"authorization", authorization)], who=None)
            assert answer.status_code == 401 and is_proper(answer), (route.path, answer.text)


def test_sign_in_with_naughty_strings(clinic: Attacked) -> None:
    strings = [one for one in naughty_strings()[::40] if one]
    for one in strings:
        answer = ask(clinic, "POST", "/v1/auth/login", body={"email": one, "password": one, "tenant": one}, who=None)
        assert is_proper(answer) and answer.status_code in (400, 401, 422, 429), (one, answer.text)


def test_json_patches_and_merge_patches_of_the_corpus_as_changes(clinic: Attacked) -> None:
    """Their ops are named like ours, or hardly: what fits is applied or answered, the rest refused."""
    record = ask(clinic, "POST", "/v1/records/notices", body={"fields": {"title": "t", "extra": {"a": 1}}}).json()["record"]["id"]
    cases = [case for path in json_patch_files() for case in json.loads(path.read_text("utf-8"))]
    assert cases
    for case in cases:
        ops = case.get("patch")
        doc = case.get("doc", case.get("original"))
        for body in ({"ops": ops if isinstance(ops, list) else [ops]}, {"fields": {"extra": doc}}, {"fields": ops}):
            answer = ask(clinic, "PATCH", f"/v1/records/notices/{record}", raw=json.dumps(body).encode(), headers=JSON)
            assert is_proper(answer), (case, answer.text)
    assert ask(clinic, "GET", f"/v1/records/notices/{record}/history?limit=1000").status_code == 200


def json_patch_files() -> list[Path]:
    """RFC 6902 and RFC 7396 test cases: the full sets, or the excerpt in the project."""
    full = folder()
    return [PROJECT / "tests" / "data" / "proof" / "json-patch.json"] if full is None else \
        sorted((full / "bad-input" / "json-patch").glob("*.json"))
