"""What operators see: logs, metrics, health, and answers when something of ours fails. Defends P4 (no value, secret or tenant's name
where it does not belong) and P5 (an answer that says what is unknown)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from holdfast.core.errors import DeclarationError, Overloaded, StorageFull, UnsafeSettings, WriterStopped
from holdfast.core.schema import Schema
from holdfast.engine.app import App, AppRoute
from holdfast.runtime import RealRuntime
from holdfast.server.app import HoldfastApp, asgi_app
from holdfast.server.applications import application_routes
from holdfast.server.logs import JsonLines, LoggedRequests, RequestLine, WrittenRequests
from holdfast.server.settings import Settings, declared
from holdfast.server.startpage import start_page
from tests.server.desk import app as desk
from tests.server.desk import count
from tests.server.fakes import FakePeople, FakeStore

PUSH = {"device_id": "d1", "mutations": [{"mutation_id": "m1", "collection": "notes", "record_id": "r1",
                                          "ops": [{"op": "set", "path": "/title", "value": "TYPED TEXT"}]}]}


class Lines:
    """What the server would write."""

    def __init__(self) -> None:
        self.written = b""
        self.handler = JsonLines(self.take)

    def take(self, data: bytes) -> None:
        self.written += data

    def read(self) -> list[dict[str, Any]]:
        self.handler.flush()
        return [json.loads(line) for line in self.written.splitlines()]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def app(store: FakeStore, people: FakePeople, lines: Lines) -> HoldfastApp:
    return asgi_app(store, people, settings=Settings(port=0, answer_seconds_max=0.2), log=WrittenRequests(lines.handler, RealRuntime()))


@pytest.fixture
async def client(app: HoldfastApp) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer hf_a_t1"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x", headers=headers) as found:
        yield found


@pytest.fixture
def failures() -> Iterator[list[logging.LogRecord]]:
    """Records of the logger for events, kept from the test's own output."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append  # type: ignore[method-assign]
    logger = logging.getLogger("holdfast.server")
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


async def test_a_request_is_one_line_without_bodies_secrets_or_values(client: httpx.AsyncClient, lines: Lines) -> None:
    answer = await client.post("/v1/push", json=PUSH, headers={"x-request-id": "my-id.1"})
    await client.get("/v1/records/notes/r1?include_deleted=true")
    await client.get("/v1/records/notes?title=TYPED+TEXT")
    await client.get("/nowhere/TYPED")
    told = lines.read()
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/v1/push", 200), ("GET", "/v1/records/{collection}/{id}", 200), ("GET", "/v1/records/{collection}", 200),
        ("GET", "(none)", 404)]
    assert told[0]["request_id"] == "my-id.1" == answer.headers["x-request-id"]
    assert (told[0]["tenant"], told[0]["actor"], told[0]["event"], told[0]["level"]) == ("t1", "a", "request", "info")
    assert told[3]["code"] == "not_found" and "tenant" not in told[3]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told[0]["time"])
    assert b"TYPED" not in lines.written and b"hf_a" not in lines.written and b"r1" not in lines.written


async def test_a_request_id_that_could_break_a_line_is_replaced(client: httpx.AsyncClient) -> None:
    for bad in ("a b", "x" * 65, "a\tb", "<script>", ""):
        answer = await client.get("/healthz", headers={"x-request-id": bad})
        assert answer.headers["x-request-id"] != bad
    ids = {(await client.get("/healthz")).headers["x-request-id"] for _ in range(50)}
    assert len(ids) == 50


async def test_inside_another_application_requests_go_to_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="holdfast.requests"):
        LoggedRequests().write(RequestLine(request_id="i", method="GET", route="/v1/me", status=200, ms=1.5))
        LoggedRequests().write(RequestLine(request_id="j", method="GET", route="/v1/me", status=500, ms=1.5, code="internal"))
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]
    assert caplog.records[0].facts["route"] == "/v1/me"


def test_a_log_whose_reader_is_gone_stops_nothing() -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError
    handler = JsonLines(gone)
    handler.emit(logging.LogRecord("holdfast", logging.ERROR, "", 0, "something", (), None))
    handler.flush()


def test_an_event_with_a_traceback_is_one_line() -> None:
    lines = Lines()
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as error:
        lines.handler.emit(logging.LogRecord("holdfast.x", logging.ERROR, "", 0, "failed: %s", ("why",),
                                             (type(error), error, error.__traceback__)))
    told = lines.read()
    assert len(told) == 1 and told[0]["event"] == "failed: why" and "RuntimeError" in told[0]["error"] and told[0]["logger"] == "holdfast.x"


async def test_metrics_count_routes_and_outcomes_and_name_nobody(client: httpx.AsyncClient) -> None:
    await client.post("/v1/push", json=PUSH)
    made = await client.post("/v1/records/notes", json={"fields": {}})
    assert made.status_code == 201
    await client.get("/nowhere")
    await client.post("/v1/auth/login", json={"email": "a@x", "password": "wrong"})
    text = (await client.get("/metrics")).text
    assert 'holdfast_request_seconds_count{method="POST",route="/v1/push",status="200"} 1.0' in text
    assert 'holdfast_mutations_total{outcome="applied"} 2.0' in text and 'holdfast_sign_ins_total{result="not_signed_in"} 1.0' in text
    assert "holdfast_sockets 0.0" in text and "holdfast_mutations_waiting 0.0" in text and "holdfast_writer_starts 0.0" in text
    assert not re.search(r"\bt1\b|a@x|hf_|nowhere|r1\b", text)


async def test_metrics_can_ask_for_a_token(store: FakeStore, people: FakePeople) -> None:
    app = asgi_app(store, people, settings=Settings(port=0, metrics_token="prometheus"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        for token, status in (("prometheus", 200), ("wrong", 401), ("", 401)):
            assert (await client.get("/metrics", headers={"authorization": f"Bearer {token}"})).status_code == status


@pytest.mark.parametrize(("failure", "status", "code"), [
    (Overloaded("Too much.", retry_after=7), 503, "overloaded"), (StorageFull("Full."), 507, "storage_full"),
    (WriterStopped("Gone."), 503, "writer_stopped")])
async def test_what_the_world_did_says_when_to_come_back(client: httpx.AsyncClient, store: FakeStore, failure: Any, status: int,
                                                         code: str) -> None:
    store.failure = failure
    for answer in (await client.post("/v1/push", json=PUSH), await client.get("/v1/records/notes/r1")):
        assert answer.status_code == status and answer.json()["code"] == code
        assert int(answer.headers["retry-after"]) == failure.retry_after == answer.json()["retry_after"]


async def test_a_bug_is_told_to_the_log_and_to_nobody_else(client: httpx.AsyncClient, store: FakeStore,
                                                           failures: list[logging.LogRecord]) -> None:
    store.failure = RuntimeError("secret text of t2")
    for answer in (await client.post("/v1/push", json=PUSH), await client.get("/v1/pull"), await client.get("/v1/records/notes/r1")):
        assert answer.status_code == 500 and answer.json()["code"] == "internal"
        assert "secret" not in answer.text and "Traceback" not in answer.text and "RuntimeError" not in answer.text
    assert len(failures) == 3 and all(record.exc_info for record in failures)


async def test_a_call_that_takes_too_long_says_that_its_outcome_is_unknown(client: httpx.AsyncClient, store: FakeStore) -> None:
    store.gate = asyncio.Event()
    for answer in (await client.post("/v1/push", json=PUSH), await client.post("/v1/records/notes", json={"fields": {"title": "x"}})):
        assert answer.status_code == 503 and "unknown" in answer.json()["detail"] and answer.headers["retry-after"]


async def test_not_ready_is_a_503_and_healthy_all_the_same(store: FakeStore, people: FakePeople) -> None:
    async def stuck() -> None:
        raise TimeoutError
    app = asgi_app(store, people, ready=stuck)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_a_cut_snapshot_is_never_taken_for_a_whole_one(served: Any, store: FakeStore, failures: list[logging.LogRecord]) -> None:
    for number in range(300):
        store.records[("t1", "notes", f"r{number}")] = {"collection": "notes", "id": f"r{number}", "fields": {"title": "x"}}
    store.records[("t1", "notes", "bad")] = {"fields": object()}
    async with served.client("hf_a_t1") as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/v1/snapshot")
    assert failures


# -- settings, start page, applications ------------------------------------------------------------------------------------
def test_settings_come_from_the_environment_and_the_command_line_wins() -> None:
    found = Settings.load({"HOLDFAST_PORT": "9000", "HOLDFAST_CORS_ORIGINS": "https://a.example, https://b.example", "HOLDFAST_DEMO": "yes",
                           "HOLDFAST_HEARTBEAT_SECONDS": "2.5", "OTHER": "x"}, port=9001, host=None)
    assert (found.port, found.host, found.demo, found.heartbeat_seconds) == (9001, "127.0.0.1", True, 2.5)
    assert found.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(("name", "value"), [("HOLDFAST_PORT", "high"), ("HOLDFAST_DEMO", "perhaps"), ("HOLDFAST_WRITER", "nobody"),
                                             ("HOLDFAST_LOG_LEVEL", "loud"), ("HOLDFAST_HEARTBEAT_SECONDS", "soon")])
def test_a_setting_that_cannot_be_read_is_a_clear_error(name: str, value: str) -> None:
    with pytest.raises(UnsafeSettings) as caught:
        Settings.load({name: value})
    assert value in str(caught.value) and caught.value.hint


def test_every_setting_has_a_variable_a_unit_and_help_and_secrets_are_not_shown() -> None:
    for item in declared():
        assert item.help.endswith(".") and item.variable.startswith("HOLDFAST_") and (item.unit or item.kind is bool), item
    shown = repr(Settings(metrics_token="very secret"))
    assert "very secret" not in shown and "metrics_token=***" in shown


def test_the_start_page_lists_applications_and_escapes_what_they_say() -> None:
    app = App("x", title="<b>Bold</b>", doc="A & B\nmore")
    page = start_page(Schema(collections={}), [app], "/at/<x>")
    assert "&lt;b&gt;Bold" in page and "A &amp; B" in page and "<b>" not in page and 'href="/at/&lt;x&gt;/openapi.json"' in page
    assert "No application is installed" in start_page(Schema(collections={}), [], "")


def test_an_application_cannot_take_the_address_of_another_or_one_outside_api() -> None:
    routes = [AppRoute("GET", "/api/desk/count/{other}", "count")]
    with pytest.raises(DeclarationError):
        application_routes([desk, App("second", actions=[count], routes=routes)])
    with pytest.raises(DeclarationError):
        application_routes([App("third", actions=[count], routes=[AppRoute("GET", "/v1/me", "count")])])


async def test_a_store_of_somebody_elses_needs_to_say_who_may_sign_in(store: FakeStore) -> None:
    with pytest.raises(DeclarationError):
        asgi_app(store)
