"""The OpenAPI says what the server does, and nothing that it allows or nearly allows makes the server fail. Defends P3 and P4: every
refusal is a problem that says why, and none is a 500 that says too much."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.control import SkipTest

from holdfast.core.errors import HoldfastError
from holdfast.server.problems import TITLES, all_codes, statuses
from tests.server.office import office
from tests.server.test_serve import Running, running

EXAMPLES = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("openapi"), writer="thread") as found:
        for title in ("One", "Two"):
            httpx.post(found.url + "/v1/records/notes", headers=found.headers, json={"fields": {"title": title}})
        yield found


@pytest.fixture(scope="module")
def document(server: Running) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(server.url + "/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method.upper(), path, operation) for path, methods in document["paths"].items() for method, operation in methods.items()]


async def test_it_holds_every_route_of_the_running_server_and_nothing_else(document: dict[str, Any]) -> None:
    async with office() as found:
        collections = list(found.store.schema.collections)
        wanted = {(route.method, route.path.replace("{collection}", name)) for route in found.app.routes
                  for name in (collections if "{collection}" in route.path else [""])}
    assert {(method, path) for method, path, _ in operations(document)} == wanted


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document))):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))


def test_every_operation_says_its_problems(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        told = operation["responses"]
        assert "400" in told and "500" in told and any(status < "400" for status in told), (method, path)
        assert ("401" in told) == (operation.get("security") != []) or path in ("/metrics", "/v1/auth/login"), (method, path)


def test_every_problem_has_a_title_and_a_status() -> None:
    codes = {cls.code for cls in all_codes() if cls.__module__ == HoldfastError.__module__}
    assert codes | {"internal"} == set(TITLES)
    assert statuses()["not_found"] == 404


def loaded(server: Running, mode: GenerationMode) -> Any:
    config = SchemathesisConfig.from_dict({"generation": {"mode": mode.value}})
    return schemathesis.openapi.from_url(server.url + "/openapi.json", config=config)


SKIPPED = {"/v1/auth/logout", "/v1/auth/password"}
"""They would take the token away that the others use."""


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_nothing_that_is_sent_makes_the_server_fail_or_answer_what_it_did_not_promise(server: Running, mode: GenerationMode) -> None:
    """`positive`: what the document allows; `negative`: what it forbids. A failure prints the call as a curl command."""
    schema = loaded(server, mode)
    played, failures = 0, []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in SKIPPED or (operation.path.startswith("/v1/records/") and "/notes" not in operation.path):
            continue
        failure = play(operation, mode, server)
        failures += [failure] if failure else []
        played += 1
    assert not failures, "\n\n".join(failures)
    assert played > 20


def play(operation: Any, mode: GenerationMode, server: Running) -> str | None:
    """What went wrong, if anything did."""
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large])
    def send(case: Any) -> None:
        answer = case.call(headers={**server.headers, "user-agent": "schemathesis"})
        told = case.operation.definition.raw["responses"]
        assert answer.status_code != 500, case.as_curl_command()
        assert answer.status_code < 500 or answer.status_code == 503, (answer.text, case.as_curl_command())
        if str(answer.status_code) not in told and answer.status_code not in (404, 405, 431):
            raise AssertionError(f"{answer.status_code} is not promised: {answer.text[:500]}\n{case.as_curl_command()}")
        if answer.status_code >= 400:
            problem = json.loads(answer.content)
            assert problem["type"].startswith("urn:holdfast:problem:") and problem["status"] == answer.status_code
        elif str(answer.status_code) in told:
            case.operation.validate_response(answer)

    try:
        send()
    except (Unsatisfiable, SkipTest):
        return None                 # nothing can be wrong about a call without parameters and body
    except Exception as error:
        return f"{operation.method.upper()} {operation.path}: {type(error).__name__} {str(error)[:1500]}"
    return None


def test_the_document_is_read_by_the_checker_without_complaint(server: Running) -> None:
    assert sum(1 for _ in loaded(server, GenerationMode.POSITIVE).get_all_operations()) > 80
