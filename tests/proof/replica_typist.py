"""`python -m tests.proof.replica_typist`: a nursery of processes that type into a replica's file, so that killing one costs no start of an
interpreter. It reads lines of JSON, one per process to begin (`Order`), and forks each.

A typist tells its parent over a Unix socket what it is about to do, and then what the replica said of it: unbuffered, so that what was told
was told, whatever happens next. It ends with the socket. It draws what it does from its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from holdfast.client import Replica, open_replica
from holdfast.client.settings import ReplicaSettings
from holdfast.client.web import WebTransport
from holdfast.core.errors import HoldfastError
from tests.proof.clinic import Notice, Patient
from tests.proof.witness import install

__all__ = ["ADDRESS", "NOBODY", "Order"]

ADDRESS = "http://holdfast.example.org"
"""The server's, whatever port it has just now."""

NOBODY = 65_534
SETTINGS = ReplicaSettings(hold_ms=10, hold_ms_max=40, backoff_seconds=0.05, backoff_seconds_max=0.4, lease_seconds=1.0, watch_seconds=0.03,
                           disk_retry_seconds=0.1, right_seconds=0.3, connect_seconds_max=5.0, answer_seconds_max=10.0)
PAUSE_SECONDS_MAX = 0.012


class Order(msgspec.Struct):
    """`notes`: what this seat made earlier and did not delete; `number`: that of its first edit; `mark`: the witness's file, if there is to
    be one; `nobody`: without root's rights."""

    name: str
    socket: str
    file: str
    url: str
    token: str
    wall: str
    number: int
    notes: list[str]
    seed: int
    mark: str = ""
    nobody: bool = False


class Typist:
    def __init__(self, order: Order, link: socket.socket) -> None:
        self._order = order
        self._link = link
        self._chance = random.Random(order.seed)
        self._number = order.number
        self._notes = list(order.notes)
        self._wall = order.wall
        self._typing = True
        self._commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._rest = b""

    def tell(self, **facts: Any) -> None:
        self._link.sendall(msgspec.json.encode(facts) + b"\n")

    def _heard(self) -> None:
        data = self._link.recv(1 << 16)
        if not data:
            os._exit(0)                     # nobody watches any longer
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._commands.put_nowait(msgspec.json.decode(line))

    async def run(self) -> None:
        asyncio.get_running_loop().add_reader(self._link.fileno(), self._heard)
        try:
            async with open_replica(Path(self._order.file), ADDRESS, transport=WebTransport(self._order.url), token=self._order.token,
                                    records=[Notice, Patient], settings=SETTINGS) as replica:
                self.tell(opened=replica._device.process, pid=os.getpid(), **shown(replica, self._wall))
                await self._work(replica)
        except HoldfastError as error:
            self.tell(failed=error.code, detail=error.detail, hint=error.hint)

    async def _work(self, replica: Replica) -> None:
        memory: list[int] = []
        while True:
            if not self._commands.empty():
                command = self._commands.get_nowait()
                if command["do"] == "close":
                    return
                await self._obey(replica, command)
            if self._typing:
                self._number += 1
                self._edit(replica, self._number, memory)
            memory = self._told_of_memory(replica, memory)
            await asyncio.sleep(self._chance.random() * PAUSE_SECONDS_MAX)

    async def _obey(self, replica: Replica, command: dict[str, Any]) -> None:
        if command["do"] == "type":
            self._typing, self._wall = True, command.get("wall", self._wall)
        elif command["do"] == "rest":
            self._typing = False
            self.tell(resting=self._number)
        elif command["do"] == "level":
            level = await replica.synced(command["seconds"])
            status = replica.status
            self.tell(level=level, status=status.name, cause=status.cause, state=status.connection.value, pending=len(replica.pending()),
                      **shown(replica, self._wall))
        elif command["do"] == "status":
            status = replica.status
            self.tell(status=status.name, phrase=status.phrase, cause=status.cause, hint=status.hint, waiting=status.waiting)

    # -- edits ------------------------------------------------------------------------------------------------------------

    def _edit(self, replica: Replica, number: int, memory: list[int]) -> None:
        chance = self._chance.random()
        if chance < 0.6:
            receipt = self._write_on_wall(replica, number)
        elif not self._notes or chance < 0.7:
            receipt = self._make_note(replica, number)
        elif chance < 0.97 or len(self._notes) < 3:
            receipt = self._change_note(replica, number)
        else:
            receipt = self._delete_note(replica, number)
        if receipt is None:
            return
        if receipt == "memory":
            memory.append(number)
        self.tell(kept=number, receipt=receipt)

    def _write_on_wall(self, replica: Replica, number: int) -> str | None:
        wall = replica.find(Notice, self._wall)
        if wall is None:
            return None                     # it has not been pulled yet
        self.tell(tried=number, kind="token", id=self._wall)
        wall.body += f"<{self._order.name}.{number}>"
        wall.views += 1
        return replica.receipt(replica.save(wall))

    def _make_note(self, replica: Replica, number: int) -> str | None:
        note_id = replica._device.runtime.uuid7()
        self.tell(tried=number, kind="note", id=note_id)
        note = Notice(title=str(number), extra={"n": number})
        note._id = note_id
        made = replica.create(note)
        self._notes.append(note_id)
        return replica.receipt(made)

    def _change_note(self, replica: Replica, number: int) -> str | None:
        note_id = self._chance.choice(self._notes)
        self.tell(tried=number, kind="note", id=note_id)
        note = replica.get(Notice, note_id)
        note.title, note.extra = str(number), {"n": number}
        return replica.receipt(replica.save(note))

    def _delete_note(self, replica: Replica, number: int) -> str | None:
        note_id = self._notes.pop(self._chance.randrange(len(self._notes)))
        self.tell(tried=number, kind="delete", id=note_id)
        note = replica.get(Notice, note_id)
        replica.delete(note)
        return replica.receipt(note)

    def _told_of_memory(self, replica: Replica, memory: list[int]) -> list[int]:
        """Edits that the disk could not take: told again once it has them."""
        if memory and not replica._device.unwritten:
            for number in memory:
                self.tell(kept=number, receipt="local")
            return []
        return memory


def shown(replica: Replica, wall: str) -> dict[str, Any]:
    """What this process shows."""
    found = replica.find(Notice, wall)
    notes = {note.id: note.title for note in replica.each(Notice) if note.id != wall}
    return {"body": "" if found is None else found.body, "views": 0 if found is None else found.views, "notes": notes}


def live(order: Order) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if order.mark:
        install(order.mark)
    link = socket.socket(socket.AF_UNIX)
    link.connect(order.socket)
    if order.nobody:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    typist = Typist(order, link)
    typist.tell(name=order.name, pid=os.getpid())
    asyncio.run(typist.run())


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with ExitStack() as stack:
        orders = stack.enter_context(os.fdopen(os.dup(0), "rb"))
        print("ready", flush=True)
        while line := orders.readline():
            order = msgspec.json.decode(line, type=Order)
            if os.fork() == 0:
                os.close(orders.fileno())
                code = 1
                try:
                    live(order)
                    code = 0
                except (KeyboardInterrupt, ConnectionError):
                    code = 0
                finally:
                    sys.stdout.flush()
                    if code:
                        sys.excepthook(*sys.exc_info())
                    os._exit(code)


if __name__ == "__main__":
    main()
