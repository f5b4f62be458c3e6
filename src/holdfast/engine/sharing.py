"""One pull for many: what a hundred listening devices of one organisation are told after a save.

Each is told what `pull` would tell it, from one snapshot and with its rights of that moment. But a reply depends on the caller only
through three things: which of the page's records it may read, whether it made one of the entries (its own outcome and inbox), and
whether the page changes who sees what (its own roles, a record that came into view). So callers who may read the same of these
records, and made none of the entries, get the very same reply object; a page that changes who sees what is pulled for each by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from holdfast.core.access import Actor, allows
from holdfast.core.entry import Row
from holdfast.core.errors import Forbidden
from holdfast.core.facts import Key
from holdfast.core.messages import PullReply
from holdfast.core.schema import Schema
from holdfast.engine.api import Caller
from holdfast.engine.ground import MEMBERS
from holdfast.engine.pull import moves, pull, start_of
from holdfast.engine.secrecy import Secrecy
from holdfast.engine.sight import Sight
from holdfast.engine.traits import Traits
from holdfast.storage.protocol import Reader

__all__ = ["NO_MEMBER", "actor_of", "pull_many"]

NO_MEMBER = "You are not (any longer) a member of this organisation."

Same: TypeAlias = tuple[Any, ...]
"""Equal for callers who get the same reply."""


def actor_of(member: Row | None, caller: Caller, granted: frozenset[str] = frozenset()) -> Actor | None:
    """The caller with the roles of its member record; None if it is no member."""
    if member is None or member.deleted:
        return None
    roles = frozenset(member.fields["roles"])
    return Actor(caller.actor_id, (roles if caller.narrowed is None else roles & caller.narrowed) | granted)


async def pull_many(reader: Reader, callers: Sequence[Caller], *, schema: Schema, traits: Mapping[str, Traits], secrecy: Secrecy,
                    cursor: str | None, limit: int, collections: Sequence[str] | None,
                    contracts: Mapping[str, int] | None) -> list[PullReply | Forbidden]:
    """One answer for each caller, in order (Forbidden for one that is no member); all of one tenant. Raises Malformed (the cursor)."""
    tenant_id = callers[0].tenant_id
    once = cast(Reader, _Once(reader))
    members = await reader.rows(tenant_id, list({(MEMBERS, caller.actor_id) for caller in callers}))
    page: _Page | None = None
    replies: dict[Same, PullReply] = {}
    answers: list[PullReply | Forbidden] = []
    for caller in callers:
        actor = actor_of(members.get((MEMBERS, caller.actor_id)), caller)
        if actor is None:
            answers.append(Forbidden(NO_MEMBER))
            continue
        sight = Sight(once, tenant_id, actor, schema=schema, secrecy=secrecy)
        if page is None:
            page = await _read_page(sight, traits, cursor, limit, collections)
        same = page.same(actor)
        if same not in replies:
            replies[same] = await pull(sight, traits, cursor=cursor, limit=limit, collections=collections, contracts=contracts)
        answers.append(replies[same])
    return answers


class _Page:
    """What decides who shares a reply."""

    def __init__(self, schema: Schema, rows: Mapping[Key, Row], authors: frozenset[str], *, changes_sight: bool) -> None:
        self._rules = [(schema.collections[row.collection].read, row.columns()) for row in rows.values()]
        self._authors = authors
        self._changes_sight = changes_sight

    def same(self, actor: Actor) -> Same:
        if self._changes_sight or actor.id in self._authors:
            return (actor.id, actor.roles)
        return tuple([allows(rule, columns, actor) for rule, columns in self._rules])


async def _read_page(sight: Sight, traits: Mapping[str, Traits], cursor: str | None, limit: int,
                     collections: Sequence[str] | None) -> _Page:
    """The entries and records that `pull` will read."""
    head = await sight.reader.head(sight.tenant_id)
    start = await start_of(sight, head, cursor)
    if start is None:
        return _Page(sight.schema, {}, frozenset(), changes_sight=False)         # another history: one answer for all
    wanted = None if collections is None else list({*collections, MEMBERS})
    stored = await sight.reader.entries(sight.tenant_id, after=start, limit=limit, collections=wanted)
    known = [entry for entry in stored if entry.record_id and entry.collection in sight.schema.collections]
    changes_sight = any(entry.collection == MEMBERS or moves(entry, traits[entry.collection]) for entry in known)
    rows = await sight.all_rows((entry.collection, entry.record_id) for entry in known)
    return _Page(sight.schema, rows, frozenset(entry.actor_id for entry in stored), changes_sight=changes_sight)


class _Once:
    """A reader that asks each question once: within one snapshot the answer is the same."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._answers: dict[tuple[str, str], Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._reader, name)

        async def ask(*args: Any, **options: Any) -> Any:
            question = (name, repr((args, options)))
            if question not in self._answers:
                self._answers[question] = await method(*args, **options)
            return self._answers[question]

        return ask
