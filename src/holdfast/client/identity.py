"""Whose replica a file is: one server, one tenant, one person. Written down when the server first says who has signed in, and compared from
then on: a person's unsent work is nobody else's.
"""

from __future__ import annotations

from typing import Final

from holdfast.client.answering import refuse_row
from holdfast.client.device import Device
from holdfast.core.errors import Forbidden
from holdfast.core.messages import Problem

__all__ = ["begin_signing_in", "check_identity", "check_server"]

KEPT: Final = "Open a file of your own. What is unsent here is the other person's and is kept for them."
SET_ASIDE: Final = "It was made by somebody whose replica this is not."


def check_server(device: Device, url: str) -> None:
    """Raises Forbidden if the file belongs to another server."""
    known = device.meta.get("server")
    if known is None:
        device.put_meta(server=url)
    elif known != url:
        raise Forbidden(f"This replica belongs to the server {known}, not to {url}.",
                        hint="Open a file of its own for each server; what is unsent here can be exported.")


def begin_signing_in(device: Device) -> None:
    """Somebody signs in: who it is, the server will say."""
    device.person.is_known = False
    device.person.before = set(device.by_id)


def check_identity(device: Device, *, tenant: str, actor_id: str) -> None:
    """Raises Forbidden if the file belongs to another organisation or person. From then on nothing of it is shown to them; what they made
    here before they were recognised is set aside, and never sent under the other's name."""
    known_tenant, known_actor = device.meta.get("tenant"), device.meta.get("actor_id")
    if known_tenant is None:
        device.put_meta(tenant=tenant, actor_id=actor_id)
        device.load()
    elif known_tenant != tenant:
        _turn_away(device, f"This replica belongs to the organisation {known_tenant}; the token is for {tenant}.",
                   "Open a file of its own for each organisation.")
    elif known_actor != actor_id:
        _turn_away(device, "This replica belongs to another person.", KEPT)
    device.person.refusal, device.person.is_known = None, True


def _turn_away(device: Device, detail: str, hint: str) -> None:
    """Raises Forbidden."""
    person = device.person
    person.refusal = (detail, hint)
    theirs = [row for row in device.unanswered()
              if row.state == "unsent" and row.made.process == device.process and row.mutation_id not in person.before]
    for row in reversed(theirs):
        refuse_row(device, row, Problem(code="forbidden", detail=SET_ASIDE))
    person.raise_on_stranger()
