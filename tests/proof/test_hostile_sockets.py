"""The socket against hostile messages and frames: each is answered with a reason or ends that socket alone; nothing fails inside, other
sockets go on hearing, and a good mutation beside a bad one is applied. Defends P1 and P4."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.core.corpus import json_texts, naughty_strings
from tests.proof.hostile import VALUES, good, places
from tests.proof.probes import MESSAGES
from tests.proof.test_apart_socket import QUICK
from tests.proof.world import World, named_id, world
from tests.server.serving import Served, Talker, serving

HELLO = {"type": "hello", "device_id": "d", "token": "", "cursor": None, "collections": ["notices"], "contracts": {"notices": 1},
         "watch": ["notices"]}
OTHERS = [message for messages in MESSAGES.values() for message in messages if "type" in message]


@pytest.fixture
async def clinic() -> AsyncIterator[World]:
    async with world(settings=QUICK) as made:
        await made.push("olga", "notices", "wall", {"op": "create", "value": {"title": "t"}})
        await made.look("olga", "notices", "wall")
        yield made


@pytest.fixture
async def served(clinic: World) -> AsyncIterator[Served]:
    async with serving(clinic.app, QUICK) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_failed_inside(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR and record.exc_info]


def hello(clinic: World, **more: Any) -> dict[str, Any]:
    return {**HELLO, "token": clinic.tokens["olga"], **more}


async def still_serves(clinic: World, served: Served, listener: Talker) -> None:
    """Another socket still hears what happens."""
    await clinic.push("olga", "notices", "wall", {"op": "set", "path": "/title", "value": "still"})
    async with asyncio.timeout(5):
        while "still" not in json.dumps(await listener.hear("changes")):
            continue


async def answers(talker: Talker, count: int) -> list[dict[str, Any]]:
    """So many answers to messages, heartbeats and presence aside; fewer if the socket was closed."""
    found: list[dict[str, Any]] = []
    try:
        while len(found) < count:
            message = await talker.hear()
            if message["type"] in ("error", "pushed", "pong"):
                found.append(message)
    except ConnectionClosed:
        assert talker.connection.close_code in (4400, 4401, 4403, 1009, 1007), talker.connection.close_code
    return found


def hostile_texts() -> list[str]:
    texts = [raw.decode("utf-8", "replace") for kind in ("test_parsing", "test_transform") for raw in json_texts(kind).values()]
    return [*texts, *naughty_strings(), "[" * 100_000, '{"type":"ping","id":"' + "x" * 100_000 + '"}', "null", '{"type":null}',
            '{"type":"ping","type":"push"}', '{"type":"push","id":"1","mutations":[' + "{}," * 600 + "{}]}"]


async def test_messages_that_are_none_are_answered_and_after_many_the_socket_is_closed(clinic: World, served: Served) -> None:
    async with served.socket(hello(clinic, device_id="listener")) as listener:
        texts = hostile_texts()
        for start in range(0, len(texts), 15):
            async with served.socket(hello(clinic)) as talker:
                await talker.hear("welcome")
                some = texts[start:start + 15]
                for text in some:
                    await talker.say(text)
                for answer in await answers(talker, len(some)):
                    assert answer["type"] in ("error", "pushed", "pong") and answer.get("problem", {}).get("code") != "internal", answer
        await still_serves(clinic, served, listener)


async def test_a_socket_that_says_nothing_readable_for_long_is_closed(clinic: World, served: Served) -> None:
    async with served.socket(hello(clinic)) as talker:
        await talker.hear("welcome")
        for _ in range(30):
            await talker.say("nonsense")
        assert (await talker.closed())[0] == 4400


async def test_first_messages_that_are_no_hello_of_ours_end_that_socket_with_a_reason(clinic: World, served: Served) -> None:
    template = hello(clinic)
    hostile = [json.dumps({**template, name: value}) for name in template for value in VALUES[::3]]
    for start in range(0, len(hostile), 40):
        async def say(text: str) -> None:
            async with served.socket(None) as talker:
                await talker.say(text)
                try:
                    first = await talker.hear()
                except ConnectionClosed:
                    assert talker.connection.close_code == 1009, text[:200]
                    return
                assert first["type"] in ("welcome", "error") and first.get("problem", {}).get("code") != "internal", (text[:200], first)

        await asyncio.gather(*(say(text) for text in hostile[start:start + 40]))


async def test_each_hostile_value_at_each_place_of_each_message(clinic: World, served: Served) -> None:
    values = {"{patient}": named_id("wall"), "{unknown}": named_id("unknown"), "{wall}": named_id("wall"), "{secret_mutation}": "x",
              "{secret_position}": "1.00000000", "{before}": "1.00000000"}
    hostile: list[str] = []
    for message in OTHERS:
        text = json.dumps(message)
        for name, value in values.items():
            text = text.replace(name, value)
        template = json.loads(text)
        for way in places(template):
            for value in VALUES[::4]:
                made = json.loads(text)
                holder = made
                for key in way[:-1]:
                    holder = holder[key]
                holder[way[-1]] = value
                hostile.append(json.dumps(made))
    for start in range(0, len(hostile), 20):
        clinic.runtime.pass_minutes(2)
        async with served.socket(hello(clinic)) as talker:
            await talker.hear("welcome")
            for text in hostile[start:start + 20]:
                await talker.say(text)
            await talker.say({"type": "ping", "id": "end"})
            for answer in await until_end(talker):
                assert answer.get("problem", {}).get("code") != "internal", answer
                assert not [one for one in answer.get("results", ()) if (one.get("error") or {}).get("code") == "internal"]


async def until_end(talker: Talker) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    try:
        while not found or found[-1] != {"type": "pong", "id": "end"}:
            found.append(await talker.hear())
    except ConnectionClosed:
        assert talker.connection.close_code in (4400, 4403, 1009), talker.connection.close_code
    return found


async def test_a_good_mutation_beside_bad_ones_is_applied(clinic: World, served: Served) -> None:
    async with served.socket(hello(clinic)) as talker:
        await talker.hear("welcome")
        mutations = [one for at, value in enumerate(VALUES[::5]) for one in (value, good(0, at))]
        await talker.say({"type": "push", "id": "p", "mutations": mutations})
        results = (await talker.hear("pushed"))["results"]
        assert {one["outcome"] for one in results[1::2]} == {"applied"} and {one["outcome"] for one in results[::2]} == {"refused"}


# -- frames ----------------------------------------------------------------------------------------------------------------


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0, length: int | None = None) -> bytes:
    """A frame of RFC 6455, as wrong as one likes."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    mask = 0x80 if masked else 0
    head += bytes([mask | size]) if size < 126 else bytes([mask | 126]) + struct.pack("!H", size) if size < 1 << 16 else \
        bytes([mask | 127]) + struct.pack("!Q", size)
    key = os.urandom(4)
    return head + (key + bytes(one ^ key[at % 4] for at, one in enumerate(payload)) if masked else payload)


FRAMES = {
    "not masked": frame(1, b"{}", masked=False), "reserved bits": frame(1, b"{}", reserved=7), "an unknown opcode": frame(11, b"x"),
    "a continuation of nothing": frame(0, b"x"), "a long ping": frame(9, b"x" * 126), "a ping in pieces": frame(9, b"x", final=False),
    "no UTF-8": frame(1, b"\xff\xfe"), "half of a surrogate": frame(1, b'"\xed\xa0\x80"'), "binary": frame(2, b"\x00" * 50),
    "longer than may be": frame(1, b"", length=1 << 40), "longer than 63 bits": frame(1, b"", length=(1 << 64) - 1),
    "a text inside a text": frame(1, b"{", final=False) + frame(1, b"}"), "a close with half a code": frame(8, b"\x03"),
    "a close with a code that is none": frame(8, b"\x00\x01"), "a close that is no UTF-8": frame(8, b"\x03\xe8\xff"),
    "after the close": frame(8, b"\x03\xe8") + frame(1, b"{}"), "garbage": b"GET / HTTP/1.1\r\n\r\n" * 20,
    "pieces without end": frame(1, b"x" * 1000, final=False) + frame(0, b"x" * 1000, final=False) * 6_000,
}


@pytest.mark.parametrize("name", FRAMES)
async def test_frames_that_break_the_protocol_end_that_connection_alone(clinic: World, served: Served, name: str) -> None:
    async with served.socket(hello(clinic, device_id="listener")) as listener:
        reader, writer = await asyncio.open_connection(served.host, served.port)
        writer.write(b"GET /v1/live HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                     b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(frame(1, json.dumps(hello(clinic)).encode()) + FRAMES[name])
        async with asyncio.timeout(10):
            while True:
                try:
                    if not await reader.read(65_536) or name == "binary":
                        break
                except ConnectionError:
                    break
        writer.close()
        await still_serves(clinic, served, listener)


@pytest.mark.parametrize("lines", [
    b"sec-websocket-key: x\r\nsec-websocket-version: 13\r\n", b"sec-websocket-version: 13\r\n",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 99\r\n",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-extensions: permessage-deflate; x=\xff\r\n",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: ,,\r\n"])
async def test_handshakes_that_are_none_are_refused(clinic: World, served: Served, lines: bytes) -> None:
    answer = await served.raw(b"GET /v1/live HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" + lines + b"\r\n")
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 101")) and b"Traceback" not in answer
    async with served.socket(hello(clinic)) as talker:
        assert (await talker.hear())["type"] == "welcome"
