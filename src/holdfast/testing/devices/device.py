"""Devices as cases hold them: a window of one under test (the driver's calls, for this one), and somebody else's, which speaks the wire by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from holdfast.testing.devices.server import Server

if TYPE_CHECKING:
    from holdfast.testing.devices.bench import Bench

__all__ = ["Device", "Peer"]

SAVED = ("idle", "saved")


class Device:
    """A window of a device under test: the driver's calls, for this one."""

    def __init__(self, bench: Bench, window: str, store: str, person: str) -> None:
        self.bench = bench
        self.window = window
        self.store = store
        self.person = person
        self.id = ""
        self.opened_at = 0              # how many messages the link had seen then
        self._driver = bench.driver

    async def open(self, *, contract: int = 1, online: bool = True, token: str | None = None) -> Device:
        bench = self.bench
        given = await bench.server.token(self.person, self.store) if token is None else token
        prefix = bench.setting.prefix
        self.opened_at = len(bench.link.seen)
        opened = await self._driver.open(self.window, store=prefix + self.store, token=given, contract=contract,
                                         pace=asdict(bench.setting.pace), online=online)
        self.id = opened["device_id"]
        bench.windows.add(self.window)
        return self

    async def close(self) -> None:
        self.bench.windows.discard(self.window)
        await self._driver.close(self.window)

    async def kill(self) -> None:
        self.bench.windows.discard(self.window)
        await self._driver.kill(self.window)

    async def edit(self, record: str, *ops: Mapping[str, Any]) -> None:
        """`record` is "collection/id"."""
        collection, _, record_id = record.partition("/")
        await self._driver.edit(self.window, collection=collection, record_id=record_id, ops=list(ops))

    async def read(self, record: str) -> dict[str, Any] | None:
        collection, _, record_id = record.partition("/")
        found: dict[str, Any] | None = await self._driver.read(self.window, collection=collection, record_id=record_id)
        return found

    async def value(self, record: str, field: str) -> Any:
        """What a field shows; None where the record is not here."""
        found = await self.read(record)
        return None if found is None else found["fields"][field]

    async def ids(self, collection: str) -> set[str]:
        return set(await self._driver.ids(self.window, collection=collection))

    async def status(self) -> dict[str, Any]:
        """The status; it never says saved while something waits."""
        found: dict[str, Any] = await self._driver.status(self.window)
        assert not (found["name"] in SAVED and (found["waiting"] or found["held"] or found["refused"])), f"it claims too much: {found}"
        return found

    async def name(self) -> str:
        name: str = (await self.status())["name"]
        return name

    async def pending(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._driver.pending(self.window)
        return found

    async def refused(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._driver.refused(self.window)
        return found

    async def receipt(self, record: str) -> str:
        collection, _, record_id = record.partition("/")
        found: str = await self._driver.receipt(self.window, collection=collection, record_id=record_id)
        return found

    async def inbox(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._driver.inbox(self.window)
        return found

    async def resolve(self, item_id: str, **resolution: Any) -> None:
        await self._driver.resolve(self.window, item_id=item_id, resolution=resolution)

    async def undo(self, record: str) -> None:
        collection, _, record_id = record.partition("/")
        await self._driver.undo(self.window, collection=collection, record_id=record_id)

    async def redo(self, record: str) -> None:
        collection, _, record_id = record.partition("/")
        await self._driver.redo(self.window, collection=collection, record_id=record_id)

    async def sign_in(self, token: str) -> None:
        await self._driver.sign_in(self.window, token=token)

    async def sign_out(self, unsent: str = "ask") -> None:
        await self._driver.sign_out(self.window, unsent=unsent)

    async def online(self) -> None:
        await self._driver.set_online(self.window, online=True)

    async def offline(self) -> None:
        await self._driver.set_online(self.window, online=False)
        await self.bench.until(lambda: self._is_offline(), "it takes being offline in")

    async def _is_offline(self) -> bool:
        return await self.name() not in ("editing", "saving", *SAVED)

    async def retry_now(self) -> None:
        await self._driver.retry_now(self.window)

    async def export(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._driver.export(self.window)
        return found

    async def drop(self, mutation_id: str) -> None:
        await self._driver.drop(self.window, mutation_id=mutation_id)

    async def send_again(self, mutation_id: str) -> None:
        await self._driver.send_again(self.window, mutation_id=mutation_id)

    async def synced(self, seconds: float | None = None) -> None:
        """Wait until device and server have what the other had."""
        bound = self.bench.patience if seconds is None else seconds
        if not await self._driver.synced(self.window, seconds=bound):
            raise AssertionError(f"{self.window} did not come to agree with the server in {bound:g} s: {await self.status()}, pending "
                                 f"{await self.pending()}, refused {await self.refused()}")


class Peer:
    """Somebody else's device, as far as the wire shows one: it reads what stands and pushes on it."""

    def __init__(self, server: Server, person: str, device_id: str) -> None:
        self.server = server
        self.person = person
        self.device_id = device_id
        self._last: dict[str, str] = {}

    async def edit(self, record: str, *ops: Mapping[str, Any], base: str | None = "now", outcome: str | None = None) -> dict[str, Any]:
        """Push one mutation; its result. `base` "now": what stands at the server; else the position it was made on."""
        collection, _, record_id = record.partition("/")
        if base == "now":
            stands = await self.server.record(collection, record_id)
            base = None if stands is None else stands["position"]
        runtime = self.server.runtime
        mutation: dict[str, Any] = {"mutation_id": runtime.uuid7(), "after": self._last.get(record), "contract": self.server.contract
                    if collection == "cards" else 1, "collection": collection, "record_id": record_id, "base": base,
                    "edited_at": f"{runtime.now_ms()}:0", "ops": list(ops)}
        result = (await self.server.push(self.person, self.device_id, [mutation]))[0]
        assert outcome is None or result["outcome"] == outcome, result
        assert result["outcome"] != "refused", result
        self._last[record] = mutation["mutation_id"]
        return result
