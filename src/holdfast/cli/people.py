"""`holdfast tenant`, `holdfast user`, `holdfast token`: organisations, people and their API tokens. While a server holds the folder these
commands ask it; otherwise they write themselves."""

from __future__ import annotations

import sys

import click

from holdfast.cli.output import Command, columns, json_option, show
from holdfast.cli.place import Place, place_options, run
from holdfast.core.errors import InvalidValue, NotFound
from holdfast.engine.accounts import Accounts
from holdfast.storage.protocol import Account

__all__ = ["tenant", "token", "user"]

DAY_MS = 24 * 60 * 60 * 1000


@click.group()
def tenant() -> None:
    """Organisations."""


@tenant.command("create", cls=Command)
@click.argument("slug")
@click.option("--name", default="", help="How people call it (default: the slug).")
@json_option
@place_options
@run
async def create_tenant(place: Place, slug: str, name: str, as_json: bool) -> None:
    """Make an organisation. SLUG is its short name: a-z, 0-9 and -."""
    async with place.store() as store:
        made = await store.accounts.create_tenant(slug, name)
    show({"tenant": made.tenant_id, "name": made.name}, as_json,
         lambda facts: [f"Organisation {facts['tenant']} ({facts['name']}) is there."])


@tenant.command("list", cls=Command)
@json_option
@place_options
@run
async def list_tenants(place: Place, as_json: bool) -> None:
    """List the organisations and how many changes each has had."""
    async with place.store() as store, store.storage.reader() as reader:
        found = [{"tenant": one.tenant_id, "name": one.name, "seq": (await reader.head(one.tenant_id)).seq}
                 for one in await reader.tenants()]
    show({"tenants": found}, as_json,
         lambda facts: columns([(one["tenant"], one["name"], f"{one['seq']:,} changes") for one in facts["tenants"]]))


@click.group()
def user() -> None:
    """People: accounts, and what they may do in an organisation."""


@user.command("create", cls=Command)
@click.argument("email")
@click.option("--tenant", "tenant_id", required=True, metavar="SLUG", help="The organisation.")
@click.option("--role", "roles", required=True, multiple=True, metavar="ROLE", help="What the person may do there; several times.")
@click.option("--name", default="", help="How others see the person (default: the part before the @).")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input (its first line).")
@click.option("--no-password", is_flag=True, help="Make an account that signs in by another way (token, OIDC).")
@json_option
@place_options
@run
async def create_user(place: Place, email: str, tenant_id: str, roles: tuple[str, ...], name: str, password_stdin: bool, no_password: bool,
                      as_json: bool) -> None:
    """Make an account and a member of an organisation. For an account that exists: make it a member too, with these roles, and set its
    password if one is given."""
    password = _password(password_stdin, no_password)
    async with place.store() as store:
        accounts = store.accounts
        async with store.storage.reader() as reader:
            if await reader.tenant(tenant_id) is None:
                raise NotFound(f"There is no organisation {tenant_id!r}.", hint=f"Make it first: holdfast tenant create {tenant_id}")
        account, created = await _account(accounts, email, password)
        actor_id = await accounts.add_member(tenant_id, account, roles, display_name=name)
    facts = {"email": account.email, "account": actor_id, "tenant": tenant_id, "roles": sorted(set(roles)), "created": created,
             "password": "set" if password is not None else "unchanged" if not created else "none"}
    show(facts, as_json, lambda said: [f"{said['email']} is {', '.join(said['roles'])} of {said['tenant']}"
                                       + ("" if said["created"] else " (the account was there before)") + "."])


async def _account(accounts: Accounts, email: str, password: str | None) -> tuple[Account, bool]:
    """The account, and whether it is new."""
    found = await accounts.account(email)
    if found is None:
        return await accounts.create_account(email, password), True
    if password is not None:
        await accounts.set_password(found, password)
    return found, False


def _password(from_stdin: bool, none: bool) -> str | None:
    """From standard input, or asked for at a terminal. Raises InvalidValue where neither is possible."""
    if from_stdin and none:
        raise InvalidValue("--password-stdin and --no-password exclude each other.", field="password", hint="Give one of them.")
    if none:
        return None
    if from_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
        if not given:
            raise InvalidValue("There is no password on standard input.", field="password", hint="Its first line is the password.")
        return given
    if not sys.stdin.isatty():
        raise InvalidValue("There is no terminal to ask for a password.", field="password", hint="Give --password-stdin or --no-password.")
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


@click.group()
def token() -> None:
    """API tokens."""


@token.command("create", cls=Command)
@click.option("--user", "email", required=True, metavar="EMAIL", help="Whose token it is.")
@click.option("--tenant", "tenant_id", required=True, metavar="SLUG", help="The organisation it is for.")
@click.option("--name", default="", help="What it is for, for people.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="Only these of the person's roles (default: all of them).")
@click.option("--days", type=click.IntRange(min=1), help="Ends after so many days (default: never).")
@json_option
@place_options
@run
async def create_token(place: Place, email: str, tenant_id: str, name: str, roles: tuple[str, ...], days: int | None,
                       as_json: bool) -> None:
    """Make an API token and print it, alone: this once, nobody can read it again."""
    async with place.store() as store:
        expires_at = None if days is None else store.runtime.now_ms() + days * DAY_MS
        secret = await store.accounts.create_token(tenant_id, email, name=name, roles=roles or None, expires_at=expires_at)
    show({"token": secret, "expires_at": expires_at}, as_json, lambda facts: [facts["token"]])
