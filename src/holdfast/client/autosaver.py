"""The small door: a document saved by itself, for those who want no more than that.

    async with AutoSaver(FileBackend("projects")) as saver:
        saver.schedule_auto_save("roof", project)       # two seconds after the last change, once
        result = await saver.save("roof", project)      # now
        result = await saver.load("roof")

Documents are JSON values; `validate` judges (and may change) them on the way in and out. Every call answers with a result, never with an
exception: `success`, or the kind of the error, and how long it took.

Rules of the file. One save per document is in flight; what is saved meanwhile waits, and of several only the newest goes out after it, so
the newest content is never skipped, and never overtaken by an older one. A failure that may pass is tried again three times, 1 s, 2 s
and 4 s later; `on_retry` and the result show it. Then the saver stops and returns the failure: the content is still here, in
`unsaved`, and the next save or `flush` takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from holdfast.client.backends import Backend, raise_on_name
from holdfast.core.errors import CallerError, HoldfastError, InvalidValue, WorldError
from holdfast.core.limits import Limits
from holdfast.core.values import canonical, decode_json, normalise
from holdfast.runtime import RealRuntime, Runtime

__all__ = ["AutoSaver", "Result", "SaveState"]

RETRY_SECONDS: Final = (1.0, 2.0, 4.0)
DEBOUNCE_SECONDS: Final = 2.0
DOCUMENT_BYTES_MAX: Final = 4 << 20
_LIMITS: Final = Limits(json_bytes_max=DOCUMENT_BYTES_MAX, json_depth_max=64)

ErrorKind = Literal["invalid", "not_found", "full", "unavailable", "not_allowed", "damaged", "failed"]
SaveState = Literal["idle", "waiting", "saving", "saved", "error"]
Validate: TypeAlias = Callable[[Any], Any]
Listener: TypeAlias = Callable[[str, "Result"], None]
Callers: TypeAlias = "list[asyncio.Future[Result]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a call. `ms` is the whole time, retries included; `value` what was loaded, listed or found."""

    success: bool
    ms: float
    value: Any = None
    kind: ErrorKind | None = None
    error: str = ""
    hint: str = ""
    retries: int = 0


@dataclass(slots=True)
class _Document:
    """What is known of one document."""

    state: SaveState = "idle"
    waiting: Any = None                                     # the newest content not in flight
    has_waiting: bool = False
    timer: asyncio.Task[None] | None = None
    running: asyncio.Task[Result] | None = None
    callers: Callers = field(default_factory=list)          # who waits for what is waiting


class AutoSaver:
    """Opened by `async with`; at the end everything scheduled is saved. `validate` takes and returns a document, or raises; listeners get
    the document's name and, where there is one, the result."""

    def __init__(self, backend: Backend, *, validate: Validate | None = None, debounce_seconds: float = DEBOUNCE_SECONDS,
                 on_start: Callable[[str], None] | None = None, on_success: Listener | None = None, on_failure: Listener | None = None,
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

    # -- the seven calls --------------------------------------------------------------------------------------------------

    async def save(self, name: str, document: Any) -> Result:
        """Save now. While another save of the document is in flight it waits for that one; of several that wait the newest is saved, and
        its result is the answer of all."""
        self.cancel_auto_save(name)
        held = self._documents.setdefault(name, _Document())
        held.waiting, held.has_waiting = document, True
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        held.callers.append(answer)
        self._begin(name, held)
        return await answer

    async def load(self, name: str) -> Result:
        """The document as `value`; kind `not_found` where there is none. What is scheduled and not saved yet is what is loaded."""
        began = self._runtime.monotonic()
        held = self._documents.get(name)
        if held is not None and held.has_waiting:
            return self._made(began, value=held.waiting)
        try:
            raise_on_name(name)
            content = await self._backend.load(name)
            if content is None:
                return Result(success=False, ms=self._since(began), kind="not_found", error=f"There is no document {name!r}.")
            return self._made(began, value=self._read(content))
        except Exception as error:
            return self._failed(began, error)

    async def exists(self, name: str) -> Result:
        return await self._asked(lambda: self._backend.exists(name), name)

    async def delete(self, name: str) -> Result:
        """What is scheduled of the document is dropped with it."""
        self.cancel_auto_save(name)
        held = self._documents.get(name)
        if held is not None and held.running is not None:
            await asyncio.wait([held.running])
        return await self._asked(lambda: self._backend.delete(name), name)

    async def list(self) -> Result:
        return await self._asked(self._backend.list, None)

    def schedule_auto_save(self, name: str, document: Any) -> None:
        """Save the document once nothing has been scheduled for it for `debounce_seconds`. The newest content counts."""
        held = self._documents.setdefault(name, _Document())
        held.waiting, held.has_waiting = document, True
        if held.timer is not None:
            held.timer.cancel()
        if held.state != "saving":
            held.state = "waiting"
        held.timer = self._runtime.spawn(self._wait(name, held), name="auto-save waits")

    def cancel_auto_save(self, name: str) -> None:
        """Drop what is scheduled; a save in flight goes on."""
        held = self._documents.get(name)
        if held is None or held.timer is None:
            return
        held.timer.cancel()
        held.timer = None
        if not held.callers:
            held.waiting, held.has_waiting = None, False
        if held.state == "waiting":
            held.state = "idle"

    # -- how it stands ----------------------------------------------------------------------------------------------------

    def state(self, name: str) -> SaveState:
        held = self._documents.get(name)
        return "idle" if held is None else held.state

    @property
    def unsaved(self) -> Mapping[str, Any]:
        """The newest content of documents that the backend does not have: scheduled, or failed."""
        return {name: held.waiting for name, held in self._documents.items() if held.has_waiting}

    async def flush(self) -> dict[str, Result]:
        """Save everything that waits, now; the results by name."""
        results = {}
        for name in [name for name, held in self._documents.items() if held.has_waiting]:
            results[name] = await self.save(name, self._documents[name].waiting)
        running = [held.running for held in self._documents.values() if held.running is not None]
        if running:
            await asyncio.wait(running)
        return results

    # -- one save ---------------------------------------------------------------------------------------------------------

    async def _wait(self, name: str, held: _Document) -> None:
        await self._runtime.sleep(self._debounce)
        held.timer = None
        self._begin(name, held)

    def _begin(self, name: str, held: _Document) -> None:
        if held.running is None and held.has_waiting:
            document, callers = held.waiting, held.callers
            held.waiting, held.has_waiting, held.callers = None, False, []
            held.state = "saving"
            held.running = self._runtime.spawn(self._save(name, document), name="auto-save")
            held.running.add_done_callback(lambda task: self._ended(name, held, document, callers, task))

    def _ended(self, name: str, held: _Document, document: Any, callers: Callers, task: asyncio.Task[Result]) -> None:
        held.running = None
        result = Result(success=False, ms=0, kind="failed", error="The save was cancelled.") if task.cancelled() else task.result()
        newer = held.has_waiting
        if result.success:
            held.state = "saved"
        elif not newer:
            held.state = "error"
            held.waiting, held.has_waiting = document, True      # still here, for the next save or flush
        for caller in callers:
            if not caller.done():
                caller.set_result(result)
        if newer and held.timer is None:
            self._begin(name, held)

    async def _save(self, name: str, document: Any) -> Result:
        began = self._runtime.monotonic()
        if self._on_start is not None:
            self._on_start(name)
        result = await self._tried(name, document, began)
        listener = self._on_success if result.success else self._on_failure
        if listener is not None:
            listener(name, result)
        return result

    async def _tried(self, name: str, document: Any, began: float) -> Result:
        retries = 0
        while True:
            try:
                raise_on_name(name)
                await self._backend.save(name, self._written(document))
                return self._made(began, retries=retries)
            except Exception as error:
                result = self._failed(began, error, retries=retries)
                if not _may_pass(error) or retries == len(RETRY_SECONDS):
                    return result
            if self._on_retry is not None:
                self._on_retry(name, result)
            await self._runtime.sleep(RETRY_SECONDS[retries])
            retries += 1

    # -- documents, results -----------------------------------------------------------------------------------------------

    def _written(self, document: Any) -> bytes:
        judged = document if self._validate is None else self._validate(document)
        return canonical(normalise(judged, limits=_LIMITS))

    def _read(self, content: bytes) -> Any:
        document = decode_json(content)
        return document if self._validate is None else self._validate(document)

    async def _asked(self, call: Callable[[], Any], name: str | None) -> Result:
        began = self._runtime.monotonic()
        try:
            if name is not None:
                raise_on_name(name)
            return self._made(began, value=await call())
        except Exception as error:
            return self._failed(began, error)

    def _since(self, began: float) -> float:
        return (self._runtime.monotonic() - began) * 1_000

    def _made(self, began: float, *, value: Any = None, retries: int = 0) -> Result:
        return Result(success=True, ms=self._since(began), value=value, retries=retries)

    def _failed(self, began: float, error: Exception, *, retries: int = 0) -> Result:
        detail = error.detail if isinstance(error, HoldfastError) else str(error) or type(error).__name__
        return Result(success=False, ms=self._since(began), kind=_kind(error), error=detail, hint=getattr(error, "hint", ""),
                      retries=retries)


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: what the world did, and what a backend of one's own raises; not a wrong value."""
    if isinstance(error, WorldError):
        return error.retryable
    return not isinstance(error, CallerError | ValueError | TypeError)


_KINDS: Final[Mapping[str, ErrorKind]] = {
    "storage_full": "full", "storage_corrupt": "damaged", "not_found": "not_found", "forbidden": "not_allowed", "not_signed_in":
    "not_allowed",
    "storage_read_only": "not_allowed",
}


def _kind(error: Exception) -> ErrorKind:
    if isinstance(error, HoldfastError) and error.code in _KINDS:
        return _KINDS[error.code]
    if isinstance(error, InvalidValue | CallerError | ValueError | TypeError):
        return "invalid"
    return "unavailable" if isinstance(error, WorldError | OSError) else "failed"
