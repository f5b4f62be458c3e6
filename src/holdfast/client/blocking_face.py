"""The replica and the small door, and what they give, for code that blocks.

Made by `make faces` from the asynchronous classes; a test compares.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from holdfast.client.buffer import Mark
from holdfast.client.outbox import Key
from holdfast.client.results import Result
from holdfast.client.status import Receipt, Status
from holdfast.client.wire import TokenSource
from holdfast.core.errors import CallerError
from holdfast.core.ops import Edit
from holdfast.model.record import Record

__all__ = ["BlockingAutoSaved", "BlockingBuffer", "BlockingRemote", "BlockingReplica", "BlockingSaver"]

R = TypeVar("R", bound=Record)
Views = list[dict[str, Any]]
Listener: TypeAlias = Callable[[Sequence[Edit]], None]
SaveState = Literal["idle", "waiting", "saving", "saved", "error"]


class BlockingReplica(Protocol):
    """`Records` and `Replica`, each call of which blocks until it is done."""

    def find(self, kind: type[R], record_id: str, *, include_deleted: bool=False) -> R | None:
        """The record as this device has it, own unsent work included; None if it is not here."""

    def get(self, kind: type[R], record_id: str, *, include_deleted: bool=False) -> R:
        """Raises NotFound for what is not on this device."""

    def each(self, kind: type[R], *, include_deleted: bool=False, **where: Any) -> Iterator[R]:
        """All records of a kind, by id; `where` names values that their fields have."""

    def list(self, kind: type[R], *, sort: str | None=None, limit: int | None=None, include_deleted: bool=False,
             **where: Any) -> builtins.list[R]:
        """Records as a list; `sort` names a field, with a minus before it in falling order (null last)."""

    def create(self, record: R) -> R:
        """Keep a new record; returns it as this device has it. With a natural key the same thing made elsewhere is the same record.
        Raises InvalidValue."""

    def save(self, record: R) -> R:
        """Keep what was assigned to `record` since it was read; returns it as it stands now, `record` itself stays as it was. Nothing
        assigned: nothing is written. Raises InvalidValue, LimitExceeded, NotFound."""

    def change(self, record: R, **fields: Any) -> R:
        """Change these fields, on the version of `record` in hand."""

    def delete(self, record: Record) -> None:
        """It can be undeleted. Raises NotFound."""

    def undelete(self, record: R) -> R: ...

    def text(self, record: Record, field: str) -> BlockingBuffer:
        """A buffer to type into, bound to a Text field of a record. Raises NotFound, InvalidValue."""

    def autosave(self, record: R) -> BlockingAutoSaved[R]:
        """Keep whatever is assigned to `record` from now on; what others change appears in it."""

    @property
    def status(self) -> Status:
        """Is everything saved? See `status`."""

    def receipt(self, of: Record | str) -> Receipt | None:
        """How far the work on a record (or the mutation with this id) has come; None for a mutation that is not known here."""

    def pending(self) -> Views:
        """What the server has not acknowledged, oldest first."""

    def refused(self) -> Views:
        """What the server did not accept, with its reason: look at it, then `drop` it or `send_again`."""

    def held(self) -> Views:
        """What waits for a decision, as far as this device knows; `inbox` asks the server for the values."""

    @property
    def device_id(self) -> str: ...

    @property
    def actor_id(self) -> str:
        """The person's id; empty until this replica has first been in touch."""

    def on_status(self, listener: Callable[[Status], None]) -> None:
        """Call `listener` whenever the status is another one, in the replica's event loop."""

    def on_change(self, listener: Callable[[set[Key] | None], None]) -> None:
        """Call `listener` with the (collection, id) of records that may look different now; None: any."""

    def changes(self) -> Iterator[set[Key] | None]:
        """The same as an asynchronous iterator, which ends with the replica."""

    def flush(self, seconds_max: float=10.0) -> bool:
        """Send everything now; whether the server has acknowledged all of it in time."""

    def synced(self, seconds_max: float=30.0) -> bool:
        """Wait until the server has everything that was done here, and this device everything that the server had then; whether that came
        about in time."""

    def retry_now(self) -> None:
        """Do not wait any longer before the next try."""

    def go_offline(self) -> None:
        """The program knows that there is no network: nothing is tried until `go_online`."""

    def go_online(self) -> None: ...

    def send_again(self, mutation_id: str) -> None:
        """Make a refused change again, under a new id, on what stands now. Raises NotFound."""

    def drop(self, mutation_id: str) -> None:
        """Give up a refused change. Raises NotFound."""

    def sign_in(self, token: TokenSource) -> None:
        """Go on with a new token. It is kept in memory alone. If it is another person's, nothing is sent or shown any more (Forbidden)
        until the person whose replica this is signs in again."""

    def sign_out(self, unsent: Literal['ask', 'keep', 'discard']='ask') -> None:
        """Forget the token. With unsent work "ask" raises StateError, which says how much: "keep" leaves the file for this person's next
        sign-in, "discard" empties it. Without unsent work the file is emptied, unless "keep". Nothing of the work is left in an emptied
        file, only whose it is."""

    def export(self) -> dict[str, Any]:
        """What is unsent, as JSON: mutations, and each record as it looks with them."""

    def import_unsent(self, exported: Mapping[str, Any]) -> tuple[int, Views]:
        """Make exported changes again: (how many, those that could not be made, with `why`). Raises Malformed."""

    @property
    def server(self) -> BlockingRemote:
        """History, diff, why, restore, inbox and actions: calls that need the network. Raises StateError without a server."""

    def undo(self, record: R) -> R:
        """Take back this device's newest change of the record, over what came after it. Raises Conflict (nothing to undo), WorldError
        (no network)."""

    def redo(self, record: R) -> R: ...

    def inbox(self) -> Views:
        """What waits for a decision, with both values."""

    def apply(self, item_id: str) -> None:
        """Apply what waits, over what stands."""

    def discard(self, item_id: str, reason: str='') -> None: ...

    def settle(self, item_id: str, values: Mapping[str, Any]) -> None:
        """Put these values (path -> JSON value) in place of both that are in question."""

    def at(self, record: R, rev: int) -> R:
        """The record as it stood at `rev`."""

    def history(self, record: Record) -> Views: ...

    def queue_call(self, action: str, **arguments: Any) -> str:
        """Call an action as soon as there is a network; returns the id it is called under (see `receipt`). Its reply is not kept. It is
        made after the edits that stand before it, and once, however often it is sent."""

    def cancel_call(self, mutation_id: str) -> None:
        """Take a queued call back that was not sent yet. Raises StateError if it may have been."""

    def view(self, key: Key) -> dict[str, Any] | None:
        """The record view of (collection, id) as this device shows it: for tools that know no record class."""


class BlockingRemote(Protocol):
    """`Remote`, each call of which blocks until it is done."""

    def call(self, method: str, path: str, *, query: Mapping[str, str] | None=None, body: Any=None, changes: bool=False) -> Any:
        """One call; one that changes something bears an id, so that it may be repeated. Raises HoldfastErrors."""

    def history(self, record: Record) -> builtins.list[dict[str, Any]]:
        """All entries about the record that the server has, newest first."""

    def at(self, record: Record, rev: int) -> dict[str, Any]:
        """The record view as of `rev`."""

    def diff(self, record: Record, *, since: int, to: int | None=None) -> dict[str, Any]: ...

    def why(self, record: Record, field: str) -> dict[str, Any]:
        """Where the value of a field comes from."""

    def undo(self, record: Record, seq: int | None=None) -> dict[str, Any]:
        """Take back this device's newest change of the record. Raises Conflict where there is none."""

    def redo(self, record: Record) -> dict[str, Any]: ...

    def restore(self, record: Record, rev: int, *, fields: Sequence[str] | None=None) -> dict[str, Any]: ...

    def name_version(self, record: Record, name: str, *, rev: int | None=None) -> None: ...

    def inbox(self) -> builtins.list[dict[str, Any]]:
        """What waits for this person's decision, oldest first, with both values."""

    def resolve(self, item_id: str, body: Mapping[str, Any]) -> dict[str, Any]: ...

    def action(self, name: str, arguments: Mapping[str, Any]) -> Any: ...

    def report(self, *, version: str, held: int, oldest: str | None, cause: str | None) -> None:
        """Tell the server how this device is."""


class BlockingBuffer(Protocol):
    """`TextBuffer`, each call of which blocks until it is done."""

    @property
    def text(self) -> str: ...

    def __str__(self) -> str: ...

    def __len__(self) -> int: ...

    def insert(self, at: int, inserted: str) -> None: ...

    def append(self, inserted: str) -> None: ...

    def delete(self, at: int, count: int) -> None: ...

    def splice(self, at: int, deleted: int, inserted: str) -> None:
        """Replace `deleted` code points at `at`. Durable when it returns, unless the status says otherwise. Raises InvalidValue (outside
        of the text), LimitExceeded, NotFound (the record is gone)."""

    def replace_all(self, wanted: str) -> None:
        """Make the text be `wanted`: what differs is spliced, so that what others type meanwhile stands."""

    def mark(self, at: int, *, sticks_right: bool=False) -> Mark:
        """A position that moves with the text around it."""

    def on_change(self, listener: Listener) -> None:
        """Hear of what others change."""

    def close(self) -> None: ...


class BlockingAutoSaved(Protocol[R]):
    """`AutoSaved`, each call of which blocks until it is done."""

    record: R

    problem: CallerError | None

    @property
    def is_open(self) -> bool: ...

    def flush(self) -> None:
        """Keep what was assigned, now. What does not fit is in `problem`, and the status says that there is something to look at."""

    def close(self) -> None:
        """Keep what was assigned, and stop watching. Raises what keeps something assigned from being kept: InvalidValue, LimitExceeded,
        NotFound (the record is gone), WorldErrors."""


class BlockingSaver(Protocol):
    """`AutoSaver`, each call of which blocks until it is done."""

    def save(self, name: str, document: Any) -> Result:
        """Save now. While another save of the document is in flight it waits for that one; of several that wait the newest is saved, and
        its result is the answer of all."""

    def load(self, name: str) -> Result:
        """The document as `value`; kind `not_found` where there is none. What is scheduled or on its way is what is loaded."""

    def exists(self, name: str) -> Result:
        """Whether `load` would find it, as `value`."""

    def delete(self, name: str) -> Result:
        """What is scheduled of the document, or failed, is dropped with it; who waits for such a save is told so. A save in flight is
        waited for, so that it does not bring the document back."""

    def list(self) -> Result:
        """The names of all documents, sorted, as `value`."""

    def schedule_auto_save(self, name: str, document: Any) -> None:
        """Save the document once nothing has been scheduled for it for `debounce_seconds`. The newest content counts."""

    def cancel_auto_save(self, name: str) -> None:
        """Drop what is scheduled; a save in flight goes on, and so does one that waits for it."""

    def state(self, name: str) -> SaveState:
        """`waiting` (scheduled), `saving`, `saved`, `error` (the last save failed, its content is in `unsaved`), `idle`."""

    @property
    def unsaved(self) -> Mapping[str, Any]:
        """The newest content of documents that the backend does not have: scheduled, failed, or on its way."""

    def flush(self) -> dict[str, Result]:
        """Save everything that waits, now, and wait for what is on its way; the results by name."""
