"""Collections that every store has.

`members`: who belongs to the tenant, and with which roles; the record's id is the account's id. A member reads the own record, owners
and admins read all; an application that shows people to each other widens that (`compile_schema(..., members_read=tenant)`), knowing
that a record is read whole, e-mail address included. Owners and admins write; a member changes own roles never, and what a member may
set for itself belongs into a collection of the application's.

Two rules read more than one row and the actor, so they are not part of the access rules: `role_change_problem` says them, and whoever
writes members asks it.
"""

from __future__ import annotations

from collections.abc import Collection as Items
from datetime import datetime
from typing import Annotated, Final

from holdfast.core.access import Actor
from holdfast.model.access import own, role
from holdfast.model.kinds import CreatedAt, Json, Set, UpdatedAt, by_server, search
from holdfast.model.record import Record

__all__ = ["BUILT_IN", "MEMBERS", "OWNER", "Member", "role_change_problem"]

MEMBERS: Final = "members"
OWNER: Final = "owner"
ADMIN: Final = "admin"


class Member(Record, collection=MEMBERS, read=own("id") | role(OWNER, ADMIN), write=role(OWNER, ADMIN), title_field="display_name"):
    """A person, or a service, that belongs to the organisation."""

    display_name: Annotated[str, search] = ""
    email: str | None = None
    roles: Set[str] = set()
    settings: Json = {}
    last_active_at: datetime | None = None
    created_at: CreatedAt = by_server
    updated_at: UpdatedAt = by_server


BUILT_IN: Final[tuple[type[Record], ...]] = (Member,)


def role_change_problem(actor: Actor, before: Items[str], after: Items[str], other_owners: int) -> str | None:
    """Why `actor` may not change a member's roles from `before` to `after` (a deleted member has none); None if nothing speaks
    against it. `other_owners`: how many members besides this one are owners.

    A tenant is never left without an owner, and only owners make or unmake owners."""
    loses, gains = OWNER in before and OWNER not in after, OWNER in after and OWNER not in before
    if loses and other_owners == 0:
        return "The organisation would be left without an owner: make somebody else an owner first."
    if (loses or gains) and OWNER not in actor.roles:
        return "Only an owner makes somebody an owner, or takes that away."
    return None
