"""Whose replica a file is: one server, one tenant, one person. Written down when the server first says who has signed in, and compared from
then on: a person's unsent work is nobody else's.
"""

from __future__ import annotations

from holdfast.client.device import Device
from holdfast.core.errors import Forbidden

__all__ = ["check_identity", "check_server"]


def check_server(device: Device, url: str) -> None:
    """Raises Forbidden if the file belongs to another server."""
    known = device.meta.get("server")
    if known is None:
        device.put_meta(server=url)
    elif known != url:
        raise Forbidden(f"This replica belongs to the server {known}, not to {url}.",
                        hint="Open a file of its own for each server; what is unsent here can be exported.")


def check_identity(device: Device, *, tenant: str, actor_id: str) -> None:
    """Raises Forbidden if the file belongs to another organisation or person."""
    known_tenant, known_actor = device.meta.get("tenant"), device.meta.get("actor_id")
    if known_tenant is None:
        device.put_meta(tenant=tenant, actor_id=actor_id)
        device.load()
    elif known_tenant != tenant:
        raise Forbidden(f"This replica belongs to the organisation {known_tenant}; the token is for {tenant}.",
                        hint="Open a file of its own for each organisation.")
    elif known_actor != actor_id:
        raise Forbidden("This replica belongs to another person.",
                        hint="Open a file of your own. What is unsent here is the other person's and is kept for them.")
