"""The writer in a process of its own, and the socket others reach it by: P1 (what was acknowledged is there after any kill), P2 (sent
again, it takes effect once), P5 (whoever waits is told)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast import Limits, open_store
from holdfast.core.errors import (
    DeclarationError,
    Forbidden,
    HoldfastError,
    InvalidValue,
    NotFound,
    Overloaded,
    StorageFailed,
    StorageLocked,
    WriterStopped,
)
from holdfast.core.ops import AddOp, CreateOp
from holdfast.engine.frames import FRAME_BYTES_MAX, FrameBuffer, frame
from holdfast.engine.link import reachable_address
from holdfast.engine.listener import SOCKET_NAME
from holdfast.engine.session import MemberSession
from holdfast.engine.store import Store
from holdfast.engine.verify import verify_tenant
from tests.engine.world import Device, Note, Secret, Task

NOTE = "00000000-0000-7000-8000-000000000001"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "data", records=[Note, Task, Secret], mode="process") as store:
        yield store


@pytest.fixture
async def ann(served: Store) -> MemberSession:
    return await served.member("acme", "ann@example.org")


def pid_of(store: Store) -> int:
    assert store.writer_process is not None and store.writer_process.pid is not None
    return store.writer_process.pid


async def test_it_saves_in_another_process_and_reads_in_this_one(served: Store, ann: MemberSession) -> None:
    note = await ann.create(Note(title="a", body="Milk"))
    assert (await ann.get(Note, note.id)).body == "Milk"
    assert pid_of(served) != os.getpid()


async def test_errors_come_over_as_what_they_are(served: Store, ann: MemberSession) -> None:
    note = await ann.create(Note(title="a"))
    with pytest.raises(InvalidValue) as error:
        await served.change(ann.caller, "notes", note.id, fields={"status": "nonsense"})
    assert error.value.field == "/status"
    with pytest.raises(NotFound):
        await served.delete(ann.caller, "notes", NOTE)


async def test_hints_come_over(served: Store, ann: MemberSession) -> None:
    subscription = served.subscribe("acme")
    note = await ann.create(Note(title="a"))
    assert await asyncio.wait_for(anext(subscription), 5) == note.rev
    await subscription.close()


async def test_many_at_once_are_each_answered(served: Store, ann: MemberSession) -> None:
    devices = [Device(served, ann, f"d{number}") for number in range(64)]
    results = await asyncio.gather(*(device.create("notes", NOTE[:-2] + f"{number:02d}", {"title": "a"}) for number,
                                     device in enumerate(devices)))
    assert {result.outcome for result in results} == {"applied"}


async def test_the_socket_is_the_owners_alone(served: Store, ann: MemberSession, tmp_path: Path) -> None:
    mode = (tmp_path / "data" / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


async def test_a_killed_writer_is_started_again_and_loses_nothing(served: Store, ann: MemberSession) -> None:
    laptop = Device(served, ann, "laptop")
    await laptop.create("notes", NOTE, {"title": "a"})
    acknowledged, told = 0, 0
    for round_number in range(6):
        waiting = [laptop.mutation("notes", NOTE, AddOp("/views", 1)) for _ in range(10)]
        task = asyncio.ensure_future(laptop.push(*waiting))
        await asyncio.sleep(0.002 * round_number)
        os.kill(pid_of(served), signal.SIGKILL)
        try:
            acknowledged += len((await asyncio.wait_for(task, 20)).results)
        except WriterStopped:
            told += 1
            acknowledged += len((await asyncio.wait_for(laptop.push(*waiting), 20)).results)
    assert acknowledged == 60 and (await ann.get(Note, NOTE)).views == 60
    assert served.writer_process is not None and served.writer_process.starts >= 2
    report = await verify_tenant(served, "acme")
    assert report.ok, report.findings


async def test_the_writer_ends_with_the_store(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Note], mode="process") as store:
        pid = pid_of(store)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    async with open_store(tmp_path / "data", records=[Note]):
        pass


async def test_the_writer_ends_when_its_server_is_killed(tmp_path: Path) -> None:
    program = ("import asyncio, sys\nfrom holdfast import open_store\nfrom tests.engine.world import Note\n"
               "async def main():\n    async with open_store(sys.argv[1], records=[Note], mode='process') as store:\n"
               "        await store.member('acme', 'ann@example.org')\n        print('up', flush=True)\n        await asyncio.sleep(600)\n"
               "asyncio.run(main())\n")
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path / "data"), stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert await server.stdout.readline() == b"up\n"
    server.kill()
    await server.wait()
    async with open_store(tmp_path / "data", records=[Note], mode="process") as store:
        assert (await store.member("acme", "ann@example.org")).actor_id


async def test_what_keeps_it_from_opening_is_told(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Note]):
        with pytest.raises(StorageLocked):
            async with open_store(tmp_path / "data", records=[Note]):
                pass
        with pytest.raises(StorageLocked):
            async with open_store(tmp_path / "data", records=[Note], mode="process"):
                pass


async def test_a_record_class_that_cannot_be_imported_is_a_mistake_told_at_start(tmp_path: Path) -> None:
    class Local(Note, collection="locals"):
        pass

    with pytest.raises(DeclarationError):
        async with open_store(tmp_path / "data", records=[Local], mode="process"):
            pass


async def test_without_a_folder_there_is_no_process() -> None:
    with pytest.raises(InvalidValue):
        async with open_store(None, mode="process"):
            pass


# -- others at the socket --------------------------------------------------------------------------------------------------


async def test_the_command_line_works_through_the_server_that_holds_the_folder(served: Store, ann: MemberSession, tmp_path: Path) -> None:
    subscription = served.subscribe("acme")
    async with open_store(tmp_path / "data", records=[Note, Task, Secret], mode="auto") as other:
        ben = await other.member("acme", "ben@example.org", roles={"helper"})
        note = await ben.create(Note(title="from elsewhere"))
        assert await other.accounts.create_token("acme", "ben@example.org")
    assert (await ann.get(Note, note.id)).title == "from elsewhere"
    assert await asyncio.wait_for(anext(subscription), 5) >= 1
    await subscription.close()


async def test_it_works_on_the_folder_itself_when_nobody_holds_it(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Note], mode="auto") as store:
        assert store.writer_process is None
        await (await store.member("acme", "ann@example.org")).create(Note(title="a"))


async def test_a_store_that_writes_itself_can_listen_too(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Note], listen=True) as store:
        subscription = store.subscribe("acme")
        async with open_store(tmp_path / "data", records=[Note], mode="attached") as other:
            await (await other.member("acme", "ann@example.org")).create(Note(title="a"))
        assert await asyncio.wait_for(anext(subscription), 5) >= 1
        await subscription.close()
    assert not (tmp_path / "data" / SOCKET_NAME).exists()


async def test_with_other_declarations_records_are_not_written(served: Store, ann: MemberSession, tmp_path: Path) -> None:
    """Accounts and members are built in everywhere, so whoever names no application may still ask for those."""
    async with open_store(tmp_path / "data", mode="attached") as other:
        ben = await other.member("acme", "ben@example.org", roles=set())
        assert ben.actor_id
    with pytest.raises(HoldfastError):
        async with open_store(tmp_path / "data", records=[Note], mode="attached") as other:
            await (await other.member("acme", "ann@example.org")).create(Note(title="x"))


async def test_nobody_answers_where_nobody_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.engine.link.CONNECT_SECONDS_MAX", 0.1)
    async with open_store(tmp_path / "data", records=[Note]):
        pass
    with pytest.raises(WriterStopped):
        async with open_store(tmp_path / "data", records=[Note], mode="attached"):
            pass


async def test_a_folder_with_a_long_path_is_reached_too(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    async with open_store(deep, records=[Note], listen=True), open_store(deep, records=[Note], mode="attached") as other:
        await (await other.member("acme", "ann@example.org")).create(Note(title="a"))


def test_without_proc_a_long_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    with pytest.raises(StorageFailed):
        reachable_address(str(tmp_path.joinpath("x" * 100)), SOCKET_NAME)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, frame(7, b"no work at all"), b"\xff" * 64, frame(1, b"\x91\xff")])
async def test_noise_on_the_socket_closes_that_line_and_harms_nobody(served: Store, ann: MemberSession, tmp_path: Path,
                                                                     noise: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(reachable_address(str(tmp_path / "data"), SOCKET_NAME)[0])
        line.sendall(noise)
        line.settimeout(5)
        await asyncio.to_thread(read_to_the_end, line, noise)
    assert (await ann.create(Note(title="a"))).rev


def read_to_the_end(line: socket.socket, noise: bytes) -> None:
    line.shutdown(socket.SHUT_WR)
    while line.recv(4096):
        pass


def test_frames_come_out_whole_however_they_arrive() -> None:
    data = b"".join(frame(number, bytes([number]) * number * 50) for number in range(1, 30))
    for size in (1, 3, 8, 100, 10_000):
        buffer = FrameBuffer()
        found = [one for at in range(0, len(data), size) for one in buffer.feed(data[at:at + size])]
        assert found == [(number, bytes([number]) * number * 50) for number in range(1, 30)]


def test_a_frame_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(StorageFailed):
        FrameBuffer().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big") + b"\0" * 4)


async def test_the_link_bounds_what_waits(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data", records=[Note], mode="process", limits=Limits(queue_mutations_max=20)) as store:
        ann = await store.member("acme", "ann@example.org")
        laptop = Device(store, ann, "laptop")
        pushes = [laptop.push(*(laptop.mutation("notes", NOTE, CreateOp({"title": "a"})) for _ in range(15))) for _ in range(3)]
        found = await asyncio.gather(*pushes, return_exceptions=True)
        assert sorted(type(one).__name__ for one in found) == ["Overloaded", "Overloaded", "PushReply"]
        assert [one.retry_after for one in found if isinstance(one, Overloaded)] == [1, 1]


async def test_somebody_without_membership_is_forbidden_there_too(served: Store, ann: MemberSession) -> None:
    ben = await served.member("acme", "ben@example.org", roles=set())
    await served.accounts.remove_member("acme", ben.actor_id)
    with pytest.raises(Forbidden):
        await Device(served, ben, "phone").create("notes", NOTE, {"title": "a"})


async def test_a_withdrawn_token_is_unknown_to_the_other_process_at_once(served: Store, ann: MemberSession, tmp_path: Path) -> None:
    token = await served.accounts.create_token("acme", "ann@example.org")
    found = await served.accounts.check(token)
    assert found is not None
    async with open_store(tmp_path / "data", records=[Note, Task, Secret], mode="attached") as other:
        await other.accounts.sign_out(found.secret_hash)
    for _ in range(500):
        if await served.accounts.check(token) is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the token is still believed")
