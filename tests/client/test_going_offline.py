"""A program that says there is no network is heard whenever it says so. Defends P5 (the status is so) and P1 (nothing is tried that must
fail)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from holdfast.client import State, open_replica
from holdfast.testing.asgi import AsgiTransport, Leg
from holdfast.testing.virtual import VirtualRuntime, run_virtually
from tests.client.world import Folder, Note, world


def test_offline_that_is_said_before_this_process_sends_is_heard_once_it_does(tmp_path: Path) -> None:
    legs: list[Leg] = []

    async def note_leg(leg: Leg, what: str) -> None:
        legs.append(leg)

    async def main() -> None:
        runtime = VirtualRuntime(1)
        async with world(tmp_path, runtime=runtime) as here:
            transport = AsgiTransport(here.app, runtime=runtime, fault=note_leg)
            async with open_replica(tmp_path / "a.replica", transport=transport, token=await here.token(), records=[Note, Folder],
                                    runtime=runtime) as replica:
                replica.go_offline()                # the lease is not taken yet
                note = replica.create(Note(title="made offline"))
                await asyncio.sleep(60)
                assert replica.status.connection is State.OFFLINE and replica.status.name == "offline"
                assert legs == [], "nothing is tried"
                replica.go_online()
                assert await replica.synced(20) and replica.receipt(note) == "committed"

    run_virtually(main())
