"""One socket through the link: two pumps, one for each way, each of which does to a message what the link says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from holdfast.testing.devices.faults import Delayed, Fault, Late, Message, Refused, Results, Rewritten, lose, repeat, swallow

if TYPE_CHECKING:
    from holdfast.testing.devices.link import App, Link

__all__ = ["SocketLink"]

Scope: TypeAlias = MutableMapping[str, Any]
BROKEN = 1012


class SocketLink:
    def __init__(self, link: Link, app: App, scope: Scope, receive: Callable[[], Awaitable[Any]],
                 send: Callable[[Any], Awaitable[None]]) -> None:
        self._link = link
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._to_app: asyncio.Queue[Any] = asyncio.Queue()
        self._to_device: asyncio.Queue[Any] = asyncio.Queue()
        self._device = self._device_id = ""
        self._broken = asyncio.Event()
        self._late: list[asyncio.Task[None]] = []
        self._is_closed = False

    def cut(self) -> None:
        self._broken.set()

    async def run(self) -> None:
        spawn = self._link.runtime.spawn
        serving = spawn(self._serve(), name="a socket behind the link")
        up = spawn(self._up(), name="to the server")
        down = spawn(self._down(), name="to the device")
        broken = spawn(self._broken.wait(), name="until it breaks")
        await asyncio.wait([up, down, broken], return_when=asyncio.FIRST_COMPLETED)
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await self._close(BROKEN)
        for task in (up, down, broken, *self._late):
            task.cancel()
        await asyncio.gather(up, down, broken, serving, *self._late, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            await self._app(self._scope, self._to_app.get, self._to_device.put)
        finally:
            self._to_device.put_nowait({"type": "websocket.close", "code": BROKEN})     # does nothing after the server's own

    async def _up(self) -> None:
        while True:
            part = await self._receive()
            if part["type"] != "websocket.receive":
                self._to_app.put_nowait(part)
                if part["type"] == "websocket.disconnect":
                    self._is_closed = True
                    return
                continue
            raw = part.get("text") or ""
            message = self._message("to_server", raw.encode())
            fault = self._link.note(message)
            for text in await self._spoiled(fault, message):
                self._to_app.put_nowait({"type": "websocket.receive", "text": text})
            message_id = (message.body or {}).get("id")
            if isinstance(fault, Refused):
                await self._tell(msgspec.json.encode({"type": "error", "problem": fault.problem(), "id": message_id}).decode())
            elif isinstance(fault, Results):
                await self._tell(msgspec.json.encode({"type": "pushed", "id": message_id, **fault.reply(message.body)}).decode())
            if fault is lose:
                return

    async def _down(self) -> None:
        while True:
            part = await self._to_device.get()
            if part["type"] == "websocket.close":
                await self._close(part.get("code", 1000), part.get("reason") or "")
                return
            if part["type"] != "websocket.send":
                await self._send(part)
                continue
            text = part.get("text")
            message = self._message("to_device", part["bytes"] if text is None else text.encode())
            fault = self._link.note(message)
            if isinstance(fault, Late):
                self._late.append(self._link.runtime.spawn(self._later(fault, message), name="a late message"))
                continue
            for one in await self._spoiled(fault, message):
                await self._tell(one)
            if fault is lose:
                return

    async def _later(self, fault: Late, message: Message) -> None:
        await fault.gate.wait()
        await self._tell(message.raw.decode())

    async def _spoiled(self, fault: Fault | None, message: Message) -> list[str]:
        """What arrives of a message: nothing, itself, itself twice, something else."""
        if fault in (lose, swallow) or isinstance(fault, Refused | Results):
            return []
        if isinstance(fault, Delayed):
            await self._link.runtime.sleep(fault.seconds)
        text = message.raw.decode()
        if isinstance(fault, Rewritten):
            text = fault.made_of(message).decode()
        return [text, text] if fault is repeat else [text]

    def _message(self, side: Any, raw: bytes) -> Message:
        try:
            body = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            body = None
        kind = str(body.get("type", "")) if isinstance(body, dict) else ""
        if kind == "hello":
            self._device, self._device_id = self._link.names.get(str(body.get("token")), ""), str(body.get("device_id"))
        return Message(at=self._link.runtime.monotonic(), way="socket", side=side, kind=kind, device=self._device,
                       device_id=self._device_id, raw=raw, body=body)

    async def _tell(self, text: str) -> None:
        if not self._is_closed:
            await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int, reason: str = "") -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
