"""Workshop under `holdfast serve`, killed while somebody writes: every acknowledged save is there, none twice, and the person goes on at
the right step (P1, P2, P5)."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", random.SystemRandom().randrange(10**6)))
KILLS = 3
SENTENCE = "People who come for the first time stand in the entrance and look lost, so we ask them what they were looking for."


def holdfast(folder: Path, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run([sys.executable, "-m", "holdfast", *arguments, "--data", str(folder)], input=given, text=True,
                          capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"holdfast {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str], str]]:
    """A client for a server of its own process group, and what the server printed when it was ready."""
    process = subprocess.Popen([sys.executable, "-m", "holdfast", "serve", "--port", "0", "--data", str(folder), *options], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        with httpx.Client(base_url=first.strip().removeprefix("Holdfast is ready: "), timeout=20) as client:
            yield client, process, first
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def as_person(client: httpx.Client, token: str, method: str, path: str, body: Any = None) -> Any:
    answer = client.request(method, path, json=body, headers={"authorization": f"Bearer {token}"})
    assert answer.is_success, answer.text
    return answer.json()


def tokens(folder: Path) -> dict[str, str]:
    holdfast(folder, "tenant", "create", "acme")
    found = {}
    for name, role in (("fay", "facilitator"), ("pam", "participant")):
        email = f"{name}@example.org"
        holdfast(folder, "user", "create", email, "--tenant", "acme", "--role", role, "--password-stdin", given="correct horse battery")
        found[name] = holdfast(folder, "token", "create", "--user", email, "--tenant", "acme")
    return found


def test_a_person_writes_on_through_a_server_that_is_killed_again_and_again(tmp_path: Path) -> None:
    print(f"replay with HOLDFAST_TEST_SEED={SEED}")
    choice = random.Random(SEED)
    folder = tmp_path / "data"
    people = tokens(folder)
    texts = [SENTENCE[:end] for end in range(1, len(SENTENCE) + 1)]
    acknowledged: dict[int, dict[str, Any]] = {}
    session: dict[str, Any] = {}
    base: str | None = None
    for life in range(KILLS + 1):
        with serving(folder) as (client, process, _):
            if not session:
                workshop = as_person(client, people["fay"], "POST", "/api/workshop/create", {"title": "Doors", "steps": ["One", "Two"]})
                session = as_person(client, people["pam"], "POST", "/api/workshop/session/create", {"join_code": workshop["join_code"]})
            again = as_person(client, people["pam"], "POST", "/api/workshop/session/create", {"workshop_id": session["workshop_id"]})
            assert again["id"] == session["id"] and again["current_step"] == (2 if acknowledged else 1)
            last = len(texts) if life == KILLS else min(len(texts), len(acknowledged) + choice.randrange(1, len(texts) // KILLS))
            for number in range(len(acknowledged), last):
                body = {"session_id": session["id"], "step_number": 2, "response_text": texts[number], "mutation_id": f"m-{number}"}
                saved = as_person(client, people["pam"], "POST", "/api/workshop/save", body if base is None else {**body, "base": base})
                acknowledged[number], base = saved, saved["position"]
            if life < KILLS:
                lost = {"session_id": session["id"], "step_number": 2, "response_text": texts[last], "mutation_id": f"m-{last}",
                        **({} if base is None else {"base": base})}
                _send_and_kill(client, people["pam"], lost, process, choice)
    with serving(folder) as (client, _, _):
        found = as_person(client, people["pam"], "GET", f"/api/workshop/{session['id']}")
        response = found["responses"][0]["id"]
        history = as_person(client, people["pam"], "GET", f"/v1/records/step_responses/{response}/history?limit=200")
    assert len(acknowledged) == len(texts) and found["session"]["current_step"] == 2
    assert [one["response_text"] for one in found["responses"]] == [SENTENCE]
    assert len(history["entries"]) == len(texts)
    assert json.loads(holdfast(folder, "verify", "--json"))["ok"] is True


def _send_and_kill(client: httpx.Client, token: str, body: dict[str, Any], process: subprocess.Popen[str], choice: random.Random) -> None:
    """Send a save and kill the server before its reply can be read: whether it was kept, nobody knows. It is sent again in the next life
    under the same id, with the same content."""
    raw = json.dumps(body).encode()
    head = (f"POST /api/workshop/save HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(raw)}\r\n\r\n").encode()
    with _connection(client) as connection:
        connection.sendall(head + raw)
        if choice.random() < 0.5:
            connection.recv(1)      # the reply is on its way
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _connection(client: httpx.Client) -> Iterator[Any]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        yield connection


def test_the_demonstration_is_served_and_its_people_can_sign_in(tmp_path: Path) -> None:
    for _ in range(2):
        with serving(tmp_path / "data", "--demo") as (client, process, _):
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(8)]
            password = told[0].rpartition("the password ")[2].split()[0]
            signed_in = client.post("/v1/auth/login", json={"email": "tomas@example.org", "password": password})
            token = signed_in.json()["token"]
            sessions = as_person(client, token, "GET", "/v1/records/workshop_sessions")["records"]
            found = as_person(client, token, "GET", f"/api/workshop/{sessions[0]['id']}")
    assert len(sessions) == 1 and found["session"]["current_step"] == 6 and len(found["responses"]) == 6 and len(found["messages"]) == 6
