"""Random stories of several devices and people, from one seed: edits of every kind, bad links, restarts, rights that come and go, a
server that is put back to an older state. At the end everything heals, and `check` asks what the promises ask.

What was typed is told apart by its characters, each of which is typed once in a story.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from holdfast import NotFound, Store, open_store
from holdfast.client import Replica
from holdfast.core.errors import HoldfastError
from holdfast.engine.api import Caller
from holdfast.server.app import asgi_app
from holdfast.server.settings import Settings
from tests.client.trouble import BadLink
from tests.client.virtual import VirtualRuntime
from tests.client.world import QUICK, Folder, Note, World

__all__ = ["Story"]

DEVICES = "abc"


class Device:
    """One replica of one person, which can be closed without notice and opened again."""

    def __init__(self, story: Story, name: str) -> None:
        self.story, self.name = story, name
        self.link = BadLink(story.rng, 0.0)
        self.stack = AsyncExitStack()
        self.replica: Replica | None = None

    async def open(self) -> Replica:
        if self.replica is None:
            self.stack = AsyncExitStack()
            self.replica = await self.stack.enter_async_context(
                self.story.world.replica(self.name, fault=self.link, settings=QUICK, email=f"{self.name}@example.org"))
        return self.replica

    async def crash(self) -> None:
        """End it as a crash would: what is on the disk is there, everything else is not."""
        if self.replica is not None:
            sync = self.replica._sync
            assert sync is not None
            await sync.stop()
            self.replica._sync = None
            await self.stack.aclose()
            self.replica = None


class Story:
    def __init__(self, seed: int, folder: Path, *, holds: bool = False, restores: bool = False, devices: int = 2) -> None:
        self.rng = random.Random(seed)
        self.runtime = VirtualRuntime(seed)
        self.folder = folder
        self.holds, self.restores = holds, restores
        self.devices = [Device(self, name) for name in DEVICES[:devices]]
        self.letter = 0x4E00
        self.typed: dict[str, str] = {}
        self.removed: set[str] = set()
        self.added = 0
        self.added_on: list[tuple[str, int]] = []
        self.stack = AsyncExitStack()

    # -- the server -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.stack = AsyncExitStack()
        self.store: Store = await self.stack.enter_async_context(
            open_store(self.folder / "server", records=[Note, Folder], mode="inline", runtime=self.runtime))
        app = asgi_app(self.store, settings=Settings(heartbeat_seconds=0.1, presence_seconds=0.01))
        self.stack.push_async_callback(app.close)
        tokens = self.world.tokens if hasattr(self, "world") else {}
        self.world = World(self.store, app, self.folder, self.runtime)
        self.world.tokens = tokens

    async def stop(self) -> None:
        await self.stack.aclose()

    def keep_backup(self) -> None:
        """A copy of the server's folder, while it is stopped."""
        shutil.rmtree(self.folder / "backup", ignore_errors=True)
        shutil.copytree(self.folder / "server", self.folder / "backup")

    def put_back(self) -> None:
        shutil.rmtree(self.folder / "server")
        shutil.copytree(self.folder / "backup", self.folder / "server")

    # -- the story --------------------------------------------------------------------------------------------------------

    async def run(self, steps: int) -> None:
        await self.start()
        for device in self.devices:
            await self.world.token(f"{device.name}@example.org", roles=("owner",) if device is self.devices[0] else ("member",))
        first = await self.devices[0].open()
        self.note_id = first.create(Note(title="one", body="·")).id
        assert await first.synced(20)
        for device in self.devices[1:]:
            assert await (await device.open()).synced(20)
        has_backup = False
        for _ in range(steps):
            if self.restores and self.rng.random() < 0.04:
                has_backup = await self._restart(has_backup)
            await self.step()
        await self.heal()

    async def _restart(self, has_backup: bool) -> bool:
        """The server stops; it is backed up, or put back to its last backup."""
        for device in self.devices:
            await device.crash()
        await self.stop()
        if has_backup and self.rng.random() < 0.6:
            self.put_back()
        else:
            self.keep_backup()
        await self.start()
        for device in self.devices:
            await device.open()
        return True

    async def step(self) -> None:
        device = self.rng.choice(self.devices)
        replica = await device.open()
        what = self.rng.random()
        if what < 0.62:
            self.edit(device.name, replica)
        elif what < 0.72:
            device.link.chance = self.rng.choice([0.0, 0.0, 0.1, 0.3])
            device.link.is_down = self.rng.random() < 0.3
        elif what < 0.78:
            await device.crash()
        elif what < 0.82 and self.holds:
            await self.flip_rights(self.rng.choice(self.devices[1:]).name)
        elif what < 0.86:
            replica.retry_now()
        else:
            await asyncio.sleep(self.rng.choice([0, 0.002, 0.01, 0.03]))

    def edit(self, name: str, replica: Replica) -> None:
        note = replica.find(Note, self.note_id)
        if note is None:
            return
        kind = self.rng.random()
        if kind < 0.6:
            self.type(name, replica, note)
        elif kind < 0.7:
            by = self.rng.randint(1, 3)
            replica.change(note, views=note.views + by)
            self.added += by
        elif kind < 0.8:
            replica.change(note, title=f"{name}{self.rng.randint(0, 9)}")
        elif kind < 0.88:
            replica.change(note, extra={**note.extra, self.rng.choice("xyz"): self.rng.randint(0, 9)})
        elif kind < 0.94:
            replica.change(note, tags=note.tags ^ {self.rng.choice("pqr")})
        else:
            replica.create(Note(title=f"another of {name}"))

    def type(self, name: str, replica: Replica, note: Note) -> None:
        body = replica.text(note, "body")
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randint(0, len(body))
            gone = body.text[at:at + self.rng.choice([0, 0, 0, 1, 2])]
            new = ""
            for _ in range(self.rng.randint(0, 3)):
                self.letter += 1
                new += chr(self.letter)
                self.typed[chr(self.letter)] = name
            self.removed |= set(gone)
            body.splice(at, len(gone), new)
        body.close()

    async def flip_rights(self, name: str) -> None:
        """Take a person's membership away, or give it back."""
        owner = await self.store.member("acme", "a@example.org")
        person = await self.store.accounts.account(f"{name}@example.org")
        assert person is not None
        try:
            await self.store.delete(owner.caller, "members", person.id)
        except (NotFound, HoldfastError):
            await self.store.undelete(owner.caller, "members", person.id)

    async def heal(self) -> None:
        if self.holds:
            owner = await self.store.member("acme", "a@example.org")
            for device in self.devices[1:]:
                person = await self.store.accounts.account(f"{device.name}@example.org")
                assert person is not None
                view = await self.store.get(owner.caller, "members", person.id, include_deleted=True)
                if view["deleted"]:
                    await self.store.undelete(owner.caller, "members", person.id)
        for device in self.devices:
            device.link.chance, device.link.is_down = 0.0, False
            replica = await device.open()
            replica.sign_in(await self.world.token(f"{device.name}@example.org"))
            replica.retry_now()
        for _ in range(3):
            for device in self.devices:
                replica = await device.open()
                assert await replica.synced(20), (f"{device.name} does not drain: {replica.status} {replica.pending()} {replica.refused()}"
                                                  f" {replica._device.wanted}")

    # -- what must hold ---------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        owner = await self.store.member("acme", "a@example.org")
        server = {view["id"]: view for view in await self._views(owner.caller)}
        for device in self.devices:
            replica = await device.open()
            assert not replica.refused(), replica.refused()
            mine = {note.id: replica.view(("notes", note.id)) for note in replica.list(Note, include_deleted=True)}
            assert mine == server, f"{device.name} does not agree with the server"
        fields = server[self.note_id]["fields"]
        text: str = fields["body"]
        assert len(set(text)) == len(text), "a character is there twice"
        held = await self._held_text(owner.caller)
        missing = set(self.typed) - self.removed - set(text) - held
        assert not missing, f"characters are gone: {missing} of {[self.typed[one] for one in missing]}"
        if not held and not self.restores:      # a deletion of what a restored server lacks has nothing to delete there
            assert not set(text) & self.removed, "a deleted character is back"
            assert fields["views"] == self.added, "an increment was lost or counted twice"

    async def _views(self, caller: Caller) -> list[dict[str, Any]]:
        return [line async for line in self.store.snapshot(caller, collections=["notes"]) if "id" in line]

    async def _held_text(self, caller: Caller) -> set[str]:
        found: set[str] = set()
        async with self.store.storage.reader() as reader:
            for item in await reader.inbox("acme", limit=1_000):
                for texts in item.texts.values():
                    for held in texts:
                        for part in held.change:
                            found |= set(part) if isinstance(part, str) else set()
                found |= set(str(item.parts))
        return found

    async def end(self) -> None:
        for device in self.devices:
            await device.crash()
        await self.stop()
