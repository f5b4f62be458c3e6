"""`holdfast serve --demo`: a demonstration organisation, made or completed before anybody is served, and how to sign in to it."""

from __future__ import annotations

import ipaddress
from typing import Final

from holdfast.apps.workshop import app, demo
from holdfast.core.errors import InvalidValue, UnsafeSettings
from holdfast.engine.store import Store
from holdfast.server.settings import Settings

__all__ = ["DEMO_PASSWORD", "prepare_demonstration", "raise_if_open_to_others"]

DEMO_PASSWORD: Final = "holdfast-demo"
"""Everybody can read it here: hence only on this machine."""


def raise_if_open_to_others(settings: Settings) -> None:
    """Raises UnsafeSettings where a server with a known password would listen for other machines."""
    host = settings.host.strip("[]")
    try:
        alone = ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = host == "localhost"
    if not alone:
        raise UnsafeSettings(f"The demonstration has accounts with a known password, and {settings.host} is open to other machines.",
                             field="demo", hint="Serve it on 127.0.0.1, or serve without --demo.")


async def prepare_demonstration(store: Store) -> str:
    """Make or complete it; what it answers says how to sign in. Passwords that people have set stay. Raises InvalidValue if the
    application is not served."""
    if app.name not in store.apps:
        raise InvalidValue(f"The demonstration is one of the application {app.name}, which is not served.", field="demo",
                           hint="Serve without --app, or name holdfast.apps.workshop too.")
    made = await demo(store)
    lines = [f"Demonstration: organisation {made.tenant} ({made.name}). Sign in with the password {DEMO_PASSWORD} as"]
    for person in made.people:
        account = await store.accounts.account(person.email)
        if account is not None and account.password_hash is None:
            await store.accounts.set_password(account, DEMO_PASSWORD)
        lines.append(f"  {person.email}  {person.display_name}, {', '.join(person.roles)}")
    return "\n".join(lines)
