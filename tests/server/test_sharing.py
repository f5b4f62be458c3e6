"""One pull for many callers says to each what its own pull says. Defends P4: sharing work between devices never shares sight."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.core.errors import Forbidden, HoldfastError, Malformed
from holdfast.core.messages import PullReply
from holdfast.engine.api import Caller
from tests.server.office import PEOPLE, Office, office


@pytest.fixture
async def found() -> AsyncIterator[Office]:
    async with office() as one:
        yield one


def callers(found: Office) -> list[Caller]:
    members = [Caller(tenant_id="acme", actor_id=found.actors[name]) for name, (tenant, _) in PEOPLE.items() if tenant == "acme"]
    narrowed = Caller(tenant_id="acme", actor_id=found.actors["olga"], narrowed=frozenset())
    return [*members, narrowed, Caller(tenant_id="acme", actor_id=found.actors["zoe"])]


async def alone(found: Office, caller: Caller, **options: Any) -> Any:
    try:
        return await found.store.pull(caller, **options)
    except HoldfastError as error:
        return type(error), error.detail


async def equal_to_single_pulls(found: Office, **options: Any) -> list[Any]:
    wanted = callers(found)
    together = await found.store.pull_many(wanted, **options)
    for caller, answer in zip(wanted, together, strict=True):
        single = await alone(found, caller, **options)
        assert single == (answer if isinstance(answer, PullReply) else (type(answer), answer.detail)), caller
    return together


async def random_work(found: Office, chance: random.Random) -> None:
    """A change of anything by anybody: open, owned, reached through a parent, for owners; roles; a question; a deletion."""
    name = chance.choice(["olga", "emil", "ines"])
    caller = Caller(tenant_id="acme", actor_id=found.actors[name])
    store = found.store
    try:
        kind = chance.randrange(9)
        if kind == 0:
            await store.create(caller, "notes", {"title": "x"})
        elif kind == 1:
            await store.create(caller, "diaries", {"writer": found.actors[chance.choice(["olga", "emil", "ines"])]})
        elif kind == 2:
            await store.create(caller, "salaries", {"person": "x"})
        elif kind == 3:
            account = await store.accounts.account(f"{chance.choice(['emil', 'ines'])}@acme.example")
            assert account is not None
            await store.accounts.add_member("acme", account, [chance.choice(["editor", "owner"])])
        else:
            await change_something(found, caller, chance)
    except HoldfastError:
        return


async def change_something(found: Office, caller: Caller, chance: random.Random) -> None:
    pulled = await found.store.pull(Caller(tenant_id="acme", actor_id=found.actors["olga"]), cursor=None, limit=1000)
    records = [(one.collection, one.record_id) for one in pulled.changes if one.collection != "members"]
    if not records:
        return
    collection, record_id = chance.choice(records)
    kind = chance.randrange(5)
    if kind == 0:
        await found.store.delete(caller, collection, record_id)
    elif kind == 1 and collection == "diaries":
        await found.store.change(caller, collection, record_id, fields={"writer": found.actors[chance.choice(["emil", "ines"])]})
    elif kind == 2 and collection == "diaries":
        await found.store.create(caller, "pages", {"diary": record_id, "number": 1})
    elif kind == 3 and collection == "notes":
        price = {"price": f"{chance.randrange(9)}.00"}
        await found.store.change(caller, collection, record_id, fields=price, base=pulled.changes[0].position)
    else:
        await found.store.undo(caller, collection, record_id)


@pytest.mark.parametrize("seed", range(8))
async def test_it_equals_the_pulls_of_each_at_every_cursor(found: Office, seed: int) -> None:
    """Random work; a failure is replayed by its seed."""
    chance = random.Random(seed)
    cursors: list[str | None] = [None]
    for _ in range(40):
        await random_work(found, chance)
        cursors.append((await found.store.pull(callers(found)[0], cursor=None, limit=1000)).cursor)
    for cursor in chance.sample(cursors, 12):
        await equal_to_single_pulls(found, cursor=cursor, limit=chance.choice([1, 3, 1000]),
                                    collections=chance.choice([None, ["notes"], ["diaries", "pages"], ["salaries"]]),
                                    contracts=chance.choice([None, {"notes": 0}]))
    await equal_to_single_pulls(found, cursor="3.00000000", limit=10)


async def test_those_who_are_told_the_same_get_the_same_object(found: Office) -> None:
    start = (await found.store.pull(callers(found)[0], cursor=None)).cursor
    olga, emil, ines = callers(found)[:3]
    await found.store.create(Caller(tenant_id="acme", actor_id=found.actors["olga"]), "notes", {"title": "for all"})
    answers = await found.store.pull_many([olga, emil, ines, emil], cursor=start)
    assert answers[1] is answers[2] is answers[3] and answers[0] is not answers[1]
    await found.store.create(Caller(tenant_id="acme", actor_id=found.actors["olga"]), "salaries", {"person": "emil"})
    hidden = await found.store.pull_many([emil, ines], cursor=start)
    assert hidden[0] is hidden[1] and isinstance(hidden[0], PullReply)
    assert [one.collection for one in hidden[0].changes] == ["notes"]


async def test_who_is_no_member_is_refused_alone(found: Office) -> None:
    answers = await equal_to_single_pulls(found, cursor=None)
    assert isinstance(answers[-1], Forbidden) and isinstance(answers[0], PullReply)


async def test_a_cursor_that_is_none_is_malformed_for_all(found: Office) -> None:
    with pytest.raises(Malformed):
        await found.store.pull_many(callers(found), cursor="yesterday")
