"""A demonstration: an organisation with a facilitator, six people, two workshops, and what they wrote so far.

`demo(store)` may be called at every start. It is made of calls whose ids are fixed, so each takes effect once: a demonstration that was
interrupted is completed, one that is there stays as people have changed it since. Everything is written by the people's own calls, so the
history shows who wrote what; answers come in several saves, as they do from somebody who types.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from holdfast import Caller, Conflict, Forbidden, MemberSession, NotFound, StateError, Store
from holdfast.apps.workshop.demonstration_texts import ORGANISATION, PEOPLE, TENANT, WORKSHOPS, Person, Story, WorkshopStory
from holdfast.apps.workshop.records import ChatMessage, Workshop

__all__ = ["Demonstration", "demo"]

DEMONSTRATION: Final = uuid.UUID("2c8d4f0e-5a37-5e0b-8f3e-6b1a9d7c4e21")
"""Namespace of the ids of the demonstration's records and calls (RFC 9562, UUIDv5)."""

SAVES_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What there is to show: whom to sign in as (none has a password yet), the first of them being the facilitator."""

    tenant: str
    name: str
    people: tuple[Person, ...]
    join_codes: tuple[str, ...]


async def demo(store: Store, *, seed: int = 1) -> Demonstration:
    """Make the demonstration in an opened store that has this application, or complete it; `seed` decides in how many saves the answers
    were written."""
    fresh = await _is_new_organisation(store)
    members = {person.email: await _member(store, person) for person in PEOPLE}
    for workshop in WORKSHOPS:
        with _as_people_left_it(fresh):
            made = Workshop(title=workshop.title, steps=list(workshop.steps), join_code=workshop.join_code).with_id(_id(workshop.name))
            await members[PEOPLE[0].email].create(made, mutation_id=_id(workshop.name))
        for story in workshop.stories:
            with _as_people_left_it(fresh):
                await _tell(members[story.email], workshop, story, Random(f"{seed}:{workshop.name}:{story.email}"))
    return Demonstration(TENANT, ORGANISATION, PEOPLE, tuple(workshop.join_code for workshop in WORKSHOPS))


async def _is_new_organisation(store: Store) -> bool:
    try:
        await store.accounts.create_tenant(TENANT, ORGANISATION)
    except Conflict:
        return False
    return True


async def _member(store: Store, person: Person) -> MemberSession:
    """Who is a member keeps the roles that it has by now."""
    account = await store.accounts.account(person.email)
    if account is not None and TENANT in await store.accounts.memberships(account.id):
        return store.as_caller(Caller(tenant_id=TENANT, actor_id=account.id))
    return await store.member(TENANT, person.email, roles=person.roles, display_name=person.display_name)


@contextmanager
def _as_people_left_it(fresh: bool) -> Iterator[None]:
    """In a demonstration that was there before, rights and records may have changed since: what no longer fits is left out."""
    try:
        yield
    except (Forbidden, NotFound, StateError):
        if fresh:
            raise


async def _tell(member: MemberSession, workshop: WorkshopStory, story: Story, choice: Random) -> None:
    """What one person did in one workshop, step by step."""
    name = f"{workshop.name}:{story.email}"
    session = await member.call("workshop.create_session", mutation_id=_id(name), workshop_id=_id(workshop.name))
    for step in range(1, len(workshop.steps) + 1):
        for number, (role, content) in enumerate((role, content) for at, role, content in story.chat if at == step):
            message = _id(f"{name}:{step}:message:{number}")
            await member.create(ChatMessage(session_id=session["id"], step_number=step, role=role, content=content).with_id(message),
                                mutation_id=message)
        if step <= len(story.answers):
            for number, text in enumerate(_drafts(story.answers[step - 1], choice)):
                await member.call("workshop.save", mutation_id=_id(f"{name}:{step}:save:{number}"), session_id=session["id"],
                                  step_number=step, response_text=text)


def _drafts(answer: str, choice: Random) -> Iterator[str]:
    """The answer as it grew: cut between words, the last one whole."""
    ends = [at for at, character in enumerate(answer) if character == " "]
    for end in sorted(choice.sample(ends, min(len(ends), choice.randrange(SAVES_MAX)))):
        yield answer[:end]
    yield answer


def _id(name: str) -> str:
    return str(uuid.uuid5(DEMONSTRATION, name))
