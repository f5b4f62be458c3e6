"""The Python replica behind the driver: in this process, over the link or over a real network."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from holdfast.client import Replica, ReplicaSettings, open_replica
from holdfast.client.transport import Transport
from holdfast.core.errors import HoldfastError, Malformed
from holdfast.core.ops import Op
from holdfast.runtime import Runtime
from holdfast.testing.asgi import AsgiTransport
from holdfast.testing.devices.driver import DriverError
from holdfast.testing.devices.link import App
from holdfast.testing.devices.records import records_of

__all__ = ["ReplicaDriver"]


def settings_of(pace: Mapping[str, int]) -> ReplicaSettings:
    seconds = {name: milliseconds / 1_000 for name, milliseconds in pace.items()}
    return ReplicaSettings(
        hold_ms=pace["hold_ms"], hold_ms_max=pace["hold_ms_max"], backoff_seconds=seconds["backoff_ms"],
        backoff_seconds_max=seconds["backoff_ms_max"], right_seconds=seconds["right_ms"], answer_seconds_max=seconds["answer_ms_max"],
        silence_seconds_max=seconds["silence_ms_max"], poll_seconds=seconds["poll_ms"],
        socket_again_seconds=seconds["socket_again_ms"], lease_seconds=seconds["lease_ms"])


class ReplicaDriver:
    """Stores are files in `folder`. The server is `app`, in this process, or the one at `url`."""

    def __init__(self, folder: Path, runtime: Runtime, *, app: App | None = None, url: str | None = None) -> None:
        self._folder = folder
        self._runtime = runtime
        self._app = app
        self._url = url
        self._open: dict[str, tuple[Replica, AsyncExitStack]] = {}
        self._classes: dict[str, int] = {}

    def _replica(self, window: str) -> Replica:
        if window not in self._open:
            raise DriverError("state", f"No window {window} is open.")
        return self._open[window][0]

    async def open(self, window: str, *, store: str, token: str | None, contract: int, pace: Mapping[str, int], online: bool) -> Any:
        stack = AsyncExitStack()
        transport: Transport | None = None if self._app is None else AsgiTransport(self._app, runtime=self._runtime)
        try:
            replica = await stack.enter_async_context(open_replica(
                self._folder / f"{store}.replica", self._url, transport=transport, token=token, records=records_of(contract),
                settings=settings_of(pace), runtime=self._runtime))
        except HoldfastError as error:
            raise _said(error) from error
        if not online:
            replica.go_offline()
        self._open[window] = replica, stack
        self._classes[window] = contract
        return {"device_id": replica.device_id}

    async def close(self, window: str) -> None:
        replica = self._replica(window)
        stack = self._open.pop(window)[1]
        del replica
        await stack.aclose()

    async def kill(self, window: str) -> None:
        replica = self._replica(window)
        sync = replica._sync
        assert sync is not None
        sync._lease.release = _nothing          # type: ignore[method-assign]   # whoever is ended gives nothing back
        await sync.stop()
        replica._sync = None
        replica._bound.clear()
        replica._buffers.clear()
        await self.close(window)

    async def copy(self, store: str, to: str) -> None:
        shutil.copyfile(self._folder / f"{store}.replica", self._folder / f"{to}.replica")

    async def edit(self, window: str, *, collection: str, record_id: str, ops: Sequence[Any]) -> None:
        replica = self._replica(window)
        try:
            made = msgspec.convert(ops, list[Op])
        except msgspec.ValidationError as error:
            raise _said(Malformed(str(error))) from error
        try:
            replica._edit((collection, record_id), lambda row: made)
        except HoldfastError as error:
            raise _said(error) from error

    async def read(self, window: str, *, collection: str, record_id: str) -> Any:
        replica = self._replica(window)
        replica._device.look_for_others()
        view = replica.view((collection, record_id))
        return None if view is None else {"fields": view["fields"], "deleted": view["deleted"]}

    async def ids(self, window: str, *, collection: str) -> list[str]:
        return [row.id for row in self._replica(window)._rows(collection) if not row.deleted]

    async def status(self, window: str) -> Any:
        status = self._replica(window).status
        return {"name": status.name, "phrase": status.phrase, "waiting": status.waiting, "held": status.held, "refused": status.refused,
                "cause": status.cause}

    async def pending(self, window: str) -> Any:
        return [_row(one) for one in self._replica(window).pending()]

    async def refused(self, window: str) -> Any:
        return [{**_row(one), "error": one.get("error")} for one in self._replica(window).refused()]

    async def receipt(self, window: str, *, collection: str, record_id: str) -> Any:
        replica = self._replica(window)
        kind = next(one for one in records_of(self._classes[window]) if one.__declaration__.collection == collection)
        return replica.receipt(kind.model_construct().with_id(record_id))

    async def inbox(self, window: str) -> Any:
        replica = self._replica(window)
        items = await self._asked(replica.inbox())
        return [await self._asked(replica.server.call("GET", f"/v1/inbox/{item['id']}")) for item in items]

    async def resolve(self, window: str, *, item_id: str, resolution: Any) -> None:
        replica = self._replica(window)
        if "value" in resolution:
            await self._asked(replica.settle(item_id, resolution["value"]))
        else:
            await self._asked(replica.apply(item_id) if resolution.get("apply") else replica.discard(item_id))

    async def undo(self, window: str, *, collection: str, record_id: str) -> None:
        replica = self._replica(window)
        await self._asked(replica.undo(self._typed(window, collection, record_id)))

    async def redo(self, window: str, *, collection: str, record_id: str) -> None:
        replica = self._replica(window)
        await self._asked(replica.redo(self._typed(window, collection, record_id)))

    def _typed(self, window: str, collection: str, record_id: str) -> Any:
        kind = next(one for one in records_of(self._classes[window]) if one.__declaration__.collection == collection)
        return self._replica(window).get(kind, record_id, include_deleted=True)

    async def _asked(self, doing: Any) -> Any:
        try:
            return await doing
        except HoldfastError as error:
            raise _said(error) from error

    async def sign_in(self, window: str, *, token: str) -> None:
        self._replica(window).sign_in(token)

    async def sign_out(self, window: str, *, unsent: str) -> None:
        how: Any = unsent
        try:
            self._replica(window).sign_out(how)
        except HoldfastError as error:
            raise _said(error) from error

    async def set_online(self, window: str, *, online: bool) -> None:
        replica = self._replica(window)
        if online:
            replica.go_online()
        else:
            replica.go_offline()

    async def retry_now(self, window: str) -> None:
        self._replica(window).retry_now()

    async def export(self, window: str) -> Any:
        return self._replica(window).export()

    async def drop(self, window: str, *, mutation_id: str) -> None:
        self._replica(window).drop(mutation_id)

    async def send_again(self, window: str, *, mutation_id: str) -> None:
        try:
            self._replica(window).send_again(mutation_id)
        except HoldfastError as error:
            raise _said(error) from error

    async def synced(self, window: str, *, seconds: float) -> bool:
        return await self._replica(window).synced(seconds)


def _nothing() -> None:
    return None


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("mutation_id", "collection", "record_id", "ops")}


def _said(error: HoldfastError) -> DriverError:
    return DriverError(error.code, error.detail)
