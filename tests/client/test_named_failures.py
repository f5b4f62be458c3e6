"""What broke the peers, each once by name. Defends P1 (kept), P2 (once), P3 (never dropped) and P5 (what is shown is so)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.client import Replica, State
from holdfast.client.taking import take_page
from holdfast.client.transport import ChannelClosed, Unreachable
from holdfast.core.errors import Overloaded
from holdfast.core.messages import Problem, PushReply, Result
from holdfast.testing.asgi import Leg
from tests.client.virtual import VirtualRuntime, run_virtually
from tests.client.world import QUICK, Note, World, world


class Link:
    """A link that fails where it is told to."""

    def __init__(self) -> None:
        self.failing: dict[Leg, int] = {}       # leg -> how many more times
        self.seen: list[tuple[Leg, str]] = []

    async def __call__(self, leg: Leg, what: str) -> None:
        self.seen.append((leg, what))
        if self.failing.get(leg, 0) > 0:
            self.failing[leg] -= 1
            raise ChannelClosed() if leg in ("send", "receive") else Unreachable("it was told to fail")

    def pushes(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(what) for leg, what in self.seen if leg == "send" and '"type":"push"' in what]


def told(folder: Path, story: Callable[[World], Awaitable[None]], seed: int = 1) -> None:
    async def main() -> None:
        async with world(folder, runtime=VirtualRuntime(seed)) as here:
            await story(here)

    run_virtually(main())


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(0.001)


def note_of(replica: Replica, note_id: str) -> Note:
    return replica.get(Note, note_id)


def test_an_upload_that_fails_once_is_sent_again_without_anybodys_help(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica:
            assert await replica.synced()
            link.failing["send"] = 1
            note = replica.create(Note(title="sent twice"))
            await until(lambda: replica.receipt(note) == "committed")
            assert link.failing["send"] == 0, "the first upload did fail"
            assert replica.status.name == "saved"

    told(tmp_path, story)


def test_a_queue_that_does_not_move_says_why_and_moves_again(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica:
            assert await replica.synced()
            link.failing = {"connect": 10_000, "request": 10_000, "send": 1}
            note = replica.create(Note(title="waits"))
            await until(lambda: replica.status.name == "error")
            status = replica.status
            assert status.phrase.startswith("Not saved – retrying") and status.waiting == 1 and "told to fail" in status.cause
            assert replica.receipt(note) == "local"
            link.failing.clear()
            replica.retry_now()
            await until(lambda: replica.receipt(note) == "committed")
            assert replica.status.name == "saved"

    told(tmp_path, story)


def test_a_server_that_keeps_saying_out_of_order_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """The server lacks what it once acknowledged (here: the device believes in a mutation that never was)."""

    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one"))
            assert await replica.synced()
            device = replica._device
            with device.file.writing("spoiling the line"):
                device.store._run("UPDATE lines SET mutation_id = 'never-was'")
            before = replica.device_id
            replica.change(note, title="two")
            assert await replica.synced(60)
            assert replica.device_id != before, "the line was begun anew"
            assert replica.get(Note, note.id).title == "two" and not replica.refused()

    told(tmp_path, story)


def test_a_stuck_record_does_not_hold_up_another(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            stuck, free = replica.create(Note(title="stuck")), replica.create(Note(title="free"))
            assert await replica.synced()
            sync = replica._sync
            assert sync is not None
            sync.sending.lanes.waits_until[("notes", stuck.id)] = here.runtime.monotonic() + 3_600
            replica.change(stuck, title="stuck still")
            replica.change(free, title="free indeed")
            await until(lambda: replica.receipt(free) == "committed")
            assert replica.receipt(stuck) == "local"

    told(tmp_path, story)


def test_a_lost_reply_and_a_restart_apply_nothing_twice(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica:
            note = replica.create(Note(title="counted", views=0))
            assert await replica.synced()
            replica.change(note, views=5)
            link.failing = {"receive": 10_000, "connect": 10_000, "request": 10_000}    # the push goes out, its answer never comes
            await until(lambda: any(leg == "receive" and '"pushed"' in what for leg, what in link.seen) or link.failing["receive"] < 10_000)
        async with here.replica("a") as replica:
            assert await replica.synced()
            assert replica.get(Note, note.id).views == 5
            entries = await replica.history(note)
            assert sum(1 for entry in entries for op in entry["ops"] if op["op"] == "add") == 1, "once, in the log too"

    told(tmp_path, story)


def test_what_is_typed_while_an_answer_is_on_its_way_is_not_overwritten_by_it(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        link = Link()
        async with here.replica("a", fault=link) as replica:
            note = replica.create(Note(title="first", body="first"))
            assert await replica.synced()
            body = replica.text(note, "body")
            replica.change(note, title="second")
            body.append(" second")
            await until(lambda: bool(link.pushes()) and len(link.pushes()[-1]["mutations"]) > 0)
            for _ in range(50):                     # newer typing, before and while the answer comes
                body.append("!")
                replica.change(replica.get(Note, note.id), title=f"third {len(body)}")
                await asyncio.sleep(0.001)
                assert body.text == "first second" + "!" * (len(body) - 12)
                assert replica.get(Note, note.id).title == f"third {len(body)}"
            assert await replica.synced()
            assert body.text == "first second" + "!" * 50

    told(tmp_path, story)


def test_a_stale_pull_that_arrives_late_changes_nothing(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica, here.replica("b", email="bob@example.org") as other:
            note = replica.create(Note(title="old"))
            assert await replica.synced() and await other.synced()
            sync = replica._sync
            assert sync is not None
            start = replica._device.meta["cursor"]
            late = await sync._pull(None)           # everything from the start, as it was asked for long ago
            other.change(other.get(Note, note.id), title="new")
            assert await other.synced() and await replica.synced()
            from_then = replica._device.meta["cursor"]
            assert not take_page(replica._device, late, start=start)
            assert replica.get(Note, note.id).title == "new" and replica._device.meta["cursor"] == from_then

    told(tmp_path, story)


def test_an_acknowledged_delete_stays_through_a_crash(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="to go"))
            assert await replica.synced()
            replica.delete(note)
            await until(lambda: replica.receipt(note) == "committed")
            sync = replica._sync
            assert sync is not None
            await sync.stop()                       # a crash right after the acknowledgement: no goodbye, no pull
            replica._sync = None
        async with here.replica("a") as replica:
            assert replica.find(Note, note.id) is None
            assert await replica.synced()
            assert replica.find(Note, note.id) is None and replica.get(Note, note.id, include_deleted=True).deleted

    told(tmp_path, story)


def test_a_cursor_never_steps_over_an_entry(tmp_path: Path) -> None:
    """Entries that commit while a device pulls page by page, each on a page of its own."""

    async def story(here: World) -> None:
        async with here.replica("writer", email="bob@example.org") as writer, here.replica("a") as replica:
            note = writer.create(Note(title="0"))
            assert await writer.synced() and await replica.synced()
            seen: list[str] = []
            replica.on_change(lambda keys: seen.append(replica.get(Note, note.id).title))
            for number in range(1, 60):
                writer.change(writer.get(Note, note.id), views=number, title=str(number))
                if number % 7 == 0:
                    await asyncio.sleep(0.03)
            assert await writer.synced() and await replica.synced()
            assert replica.get(Note, note.id).views == 59, "an increment that was stepped over would be missing"
            assert [int(one) for one in seen] == sorted(int(one) for one in seen), "nothing went back"

    told(tmp_path, story)


def test_a_busy_server_is_given_the_time_it_asks_for(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            assert await replica.synced()
            push, refused = here.store.push, []

            async def busy(*args: Any, **more: Any) -> PushReply:
                if len(refused) < 2:
                    refused.append(here.runtime.monotonic())
                    raise Overloaded("The queue is full.", retry_after=3)
                return await push(*args, **more)

            here.store.push = busy  # type: ignore[method-assign]
            note = replica.create(Note(title="patient"))
            await until(lambda: replica.receipt(note) == "committed", 60)
            assert refused[1] - refused[0] >= 3 and here.runtime.monotonic() - refused[1] >= 3

    told(tmp_path, story)


def test_a_final_refusal_leaves_the_line_and_what_stands_behind_it_goes_on(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        async with here.replica("a") as replica:
            note = replica.create(Note(title="one", body="·"))
            assert await replica.synced()
            replica.go_offline()
            body = replica.text(note, "body")
            body.insert(0, "bad ")
            await asyncio.sleep(2.1)                # a row of its own
            body.insert(4, "good ")
            bad = replica.pending()[0]["mutation_id"]
            push = here.store.push

            async def refusing(caller: Any, device_id: str, mutations: Any, **more: Any) -> PushReply:
                kept = [one for one in mutations if bad.encode() not in one or one.index(bad.encode()) > 60]
                reply = await push(caller, device_id, kept, **more)
                results = {one.mutation_id: one for one in reply.results}
                problem = Problem(code="malformed", detail="It was told to be refused.")
                results[bad] = Result(mutation_id=bad, outcome="refused", receipt="refused", error=problem)
                ids = [msgspec.json.decode(one)["mutation_id"] for one in mutations]
                return PushReply(results=[results[one] for one in ids], head=reply.head)

            here.store.push = refusing  # type: ignore[method-assign]
            replica.go_online()
            await until(lambda: bool(replica.refused()))
            assert await replica.synced()
            assert replica.status.name == "refused" and replica.receipt(note) == "refused"
            assert replica.refused()[0]["error"]["detail"] == "It was told to be refused."
            assert body.text == replica.get(Note, note.id).body == "good ·"
            replica.send_again(bad)
            here.store.push = push  # type: ignore[method-assign]
            assert await replica.synced() and not replica.refused()
            assert replica.get(Note, note.id).body == "bad good ·"

    told(tmp_path, story)


def test_an_expired_token_stops_sending_and_not_editing(tmp_path: Path) -> None:
    async def story(here: World) -> None:
        token = await here.token()
        tokens = [""]
        async with here.replica("a") as replica:
            assert await replica.synced()
            replica.sign_in(lambda: tokens[0] or None)
            replica.go_offline()
            await until(lambda: replica.status.connection is State.OFFLINE)
            replica.go_online()
            await until(lambda: replica.status.connection is State.SIGNED_OUT)
            note = replica.create(Note(title="typed signed out"))
            assert replica.receipt(note) == "local" and replica.status.name == "offline"
            assert replica.status.phrase == "Offline – saved on this device (1 change waiting)"
            tokens[0] = token
            await until(lambda: replica.receipt(note) == "committed", 200)

    told(tmp_path, story)


def test_quick_settings_keep_the_order_of_the_real_ones() -> None:
    assert QUICK.hold_ms < QUICK.hold_ms_max and QUICK.backoff_seconds < QUICK.backoff_seconds_max
