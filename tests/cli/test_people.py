"""Organisations, people and tokens from the command line. Defends P4 (apart): who may do what begins here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from holdfast import open_store
from holdfast.core.entry import Request
from holdfast.engine.accounts import Accounts, Session
from tests.cli.calling import APP, Folder, running_server


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def signs_in(folder: Folder, email: str, password: str, tenant: str) -> Session:
    async def sign_in() -> Session:
        async with open_store(folder.path, apps=[APP]) as store:
            session = await Accounts(store).sign_in(email, password, tenant=tenant, request=Request())
            assert isinstance(session, Session)
            return session

    return asyncio.run(sign_in())


def test_a_new_organisation_is_listed(folder: Folder) -> None:
    folder.run("tenant", "create", "acme", "--name", "Acme Ltd")
    assert folder.facts("tenant", "list") == {"tenants": [{"tenant": "acme", "name": "Acme Ltd", "seq": 0}]}


def test_an_organisation_that_is_there_is_not_made_again(folder: Folder) -> None:
    folder.run("tenant", "create", "acme")
    assert "already" in folder.fails("tenant", "create", "acme")


def test_a_slug_that_is_none_is_refused_with_what_one_is(folder: Folder) -> None:
    assert "a-z, 0-9 and -" in folder.fails("tenant", "create", "Acme Ltd")


def test_a_person_signs_in_with_the_password_from_standard_input(folder: Folder) -> None:
    folder.found()
    assert signs_in(folder, "ada@example.org", "correct horse", "acme").tenant == "acme"


def test_a_person_who_is_there_becomes_a_member_of_another_organisation_and_keeps_the_password(folder: Folder) -> None:
    folder.found().run("tenant", "create", "beta")
    facts = folder.facts("user", "create", "ADA@example.org", "--tenant", "beta", "--role", "viewer", "--no-password")
    assert (facts["created"], facts["roles"], facts["password"]) == (False, ["viewer"], "unchanged")
    assert signs_in(folder, "ada@example.org", "correct horse", "beta").tenant == "beta"


def test_a_password_that_is_given_again_is_the_new_one(folder: Folder) -> None:
    folder.found()
    folder.run("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--password-stdin", given="battery staple\n")
    assert signs_in(folder, "ada@example.org", "battery staple", "acme").tenant == "acme"


@pytest.mark.parametrize(("arguments", "given", "said"), [
    (["--password-stdin"], "", "no password on standard input"),
    (["--password-stdin"], "short\n", "8 to 1,000 characters"),
    (["--password-stdin", "--no-password"], "correct horse\n", "exclude each other"),
    ([], None, "no terminal"),
], ids=["an empty one", "a short one", "two ways at once", "no way at all"])
def test_without_a_usable_password_nobody_is_made(folder: Folder, arguments: list[str], given: str | None, said: str) -> None:
    folder.run("tenant", "create", "acme")
    assert said in folder.fails("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", *arguments, given=given)
    assert "no such member" in folder.fails("token", "create", "--user", "ada@example.org", "--tenant", "acme")


def test_a_person_of_an_unknown_organisation_is_not_made_and_the_way_is_said(folder: Folder) -> None:
    said = folder.fails("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--no-password")
    assert "holdfast tenant create acme" in said


def test_a_token_is_printed_alone(folder: Folder) -> None:
    printed = folder.found().run("token", "create", "--user", "ada@example.org", "--tenant", "acme")
    assert printed.startswith("hf_") and len(printed.splitlines()) == 1


def test_a_token_with_fewer_roles_and_an_end_is_of_its_person(folder: Folder) -> None:
    facts = folder.found().facts("token", "create", "--user", "ada@example.org", "--tenant", "acme", "--role", "viewer", "--days", "7")

    async def checked() -> tuple[str, frozenset[str] | None]:
        async with open_store(folder.path, apps=[APP]) as store:
            found = await Accounts(store).check(facts["token"])
            assert found is not None and found.expires_at == facts["expires_at"]
            return found.tenant_id, found.narrowed

    assert asyncio.run(checked()) == ("acme", frozenset({"viewer"}))


def test_an_error_is_json_where_facts_are(folder: Folder) -> None:
    error = json.loads(folder.fails("tenant", "create", "A B", "--json"))["error"]
    assert (error["code"], error["field"]) == ("invalid", "tenant")
    assert error["hint"]


def test_while_a_server_holds_the_folder_it_does_the_writing(folder: Folder) -> None:
    folder.run("tenant", "create", "acme")
    with running_server(folder.path, "--app", APP):
        folder.run("tenant", "create", "beta")
        folder.run("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--no-password")
        token = folder.run("token", "create", "--user", "ada@example.org", "--tenant", "acme")
        assert token.startswith("hf_")
        assert [one["seq"] for one in folder.facts("tenant", "list")["tenants"]] == [1, 0]
    assert folder.facts("verify")["ok"]


def test_a_server_is_asked_for_accounts_also_without_naming_its_application(folder: Folder) -> None:
    folder.run("tenant", "create", "acme")
    with running_server(folder.path, "--app", APP):
        folder.run("user", "create", "ada@example.org", "--tenant", "acme", "--role", "owner", "--no-password", app=False)
    assert folder.facts("doctor")["healthy"]
