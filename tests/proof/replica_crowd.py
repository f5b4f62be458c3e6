"""Typists in processes of their own, their server, and what is done to them: killed, paused, asked how they stand."""

from __future__ import annotations

import asyncio
import copy
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import msgspec

from holdfast import open_store
from holdfast.engine.verify import verify_tenant
from tests.proof.clinic import app
from tests.proof.hosts import MASTER_KEY, ROOT, ServedHost, environment, freeze, is_running
from tests.proof.replica_typist import Order
from tests.proof.replica_witness import Seat, raise_unless_once
from tests.proof.witness import MOMENTS, Mark
from tests.proof.world import named_id

__all__ = ["Crowd", "Place", "Typist", "crowd", "judge_server", "leader_of"]

WAIT_SECONDS_MAX = 30.0
STEPS_MAX = 30


@dataclass
class Typist:
    """A process at work. `facts` are the newest of each kind that it told; `before` is what was known of its seat when it was started."""

    seat: Seat
    before: Seat
    facts: dict[str, Any] = field(default_factory=dict)
    process: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    writer: asyncio.StreamWriter | None = None
    mark: Mark | None = None
    kept: int = 0

    def hear(self, facts: dict[str, Any]) -> None:
        self.seat.heard(facts)
        self.kept += "kept" in facts
        self.facts |= facts
        self.moved.set()
        self.moved = asyncio.Event()

    def say(self, **command: Any) -> None:
        assert self.writer is not None
        self.writer.write(msgspec.json.encode(command) + b"\n")

    async def until(self, what: Any, why: str) -> None:
        """Wait for something it tells. Fails when it takes too long, or when the process ends before."""
        give_up = time.monotonic() + WAIT_SECONDS_MAX
        while not what():
            assert not self.ended.is_set(), f"{self.seat.name} has ended: {why}; {self.facts}"
            assert time.monotonic() < give_up, f"{self.seat.name}: {why}; {self.facts}"
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.moved.wait()

    async def works(self, count: int = 1) -> None:
        """So many edits more are kept."""
        aim = self.kept + count
        await self.until(lambda: self.kept >= aim, "no edit is kept any more")

    async def ask(self, do: str, answer: str, **more: Any) -> dict[str, Any]:
        self.facts.pop(answer, None)
        self.say(do=do, **more)
        await self.until(lambda: answer in self.facts, f"it does not answer {do}")
        return self.facts

    async def rest(self) -> None:
        await self.ask("rest", "resting")

    async def kill(self) -> bool:
        """SIGKILL, and wait until everything it said is heard. True if it fell inside a COMMIT (known only with a witness)."""
        freeze(self.process)
        inside = self.mark is not None and bool(self.mark.in_commit)
        os.kill(self.process, signal.SIGKILL)
        await self.ended.wait()
        while is_running(self.process):     # noqa: ASYNC110 - the nursery takes it away, and tells nobody
            await asyncio.sleep(0.001)
        return inside

    async def close(self) -> None:
        self.say(do="close")
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await self.ended.wait()

    async def caught_inside(self, chance: random.Random) -> None:
        """Wait until it stands still in the middle of a COMMIT."""
        assert self.mark is not None
        self.mark.moment = chance.randrange(len(MOMENTS))
        self.mark.stop_at = self.mark.steps + chance.randrange(1, STEPS_MAX)
        give_up = time.monotonic() + WAIT_SECONDS_MAX
        while not self.mark.stopped:
            assert time.monotonic() < give_up, "no COMMIT came to the step at which it should have been stopped"
            await asyncio.sleep(0.002)


@dataclass
class Place:
    """Where a seat's replica file is; `within` reaches it (a mount namespace)."""

    file: Path
    within: Sequence[str] = ()
    nobody: bool = False


class Crowd:
    """`wall` is the record all write on."""

    def __init__(self, folder: Path, host: ServedHost, seed: int) -> None:
        self.folder = folder
        self.host = host
        self.chance = random.Random(seed)
        self.wall = named_id("wall 0")
        self.seats: list[Seat] = []
        self.typists: list[Typist] = []
        self.walls = [self.wall]
        self._nurseries: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}
        self._expected: dict[str, asyncio.Future[Typist]] = {}
        self._marks = 0
        self._server: asyncio.Server | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "crowd.sock")

    # -- the server -------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start the server, always at the same port, and put up the first wall."""
        self._server = await asyncio.start_unix_server(self._welcome, self.socket, limit=1 << 24)
        await self.host.start()
        self.host.port = self.host.url.rpartition(":")[2]
        await self.put_up(self.wall)

    async def put_up(self, wall: str) -> None:
        made = await self.host.push("bob", "first", [{"mutation_id": f"first-{wall}", "collection": "notices", "record_id": wall,
                                                      "ops": [{"op": "create", "value": {"title": "wall"}}]}])
        assert made[0]["outcome"] == "applied", made

    async def wall_now(self) -> tuple[str, int]:
        """What the server shows of it."""
        assert self.host.client is not None
        answer = await self.host.client.get(f"/v1/records/notices/{self.wall}", headers=self.host.headers("bob"))
        assert answer.status_code == 200, answer.text
        fields = answer.json()["fields"]
        return fields["body"], fields["views"]

    # -- processes --------------------------------------------------------------------------------------------------------

    def seat(self, name: str) -> Seat:
        self.seats.append(Seat(name))
        return self.seats[-1]

    async def start(self, seat: Seat, place: Place, *, witnessed: bool = False) -> Typist:
        """A process at the seat that types. It has opened the file when this returns, or told why it cannot (`facts["failed"]`)."""
        typist = Typist(seat, copy.deepcopy(seat))
        mark = ""
        if witnessed:
            self._marks += 1
            path = self.folder / f"typist-{self._marks}.witness"
            typist.mark, mark = Mark(path), str(path)
        order = Order(name=seat.name, socket=self.socket, file=str(place.file), url=f"http://127.0.0.1:{self.host.port}",
                      token=self.host.headers("ada")["authorization"].removeprefix("Bearer "), wall=self.wall, number=seat.number,
                      notes=seat.living(), seed=self.chance.randrange(1 << 32), mark=mark, nobody=place.nobody)
        coming = self._expected[seat.name] = asyncio.get_running_loop().create_future()
        coming.set_result(typist)
        nursery = await self._nursery(tuple(place.within))
        assert nursery.stdin is not None
        nursery.stdin.write(msgspec.json.encode(order) + b"\n")
        nursery.stdin.flush()
        self.typists.append(typist)
        give_up = time.monotonic() + WAIT_SECONDS_MAX
        while "opened" not in typist.facts and "failed" not in typist.facts:
            assert time.monotonic() < give_up and not (typist.process and typist.ended.is_set()), f"it did not open: {typist.facts}"
            await asyncio.sleep(0.002)
        return typist

    async def _nursery(self, within: tuple[str, ...]) -> subprocess.Popen[bytes]:
        found = self._nurseries.get(within)
        if found is None:
            found = self._nurseries[within] = self._launch(within)
            assert found.stdout is not None
            assert await asyncio.to_thread(found.stdout.readline) == b"ready\n"
        return found

    def _launch(self, within: tuple[str, ...]) -> subprocess.Popen[bytes]:
        plain = {name: value for name, value in environment(self.folder).items() if not name.startswith("HOLDFAST_")}
        return subprocess.Popen([*within, sys.executable, "-m", "tests.proof.replica_typist"], cwd=ROOT, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=plain)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readline()
        if not first:
            writer.close()
            return
        facts = msgspec.json.decode(first)
        typist = await self._expected[facts["name"]]
        typist.process, typist.writer = facts["pid"], writer
        with suppress(ConnectionError):
            while (line := await reader.readline()).endswith(b"\n"):
                typist.hear(msgspec.json.decode(line))
        typist.ended.set()
        writer.close()

    async def end(self) -> None:
        """Nothing of it stays, whatever happened."""
        for typist in self.typists:
            if typist.process and not typist.ended.is_set():
                with suppress(ProcessLookupError):
                    os.kill(typist.process, signal.SIGKILL)
        for nursery in self._nurseries.values():
            nursery.kill()
            nursery.wait()
            for pipe in (nursery.stdin, nursery.stdout):
                if pipe is not None:
                    pipe.close()
        if self._server is not None:
            self._server.close()
        if self.host.writers():
            await self.host.kill()

    # -- judgement --------------------------------------------------------------------------------------------------------

    def raise_unless_shown(self, typist: Typist) -> None:
        """What a process showed as it opened the file, of its own seat's work."""
        facts = typist.facts
        assert "opened" in facts, facts
        typist.before.raise_unless_shown(self.wall, facts["body"], facts["notes"])

    async def level(self, typists: Sequence[Typist]) -> None:
        """Everybody rests, gets level with the server, and shows the same as it, with everything that was ever kept in it."""
        for typist in typists:
            await typist.rest()
        for _ in range(2):                  # the first to be level has not seen what the last one sent
            for typist in typists:
                facts = await typist.ask("level", "level", seconds=WAIT_SECONDS_MAX - 5)
                assert facts["level"] and not facts["pending"], facts
        body, views = await self.wall_now()
        raise_unless_once(body, views)
        for typist in typists:
            assert (typist.facts["body"], typist.facts["views"]) == (body, views), f"{typist.seat.name} shows another wall than the server"
            for seat in self.seats:
                seat.raise_unless_shown(self.wall, body, typist.facts["notes"], strictly=True)
        shown = [typist.facts["notes"] for typist in typists]
        assert all(one == shown[0] for one in shown), "they do not agree"


@asynccontextmanager
async def crowd(folder: Path, seed: int, host: ServedHost | None = None) -> AsyncIterator[Crowd]:
    """A server and its first wall; at the end nothing of it runs."""
    made = Crowd(folder, host or ServedHost(folder / "data"), seed)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()


async def judge_server(folder: Path, wall: str, seats: Sequence[Seat]) -> int:
    """The log is sound, and holds each mutation once; and the wall in it everything that was kept. Returns the number of entries."""
    async with open_store(folder, apps=[app], master_keys=MASTER_KEY) as store:
        report = await verify_tenant(store, "acme")
        assert report.ok, report.findings
        async with store.storage.reader() as reader:
            entries = await reader.entries("acme", after=0, limit=1_000_000)
            row = (await reader.rows("acme", [("notices", wall)]))["notices", wall]
    made = [(entry.device_id, entry.mutation_id) for entry in entries]
    assert len(made) == len(set(made)), "a mutation is in the log twice"
    raise_unless_once(row.fields["body"], row.fields["views"])
    assert all(entry.outcome in ("applied", "merged") for entry in entries), {entry.outcome for entry in entries}
    return len(entries)


def leader_of(file: Path) -> str:
    """The process that holds the sender's lease, as the replica's file says."""
    connection = apsw.Connection(str(file), apsw.SQLITE_OPEN_READWRITE)
    try:
        found = connection.execute("SELECT json_extract(value, '$.process') FROM meta WHERE name = 'lease'").get
        return str(found)
    finally:
        connection.close()
