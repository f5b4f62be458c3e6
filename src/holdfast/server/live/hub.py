"""One tenant's sockets: each hint that its log has grown becomes one pull for all of them, encoded and framed once for those who are
told the same.

Theory. A *group* is the sockets that ask for the same (collections, contracts) and are *in step*: they have all been handed everything
up to the group's cursor. It is pulled for as a whole (`StoreAPI.pull_many`): each caller is judged, and callers who may read the same
get the very same reply, hence the same bytes. A socket that is not in step (it has just said hello, or took a pull of its own while
the group went on) pulls for itself, page by page, at the pace at which it reads, and joins when it has reached the group. Nothing is
ever buffered for it meanwhile: the log is the buffer.

Rules: a socket is handed changes in the order of the log, without gaps. What is pulled for the group is told to a socket only if its
cursor is the one that the pull started from; otherwise it falls out of step and pulls for itself. Hints may be lost, so each heartbeat
also pulls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from holdfast.core import position
from holdfast.core.errors import CallerError, Forbidden, HoldfastError, NotSignedIn, WorldError
from holdfast.core.messages import PullReply
from holdfast.engine.api import Caller, StoreAPI
from holdfast.runtime import Runtime
from holdfast.server.live.messages import (
    FORBIDDEN,
    MALFORMED,
    NOT_SIGNED_IN,
    UNAVAILABLE,
    Frame,
    Heartbeat,
    changes_frames,
    frame_of,
)
from holdfast.server.live.session import Asked, Session
from holdfast.server.live.teller import Teller
from holdfast.server.metrics import Metrics
from holdfast.server.settings import Settings

__all__ = ["Hub"]

_PULL_ENTRIES = 500
_RETRY_SECONDS = 1.0
_CLOSE_CODES: tuple[tuple[type[Exception], int], ...] = ((NotSignedIn, NOT_SIGNED_IN), (Forbidden, FORBIDDEN), (CallerError, MALFORMED))
"""How a socket is closed whose pull failed: by the first class that fits."""


class Group:
    """Sockets that ask for the same and are in step."""

    def __init__(self, cursor: str | None) -> None:
        self.sessions: dict[str, Session] = {}
        self.cursor = cursor


class Hub:
    """Made with a tenant's first socket, ended with its last."""

    def __init__(self, tenant_id: str, store: StoreAPI, runtime: Runtime, settings: Settings, metrics: Metrics) -> None:
        self.tenant_id = tenant_id
        self._store = store
        self._runtime = runtime
        self._settings = settings
        self._metrics = metrics
        self.sessions: dict[str, Session] = {}
        self._groups: dict[Asked, Group] = {}
        self._head = 0
        self._backed_up = 0
        self.teller = Teller(store, self.sessions, lambda: self._head, runtime, settings)
        self._advancing = asyncio.Lock()
        self._subscription = store.subscribe(tenant_id)
        self._tasks = [runtime.spawn(work(), name=f"live {name} of {tenant_id}") for name, work in
                       (("feed", self._follow), ("heartbeat", self._beat), ("presence", self.teller.run))]

    # -- sockets come and go --------------------------------------------------------------------------------------------
    def add(self, session: Session) -> None:
        self.sessions[session.id] = session
        self.teller.greet(session)
        self.resume(session)

    def resume(self, session: Session) -> None:
        """Start handing `session` what follows its cursor."""
        self._leave_group(session)
        session.turn += 1
        self._runtime.spawn(self._catch_up(session, session.turn), name="socket catches up")

    def remove(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self._leave_group(session)
        self.teller.leave(session)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._subscription.close()

    # -- changes --------------------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        async for head in self._subscription:
            self._head = max(self._head, head)
            await self._advance_all()

    async def _advance_all(self) -> None:
        async with self._advancing:         # hint and heartbeat may come together, and each group goes on once
            for group in list(self._groups.values()):
                try:
                    await self._advance(group)
                except Exception as error:
                    await self._failed(list(group.sessions.values()), error)

    async def _advance(self, group: Group) -> None:
        """Pull for the group until nothing more is there."""
        while group.sessions:
            start = group.cursor
            sessions = list(group.sessions.values())
            callers = {session.who: session.caller for session in sessions}
            answers = dict(zip(callers, await self._pull_many(sessions[0], list(callers.values()), start), strict=True))
            frames: dict[int, list[Frame]] = {}         # by the identity of a reply, which `answers` keeps alive
            more = False
            for session in sessions:
                answer = answers[session.who]
                if isinstance(answer, HoldfastError):
                    self._end([session], answer)
                    continue
                if answer.reset is None:
                    group.cursor, more = answer.cursor, answer.more
                made = frames.get(id(answer))
                if made is None:
                    made = frames[id(answer)] = changes_frames(answer, start) if says_something(answer) else []
                if session.cursor == start and len(made) <= 1:
                    self._hand_over(session, answer, made)
                elif session.id in group.sessions:
                    self.resume(session)    # a page of several messages goes out at each reader's own pace
            self._metrics.count("pulls_shared", by=len(sessions) - len(frames))
            if not more:
                return

    def _hand_over(self, session: Session, reply: PullReply, frames: Sequence[Frame]) -> None:
        session.cursor = reply.cursor
        for frame in frames:
            session.write(frame)
        self._metrics.count("socket_messages", by=len(frames))
        if reply.reset is not None or session.ended is not None:
            self._leave_group(session)      # a reset waits for the device's `resume`

    async def _catch_up(self, session: Session, turn: int) -> None:
        """Pull for one socket, at the pace at which it reads, until it is in step with its group; or until it has been told to start
        anew (`turn`), for a socket must never be handed changes by two at once."""
        try:
            while self._is_open(session) and session.turn == turn and not session.in_step:
                start = session.cursor
                reply = await self._pull(session, start)
                frames = changes_frames(reply, start) if says_something(reply) else []
                for frame in frames[:-1]:
                    if session.turn == turn:
                        session.write(frame)
                        await session.outlet.drained()
                if session.turn != turn:
                    return
                self._hand_over(session, reply, frames[-1:])
                if reply.reset is not None:
                    return
                if not reply.more:
                    self._join(session)
                await session.outlet.drained()
        except Exception as error:
            await self._failed([session], error)

    def _is_open(self, session: Session) -> bool:
        return session.ended is None and session.id in self.sessions

    def _join(self, session: Session) -> None:
        if not self._is_open(session):
            return
        group = self._groups.get(session.asked)
        if group is None:
            group = self._groups[session.asked] = Group(session.cursor)
        if group.cursor == session.cursor or seq_of(session.cursor) > seq_of(group.cursor):
            # Ahead of the group: what the group pulls next starts before this socket's cursor, so it will pull for itself then.
            session.in_step = True
            group.sessions[session.id] = session

    def _leave_group(self, session: Session) -> None:
        session.in_step = False
        group = self._groups.get(session.asked)
        if group is not None and group.sessions.pop(session.id, None) is not None and not group.sessions:
            del self._groups[session.asked]

    async def _pull(self, session: Session, cursor: str | None) -> PullReply:
        reply = await self._store.pull(session.caller, cursor=cursor, limit=_PULL_ENTRIES, collections=session.collections,
                                       contracts=session.contracts or None)
        self._note(reply)
        return reply

    async def _pull_many(self, session: Session, callers: Sequence[Caller], cursor: str | None) -> list[PullReply | Forbidden]:
        """`session` says what the group asks for."""
        answers = await self._store.pull_many(callers, cursor=cursor, limit=_PULL_ENTRIES, collections=session.collections,
                                              contracts=session.contracts or None)
        for answer in answers:
            if isinstance(answer, PullReply):
                self._note(answer)
        return answers

    def _note(self, reply: PullReply) -> None:
        self._head = max(self._head, reply.head)
        self._backed_up = max(self._backed_up, reply.backed_up_seq)

    async def _failed(self, sessions: Iterable[Session], error: Exception) -> None:
        """A pull failed. What the world did may pass: the heartbeat tries again. Anything else ends the sockets, which come back."""
        if isinstance(error, WorldError) and error.retryable:
            await self._runtime.sleep(_RETRY_SECONDS)
            for session in sessions:
                if session.id in self.sessions and not session.in_step:
                    self.resume(session)
            return
        self._end(sessions, error)

    def _end(self, sessions: Iterable[Session], error: Exception) -> None:
        code = next((code for kind, code in _CLOSE_CODES if isinstance(error, kind)), UNAVAILABLE)
        for session in sessions:
            session.fail(error)
            session.end(code, "This socket cannot be told what happens. The message before says why.")
            self._leave_group(session)

    # -- heartbeats -----------------------------------------------------------------------------------------------------
    async def _beat(self) -> None:
        while True:
            await self._runtime.sleep(self._settings.heartbeat_seconds)
            await self._end_signed_out()
            await self._advance_all()
            frames: dict[str | None, Frame] = {}
            for session in list(self.sessions.values()):
                if not session.in_step:
                    continue
                frame = frames.get(session.cursor)
                if frame is None:
                    beat = Heartbeat(cursor=session.cursor, head=self._head, backed_up_seq=self._backed_up, now=self._runtime.now_ms())
                    frame = frames[session.cursor] = frame_of(beat)
                session.write(frame)

    async def _end_signed_out(self) -> None:
        """A credential that ended ends its sockets too."""
        for session in list(self.sessions.values()):
            try:
                await session.check()
            except WorldError:
                continue
            except HoldfastError as error:
                session.end(NOT_SIGNED_IN, error.detail[:100])


def says_something(reply: PullReply) -> bool:
    """Whether a device must hear of this pull; a cursor that merely moved comes with the next heartbeat."""
    return bool(reply.changes or reply.records or reply.forget or reply.reset or reply.upgrade_required)


def seq_of(cursor: str | None) -> int:
    return 0 if cursor is None else position.parse(cursor)[0]
