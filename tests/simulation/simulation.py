"""One run, from one seed: people work on devices over a bad network with a server that fails; then everything heals, and the verdict asks
what the promises ask. Everything happens in one thread under virtual time, and follows from the seed."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from holdfast import NotFound, Store
from holdfast.client.outbox import OutboxRow
from holdfast.core.errors import HoldfastError
from holdfast.engine.api import Caller
from holdfast.testing.network import CALM, SimulatedNetwork
from holdfast.testing.virtual import VirtualRuntime, run_virtually
from tests.simulation.hands import Hands
from tests.simulation.ledger import Ledger, letters_of
from tests.simulation.machines import Device, Images, Server, Tab, kinds_of
from tests.simulation.plan import Plan
from tests.simulation.verdict import Verdict
from tests.simulation.witness import Broken, Witness, domain_start

__all__ = ["Outcome", "Simulation", "simulate"]

TENANT, OTHER_TENANT = "acme", "umbra"
PEOPLE_MAX = 4
TURNS_MAX = 100_000
PATIENCE_SECONDS = 2_000
"""Virtual. A server that takes few refusals a minute makes a device that has to begin a line anew wait for minutes."""
EMAILS = tuple(f"{name}@example.org" for name in ("ann", "ben", "cid", "dot", "eve"))
SHARED_DOMAIN, OTHER_DOMAIN, OWN_DOMAIN = 0, 1, 2
"""Domains of letters: what the first tenant shares, what the other one does, and from there on each person's own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: its digest, and how much happened."""

    digest: str
    messages: int
    deeds: int
    crashes: int
    entries: int


@lru_cache
def first_image(asks: bool) -> tuple[Images, dict[str, str]]:
    """The server's disk once both organisations and their people are made, and everybody's token: the same for every run."""
    plan = dataclasses.replace(Plan.of(0), asks=asks, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        async def make() -> tuple[Images, dict[str, str]]:
            network = SimulatedNetwork(random.Random(0), VirtualRuntime(0))
            server = Server(plan, Path(folder) / "server", network)
            assert await server.start() and server.store is not None
            tokens: dict[str, str] = {}
            for at, email in enumerate(EMAILS):
                tenant = OTHER_TENANT if at == PEOPLE_MAX else TENANT
                await server.store.member(tenant, email, roles=["owner"] if at in (0, PEOPLE_MAX) else ["member"])
                tokens[email] = await server.store.accounts.create_token(tenant, email, name="simulation")
            await server.stop()
            image = server.image()
            server.end()
            return image, tokens

        return run_virtually(make())


class Simulation:
    def __init__(self, plan: Plan, folder: Path, image: Images, tokens: dict[str, str]) -> None:
        self.plan = plan
        self.rng = random.Random(f"run {plan.seed}")
        self.witness = Witness(folder=str(folder).encode())
        self.network = SimulatedNetwork(random.Random(f"network {plan.seed}"), VirtualRuntime(f"network {plan.seed}"))
        self.network.watch(self.witness.watch)
        self.server = Server(plan, folder / "server", self.network, image)
        self.devices: list[Device] = []
        self.hands: dict[str, Hands] = {}
        self.main_ids: dict[str, str] = {}
        self.down_until = 0.0
        self.flipped: set[str] = set()
        self.entries = 0
        for number in range(len(plan.people) + plan.has_other_tenant):
            self._add_device(number, folder, tokens)

    def _add_device(self, number: int, folder: Path, tokens: dict[str, str]) -> None:
        person = self.plan.people[number] if number < len(self.plan.people) else PEOPLE_MAX
        email = EMAILS[person]
        device = Device(self.plan, number, folder / f"device{number}", self.network, email, lambda: tokens[email])
        self.devices.append(device)
        tenant = OTHER_TENANT if person == PEOPLE_MAX else TENANT
        domain = OTHER_DOMAIN if person == PEOPLE_MAX else SHARED_DOMAIN
        visible = {domain, OWN_DOMAIN + person}
        hidden = [one for one in range(OWN_DOMAIN + PEOPLE_MAX + 1) if one not in visible]
        pattern = re.compile("[" + "".join(f"{chr(domain_start(one))}-{chr(domain_start(one + 1) - 1)}" for one in hidden) + "]")
        for tab in device.tabs:
            self.witness.hidden_from[tab.name], self.witness.tenants[tab.name] = pattern, tenant
            self.hands[tab.name] = Hands(self.witness, random.Random(f"hands {tab.name} {self.plan.seed}"), tab,
                                         self._note_kind, tenant=tenant, domain=domain, own_domain=OWN_DOMAIN + person)

    @property
    def _note_kind(self) -> Any:
        return kinds_of(self.plan)[0]

    @property
    def tenants(self) -> list[str]:
        return [TENANT, OTHER_TENANT] if self.plan.has_other_tenant else [TENANT]

    @property
    def store(self) -> Store:
        assert self.server.store is not None
        return self.server.store

    # -- the run ----------------------------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        await self._begin()
        for _ in range(self.plan.steps):
            await self.step()
            await self._look_after_machines()
        await self.heal()
        await self.check()
        for device in self.devices:
            await device.close()
        await self.server.stop()
        return Outcome(self.witness.digest(), self.witness.messages, len(self.witness.deeds),
                       sum(one.crashes for one in [self.server, *self.devices]), self.entries)

    async def _begin(self) -> None:
        """Everybody has the note that all work on."""
        if not await self.server.start():
            raise Broken("the server does not start")
        for device in self.devices:
            tab = device.tabs[0]
            replica = await tab.open()
            assert replica is not None
            tenant = self.hands[tab.name].tenant
            if tenant not in self.main_ids:
                assert await replica.synced(20)
                self.main_ids[tenant] = replica.create(self._note_kind(title="one", body="·")).id
            if not await replica.synced(20):
                raise Broken(f"{tab.name} does not come up: {replica.status}")

    async def step(self) -> None:
        chance = self.rng.random()
        if chance < 0.55:
            await self.edit()
        elif chance < 0.73:
            await asyncio.sleep(self.rng.choice((0, 0.002, 0.01, 0.05, 0.3, 2.0, 30.0)))
        elif chance < 0.76:
            for hands in self.hands.values():
                await self.look(hands)
        elif chance < 0.79:
            await self.audit()
        else:
            await self.trouble(self.rng.choice(sorted(self.plan.troubles) or ["none"]))
        self.witness.log(asyncio.get_running_loop().time())

    async def edit(self) -> None:
        hands = self.rng.choice(list(self.hands.values()))
        await self.look(hands)
        replica = hands.tab.replica
        if replica is not None:
            try:
                hands.work(replica, self.main_ids[hands.tenant])
            except HoldfastError as error:      # a disk that cannot be read
                self.witness.log(type(error).__name__)

    async def trouble(self, what: str) -> None:
        rng = self.rng
        device = rng.choice(self.devices)
        tab = rng.choice(device.tabs)
        self.witness.log(what, tab.name)
        if what == "network":
            tab.link.weather, tab.link.is_down = self.plan.weather(rng), rng.random() < 0.3
        elif what == "socket":
            tab.link.sockets_blocked = not tab.link.sockets_blocked
        elif what == "offline" and tab.replica is not None:
            rng.choice((tab.replica.go_offline, tab.replica.go_online, tab.replica.retry_now))()
        elif what == "crash":
            await tab.kill()
            self.witness.program_ended(tab.name)
        elif what == "power":
            await self._cut_power(device)
        elif what in ("disk", "full"):
            # two programs that send from their memory, apart from each other, are beyond this simulation: docs/internals/simulation.md
            machine = rng.choice([self.server, *(one for one in self.devices if len(one.tabs) == 1)])
            if machine.is_spoiled:
                machine.mend()
            else:
                machine.spoil(what)
        elif what == "clock":
            rng.choice([self.server, *self.devices]).runtime.skew_ms = rng.choice((0, 0, -5_000, 90_000, -3_600_000, 86_400_000))
        elif what == "rights":
            await self._flip_rights()
        elif what == "server":
            await self._fail_server()
        elif what == "restore":
            await self._restore()

    async def _cut_power(self, device: Device) -> None:
        """At once, or in the middle of what the disk does next."""
        if self.rng.random() < 0.5:
            device.spoil("power")
        else:
            await self._crash(device)

    async def _crash(self, device: Device) -> None:
        await device.crash()
        for tab in device.tabs:
            self.witness.program_ended(tab.name)
        self.witness.log("crashed", device.name)

    async def _fail_server(self) -> None:
        if not self.server.is_up:
            return
        if self.rng.random() < 0.4:
            self.server.spoil("power")
            return
        if self.rng.random() < 0.3:
            await self.server.stop()
        else:
            await self.server.crash()
        self.down_until = asyncio.get_running_loop().time() + self.rng.choice((0.0, 0.0, 0.5, 10.0))

    async def _restore(self) -> None:
        """The server is backed up, or put back to its last backup."""
        if self.server.backup is None or self.rng.random() < 0.4:
            if self.server.is_up:
                self.server.keep_backup()
            return
        await self.server.put_back()
        self.witness.server_was_put_back(self.server.history)
        self.witness.log("put back")

    async def _flip_rights(self) -> None:
        """Take somebody's membership away, or give it back."""
        others = sorted({device.email for device in self.devices} - {EMAILS[0], EMAILS[PEOPLE_MAX]})
        if not others or not self.server.is_up:
            return
        email = self.rng.choice(others)
        try:
            owner = await self._caller(TENANT, EMAILS[0])
            person = await self.store.accounts.account(email)
            assert person is not None
            view = await self.store.get(owner, "members", person.id, include_deleted=True)
            await (self.store.undelete if view["deleted"] else self.store.delete)(owner, "members", person.id)
        except HoldfastError as error:
            self.witness.log("rights", type(error).__name__)

    async def _caller(self, tenant: str, email: str) -> Caller:
        person = await self.store.accounts.account(email)
        if person is None:
            raise NotFound(f"{email} has no account.")
        return Caller(tenant_id=tenant, actor_id=person.id)

    async def _look_after_machines(self) -> None:
        """What lost power in the middle of something starts again."""
        for device in self.devices:
            if not device.is_powered:
                await self._crash(device)
        if not self.server.is_powered:
            await self.server.crash()
        if self.server.store is None and asyncio.get_running_loop().time() >= self.down_until:
            if not await self.server.start():
                if not self.server.is_spoiled and self.server.is_powered:
                    raise Broken("P1: the server does not start again, and nothing is wrong with its disk")
                return
            await self._acknowledged_survived()

    async def _acknowledged_survived(self) -> None:
        """Right after a start: what was acknowledged in this history is in the log."""
        try:
            ledgers = {tenant: await Ledger.read(self.store, tenant) for tenant in self.tenants}
        except HoldfastError:
            return          # the disk is failing
        for (history, tenant, seq), mutation_id in self.witness.acked_seqs.items():
            if history != self.server.history:
                continue
            found = ledgers[tenant].by_mutation.get(mutation_id)
            if not found or found[0].seq != seq:
                raise Broken(f"P1: {mutation_id} was acknowledged as entry {seq}, and the server lost it in a crash")

    # -- while it runs ----------------------------------------------------------------------------------------------------

    async def look(self, hands: Hands) -> None:
        """What a person did at this device is on the screen, unless somebody deleted it or it waits."""
        tab = hands.tab
        replica = await tab.open()
        if replica is None or not tab.device.is_powered:
            if not tab.device.is_spoiled and tab.device.is_powered:
                raise Broken(f"P1: {tab.name} does not open, and nothing is wrong with its disk")
            return
        try:
            self._settle_memory(hands)
            note: Any = replica.find(self._note_kind, self.main_ids[hands.tenant])
        except HoldfastError:
            return
        if note is None or not tab.device.is_powered:
            return
        key = ("notes", note.id)
        own = {letter for one in self.witness.deeds if one.kind == "letters" and one.key == key and one.sure == "sure"
               and (one.tab == tab.name or (one.device == tab.device.number and not tab.device.is_spoiled)) for letter in one.token}
        missing = own - self.witness.removed - set(note.body)
        missing -= letters_of(op for row in replica._device.refused for op in row.made.ops) if missing else set()
        if missing and _is_branched(replica._device.lanes.get(key, ())):
            return          # two programs sent from memory, apart from each other: their texts meet again at the server
        if missing and not await self._waits(hands.tenant, missing):
            raise Broken(f"P5: {sorted(missing)} were typed at {tab.name}, and are no longer on its screen")

    def _settle_memory(self, hands: Hands) -> None:
        """What was in memory alone, and now is on the disk by the device's own word."""
        replica = hands.tab.replica
        assert replica is not None
        for deed in self.witness.deeds:
            if deed.tab == hands.tab.name and deed.sure == "memory" and deed.key[1]:
                deed.sure = hands.claim(replica, deed.key)

    async def _waits(self, tenant: str, letters: set[str]) -> bool:
        """Whether the log says that these letters were not applied; True also where nobody can tell."""
        if not self.server.is_up or self.server.history:
            return True
        try:
            return letters <= (await Ledger.read(self.store, tenant)).letters_not_applied()
        except HoldfastError:
            return True

    async def audit(self) -> None:
        """What a device calls saved is at the server."""
        if not self.server.is_up or self.server.history or self.server.is_spoiled:
            return
        ledgers = {tenant: (await Ledger.read(self.store, tenant)).letters_sent() for tenant in self.tenants}
        for hands in self.hands.values():
            replica = hands.tab.replica
            if replica is None or not hands.tab.device.is_powered or hands.tab.device.is_spoiled:
                continue
            key = ("notes", self.main_ids[hands.tenant])
            try:
                said = replica.receipt(replica.get(self._note_kind, key[1]))
            except HoldfastError:
                continue
            if said not in ("committed", "backed_up"):
                continue
            typed = {letter for one in self.witness.of("letters", key=key) if one.tab == hands.tab.name and one.sure == "sure"
                     for letter in one.token}
            missing = typed - self.witness.removed - ledgers[hands.tenant]
            if missing:
                raise Broken(f"P5: {hands.tab.name} says {said}, and the log lacks {sorted(missing)}")

    # -- the end ----------------------------------------------------------------------------------------------------------

    async def heal(self) -> None:
        for machine in [self.server, *self.devices]:
            machine.mend()
            if not machine.is_powered:
                machine.lose_power()
        self.down_until = 0.0
        await self._look_after_machines()
        await self._give_rights_back()
        for tab in self._tabs():
            tab.link.weather, tab.link.is_down, tab.link.sockets_blocked = CALM, False, False
            replica = await tab.open()
            if replica is None:
                raise Broken(f"P1: {tab.name} does not open on a healthy disk")
            replica.go_online()             # the person said so; everything else comes back without anybody's help
        await asyncio.sleep(1)
        for _ in range(3):
            for tab in self._tabs():
                assert tab.replica is not None
                if not await tab.replica.synced(PATIENCE_SECONDS):
                    raise Broken(f"liveness: {tab.name} does not drain: {tab.replica.status} {tab.replica.pending()} "
                                 f"{tab.replica._device.wanted} {tab.replica._device.meta}")
        for hands in self.hands.values():
            self._settle_memory(hands)

    def _tabs(self) -> list[Tab]:
        return [tab for device in self.devices for tab in device.tabs]

    async def _give_rights_back(self) -> None:
        owner = await self._caller(TENANT, EMAILS[0])
        for email in sorted({device.email for device in self.devices} - {EMAILS[PEOPLE_MAX]}):
            person = await self.store.accounts.account(email)
            assert person is not None
            if (await self.store.get(owner, "members", person.id, include_deleted=True))["deleted"]:
                await self.store.undelete(owner, "members", person.id)

    async def check(self) -> None:
        refused: dict[str, list[Any]] = {tenant: [] for tenant in self.tenants}
        for tab in self._tabs():
            replica, hands = tab.replica, self.hands[tab.name]
            assert replica is not None
            left = replica._device.file.connection.execute("SELECT count(*) FROM outbox WHERE state <> 'refused'").get
            if left:
                raise Broken(f"liveness: {left} rows stay in the outbox of {tab.name}")
            views = await self._views(hands.tenant, tab.device.email)
            for collection, kind in zip(("notes", "diaries"), kinds_of(self.plan), strict=True):
                shown = {(collection, one.id): replica.view((collection, one.id)) for one in replica.list(kind, include_deleted=True)}
                stands = {key: view for key, view in views.items() if key[0] == collection}
                if shown != stands:
                    raise Broken(f"liveness: {tab.name} shows {_difference(shown, stands)}")
            refused[hands.tenant] += [op for row in replica._device.refused for op in row.made.ops]
        for tenant in self.tenants:
            await self._judge(tenant, refused[tenant])
        self.witness.log(*(await self._everything()))

    async def _judge(self, tenant: str, refused: list[Any]) -> None:
        records: dict[tuple[str, str], Any] = {}
        for email in sorted({device.email for device in self.devices}):
            if (email == EMAILS[PEOPLE_MAX]) is (tenant == OTHER_TENANT):
                records |= await self._views(tenant, email)
        ledger = await Ledger.read(self.store, tenant)
        self.entries += len(ledger.entries)
        async with self.store.storage.reader() as reader:
            items = await reader.inbox(tenant, limit=10_000)
        Verdict(self.witness, tenant, ledger, records, items=items, refused=refused, was_restored=bool(self.server.history)).check()

    async def _views(self, tenant: str, email: str) -> dict[tuple[str, str], Any]:
        caller = await self._caller(tenant, email)
        return {(line["collection"], line["id"]): line
                async for line in self.store.snapshot(caller, collections=["notes", "diaries"]) if "id" in line}

    async def _everything(self) -> list[str]:
        """The log as it ended, for the digest."""
        return [entry.digest for tenant in self.tenants for entry in (await Ledger.read(self.store, tenant)).entries]

    def end(self) -> None:
        for machine in [self.server, *self.devices]:
            machine.end()


def _is_branched(lane: Sequence[OutboxRow]) -> bool:
    """Whether a record's line has rows that do not know of the one before them."""
    return any(row.made.after != before.mutation_id and row.made.forked_from is None for before, row in pairwise(lane))


def _difference(shown: dict[Any, Any], stands: dict[Any, Any]) -> str:
    keys = [key for key in {*shown, *stands} if shown.get(key) != stands.get(key)]
    return "; ".join(f"{key}: {shown.get(key)} where the server has {stands.get(key)}" for key in sorted(keys))


def simulate(seed: int, plan: Plan | None = None) -> Outcome:
    """Run the simulation of a seed. Raises Broken, or whatever else went wrong, with a note of how to run it again."""
    plan = plan or Plan.of(seed)
    image, tokens = first_image(plan.asks)
    with tempfile.TemporaryDirectory(prefix="holdfast-simulation-") as folder:
        simulation = Simulation(plan, Path(folder), image, tokens)
        try:
            return run_virtually(simulation.run(), turns_max=TURNS_MAX)
        except BaseException as error:
            error.add_note(f"seed {seed}; run it again: make simulate SEED={seed}")
            raise
        finally:
            simulation.end()
