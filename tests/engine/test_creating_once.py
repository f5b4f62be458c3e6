"""Records whose key says who made them, and records that are only appended: nobody takes another's place (P4), and what was appended stays
as it is (P3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import (
    CreatedBy,
    Forbidden,
    InvalidValue,
    MemberSession,
    NotFound,
    Record,
    Ref,
    Store,
    by_server,
    open_store,
    own,
    record_id,
    tenant,
)
from tests.engine.world import Device


class Poll(Record, collection="polls", access=tenant):
    title: str


class Vote(Record, collection="votes", key=("poll", "voter"), read=own("voter"), write=own("voter")):
    poll: Ref[Poll]
    voter: CreatedBy = by_server
    choice: int = 0


class Remark(Record, collection="remarks", access=tenant, append_only=True):
    poll: Ref[Poll]
    text: str
    stars: int = 0


@pytest.fixture(params=["memory", "sqlite"])
async def polls(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    folder = tmp_path / "data" if request.param == "sqlite" else None
    async with open_store(folder, records=[Poll, Vote, Remark]) as store:
        yield store


@pytest.fixture
async def ann(polls: Store) -> MemberSession:
    return await polls.member("acme", "ann@example.org")


@pytest.fixture
async def ben(polls: Store, ann: MemberSession) -> MemberSession:
    return await polls.member("acme", "ben@example.org", roles={"member"})


@pytest.fixture
async def poll(ann: MemberSession) -> Poll:
    return await ann.create(Poll(title="Lunch?"))


def vote_of(member: MemberSession, poll: Poll) -> str:
    return record_id(Vote, poll=poll.id, voter=member.actor_id)


async def test_the_key_takes_the_caller_without_being_told(ann: MemberSession, poll: Poll) -> None:
    vote = await ann.create(Vote(poll=poll.id, choice=1))
    assert (vote.id, vote.voter) == (vote_of(ann, poll), ann.actor_id)


async def test_a_second_create_by_the_same_person_is_the_same_record(ann: MemberSession, poll: Poll) -> None:
    first = await ann.create(Vote(poll=poll.id, choice=1))
    second = await ann.create(Vote(poll=poll.id))
    assert (second.id, second.choice) == (first.id, 1)


async def test_naming_somebody_else_by_rest_makes_the_own_record(polls: Store, ann: MemberSession, ben: MemberSession, poll: Poll) -> None:
    result = await polls.create(ann.caller, "votes", {"poll": poll.id, "voter": ben.actor_id})
    assert result.record is not None and result.record["id"] == vote_of(ann, poll)


async def test_asking_by_rest_for_the_place_of_somebody_else_is_refused(polls: Store, ann: MemberSession, ben: MemberSession,
                                                                        poll: Poll) -> None:
    with pytest.raises(InvalidValue):
        await polls.create(ann.caller, "votes", {"poll": poll.id, "voter": ben.actor_id}, record_id=vote_of(ben, poll))
    assert (await ben.create(Vote(poll=poll.id, choice=2))).choice == 2


async def test_a_device_does_not_take_the_place_of_somebody_else(polls: Store, ann: MemberSession, ben: MemberSession, poll: Poll) -> None:
    taken = await Device(polls, ann, "a").create("votes", vote_of(ben, poll), {"poll": poll.id, "voter": ben.actor_id, "choice": 1})
    assert (taken.outcome, (taken.unapplied or [{}])[0].get("reason")) == ("held", "forbidden")
    with pytest.raises(NotFound):
        await ben.get(Vote, vote_of(ben, poll))
    assert (await ben.create(Vote(poll=poll.id, choice=2))).choice == 2


@pytest.mark.parametrize("fields", [{"text": "No"}, {"stars": 1}, {"text": "Yes", "stars": 1}])
async def test_creating_an_appended_record_again_with_other_content_changes_nothing(polls: Store, ann: MemberSession, poll: Poll,
                                                                                   fields: dict[str, Any]) -> None:
    remark = await ann.create(Remark(poll=poll.id, text="Yes"))
    again = await Device(polls, ann, "a").create("remarks", remark.id, {"poll": poll.id, "text": "Yes", **fields})
    assert again.outcome == "held"
    with pytest.raises(Forbidden):
        await polls.create(ann.caller, "remarks", {"poll": poll.id, "text": "Yes", **fields}, record_id=remark.id)
    stands = await ann.get(Remark, remark.id)
    assert (stands.text, stands.stars, stands.rev) == ("Yes", 0, remark.rev)


async def test_creating_an_appended_record_again_as_it_stands_is_the_same_record(polls: Store, ann: MemberSession, poll: Poll) -> None:
    remark = await ann.create(Remark(poll=poll.id, text="Yes"))
    again = await Device(polls, ann, "a").create("remarks", remark.id, {"poll": poll.id.upper(), "text": "Yes"})
    assert (again.outcome, again.rev) == ("merged", remark.rev)


async def test_what_is_only_appended_is_not_changed_and_no_right_is_asked_for(ann: MemberSession, poll: Poll) -> None:
    remark = await ann.create(Remark(poll=poll.id, text="Yes"))
    with pytest.raises(Forbidden, match="never changed once they are made") as raised:
        await ann.change(remark, text="No")
    assert "Ask an owner" not in raised.value.hint
