"""Calls made from the OpenAPI, what it allows and what it forbids, on records that are there and by people with different rights: never an
internal error, never an answer that the document does not describe. Defends P3 and P4.

A few random calls of each operation in every run (`tests/server/test_openapi.py` plays the same ones each time); HOLDFAST_EXAMPLES in
`make soak`. A failure prints the call as a curl command."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_headers_conformance, response_schema_conformance

from tests.proof.in_thread import Open, opened

COLLECTIONS = ("notices", "patients", "visits", "chat_messages", "members")
LEFT_OUT = ("/v1/live", "/v1/auth/logout", "/v1/auth/login", "/v1/auth/password", "/api/clinic/fail")
"""The socket and signing in have tests of their own; the last fails on purpose."""
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, response_headers_conformance]
ALWAYS = {404, 405, 431}
"""Answers to what is no address or no header of ours."""


@pytest.fixture(scope="module")
def clinic() -> Iterator[Open]:
    with opened() as made:
        yield made


def with_known_ids(document: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The document, with ids that are there beside those that are made up, and without what is left out."""
    known = [values[name] for name in ("wall", "patient", "gone", "visit")]
    paths = {path: operations for path, operations in document["paths"].items() if path not in LEFT_OUT
             and (not path.startswith("/v1/records/") or path.split("/")[3] in COLLECTIONS)}
    for operation in (operation for operations in paths.values() for operation in operations.values()):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and parameter["name"] == "id":
                parameter["schema"] = {"anyOf": [{"enum": known}, {"type": "string"}]}
    return {**document, "paths": paths}


def play(clinic: Open, mode: GenerationMode, examples: int) -> tuple[int, list[str]]:
    """How many calls were made, and what was wrong."""
    people = itertools.cycle(("olga", "dora", "quin", "narrow"))
    calls, wrong = 0, []
    bounded = settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
                       suppress_health_check=list(HealthCheck))
    for found in schemathesis.openapi.from_dict(with_known_ids(clinic.document, clinic.values)).get_all_operations():
        operation = found.ok()

        @bounded
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            nonlocal calls
            calls += 1
            answer = case.call(base_url=clinic.url, headers=clinic.headers(next(people)))
            case.validate_response(answer, checks=CHECKS)
            told = {int(status) for status in case.operation.definition.raw["responses"]} | ALWAYS
            assert answer.status_code in told, (answer.status_code, answer.text, case.as_curl_command())
            assert "Traceback" not in answer.text

        try:
            send()
        except Unsatisfiable:
            continue            # nothing can be wrong about a call without parameters and body
        except Exception as error:
            wrong.append(f"{operation.label}: {error} {getattr(error, 'exceptions', '')}"[:1_500])
    return calls, wrong


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_what_the_document_describes_is_what_happens(clinic: Open, mode: GenerationMode) -> None:
    calls, wrong = play(clinic, mode, 2)
    assert not wrong, "\n\n".join(wrong)
    assert calls > 100


@pytest.mark.soak
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_same_for_long(clinic: Open, mode: GenerationMode) -> None:
    _, wrong = play(clinic, mode, int(os.environ.get("HOLDFAST_EXAMPLES", "150")))
    assert not wrong, "\n\n".join(wrong)
