"""What all commands have in common. Ground for P5 (answered): facts as facts, errors as errors, exit codes that say which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from holdfast.cli import main
from tests.cli.calling import Folder, leaves

COMMANDS = {" ".join(name): command for name, command in leaves(main)}
OF_A_FILE = {name for name in COMMANDS if name.startswith("replica ")}
"""They look at one program's replica, which knows its server."""
PRINT_FACTS = sorted(set(COMMANDS) - {"serve"})
DESIGNED = {"serve", "tenant create", "user create", "token create", "migrate", "distribute", "doctor", "verify", "schema",
            "replica status", "replica pending", "replica export", "replica retry"}


def options_of(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_every_command_of_the_design_is_there() -> None:
    assert set(COMMANDS) >= DESIGNED


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(main, [*name.split(), "--help"])
    assert done.exit_code == 0
    assert COMMANDS[name].help, "says in a sentence what it does"
    assert not [parameter.name for parameter in COMMANDS[name].params if isinstance(parameter, click.Option) and not parameter.help]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - OF_A_FILE))
def test_a_command_takes_a_folder_or_a_database(name: str) -> None:
    assert options_of(COMMANDS[name]) >= {"--data", "--database", "--app"}


@pytest.mark.parametrize("name", PRINT_FACTS)
def test_a_command_that_prints_facts_prints_them_as_json(name: str) -> None:
    assert "--json" in options_of(COMMANDS[name])


OF_A_FOLDER = ("doctor", "verify", "keys rotate")
WITHOUT_A_STORE = ("schema", "keys create", *OF_A_FILE)
IN_A_PROCESS = ("serve",)
"""`tests/postgres/test_processes.py` has it."""


@pytest.mark.parametrize("name", OF_A_FOLDER)
def test_a_command_that_looks_into_a_folder_says_so_of_a_database(name: str) -> None:
    done = CliRunner().invoke(main, [*name.split(), "--database", "postgresql://localhost/holdfast"])
    assert done.exit_code == 1
    assert "postgresql://" in done.stderr and "--data" in done.stderr


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in (*OF_A_FOLDER, *WITHOUT_A_STORE, *IN_A_PROCESS)])
@pytest.mark.parametrize(("address", "said"), [("mysql://localhost/x", "mysql://"), ("postgresql://x@/x?host=%2Fnowhere", "connecting")])
def test_a_database_that_cannot_be_opened_is_told_as_such(name: str, address: str, said: str) -> None:
    needed: dict[str, list[str]] = {
        "tenant create": ["acme"], "user create": ["a@example.org", "--tenant", "acme", "--role", "owner", "--no-password"],
        "token create": ["--user", "a@example.org", "--tenant", "acme"],
    }
    done = CliRunner().invoke(main, [*name.split(), *needed.get(name, []), "--database", address])
    assert done.exit_code == 1
    assert said in done.stderr, done.output


def test_an_unknown_option_is_exit_code_2() -> None:
    assert CliRunner().invoke(main, ["doctor", "--no-such-option"]).exit_code == 2


def test_the_folder_is_taken_from_the_environment_and_an_option_wins(tmp_path: Path) -> None:
    def tenants(*arguments: str, **environment: str) -> Any:
        done = CliRunner(env={"HOLDFAST_APP": "tests.cli.notes", **environment}).invoke(main, ["tenant", "list", "--json", *arguments])
        return [one["tenant"] for one in json.loads(done.stdout)["tenants"]]

    for name in ("one", "two"):
        Folder(tmp_path / name).run("tenant", "create", name)
    assert tenants(HOLDFAST_DATA=str(tmp_path / "one")) == ["one"]
    assert tenants("--data", str(tmp_path / "two"), HOLDFAST_DATA=str(tmp_path / "one")) == ["two"]


def test_a_setting_that_cannot_be_read_is_named() -> None:
    done = CliRunner(env={"HOLDFAST_PORT": "many"}).invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "HOLDFAST_PORT" in done.stderr
