"""What an outsider hears on the socket is the same, whether something hidden happens meanwhile or not: every message of the protocol, in
twin worlds, while insiders save and move about in hidden records. Defends P4.

The messages are read from the running application's protocol; one without a probe fails."""

from __future__ import annotations

import asyncio
import json
import re
import typing
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from holdfast.server.live.messages import Incoming
from holdfast.server.settings import Settings
from tests.proof.probes import MESSAGES, filled
from tests.proof.story import CANARIES, behind_closed_doors, in_the_open, next_door
from tests.proof.world import World, named_id, world
from tests.server.serving import Served, Talker, serving

CASES = [("quin", hello) for hello in MESSAGES["hello"]]
CASES += [(who, hello) for who in ("narrow", "rolf", "zoe") for hello in ({"watch": ["patients", "circles"]}, {"cursor": "{before}"})]
QUICK = Settings(port=0, heartbeat_seconds=0.2, presence_seconds=0.02)
RANDOM = re.compile(r'"(session|mutation_id|now)":("[^"]*"|\d+)|(?<=\d\.)[0-9a-f]{8}\b')


@asynccontextmanager
async def twin(script: list[int]) -> AsyncIterator[tuple[World, Served]]:
    async with world(telling=not script, script=script, settings=QUICK) as made:
        made.values |= {"wall": named_id("wall"), "pad": named_id("pad"), "who": "s", **made.actors}
        await in_the_open(made)
        await behind_closed_doors(made)
        await next_door(made)
        script[:] = made.script
        async with serving(made.app, QUICK) as served:
            yield made, served


async def live_and_hidden(made: World, served: Served, stack: AsyncExitStack) -> None:
    """Pia comes to her record, writes in it, and it is handed over; in the other twin paul does as much in his circle."""
    who, place = ("pia", ("patients", "pia")) if made.telling else ("paul", ("circles", "pad"))
    talker: Talker = await stack.enter_async_context(served.socket({"device_id": f"dev-{who}", "token": made.tokens[who]}))
    await talker.hear("welcome")
    await talker.say({"type": "presence", "collection": place[0], "record_id": named_id(place[1]), "field": "/name"})
    await talker.hear("presence")
    path = "/name" if made.telling else "/topic"
    for number in range(3):
        await made.push(who, *place, {"op": "set", "path": path, "value": f"Quetzalcoatl {number}"})
    await talker.say({"type": "presence"})


async def gather(talker: Talker, heard: list[Any], *, title: str | None = None, seconds: float = 0.15) -> None:
    """Note what comes: until the change with this title, or for so long; and how the socket was closed, if it was."""
    try:
        async with asyncio.timeout(5 if title else seconds):
            while True:
                message = await talker.hear()
                heard.append(message)
                if title and any(op.get("value") == title for change in message.get("changes", ()) for op in change["ops"]):
                    return
    except TimeoutError:
        assert title is None, f"the change that everybody sees did not come: {heard[-3:]}"
    except ConnectionClosed:
        heard.append({"type": "closed", "code": talker.connection.close_code})


def told(heard: list[Any]) -> list[str]:
    """Messages as text, without what is random or a matter of time: heartbeats, and how changes were cut into messages."""
    changes = [change for message in heard if message["type"] == "changes" for change in message["changes"]]
    rest = [message for message in heard if message["type"] not in ("heartbeat", "changes")]
    views = [{name: message[name]} for message in heard if message["type"] == "changes" for name in ("records", "forget", "reset")
             if message.get(name)]
    return [RANDOM.sub("#", json.dumps(one, separators=(",", ":"))) for one in (*rest, *views, *changes)]


async def heard_by(made: World, served: Served, who: str, hello: dict[str, Any], number: int) -> list[str]:
    heard: list[Any] = []
    say = {"device_id": f"socket-{number}-{who}", "token": made.tokens[who], **filled(hello, made.values)}
    made.runtime.pass_minutes(2)
    async with AsyncExitStack() as stack:
        talker = await stack.enter_async_context(served.socket(say))
        await gather(talker, heard)
        await live_and_hidden(made, served, stack)
        if heard[-1]["type"] == "closed":
            return told(heard)
        for message in (message for messages in MESSAGES.values() for message in messages if "type" in message):
            await talker.say(filled(message, made.values))
        await gather(talker, heard)
        if who != "zoe" and not hello.get("collections"):
            mark = f"mark {who} {number}"
            await made.push("dora", "notices", "wall", {"op": "set", "path": "/title", "value": mark})
            await gather(talker, heard, title=mark)
    return told(heard)


async def play() -> tuple[list[list[str]], list[list[str]]]:
    script: list[int] = []
    both: list[list[list[str]]] = []
    for _ in range(2):
        async with twin(script) as (made, served):
            both.append([await heard_by(made, served, who, hello, number) for number, (who, hello) in enumerate(CASES)])
    return both[0], both[1]


@pytest.fixture(scope="module")
def heard() -> tuple[list[list[str]], list[list[str]]]:
    return asyncio.run(play())


def test_every_message_of_the_running_protocol_has_probes() -> None:
    assert {kind.__struct_config__.tag for kind in typing.get_args(Incoming)} == set(MESSAGES)


@pytest.mark.parametrize("at", range(len(CASES)), ids=lambda at: f"{CASES[at][0]} {CASES[at][1]}")
def test_whether_something_hidden_happens_or_not_the_socket_says_the_same(heard: tuple[list[list[str]], list[list[str]]], at: int) -> None:
    happened, not_happened = heard[0][at], heard[1][at]
    assert happened == not_happened


def test_no_message_to_an_outsider_holds_a_hidden_word(heard: tuple[list[list[str]], list[list[str]]]) -> None:
    for (who, hello), messages in zip(CASES, heard[0], strict=True):
        told_words = [word for word in CANARIES if any(word in message for message in messages) and who != "zoe"]
        assert not told_words, (who, hello, messages)


def test_outsiders_are_welcome_where_they_belong_and_hear_what_is_for_all(heard: tuple[list[list[str]], list[list[str]]]) -> None:
    for (who, hello), messages in zip(CASES, heard[0], strict=True):
        if who in ("quin", "zoe") and not hello.keys() & {"tenant", "device_id"}:
            assert any("pushed" in message for message in messages), (who, hello, messages)
            assert who == "zoe" or hello.get("collections") or any(f"mark {who}" in message for message in messages), (who, hello, messages)
