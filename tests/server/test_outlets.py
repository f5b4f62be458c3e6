"""How messages leave, under our server and under any other. Defends P1 (a slow reader costs bounded memory and loses nothing)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from holdfast.core.messages import Change, PullReply
from holdfast.core.ops import SetOp
from holdfast.runtime import RealRuntime
from holdfast.server.app import asgi_app
from holdfast.server.live.messages import CHANGES_BYTES_MAX, Frame, changes_frames
from holdfast.server.live.outlet import QueuedOutlet
from tests.server.fakes import FakePeople, FakeStore, position_of
from tests.server.test_live import push


class OtherServer:
    """The ASGI side of a WebSocket of some other server. `reading` says whether its client reads."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self.to_app.put_nowait({"type": "websocket.connect"})

    def say(self, message: Any) -> None:
        self.to_app.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    async def receive(self) -> dict[str, Any]:
        return await self.to_app.get()

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.to_app.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(one["text"]) for one in self.sent if one["type"] == "websocket.send"]

    @property
    def scope(self) -> dict[str, Any]:
        return {"type": "websocket", "path": "/v1/live", "raw_path": b"/v1/live", "query_string": b"", "headers": [(b"host", b"x")],
                "scheme": "ws", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "subprotocols": []}


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 (the other side has no event for it)
            await asyncio.sleep(0.005)


async def test_a_socket_works_under_another_server() -> None:
    store, server = FakeStore(), OtherServer()
    app = asgi_app(store, FakePeople())
    task = asyncio.ensure_future(app(server.scope, server.receive, server.send))
    server.say({"type": "hello", "device_id": "d", "token": "hf_a_t1"})
    await push(store, "one")
    await until(lambda: any(one["type"] == "changes" for one in server.texts()))
    server.say({"type": "ping", "id": "x"})
    await until(lambda: any(one["type"] == "pong" for one in server.texts()))
    server.to_app.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await asyncio.wait_for(task, 2)
    await app.close()


async def test_a_reader_that_falls_behind_there_is_closed_too() -> None:
    store, server = FakeStore(), OtherServer()
    app = asgi_app(store, FakePeople())
    task = asyncio.ensure_future(app(server.scope, server.receive, server.send))
    server.say({"type": "hello", "device_id": "d", "token": "hf_a_t1"})
    await until(lambda: any(one["type"] == "welcome" for one in server.texts()))
    await asyncio.sleep(0.02)
    server.reading.clear()
    for number in range(30):
        await push(store, f"{number} " + "x" * 100_000)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    server.reading.set()
    await asyncio.wait_for(task, 5)
    assert server.sent[-1]["type"] == "websocket.close" and server.sent[-1]["code"] == 4508
    assert sum(len(one.get("text", "")) for one in server.sent) < 2 << 20
    await app.close()


async def test_a_queue_takes_a_frame_of_any_size_while_little_waits_and_no_more_over_its_bound() -> None:
    server = OtherServer()
    server.reading.clear()
    outlet = QueuedOutlet(server.send, RealRuntime(), 1_000)
    assert outlet.write(Frame(b"x" * 5_000))
    assert not outlet.write(Frame(b"y"))
    server.reading.set()
    await outlet.drained()
    assert outlet.write(Frame(b"z"))
    await outlet.drained()
    await outlet.stop()
    assert not outlet.write(Frame(b"late")) and [len(one["text"]) for one in server.sent] == [5_000, 1]


def change(seq: int, size: int = 10) -> Change:
    return Change(position=position_of(seq), seq=seq, collection="notes", record_id=f"r{seq}", rev=seq, ops=[SetOp("/title", "x" * size)],
                  actor_id="a", device_id="d", mutation_id=f"m{seq}", committed_at="2026-11-20T14:00:00.000Z")


def reply(*changes: Change, **more: Any) -> PullReply:
    return PullReply(changes=list(changes), cursor="99.00000063", head=99, backed_up_seq=0, more=False, **more)


def test_a_small_page_is_one_message() -> None:
    frames = changes_frames(reply(change(1), change(2)), None)
    assert len(frames) == 1 and json.loads(frames[0].payload)["type"] == "changes"


def test_a_large_page_is_parts_each_of_which_one_can_resume_from() -> None:
    changes = [change(seq, 100_000) for seq in range(1, 9)]
    records = [{"id": f"r{number}", "fields": {"title": "y" * 200_000}} for number in range(3)]
    parts = [json.loads(frame.payload) for frame in changes_frames(reply(*changes, records=records, forget=[{"id": "gone"}]), "0.00000000")]
    assert all(len(json.dumps(part)) < CHANGES_BYTES_MAX * 1.5 for part in parts)
    assert [one["seq"] for part in parts for one in part["changes"]] == list(range(1, 9))
    for part in parts[:-1]:
        assert part["cursor"] == (part["changes"][-1]["position"] if part["changes"] else "0.00000000") and part["more"]
    assert parts[-1]["cursor"] == "99.00000063" and not parts[-1]["more"]
    first_change = next(number for number, part in enumerate(parts) if part["changes"])
    told = [one["id"] for part in parts[:first_change] for one in [*part.get("records", []), *part.get("forget", [])]]
    assert told == ["r0", "r1", "r2", "gone"], "what a later cursor would not tell again comes before the cursor moves"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_prepared_frame_is_what_the_library_would_send(size: int) -> None:
    frame = Frame(b"x" * size)
    head = 2 if size < 126 else 4 if size < 65_536 else 10
    assert frame.wire[head:] == b"x" * size and frame.wire[0] == 0x81 and len(frame) == size
    assert frame.wire is frame.wire
