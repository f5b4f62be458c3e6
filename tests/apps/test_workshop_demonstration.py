"""Workshop: the demonstration. It is made of calls with fixed ids, so it is there once however often it is made (P2), and what people did
to it since stays (P3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Member, MemberSession, Store, open_store
from holdfast.apps.workshop import ChatMessage, StepResponse, Workshop, WorkshopSession, demo
from holdfast.apps.workshop.demonstration_texts import PEOPLE, TENANT, WORKSHOPS

APPS = ["holdfast.apps.workshop"]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_store(None, apps=APPS) as opened:
        yield opened


async def seq(store: Store) -> int:
    async with store.storage.reader() as reader:
        return (await reader.head(TENANT)).seq


async def member(store: Store, email: str) -> MemberSession:
    return await store.member(TENANT, email)


async def content(store: Store) -> list[Any]:
    """What the facilitator sees, without ids and times."""
    nora = await member(store, PEOPLE[0].email)
    sessions = {one.id: one async for one in nora.each(WorkshopSession)}
    answers = [one async for one in nora.each(StepResponse)]
    messages = [one async for one in nora.each(ChatMessage, sort=["rev"])]
    named = [(sessions[one.session_id].workshop_title, sessions[one.session_id].participant_name, one.step_number) for one in answers]
    return [sorted((one.workshop_title, one.participant_name, one.current_step) for one in sessions.values()),
            sorted(zip(named, (one.response_text for one in answers), strict=True)),
            [(sessions[one.session_id].participant_name, one.step_number, one.role, one.content) for one in messages]]


async def saves(store: Store) -> list[tuple[str, int]]:
    """In how many saves each answer was written."""
    nora = await member(store, PEOPLE[0].email)
    return sorted([(one.response_text, len(await nora.history(one))) async for one in nora.each(StepResponse)])


async def test_it_holds_what_its_texts_say(store: Store) -> None:
    made = await demo(store)
    names = {person.email: person.display_name for person in PEOPLE}
    sessions, answers, messages = await content(store)
    assert (made.tenant, [person.email for person in made.people]) == (TENANT, list(names))
    assert sessions == sorted((workshop.title, names[story.email], max(1, len(story.answers))) for workshop in WORKSHOPS
                              for story in workshop.stories)
    assert answers == sorted(((workshop.title, names[story.email], step), text) for workshop in WORKSHOPS for story in workshop.stories
                             for step, text in enumerate(story.answers, start=1))
    assert sorted(messages) == sorted((names[story.email], *message) for workshop in WORKSHOPS for story in workshop.stories
                                      for message in story.chat)


async def test_people_are_at_different_steps_and_answers_have_a_past(store: Store) -> None:
    await demo(store)
    nora = await member(store, PEOPLE[0].email)
    assert {one.current_step async for one in nora.each(WorkshopSession)} == {1, 2, 3, 4, 6}
    versions = [len(await nora.history(one)) async for one in nora.each(StepResponse)]
    assert min(versions) == 1 and max(versions) > 2
    assert len(await nora.list(Workshop)) == 2


async def test_everybody_has_the_own_part_of_it(store: Store) -> None:
    await demo(store)
    tomas = await member(store, "tomas@example.org")
    assert [one.participant_name for one in await tomas.list(WorkshopSession)] == ["Tomas Brandt"]
    assert len(await tomas.list(StepResponse)) == 6 and await tomas.list(Workshop) == []


async def test_made_again_it_adds_nothing(store: Store) -> None:
    await demo(store)
    before = await seq(store)
    await demo(store)
    assert await seq(store) == before


async def test_the_same_seed_makes_the_same_history() -> None:
    found = []
    for seed in (7, 7, 8):
        async with open_store(None, apps=APPS) as store:
            await demo(store, seed=seed)
            found.append((await saves(store), await content(store)))
    assert found[0] == found[1] and found[0][1] == found[2][1] and found[0][0] != found[2][0]


async def test_one_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    async with open_store(None, apps=APPS) as whole:
        await demo(whole)
        wanted, length = await content(whole), await seq(whole)
    for calls in (3, 20, 60):
        async with open_store(None, apps=APPS) as store:
            with pytest.raises(_CutError):
                await demo(_Cut(store, calls))  # type: ignore[arg-type]
            await demo(store)
            assert (await content(store), await seq(store)) == (wanted, length)


async def test_what_people_changed_stays_as_they_left_it(store: Store) -> None:
    await demo(store)
    nora = await member(store, PEOPLE[0].email)
    first = (await nora.list(Workshop, title="A calmer first visit"))[0]
    await nora.change(first, title="Calmer", status="closed")
    mei = await member(store, "mei@example.org")
    answer = (await mei.list(StepResponse, step_number=2))[0]
    await mei.change(answer, response_text="Changed my mind.")
    await nora.change(await nora.get(Member, mei.actor_id), roles={"visitor"})
    await nora.delete((await nora.list(Workshop, title="Less waste in the café"))[0])
    before = await seq(store)
    await demo(store)
    assert await seq(store) == before
    assert (await nora.get(Member, mei.actor_id)).roles == {"visitor"}


class _CutError(Exception):
    """The power went out."""


class _Cut:
    """A store that goes away after so many calls of its members."""

    def __init__(self, store: Store, calls: int) -> None:
        self.accounts = store.accounts
        self._store = store
        self._left = calls

    async def member(self, *args: Any, **options: Any) -> Any:
        return _CutMember(self, await self._store.member(*args, **options))

    def as_caller(self, caller: Any) -> Any:
        return _CutMember(self, self._store.as_caller(caller))

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _CutError


class _CutMember:
    def __init__(self, cut: _Cut, member: MemberSession) -> None:
        self._cut = cut
        self._member = member

    def __getattr__(self, name: str) -> Any:
        self._cut.count()
        return getattr(self._member, name)
