"""The replica for code that blocks: one implementation, typed, and nothing left behind. Defends P1 and P5 where there is no event loop."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tools.blocking_faces import FACES, Face, render

from holdfast.client import (
    AutoSaver,
    FileBackend,
    MemoryBackend,
    Replica,
    ReplicaSettings,
    Result,
    Status,
    open_replica,
    open_replica_blocking,
    open_saver_blocking,
)
from holdfast.core.errors import InvalidValue, NotFound, StateError
from tests.cli.calling import APP, Folder, running_server
from tests.cli.notes import Note
from tests.tidy.source import PROJECT

QUICK = ReplicaSettings(hold_ms=5, hold_ms_max=20, connect_seconds_max=2.0, watch_seconds=0.02, lease_seconds=1.0)


def test_every_call_is_there_without_await_and_errors_are_the_same(tmp_path: Path) -> None:
    with open_replica_blocking(tmp_path / "a.replica", records=[Note]) as replica:
        note = replica.create(Note(title="one", body="body"))
        body = replica.text(note, "body")
        body.append("!")
        assert (body.text, len(body), str(body)) == ("body!", 5, "body!")
        assert replica.change(note, title="two").title == "two" and [one.title for one in replica.each(Note)] == ["two"]
        watched = replica.autosave(replica.get(Note, note.id))
        watched.record.title = "three"
        watched.flush()
        assert replica.get(Note, note.id).title == "three" and watched.problem is None
        assert replica.receipt(note) == "local" and replica.status.name == "offline" and not replica.flush(0.01)
        with pytest.raises(NotFound):
            replica.get(Note, "00000000-0000-7000-8000-000000000001")
        with pytest.raises(InvalidValue, match="no field"):
            replica.change(note, nothing=1)
        with pytest.raises(StateError, match="without a server"):
            replica.server.inbox()


def test_no_thread_and_no_file_descriptor_is_left_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data").found()
    token = folder.run("token", "create", "--user", "ada@example.org", "--tenant", "acme").strip()
    with running_server(folder.path, "--app", APP) as server:
        threads, descriptors = set(threading.enumerate()), open_descriptors()
        for _ in range(3):
            with open_replica_blocking(tmp_path / "a.replica", server.address, token=token, records=[Note], settings=QUICK) as replica:
                note = replica.create(Note(title="sent"))
                assert replica.synced() and replica.receipt(note) == "committed" and replica.history(note)
                assert len(set(threading.enumerate()) - threads) >= 1
            assert set(threading.enumerate()) == threads
        with pytest.raises(ZeroDivisionError), open_replica_blocking(tmp_path / "a.replica", records=[Note]):
            _ = 1 / 0
        with pytest.raises(InvalidValue), open_replica_blocking(tmp_path / "b.replica", "no address", records=[Note]):
            pass
        assert set(threading.enumerate()) == threads and open_descriptors() == descriptors


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
async def test_no_task_is_left_behind_by_the_asynchronous_one(url: str | None, tmp_path: Path) -> None:
    async with open_replica(tmp_path / "a.replica", url, token="hf_x", records=[Note], settings=QUICK) as replica:
        replica.autosave(replica.create(Note(title="one")))
        listening = asyncio.create_task(anext(replica.changes(), None))
        await asyncio.sleep(0.05)
    assert await listening is None or listening.done()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_changes_end_with_the_replica(tmp_path: Path) -> None:
    heard: list[object] = []

    async def listen(replica: Replica) -> None:
        heard.extend([keys async for keys in replica.changes()])

    async with open_replica(tmp_path / "a.replica", records=[Note]) as replica:
        listening = asyncio.create_task(listen(replica))
        await asyncio.sleep(0)
        note = replica.create(Note(title="one"))
    await asyncio.wait_for(listening, 5)
    assert heard[0] == {("notes", note.id)}


def test_any_number_of_threads_may_write_and_nothing_is_lost(tmp_path: Path) -> None:
    with open_replica_blocking(tmp_path / "a.replica", records=[Note]) as replica, ThreadPoolExecutor(8) as threads:
        body = replica.text(replica.create(Note(title="typed by many")), "body")
        list(threads.map(lambda number: body.append(chr(0x4E00 + number)), range(200)))
        assert sorted(body.text) == [chr(0x4E00 + number) for number in range(200)]


def test_a_listener_may_look_but_not_wait_for_itself(tmp_path: Path) -> None:
    heard: list[object] = []
    with open_replica_blocking(tmp_path / "a.replica", records=[Note]) as replica:
        def hear(status: Status) -> None:
            heard.append((status.waiting, replica.status.waiting, len(replica.pending()), len(list(replica.each(Note)))))
            try:
                replica.synced()
            except StateError as error:
                heard.append(error.detail)

        replica.on_status(hear)
        replica.create(Note(title="one"))
    assert heard[:2] == [(1, 1, 1, 1), "A listener may not wait for what its own thread has to do."]


def test_after_the_end_a_call_says_that_it_is_closed(tmp_path: Path) -> None:
    with open_replica_blocking(tmp_path / "a.replica", records=[Note]) as replica:
        pass
    with pytest.raises(StateError, match="closed"):
        replica.create(Note(title="too late"))


def test_the_small_door_blocks_too(tmp_path: Path) -> None:
    before, results = set(threading.enumerate()), list[Result]()
    with open_saver_blocking(FileBackend(tmp_path), debounce_seconds=60, on_success=lambda name, result: results.append(result)) as saver:
        assert saver.save("roof", {"title": "Roof"}).success and saver.load("roof").value == {"title": "Roof"}
        saver.schedule_auto_save("wall", [1, 2])
        assert saver.state("wall") == "waiting" and saver.unsaved == {"wall": [1, 2]}
    assert len(results) == 2 and set(threading.enumerate()) == before, "the pool that writes files is gone as well"
    assert asyncio.run(AutoSaver(FileBackend(tmp_path)).list()).value == ["roof", "wall"]
    with open_saver_blocking(MemoryBackend()) as saver:
        assert saver.load("nothing").kind == "not_found"


FORGETFUL = '''
from contextlib import ExitStack
from holdfast import open_store_blocking
from holdfast.client import FileBackend, open_replica_blocking, open_saver_blocking
from tests.cli.notes import Note

stack = ExitStack()
store = stack.enter_context(open_store_blocking("data", records=[Note]))
store.member("acme", "ada@example.org").create(Note(title="at the server"))
saver = stack.enter_context(open_saver_blocking(FileBackend("projects"), debounce_seconds=60))
saver.schedule_auto_save("roof", {"title": "Roof"})
replica = stack.enter_context(open_replica_blocking("a.replica", "http://127.0.0.1:9", token="x", records=[Note]))
watched = replica.autosave(replica.create(Note(title="before")))
watched.record.title = "assigned at the last moment"
print("done")
'''


def test_a_program_that_never_closes_ends_all_the_same_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", FORGETFUL], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          check=False, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert (tmp_path / "projects" / "roof.json").read_text() == '{"title":"Roof"}'
    with open_replica_blocking(tmp_path / "a.replica", records=[Note]) as replica:
        assert [note.title for note in replica.list(Note)] == ["assigned at the last moment"]


# -- types -------------------------------------------------------------------------------------------------------------------

PROGRAM = '''
from holdfast import Record, Text, open_store_blocking, tenant
from holdfast.client import FileBackend, open_replica_blocking, open_saver_blocking


class Note(Record, collection="notes", access=tenant):
    title: str
    body: Text = ""


with open_replica_blocking("a.replica", "https://example.org", token="x", records=[Note]) as replica:
    note = replica.create(Note(title="one"))
    reveal_type(note)                           # Note
    reveal_type(replica.list(Note))             # list[Note]
    reveal_type(replica.find(Note, note.id))    # Note | None
    reveal_type(replica.synced())               # bool
    reveal_type(replica.status.waiting)         # int
    reveal_type(replica.text(note, "body"))     # BlockingBuffer
    reveal_type(replica.autosave(note).record)  # Note
    reveal_type(replica.undo(note))             # Note
    reveal_type(replica.server.diff(note, since=1))     # dict[str, Any]
    for one in replica.each(Note):
        reveal_type(one)                        # Note
    replica.creat(note)                         # error: attr-defined
    replica.get(Note, 5)                        # error: arg-type

with open_store_blocking("data", records=[Note]) as store:
    me = store.member("acme", "ada@example.org")
    reveal_type(me)                             # BlockingMember
    reveal_type(me.create(Note(title="one")))   # Note
    reveal_type(me.get(Note, "id").title)       # str
    reveal_type(store.accounts.create_token("acme", "ada@example.org"))     # str
    for hint in store.subscribe("acme"):
        reveal_type(hint)                       # int
    me.create("one")                            # error: type-var

with open_saver_blocking(FileBackend("projects")) as saver:
    reveal_type(saver.save("roof", {}).success)     # bool
    reveal_type(saver.load("roof").retries)         # int
    saver.save()                                    # error: call-arg

open_replica_blocking("a.replica", record=[Note])   # error: call-arg
'''


def test_a_program_that_blocks_is_typed_under_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", os.devnull, "--cache-dir",
                           str(PROJECT / ".mypy_cache" / "programs"), "program.py"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=300, check=False)
    told: dict[int, str] = {}
    for line, what in re.findall(r"^program\.py:(\d+): (.*)$", done.stdout, re.MULTILINE):
        told[int(line)] = told.get(int(line), "") + what
    expected = {number: line.partition("# ")[2] for number, line in enumerate(PROGRAM.split("\n"), start=1) if "# " in line}
    assert told.keys() == expected.keys(), done.stdout + done.stderr
    for number, wanted in expected.items():
        said = told[number].replace("program.", "").replace("builtins.", "").replace("holdfast.client.blocking_face.", "")
        said = said.replace("holdfast.engine.blocking_face.", "").replace("'", '"')
        assert f"[{wanted.removeprefix('error: ')}]" in said if wanted.startswith("error") else f'type is "{wanted}"' in said, said


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.module))
def test_the_faces_are_those_of_the_asynchronous_classes(face: Face) -> None:
    assert face.path.read_text("utf-8") == render(face), "run `make faces`"
