"""What a developer would otherwise write by hand: FastAPI, SQLAlchemy's async ORM over aiosqlite, a history row per save.

Kept small, and fair to it: one process under uvicorn with uvloop and httptools, access log off, SQLite in WAL mode with
`synchronous=FULL` (an acknowledged save is on disk, as in Holdfast), a pool of connections that stay open, one write lock within the
process (without it concurrent savers wait out SQLite's busy handler, which is slower), a token per caller, one transaction per request,
and bulk statements for a request of many saves. No merging, no offline, no deduplication.

    python -m benchmarks.peers.handwritten DATABASE PORT
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import JSON, Index, String, event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["TOKEN", "application"]

TOKEN = "handwritten-peer"
MEMBERS = {TOKEN: "writer"}


class Base(DeclarativeBase):
    pass


class Draft(Base):
    __tablename__ = "drafts"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    session: Mapped[str]
    title: Mapped[str]
    step: Mapped[int]
    status: Mapped[str]
    body: Mapped[str]
    answers: Mapped[dict[str, Any]] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    __table_args__ = (Index("drafts_session", "session"),)


class DraftVersion(Base):
    __tablename__ = "draft_versions"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    draft_id: Mapped[str]
    version: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    saved_at: Mapped[datetime]
    saved_by: Mapped[str]
    __table_args__ = (Index("draft_versions_of", "draft_id", "version"),)


class DraftIn(BaseModel):
    id: str = Field(max_length=64)
    session: str = Field(max_length=200)
    title: str = Field(max_length=200)
    step: int
    status: str = Field(pattern="^(draft|ready)$")
    body: str = Field(max_length=200_000)
    answers: dict[str, Any]


class Saved(BaseModel):
    id: str
    version: int


def member(authorization: Annotated[str, Header()] = "") -> str:
    name = MEMBERS.get(authorization.removeprefix("Bearer "))
    if name is None:
        raise HTTPException(401, "Sign in first.")
    return name


Member = Annotated[str, Depends(member)]


def application(database: str) -> FastAPI:
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}", pool_size=20)

    @event.listens_for(engine.sync_engine, "connect")
    def durable(connection: Any, _: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            connection.execute(f"PRAGMA {pragma}")

    session_of = async_sessionmaker(engine, expire_on_commit=False)
    writing = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.put("/drafts/{draft_id}")
    async def save(draft_id: str, given: DraftIn, who: Member) -> Saved:
        async with writing, session_of() as session:
            draft = await session.get(Draft, draft_id)
            if draft is None:
                raise HTTPException(404, "There is no such draft.")
            content = given.model_dump()
            for name, value in content.items():
                setattr(draft, name, value)
            draft.version += 1
            draft.updated_at, draft.updated_by = datetime.now(UTC), who
            session.add(DraftVersion(draft_id=draft_id, version=draft.version, content=content, saved_at=draft.updated_at, saved_by=who))
            await session.commit()
            return Saved(id=draft_id, version=draft.version)

    @app.post("/drafts")
    async def save_many(given: list[DraftIn], who: Member) -> list[Saved]:
        async with writing, session_of() as session:
            return await _save_many(session, given, who)

    @app.get("/drafts")
    async def drafts_of(session: str, who: Member) -> list[dict[str, Any]]:
        async with session_of() as reading:
            found = (await reading.execute(select(Draft.__table__).where(Draft.session == session))).mappings()
            return [dict(row) for row in found]

    return app


async def _save_many(session: AsyncSession, given: list[DraftIn], who: str) -> list[Saved]:
    now = datetime.now(UTC)
    known = await session.execute(select(Draft.id, Draft.version).where(Draft.id.in_([one.id for one in given])))
    versions = {draft_id: version for draft_id, version in known.all()}
    rows = [{**one.model_dump(), "version": versions.get(one.id, 0) + 1, "updated_at": now, "updated_by": who} for one in given]
    new, old = [row for row in rows if row["id"] not in versions], [row for row in rows if row["id"] in versions]
    if new:
        await session.execute(insert(Draft), new)
    if old:
        await session.execute(update(Draft), old)
    await session.execute(insert(DraftVersion), [
        {"draft_id": one.id, "version": row["version"], "content": one.model_dump(), "saved_at": now, "saved_by": who}
        for one, row in zip(given, rows, strict=True)])
    await session.commit()
    return [Saved(id=row["id"], version=row["version"]) for row in rows]


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False,
                log_level="warning")
