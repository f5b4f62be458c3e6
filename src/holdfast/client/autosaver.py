"""The small door: a document saved by itself, for those who want no more than that.

    async with AutoSaver(FileBackend("projects")) as saver:
        saver.schedule_auto_save("roof", project)       # two seconds after the last change, once
        result = await saver.save("roof", project)      # now
        result = await saver.load("roof")

Documents are JSON values; `validate` judges (and may change) them on the way in and out. Every call answers with a result, never with an
exception: `success`, or the kind of the error, and how long it took. Code that blocks takes `open_saver_blocking`.

Rules of the file. One save (or delete) per document is in flight; what is saved meanwhile waits, and of several only the newest goes out
after it, so the newest content is never skipped, and never overtaken by an older one. A failure that may pass is tried again three times,
1 s, 2 s and 4 s later; `on_retry` and the result show it. Then the saver stops and returns the failure: the content is still here, in
`unsaved`, and the next save or `flush` takes it. What a listener raises is the event loop's to report, and stops no save.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from holdfast.client.backends import Backend, raise_on_name
from holdfast.client.results import Result, failed, may_pass
from holdfast.core.errors import CallerError, InvalidValue, StorageCorrupt
from holdfast.core.limits import Limits
from holdfast.core.values import canonical, decode_json, normalise
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["AutoSaver", "SaveState"]

RETRY_SECONDS: Final = (1.0, 2.0, 4.0)
DEBOUNCE_SECONDS: Final = 2.0
DOCUMENT_BYTES_MAX: Final = 4 << 20
_LIMITS: Final = Limits(json_bytes_max=DOCUMENT_BYTES_MAX, json_depth_max=64)

SaveState = Literal["idle", "waiting", "saving", "saved", "error"]
Validate: TypeAlias = Callable[[Any], Any]
Started: TypeAlias = Callable[[str], object]
Listener: TypeAlias = Callable[[str, Result], object]
Callers: TypeAlias = "list[asyncio.Future[Result]]"


@dataclass(slots=True)
class _Document:
    """What is known of one document."""

    state: SaveState = "idle"
    waiting: Any = None                                     # the newest content not in flight
    has_waiting: bool = False
    timer: asyncio.Task[None] | None = None
    running: asyncio.Task[Result] | None = None             # a save or a delete
    sending: tuple[Any, ...] = ()                           # the content in flight, if a save runs
    callers: Callers = field(default_factory=list)          # who waits for what is waiting

    def newest(self) -> tuple[Any, ...]:
        """The newest content that the backend may not have, if there is any."""
        return (self.waiting,) if self.has_waiting else self.sending

    def forget(self) -> None:
        self.waiting, self.has_waiting, self.callers = None, False, []


class AutoSaver:
    """Opened by `async with`; at the end everything scheduled is saved, and a backend that has a `close` is closed. `validate` takes and
    returns a document, or raises; listeners get the document's name and, where there is one, the result."""

    def __init__(self, backend: Backend, *, validate: Validate | None = None, debounce_seconds: float = DEBOUNCE_SECONDS,
                 on_start: Started | None = None, on_success: Listener | None = None, on_failure: Listener | None = None,
                 on_retry: Listener | None = None, runtime: Runtime | None = None) -> None:
        self._backend = backend
        self._validate = validate
        self._debounce = debounce_seconds
        self._on_start, self._on_success, self._on_failure, self._on_retry = on_start, on_success, on_failure, on_retry
        self._runtime = runtime or RealRuntime()
        self._documents: dict[str, _Document] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.flush()
        close = getattr(self._backend, "close", None)
        if close is not None and isawaitable(closing := close()):
            await closing

    # -- the seven calls --------------------------------------------------------------------------------------------------

    async def save(self, name: str, document: Any) -> Result:
        """Save now. While another save of the document is in flight it waits for that one; of several that wait the newest is saved, and
        its result is the answer of all."""
        try:
            raise_on_name(name)
        except InvalidValue as error:
            return failed(error, 0.0)
        held = self._document(name)
        self._stop_timer(held)
        held.waiting, held.has_waiting = document, True
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        held.callers.append(answer)
        self._begin(name, held)
        return await answer

    async def load(self, name: str) -> Result:
        """The document as `value`; kind `not_found` where there is none. What is scheduled or on its way is what is loaded."""
        began = self._runtime.monotonic()
        newest = self._newest(name)
        if newest:
            return self._made(began, value=newest[0])
        try:
            raise_on_name(name)
            content = await self._backend.load(name)
            if content is None:
                return Result(success=False, ms=self._since(began), kind="not_found", error=f"There is no document {name!r}.")
            return self._made(began, value=self._read(name, content))
        except Exception as error:
            return failed(error, self._since(began))

    async def exists(self, name: str) -> Result:
        """Whether `load` would find it, as `value`."""
        if self._newest(name):
            return self._made(self._runtime.monotonic(), value=True)
        return await self._asked(lambda: self._backend.exists(name), name)

    async def delete(self, name: str) -> Result:
        """What is scheduled of the document, or failed, is dropped with it; who waits for such a save is told so. A save in flight is
        waited for, so that it does not bring the document back."""
        held = self._document(name)
        self._drop_waiting(held, "The document was deleted meanwhile.")
        while held.running is not None:
            await asyncio.wait([held.running])
        held.running = self._runtime.spawn(self._asked(lambda: self._backend.delete(name), name), name="delete of a document")
        held.running.add_done_callback(lambda task: self._deleted(name, held))
        return await asyncio.shield(held.running)

    async def list(self) -> Result:
        """The names of all documents, sorted, as `value`."""
        result = await self._asked(self._backend.list, None)
        more = [name for name, held in self._documents.items() if held.newest()]
        return Result(success=True, ms=result.ms, value=sorted({*result.value, *more})) if result.success and more else result

    def schedule_auto_save(self, name: str, document: Any) -> None:
        """Save the document once nothing has been scheduled for it for `debounce_seconds`. The newest content counts."""
        held = self._document(name)
        held.waiting, held.has_waiting = document, True
        if held.timer is not None:
            held.timer.cancel()
        if held.state != "saving":
            held.state = "waiting"
        held.timer = self._runtime.spawn(self._wait(name, held), name="auto-save waits")

    def cancel_auto_save(self, name: str) -> None:
        """Drop what is scheduled; a save in flight goes on, and so does one that waits for it."""
        held = self._documents.get(name)
        if held is None or held.timer is None:
            return
        self._stop_timer(held)
        if not held.callers:
            held.forget()
        if held.state == "waiting":
            held.state = "idle"

    # -- how it stands ----------------------------------------------------------------------------------------------------

    def state(self, name: str) -> SaveState:
        """`waiting` (scheduled), `saving`, `saved`, `error` (the last save failed, its content is in `unsaved`), `idle`."""
        held = self._documents.get(name)
        return "idle" if held is None else held.state

    @property
    def unsaved(self) -> Mapping[str, Any]:
        """The newest content of documents that the backend does not have: scheduled, failed, or on its way."""
        return {name: held.newest()[0] for name, held in self._documents.items() if held.newest()}

    async def flush(self) -> dict[str, Result]:
        """Save everything that waits, now, and wait for what is on its way; the results by name."""
        names = [name for name, held in self._documents.items() if held.newest()]
        return dict(zip(names, await asyncio.gather(*(self._flushed(name) for name in names)), strict=True))

    async def _flushed(self, name: str) -> Result:
        held = self._documents[name]
        if held.has_waiting or held.running is None:
            return await self.save(name, held.waiting)
        return await asyncio.shield(held.running)

    # -- one save ---------------------------------------------------------------------------------------------------------

    def _document(self, name: str) -> _Document:
        return self._documents.setdefault(name, _Document())

    def _newest(self, name: str) -> tuple[Any, ...]:
        held = self._documents.get(name)
        return () if held is None else held.newest()

    def _stop_timer(self, held: _Document) -> None:
        if held.timer is not None:
            held.timer.cancel()
            held.timer = None

    def _drop_waiting(self, held: _Document, why: str) -> None:
        self._stop_timer(held)
        callers = held.callers
        held.forget()
        for caller in callers:
            if not caller.done():
                caller.set_result(Result(success=False, ms=0, kind="not_found", error=why))

    async def _wait(self, name: str, held: _Document) -> None:
        await self._runtime.sleep(self._debounce)
        held.timer = None
        self._begin(name, held)

    def _begin(self, name: str, held: _Document) -> None:
        if held.running is None and held.has_waiting:
            document, callers = held.waiting, held.callers
            held.forget()
            held.state, held.sending = "saving", (document,)
            held.running = self._runtime.spawn(self._save(name, document), name="auto-save")
            held.running.add_done_callback(lambda task: self._ended(name, held, document, callers, task))

    def _ended(self, name: str, held: _Document, document: Any, callers: Callers, task: asyncio.Task[Result]) -> None:
        held.running, held.sending = None, ()
        result = Result(success=False, ms=0, kind="failed", error="The save was cancelled.") if task.cancelled() else task.result()
        newer = held.has_waiting
        if newer:
            held.state = "waiting"
        elif result.success:
            held.state = "saved"
        else:
            held.state = "error"
            held.waiting, held.has_waiting = document, True      # still here, for the next save or flush
        for caller in callers:
            if not caller.done():
                caller.set_result(result)
        if newer and held.timer is None:
            self._begin(name, held)

    def _deleted(self, name: str, held: _Document) -> None:
        held.running = None
        if held.has_waiting:
            if held.timer is None:
                self._begin(name, held)
        else:
            held.state = "idle"

    async def _save(self, name: str, document: Any) -> Result:
        began = self._runtime.monotonic()
        self._tell(self._on_start, name)
        result = await self._tried(name, document, began)
        self._tell(self._on_success if result.success else self._on_failure, name, result)
        return result

    async def _tried(self, name: str, document: Any, began: float) -> Result:
        retries = 0
        while True:
            try:
                raise_on_name(name)
                await self._backend.save(name, self._written(document))
                return self._made(began, retries=retries)
            except Exception as error:
                result = failed(error, self._since(began), retries=retries)
                if not may_pass(error) or retries == len(RETRY_SECONDS):
                    return result
            self._tell(self._on_retry, name, result)
            await self._runtime.sleep(RETRY_SECONDS[retries])
            retries += 1

    def _tell(self, listener: Callable[..., object] | None, *facts: Any) -> None:
        """A listener's mistake is reported by the event loop, as that of any callback."""
        if listener is None:
            return
        try:
            listener(*facts)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler({"message": "A listener of an AutoSaver raised.", "exception": error})

    # -- documents, results -----------------------------------------------------------------------------------------------

    def _written(self, document: Any) -> bytes:
        judged = document if self._validate is None else self._validate(document)
        return canonical(normalise(judged, limits=_LIMITS))

    def _read(self, name: str, content: bytes) -> Any:
        try:
            document = decode_json(content)
        except CallerError as error:
            raise StorageCorrupt(f"What is stored as {name!r} cannot be read: {error.detail}",
                                 hint="Look at it with other tools; saving the document puts it right.") from error
        return document if self._validate is None else self._validate(document)

    async def _asked(self, call: Callable[[], Awaitable[Any]], name: str | None) -> Result:
        began = self._runtime.monotonic()
        try:
            if name is not None:
                raise_on_name(name)
            return self._made(began, value=await call())
        except Exception as error:
            return failed(error, self._since(began))

    def _since(self, began: float) -> float:
        return (self._runtime.monotonic() - began) * 1_000

    def _made(self, began: float, *, value: Any = None, retries: int = 0) -> Result:
        return Result(success=True, ms=self._since(began), value=value, retries=retries)
