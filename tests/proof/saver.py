"""`python -m tests.proof.saver FOLDER`: an embedded store in a process of its own. Says `ready`, then takes calls as lines of JSON on
standard input, all at once, and writes each answer the moment it has it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from holdfast import open_store
from holdfast.core.errors import HoldfastError
from holdfast.core.messages import Push
from holdfast.engine.session import MemberSession
from tests.proof import watched

assert watched.app


def say(line: Any) -> None:
    """Unbuffered: what was said was said, whatever happens next."""
    os.write(1, json.dumps(line).encode() + b"\n")


async def answer(member: MemberSession, call: dict[str, Any]) -> None:
    store = member.store
    try:
        if "cursor" in call:
            pulled = await store.pull(member.caller, cursor=call["cursor"])
            say({"id": call["id"], "cursor": pulled.cursor, "more": pulled.more,
                 "seen": [[change.collection, change.record_id, change.position] for change in pulled.changes]})
            return
        push = Push(device_id=call["device_id"], mutations=[json.dumps(one).encode() for one in call["mutations"]])  # type: ignore[misc]
        reply = await store.push(member.caller, push.device_id, [bytes(raw) for raw in push.mutations])
        say({"id": call["id"], "results": [{"mutation_id": one.mutation_id, "outcome": one.outcome, "seq": one.seq,
                                           "position": one.position, "error": one.error and one.error.code} for one in reply.results]})
    except HoldfastError as error:
        say({"id": call["id"], "error": error.code})


async def main(folder: str) -> None:
    async with open_store(folder, apps=[watched.app]) as store:
        members = {name: await store.member("acme", f"{name}@clinic.example", roles=["owner"]) for name in ("ada", "bob")}
        say("ready")
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader(limit=1 << 24)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        async with asyncio.TaskGroup() as tasks:
            while line := await lines.readline():
                call = json.loads(line)
                tasks.create_task(answer(members[call["who"]], call))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
