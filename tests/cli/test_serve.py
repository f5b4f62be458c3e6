"""`holdfast serve`: its options are the settings, it refuses what is unsafe, it ends well. Defends P1 (kept) and P4 (apart)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.cli.demonstration import DEMO_PASSWORD
from holdfast.server.settings import declared
from tests.cli.calling import APP, Folder, running_server
from tests.tidy.source import PROJECT


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def refused(*options: str, **environment: str) -> str:
    """What a server that does not start says, as a program of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run([sys.executable, "-m", "holdfast", "serve", "--port", "0", *options], capture_output=True, text=True, timeout=60,
                          check=False, env={**clean, **environment, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def call(address: str, path: str, body: Any = None, token: str | None = None) -> Any:
    request = urllib.request.Request(address + path, None if body is None else json.dumps(body).encode(),
                                     {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_every_setting_is_an_option_with_its_variable_and_default() -> None:
    printed = re.sub(r"\s+", " ", CliRunner().invoke(main, ["serve", "--help"]).stdout)
    assert not [item.option for item in declared() if f"{item.option} " not in printed]
    assert not [item.variable for item in declared() if item.variable not in printed]


def test_what_the_command_line_makes_the_server_serves(folder: Folder) -> None:
    folder.found()
    token = folder.run("token", "create", "--user", "ada@example.org", "--tenant", "acme").strip()
    with running_server(folder.path, "--app", APP) as server:
        made = call(server.address, "/v1/records/notes", {"fields": {"title": "Groceries"}}, token)
        listed = call(server.address, "/v1/records/notes", token=token)
    assert made["outcome"] == "applied"
    assert [one["fields"]["title"] for one in listed["records"]] == ["Groceries"]


def test_a_port_that_is_taken_is_said_to_be(folder: Folder) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused("--data", str(folder.path), "--app", APP, "--port", str(taken.getsockname()[1]))
    assert "Cannot listen" in said and "--port" in said


def test_a_second_server_on_one_folder_does_not_start(folder: Folder) -> None:
    with running_server(folder.path, "--app", APP):
        said = refused("--data", str(folder.path), "--app", APP, "--writer", "thread")
    assert "held by process" in said


@pytest.mark.parametrize(("options", "environment", "said"), [
    (["--oidc-issuer", "https://issuer.example"], {}, "audience"),
    (["--oidc-issuer", "https://issuer.example", "--oidc-audience", "us", "--oidc-algorithms", "none"], {}, "anybody make tokens"),
    (["--demo", "--host", "0.0.0.0"], {}, "known password"),
    (["--writer", "nobody"], {}, "process or a thread"),
    ([], {"HOLDFAST_PORT": "any"}, "HOLDFAST_PORT"),
    ([], {"HOLDFAST_MASTER_KEY": "secret"}, "no master key"),
], ids=["tokens of any audience", "tokens without a signature", "known passwords for everybody", "no writer", "a port that is no number",
        "a master key that is none"])
def test_unsafe_settings_are_refused(folder: Folder, options: list[str], environment: dict[str, str], said: str) -> None:
    assert said in refused("--data", str(folder.path), *options, **environment)


def test_a_demonstration_is_made_once_and_people_can_sign_in(folder: Folder) -> None:
    for _ in range(2):
        with running_server(folder.path, "--demo") as server:
            session = call(server.address, "/v1/auth/login", {"email": "nora@example.org", "password": DEMO_PASSWORD, "tenant": "demo"})
            workshops = call(server.address, "/v1/records/workshops", token=session["token"])
    assert len(workshops["records"]) == 2


def test_a_demonstration_of_another_application_is_refused(folder: Folder) -> None:
    assert "not served" in refused("--data", str(folder.path), "--app", APP, "--demo", "--writer", "thread")
