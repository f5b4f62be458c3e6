"""No answer tells of what is hidden: two worlds are made that differ only there, and every route is called by every outsider in both. The
answers must be equal, byte for byte, and hold none of the hidden words. Defends P4 (apart): reads, writes, counts, cursors, errors.

The list of routes is read from the running application; one without a probe fails. What promise 4 excepts (how many changes a tenant has
had, that a natural or unique key is taken) is the same in both worlds, or has a test of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tests.proof.probes import EVERYBODY, PROBES, Probe, filled
from tests.proof.story import CANARIES, behind_closed_doors, in_the_open, next_door
from tests.proof.world import World, named_id, world

OUTSIDERS = ("quin", "nora", "rolf", "narrow", "zoe", "nobody")
"""A patient, a member without roles, a removed member, an owner's token without roles, the owner of another organisation, nobody."""

NEARER = ("mona", "fred")
"""They play in worlds without actions: that one was called is the administrator's to know, who joined a workshop its facilitator's."""

POSITION = re.compile(r"\b(\d{1,15})\.[0-9a-f]{8}\b")
SOCKET = ("GET", "/v1/live")
"""Its probes are in test_apart_socket.py."""


ZOES = {"Quetzalcoatl", "Zanzibar", "Jabberwock", "Ybbs", "Wolpertinger", "4711.00", "Tlaloc"}
"""Zoe's organisation has records under the same names, and probes write in them."""

OF_MANY = {("GET", "/v1/pull"), ("GET", "/v1/activity"), ("GET", "/v1/inbox")}
"""They read along the log, and so take longer where there is more of it: how much there is of it is for every member to see."""


@asynccontextmanager
async def twin(script: list[int], *, with_actions: bool) -> AsyncIterator[World]:
    """The world in which it happened writes the script for the one in which it did not."""
    async with world(telling=not script, with_actions=with_actions, script=script) as made:
        made.values |= {"wall": named_id("wall"), "pad": named_id("pad"), **made.actors}
        await in_the_open(made)
        await behind_closed_doors(made)
        script[:] = made.script
        await next_door(made)
        made.runtime.reseed(9_000)
        yield made


def told(answer: httpx.Response) -> str:
    """An answer as text, without what is random in it: the digests in positions."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-length", "x-request-id")}
    body = re.sub(r'"request_id":"[^"]*"', "", answer.text)
    return POSITION.sub(r"\1.#", f"{answer.status_code} {json.dumps(headers)}\n{body}")


def asked_of(made: World) -> dict[str, int]:
    """How often what was asked: what takes the same steps takes about the same time."""
    return dict(sorted(Counter(one for one in made.asked if one != "touch_credential").items()))        # that one comes when it comes


def difference(probe: str, happened: str, not_happened: str) -> str:
    start = next((at for at, (one, other) in enumerate(zip(happened, not_happened, strict=False)) if one != other), 0)
    cut = slice(max(0, start - 100), start + 200)
    return f"{probe}\n  happened: {happened[:3]} …{happened[cut]}\n  did not:  {not_happened[:3]} …{not_happened[cut]}"


def counts(place: tuple[str, str], probe: Probe) -> bool:
    """Whether the steps of the answer are compared too. Not for a change that names a base: whoever saw a record once, and typed in it,
    must find that in its place should he see it again, so what came after the base is read also where he may not see it. Nor for one
    who pretends to be another's device: what is loaded for its line."""
    body = str(probe.body)
    return place not in OF_MANY and "'base': '{" not in body and "secret_device}', 'mutations': [{" not in body


def played_by(probe: Probe, who: str) -> str | None:
    return who if probe.who == EVERYBODY else probe.who or "nobody"


async def heard_by(made: World, who: str) -> dict[str, str]:
    """What an outsider hears, probe by probe. Time passes between them, so that no limit of rates hides a difference."""
    found: dict[str, str] = {}
    made.values["who"] = who
    for place, probes in PROBES.items():
        for number, probe in enumerate(probes):
            caller = played_by(probe, who)
            if probe.who != EVERYBODY and who != OUTSIDERS[0]:
                continue
            made.runtime.pass_minutes(2)
            made.runtime.reseed(10_000 + len(found))
            made.asked.clear()
            answer = await made.call(None if caller == "nobody" else caller, probe.method, filled(probe.url, made.values),
                                     filled(probe.body, made.values), headers=filled(probe.headers, made.values))
            name = f"{' '.join(place)} {number}: {probe.method} {probe.url} {probe.body} {probe.headers}"[:300]
            found[name] = told(answer) + (f"\nasked of the storage: {asked_of(made)}" if counts(place, probe) else "")
    return found


@dataclass
class Heard:
    """By outsider and probe: the answers of the world in which it happened, and of the other. `routes` as they ran."""

    routes: set[tuple[str, str]] = field(default_factory=set)
    answers: dict[str, tuple[dict[str, str], dict[str, str]]] = field(default_factory=dict)
    kept: dict[str, tuple[object, object]] = field(default_factory=dict)
    heads: list[int] = field(default_factory=list)
    actors: dict[str, set[str]] = field(default_factory=dict)


async def state_of_hidden(made: World) -> dict[str, object]:
    """What insiders see of it."""
    place = f"/v1/records/patients/{named_id('pia')}"
    patient = await made.ok("dora", "GET", place)
    gone = await made.ok("dora", "GET", f"/v1/records/patients/{named_id('gone')}?include_deleted=1")
    return {"patient": patient["fields"], "rev": patient["rev"], "gone": (gone["fields"], gone["deleted"], gone["rev"]),
            "visits": [one["fields"] for one in (await made.ok("dora", "GET", "/v1/records/visits"))["records"]],
            "inbox": (await made.ok("pia", "GET", "/v1/inbox"))["items"], "invoices": await made.ok("olga", "GET", "/v1/records/invoices")}


async def actors_in(made: World, tenant: str) -> set[str]:
    """Who made the entries of a tenant's log."""
    names = {actor: name for name, actor in made.actors.items()}
    async with made.store.storage.reader() as reader:
        return {names.get(entry.actor_id, entry.actor_id) for entry in await reader.entries(tenant, after=0, limit=100_000)}


async def play() -> Heard:
    heard = Heard()
    for with_actions, outsiders in ((True, OUTSIDERS), (False, NEARER)):
        script: list[int] = []
        both: list[dict[str, dict[str, str]]] = []
        for _ in range(2):
            async with twin(script, with_actions=with_actions) as made:
                heard.routes |= {(route.method, route.path) for route in made.app.routes}
                before = await state_of_hidden(made) if made.telling else {}
                both.append({who: await heard_by(made, who) for who in outsiders})
                heard.heads.append(await made.head())
                if made.telling:
                    after = await state_of_hidden(made)
                    heard.actors |= {tenant: await actors_in(made, tenant) for tenant in ("acme", "other")}
                    heard.kept |= {f"{name} {with_actions}": (before[name], after[name]) for name in before}
        heard.answers |= {who: (both[0][who], both[1][who]) for who in outsiders}
    return heard


@pytest.fixture(scope="module")
def heard() -> Heard:
    return asyncio.run(play())


def test_every_route_of_the_running_application_has_probes(heard: Heard) -> None:
    assert heard.routes - {SOCKET} == set(PROBES)


@pytest.mark.parametrize("who", [*OUTSIDERS, *NEARER])
def test_whether_something_hidden_happened_or_not_an_outsider_hears_the_same(heard: Heard, who: str) -> None:
    happened, not_happened = heard.answers[who]
    assert happened.keys() == not_happened.keys() and len(happened) > 500
    different = [difference(probe, happened[probe], not_happened[probe]) for probe in happened if happened[probe] != not_happened[probe]]
    assert not different, f"{len(different)} probes tell:\n" + "\n".join(different[:20])


@pytest.mark.parametrize("who", [*OUTSIDERS, *NEARER])
def test_no_answer_to_an_outsider_holds_a_hidden_word(heard: Heard, who: str) -> None:
    own = CANARIES if who != "zoe" else [word for word in CANARIES if word not in ZOES]
    for probe, answer in heard.answers[who][0].items():
        told_words = [word for word in own if word in answer and word not in probe]
        assert not told_words, f"{probe} tells {told_words}: {answer}"


def test_both_worlds_had_as_many_changes(heard: Heard) -> None:
    assert heard.heads[0] == heard.heads[1] and heard.heads[2] == heard.heads[3]


def test_nobody_writes_in_another_organisation(heard: Heard) -> None:
    assert heard.actors["other"] == {"zoe", "system"} and "zoe" not in heard.actors["acme"] and "rolf" not in heard.actors["acme"]


def test_nothing_an_outsider_tries_changes_what_is_hidden(heard: Heard) -> None:
    changed = [f"{name}: {before} -> {after}" for name, (before, after) in heard.kept.items() if before != after]
    assert not changed, "\n".join(changed)


def test_probes_are_answered_not_failed(heard: Heard) -> None:
    failed = [f"{who} {probe}: {answer}" for who, (answers, _) in heard.answers.items() for probe, answer in answers.items()
              if answer.startswith("5") and "fail" not in probe]
    assert not failed, "\n".join(failed[:10])


def test_probes_reach_what_they_are_about(heard: Heard) -> None:
    """A probe that is refused as malformed proves nothing: of each route with a target some are answered as a member's call is."""
    for place in PROBES:
        statuses = {answer[:3] for probe, answer in heard.answers["quin"][0].items() if probe.startswith(" ".join(place) + " ")}
        assert place == ("GET", "/metrics") or statuses - {"400", "405", "415"}, (place, statuses)
