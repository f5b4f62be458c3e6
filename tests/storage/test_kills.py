"""A process that writes is killed with SIGKILL again and again: what it said was committed is there, and nothing is half there
(P1 Kept, P2 Once)."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw

from holdfast.core import digest
from holdfast.runtime import RealRuntime
from holdfast.storage import open_storage
from holdfast.storage.drive import run_sync
from holdfast.testing.storage.samples import SCHEMA, TENANT, an_id

KILLS = 12

WRITER = """
    import sys
    from pathlib import Path
    from holdfast.runtime import RealRuntime
    from holdfast.storage import sqlite
    from holdfast.storage.drive import run_sync
    from holdfast.testing.storage.samples import SCHEMA, TENANT, Log, task

    sqlite.CHECKPOINT_PAGES_MAX = 40

    async def go():
        storage = sqlite.SqliteStorage(Path(sys.argv[1]), SCHEMA, RealRuntime(), writer=True)
        await storage.open()
        log = Log()
        async with storage.reader() as reader:
            log.head = await reader.head(TENANT)
        print("ready", log.head.seq, flush=True)
        while True:
            for _ in range(5):
                log.add("r", mutation_id=f"m{log.head.seq + 1}", extra={"filler": "x" * (log.head.seq * 37 % 3000)})
            await log.save(storage, rows=[task("r", rank=log.head.seq)])
            print("saved", log.head.seq, flush=True)

    run_sync(go())
"""


def test_what_a_killed_process_had_committed_is_there(tmp_path: Path) -> None:
    rng, folder, acknowledged = random.Random(7), tmp_path / "data", 0
    for _ in range(KILLS):
        last = _run_and_kill(folder, lines=rng.randrange(1, 60))
        assert last >= acknowledged, "the process began behind what was acknowledged"
        acknowledged = max(acknowledged, last)
    run_sync(_proof(folder, acknowledged))


def _run_and_kill(folder: Path, lines: int) -> int:
    """The last seq that the process said was committed."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = -1
        for _ in range(lines):
            word, seq = process.stdout.readline().split()
            assert word in ("ready", "saved")
            last = int(seq)
        process.kill()      # it writes on while we read, so this falls anywhere: mostly within a commit
        for line in process.stdout:
            if line.endswith("\n"):
                last = int(line.split()[1])
    return last


async def _proof(folder: Path, acknowledged: int) -> None:
    storage = await open_storage(folder, SCHEMA, RealRuntime(), writer=True)
    async with storage.reader() as reader:
        head = await reader.head(TENANT)
        entries = await reader.entries(TENANT, after=0, limit=1_000_000)
        seals = await reader.seals(TENANT, [entry.seq for entry in entries])
        row = (await reader.rows(TENANT, [("tasks", an_id("r"))])).popitem()[1]
    assert head.seq >= acknowledged > 0 and head.seq % 5 == 0
    assert row.fields["rank"] == head.seq
    assert [entry.mutation_id for entry in entries] == [f"m{seq}" for seq in range(1, head.seq + 1)]
    previous = digest.FIRST
    for entry in entries:
        previous = digest.chain(previous, entry, digest.payload_digest(seals[entry.seq].salt, digest.payload(entry)))
        assert previous == entry.digest
    assert previous == head.digest
    await storage.close()
    connection = apsw.Connection(str(folder / "holdfast.db"))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()


READER = """
    import sys
    from holdfast.runtime import RealRuntime
    from holdfast.storage import open_storage
    from holdfast.storage.drive import run_sync
    from holdfast.testing.storage.samples import SCHEMA, TENANT

    async def go():
        storage = await open_storage(sys.argv[1], SCHEMA, RealRuntime(), writer=False)
        for line in sys.stdin:
            async with storage.reader() as reader:
                head = await reader.head(TENANT)
                entries = await reader.entries(TENANT, after=0, limit=1000)
            assert len(entries) == head.seq
            print(head.seq, flush=True)
        await storage.close()

    run_sync(go())
"""


def test_readers_in_another_process_follow_and_survive_the_writers_death(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = _run_and_kill(folder, lines=3)
    command = [sys.executable, "-c", textwrap.dedent(READER), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None and reader.stdout is not None

        def seen() -> int:
            assert reader.stdin is not None and reader.stdout is not None
            print(file=reader.stdin, flush=True)
            return int(reader.stdout.readline())

        assert seen() >= first        # no writer lives; the reader recovers the log of the killed one
        second = _run_and_kill(folder, lines=10)
        assert seen() >= second > first
        reader.stdin.close()
        assert reader.wait(10) == 0
